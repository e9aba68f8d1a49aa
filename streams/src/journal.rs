//! JOURNAL: records facts by expected revision, and keeps the registry of all facts newest.

use crate::tail::{self, News};
use crate::topology::JOURNAL;
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watchkeeper_schemas::journal::JournalEvent;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

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
    publish(context, subject, event, Some(expected)).await
}

async fn publish(
    context: &Context,
    subject: String,
    event: &JournalEvent,
    expected: Option<u64>,
) -> Result<u64, RecordError> {
    let payload = serde_json::to_vec(event).map_err(|_| RecordError::Misplaced)?;
    let mut message = PublishMessage::build().payload(payload.into());
    if let Some(expected) = expected {
        message = message.expected_last_subject_sequence(expected);
    }
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

/// Records a fact over whatever was recorded about the same thing: for what only one program says.
///
/// # Errors
/// When JetStream does not answer.
pub async fn overwrite(
    context: &Context,
    scope: JournalScope,
    event: &JournalEvent,
) -> Result<u64, RecordError> {
    let subject = JournalSubject::of(scope, &event.fact).ok_or(RecordError::Misplaced)?.to_string();
    publish(context, subject, event, None).await
}

/// Waits until the fact at `revision` is folded into what [`follow`] keeps; whether it was in time.
pub async fn seen(facts: &mut watch::Receiver<Facts>, revision: u64) -> bool {
    let reached = facts.wait_for(|facts| facts.as_ref().is_some_and(|it| it.sequence() >= revision));
    tokio::time::timeout(SEEN_MAX, reached).await.is_ok_and(|seen| seen.is_ok())
}

/// Keeps `facts` equal to JOURNAL: a new fact is seen within milliseconds, a lost connection is made up for.
/// Runs until it is dropped.
pub async fn follow(context: Context, connects: watch::Receiver<u64>, facts: watch::Sender<Facts>) {
    let mut registry = Registry::default();
    tail::follow(context, JOURNAL, connects, |news| match news {
        News::Event(event) => {
            if let Err(error) = registry.apply(event.sequence, &event.subject, &event.payload) {
                tracing::error!(sequence = event.sequence, %error, "a fact in JOURNAL cannot be used");
            }
        }
        // Readers see whole states: not before all that is there was folded.
        News::Current => _ = facts.send_replace(Some(Arc::new(registry.clone()))),
    })
    .await;
}
