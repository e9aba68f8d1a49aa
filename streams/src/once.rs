//! Subjects that take one message for ever: whoever publishes on one learns whether it was the first.

use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use std::time::Duration;

/// What the server says where a subject may not have a second message.
const ALREADY_THERE: u64 = 10_077;
/// Longest wait for an acknowledgement.
const PUBLISH_MAX: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// It stands there, at this place in the stream.
    Stored(u64),
    /// Another one stands there: somebody else's, or the same one whose acknowledgement was lost.
    WasThere,
}

/// Publishes a message on a subject that has none.
///
/// # Errors
/// When JetStream does not acknowledge in time: it may be stored or not.
pub async fn publish_once(context: &Context, subject: String, payload: Bytes) -> Result<Once, PublishError> {
    let message = PublishMessage::build().payload(payload).expected_last_subject_sequence(0);
    let sent = async { context.send_publish(subject, message).await?.await };
    let timed_out = |_| PublishError::new(PublishErrorKind::TimedOut);
    match tokio::time::timeout(PUBLISH_MAX, sent).await.map_err(timed_out)? {
        Ok(stored) => Ok(Once::Stored(stored.sequence)),
        Err(error) if is_there(&error) => Ok(Once::WasThere),
        Err(error) => Err(error),
    }
}

fn is_there(error: &PublishError) -> bool {
    let told = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    error.kind() == PublishErrorKind::WrongLastSequence || told.contains(&ALREADY_THERE.to_string())
}
