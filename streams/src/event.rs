//! One event as it comes from a stream.

use async_nats::Subject;
use async_nats::jetstream;
use bytes::Bytes;
use watchkeeper_schemas::quantity::UnixMs;

/// One event as it comes from a stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// The subject it was published on.
    pub subject: Subject,
    /// Its bytes.
    pub payload: Bytes,
    /// Its place in the stream.
    pub sequence: u64,
    /// When the broker stored it.
    pub received: UnixMs,
    /// How many events the consumer still had to deliver behind it.
    pub pending: u64,
}

impl Event {
    /// Reads the place of a message out of its reply subject.
    ///
    /// # Errors
    /// When the message did not come from a consumer.
    pub fn of_message(message: &jetstream::Message) -> Result<Self, async_nats::Error> {
        Ok(Self::new(message, &message.info()?))
    }

    pub(crate) fn new(message: &jetstream::Message, info: &jetstream::message::Info<'_>) -> Self {
        Self {
            subject: message.subject.clone(),
            payload: message.payload.clone(),
            sequence: info.stream_sequence,
            received: unix_ms(info.published),
            pending: info.pending,
        }
    }
}

/// The broker's time as milliseconds since 1970.
#[must_use]
pub fn unix_ms(time: async_nats::datetime::DateTime) -> UnixMs {
    let nanoseconds = time.unix_timestamp_nanos();
    UnixMs(u64::try_from(nanoseconds / 1_000_000).unwrap_or(0))
}
