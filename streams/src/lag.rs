//! How far a consumer is behind; told from the server's side, so that it holds for a dead processor too.

use crate::event::unix_ms;
use crate::topology::Consumer;
use async_nats::datetime::DateTime;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use std::time::{Duration, SystemTime};
use watchkeeper_schemas::subjects;

/// Whoever got or acknowledged events within this time is at work on them.
const AT_WORK_WITHIN: Duration = Duration::from_secs(10);
/// Whoever has none in hand and was at work within this time rests before the next: longer than any rest is.
const AT_REST_WITHIN: Duration = Duration::from_secs(2);

/// How far a consumer is behind.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lag {
    /// Events that are not yet durable elsewhere.
    pub events: u64,
    /// Age of the oldest of them, in seconds.
    pub seconds: f64,
    /// Everything up to here is durable elsewhere.
    pub done_sequence: u64,
    /// Whether somebody waits for events, or got or acknowledged some a short time ago.
    pub attended: bool,
}

/// Why the lag is unknown.
#[derive(Debug, thiserror::Error)]
#[error("cannot read how far consumer {consumer} is behind")]
pub struct LagError {
    consumer: &'static str,
    #[source]
    source: async_nats::Error,
}

/// Reads how far a consumer is behind.
///
/// # Errors
/// When JetStream does not answer or there is no such consumer.
pub async fn lag(context: &Context, consumer: &Consumer) -> Result<Lag, LagError> {
    let failed = |source: async_nats::Error| LagError { consumer: consumer.processor, source };
    let stream = context.get_stream_no_info(consumer.stream).await.map_err(|e| failed(e.into()))?;
    let info = stream.consumer_info(consumer.processor).await.map_err(|e| failed(e.into()))?;
    let events = info.num_pending + info.num_ack_pending as u64;
    let done_sequence = info.ack_floor.stream_sequence;
    let seconds =
        if events == 0 { 0.0 } else { oldest_age_s(&stream, done_sequence).await.map_err(failed)? };
    let last_work = info.delivered.last_active.max(info.ack_floor.last_active);
    let allowed = if info.num_ack_pending > 0 { AT_WORK_WITHIN } else { AT_REST_WITHIN };
    let at_work = last_work.is_some_and(|time| age_s(time) < allowed.as_secs_f64());
    Ok(Lag { events, seconds, done_sequence, attended: info.num_waiting > 0 || at_work })
}

/// Age of the first event behind `done_sequence`, 0 where there is none any more.
async fn oldest_age_s<I>(stream: &Stream<I>, done_sequence: u64) -> Result<f64, async_nats::Error> {
    match stream.direct_get_next_for_subject(subjects::EVERYTHING, Some(done_sequence + 1)).await {
        Ok(message) => Ok(age_s(message.time)),
        Err(error) if matches!(error.kind(), DirectGetErrorKind::NotFound) => Ok(0.0),
        Err(error) => Err(error.into()),
    }
}

fn age_s(time: DateTime) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs_f64() - unix_ms(time).0 as f64 / 1e3).max(0.0)
}
