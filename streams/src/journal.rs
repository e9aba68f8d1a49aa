//! JOURNAL: records facts by expected revision, and keeps the registry of all facts newest.

use crate::backoff::Backoff;
use crate::rebuild::{Begin, reader};
use crate::topology::{AHEAD_BYTES_MAX, JOURNAL, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watchkeeper_schemas::journal::JournalEvent;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{JOURNAL_FILTER, JournalScope, JournalSubject};

/// Waits between tries to follow JOURNAL.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The server forgets a follower that asks for nothing for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Longest wait for an acknowledgement.
const RECORD_MAX: Duration = Duration::from_secs(5);
/// Longest wait until a fact that was recorded here is seen in the registry.
const SEEN_MAX: Duration = Duration::from_secs(5);

/// Everything in JOURNAL, folded; nothing before it was read for the first time.
pub type Facts = Option<Arc<Registry>>;

/// Why a fact was not recorded, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Somebody recorded another fact about the same thing meanwhile; nothing was recorded.
    #[error("{subject} was changed by somebody else meanwhile")]
    Conflict {
        /// What it is about.
        subject: String,
    },
    /// The fact belongs to another scope, or cannot be written.
    #[error("a fact of this kind cannot be recorded there")]
    Misplaced,
    /// JetStream did not acknowledge in time: the fact may be recorded or not.
    #[error("cannot record {subject}")]
    JetStream {
        /// What it is about.
        subject: String,
        /// What went wrong.
        source: PublishError,
    },
}

/// Records a fact if the last one about the same thing is still `expected` (0: there is none); returns its revision.
///
/// # Errors
/// When somebody was faster, or JetStream does not answer.
pub async fn record(
    context: &Context,
    scope: JournalScope,
    event: &JournalEvent,
    expected: u64,
) -> Result<u64, RecordError> {
    let subject = JournalSubject::of(scope, &event.fact).ok_or(RecordError::Misplaced)?.to_string();
    let payload = serde_json::to_vec(event).map_err(|_| RecordError::Misplaced)?;
    let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(expected);
    let failed = |source: PublishError| match source.kind() {
        PublishErrorKind::WrongLastSequence => RecordError::Conflict { subject: subject.clone() },
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::MaxPayloadExceeded
        | PublishErrorKind::Other => RecordError::JetStream { subject: subject.clone(), source },
    };
    let recorded = async { context.send_publish(subject.clone(), message).await?.await };
    match tokio::time::timeout(RECORD_MAX, recorded).await {
        Ok(acknowledgement) => Ok(acknowledgement.map_err(failed)?.sequence),
        Err(_) => Err(failed(PublishError::new(PublishErrorKind::TimedOut))),
    }
}

/// Waits until the fact at `revision` is folded into what [`follow`] keeps; whether it was in time.
pub async fn seen(facts: &mut watch::Receiver<Facts>, revision: u64) -> bool {
    let reached = facts.wait_for(|facts| facts.as_ref().is_some_and(|it| it.sequence() >= revision));
    tokio::time::timeout(SEEN_MAX, reached).await.is_ok_and(|seen| seen.is_ok())
}

/// Keeps `facts` equal to JOURNAL: a new fact is seen within milliseconds, a lost connection is made up for.
/// Runs until it is dropped.
pub async fn follow(context: Context, mut connects: watch::Receiver<u64>, facts: watch::Sender<Facts>) {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut registry = Registry::default();
    loop {
        connects.mark_unchanged();
        let before = registry.sequence();
        let ended = tokio::select! {
            ended = tail(&context, &mut registry, &facts) => ended,
            // The server forgot its consumer if it was started again; what was missed is read at once.
            _ = connects.changed() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "JOURNAL cannot be followed, trying again");
            tokio::time::sleep(backoff.next_wait()).await;
        }
        if registry.sequence() > before {
            backoff.reset();
        }
    }
}

/// Folds everything after what was folded before, for as long as the connection bears.
async fn tail(
    context: &Context,
    registry: &mut Registry,
    facts: &watch::Sender<Facts>,
) -> Result<(), async_nats::Error> {
    let journal = context.get_stream_no_info(JOURNAL).await?;
    let settings = pull::Config {
        inactive_threshold: FORGOTTEN_AFTER,
        ..reader(&[JOURNAL_FILTER], Begin::Sequence(registry.sequence() + 1))
    };
    let consumer = journal.create_consumer(settings).await?;
    if consumer.cached_info().num_pending == 0 {
        facts.send_replace(Some(Arc::new(registry.clone())));
    }
    let events = consumer.stream().max_bytes_per_batch(AHEAD_BYTES_MAX);
    let mut events = events.expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT).messages().await?;
    while let Some(event) = events.next().await {
        let event = event?;
        let info = event.info()?;
        if let Err(error) = registry.apply(info.stream_sequence, &event.subject, &event.payload) {
            tracing::error!(sequence = info.stream_sequence, %error, "a fact in JOURNAL cannot be used");
        }
        // Readers see whole states: not before all that is there was folded.
        if info.pending == 0 {
            facts.send_replace(Some(Arc::new(registry.clone())));
        }
    }
    Ok(())
}
