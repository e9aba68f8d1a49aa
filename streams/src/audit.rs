//! AUDIT: appends to the chain of a scope, reads it newest first, verifies it whole.

use crate::backoff::Backoff;
use crate::rebuild::{Begin, RebuildError, read, reader};
use crate::topology::{AHEAD_BYTES_MAX, AUDIT, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::StreamExt as _;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchkeeper_schemas::audit::{AuditEntry, Broken, Deed, Head};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{self, JournalScope};

/// Tries to append while others append to the same chain.
const TRIES_MAX: u32 = 50;
/// Waits between them.
const RETRY_FIRST: Duration = Duration::from_millis(2);
const RETRY_MAX: Duration = Duration::from_millis(100);
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Entries of all scopes that are looked through at first for a page of one.
const WINDOW_ENTRIES: u64 = 1_000;

/// Why the audit could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// JetStream did not answer as it should.
    #[error("cannot {action} the audit of {scope}")]
    JetStream {
        /// What was attempted.
        action: &'static str,
        /// Whose audit.
        scope: JournalScope,
        /// What went wrong.
        source: async_nats::Error,
    },
    /// Others appended all the time.
    #[error("the audit of {scope} is written by too many at once")]
    Busy {
        /// Whose audit.
        scope: JournalScope,
    },
    /// The whole could not be read.
    #[error(transparent)]
    Read(#[from] RebuildError),
    /// Something was changed after it was written.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// One entry and its place in AUDIT.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The place: a page ends before it.
    pub sequence: u64,
    /// The entry.
    pub entry: AuditEntry,
}

/// Appends a deed to the chain of a scope; returns its number. Durable when this returns.
///
/// # Errors
/// When JetStream does not answer, or others append all the time.
pub async fn append(context: &Context, scope: &JournalScope, deed: Deed) -> Result<u64, AuditError> {
    let failed =
        |source: async_nats::Error| AuditError::JetStream { action: "write", scope: scope.clone(), source };
    let subject = subjects::audit(scope);
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    for _ in 0..TRIES_MAX {
        let (sequence, head) = last(context, &subject).await.map_err(failed)?;
        let bytes = head.next(now(), deed.clone()).map_err(|e| failed(e.into()))?;
        let message = PublishMessage::build().payload(bytes.into()).expected_last_subject_sequence(sequence);
        let appended = async { context.send_publish(subject.clone(), message).await?.await };
        let appended = tokio::time::timeout(ANSWER_MAX, appended).await.map_err(|e| failed(e.into()))?;
        match appended {
            Ok(_) => return Ok(head.number + 1),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    Err(AuditError::Busy { scope: scope.clone() })
}

/// The last entry's place in AUDIT, and the head that the next one builds on.
async fn last(context: &Context, subject: &str) -> Result<(u64, Head), async_nats::Error> {
    let stream = context.get_stream_no_info(AUDIT).await?;
    // Not a direct get: a replica that is behind would only cost one more try, but every time.
    match tokio::time::timeout(ANSWER_MAX, stream.get_last_raw_message_by_subject(subject)).await? {
        Ok(message) => Ok((message.sequence, Head::at(&message.payload)?)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok((0, Head::default())),
        Err(error) => Err(error.into()),
    }
}

/// The newest `limit` entries of a scope for which `wanted` holds and which stand before `before`, newest first.
///
/// # Errors
/// When JetStream does not answer.
pub async fn page(
    context: &Context,
    scope: &JournalScope,
    before: Option<u64>,
    limit: usize,
    wanted: impl Fn(&AuditEntry) -> bool,
) -> Result<Vec<Placed>, AuditError> {
    let failed =
        |source: async_nats::Error| AuditError::JetStream { action: "read", scope: scope.clone(), source };
    let newest = last(context, &subjects::audit(scope)).await.map_err(failed)?.0;
    let end = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
    let mut window = WINDOW_ENTRIES;
    loop {
        let begin = end.saturating_sub(window).max(1);
        let found = between(context, scope, begin..=end, limit, &wanted).await.map_err(failed)?;
        if found.len() >= limit || begin == 1 {
            return Ok(found);
        }
        window = window.saturating_mul(8);
    }
}

async fn between(
    context: &Context,
    scope: &JournalScope,
    range: std::ops::RangeInclusive<u64>,
    limit: usize,
    wanted: &impl Fn(&AuditEntry) -> bool,
) -> Result<Vec<Placed>, async_nats::Error> {
    let mut found = VecDeque::new();
    if range.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let stream = context.get_stream_no_info(AUDIT).await?;
    let settings = reader(&[&subjects::audit(scope)], Begin::Sequence(*range.start()));
    let consumer = stream.create_consumer(settings).await?;
    let mut left = consumer.cached_info().num_pending;
    let events = consumer.stream().max_bytes_per_batch(AHEAD_BYTES_MAX);
    let mut events = events.expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT).messages().await?;
    while left > 0 {
        let event =
            tokio::time::timeout(ANSWER_MAX, events.next()).await?.ok_or("the audit ended early")??;
        let info = event.info()?;
        if info.stream_sequence > *range.end() {
            break;
        }
        left = info.pending;
        let entry: AuditEntry = serde_json::from_slice(&event.payload)?;
        if wanted(&entry) {
            if found.len() == limit {
                found.pop_back();
            }
            found.push_front(Placed { sequence: info.stream_sequence, entry });
        }
    }
    Ok(found.into())
}

/// Goes through the whole chain of a scope, gives each entry to `each`, and tells the head: noted elsewhere, it shows
/// later that nothing was cut off at the end.
///
/// # Errors
/// The first place where the chain is broken, or JetStream does not answer.
pub async fn verify(
    context: &Context,
    scope: &JournalScope,
    mut each: impl FnMut(&AuditEntry),
) -> Result<Head, AuditError> {
    let (mut head, mut broken) = (Head::default(), None);
    read(context, AUDIT, &[&subjects::audit(scope)], Begin::First, |event| {
        if broken.is_none() {
            match head.follow(&event.payload) {
                Ok(entry) => each(&entry),
                Err(error) => broken = Some(error),
            }
        }
    })
    .await?;
    match broken {
        Some(broken) => Err(broken.into()),
        None => Ok(head),
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
