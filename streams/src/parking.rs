//! Keeps what can never be handled, with its reason, where people can look at it.

use crate::event::Event;
use crate::processor::Poisoned;
use crate::topology::Consumer;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::PublishMessage;
use watchkeeper_schemas::ids::ProcessorName;
use watchkeeper_schemas::parked::{PARKED_BYTES_MAX, Parked};
use watchkeeper_schemas::subjects;

/// Events that are parked at once; the server refuses what goes beyond some 500 unanswered messages of one stream.
const PARKS_MAX: usize = 256;
/// Longest reason in words that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// Parks events of a batch; returns once all of them are durable.
///
/// # Errors
/// When one could not be stored: the batch has to come again. Parking twice stores once.
pub async fn park(
    context: &Context,
    consumer: &Consumer,
    batch: &[Event],
    poisoned: &[Poisoned],
) -> Result<(), async_nats::Error> {
    let processor: ProcessorName = consumer.processor.parse()?;
    let subject = subjects::parked(&processor);
    for some in poisoned.chunks(PARKS_MAX) {
        let mut stored = Vec::with_capacity(some.len());
        for (event, poison) in some.iter().filter_map(|poison| Some((batch.get(poison.index)?, poison))) {
            let body = serde_json::to_vec(&parked(&processor, consumer, event, poison))?;
            let id = format!("{}.{}.{}", consumer.processor, consumer.stream, event.sequence);
            let message = PublishMessage::build().message_id(id).payload(body.into());
            stored.push(context.send_publish(subject.clone(), message).await?);
        }
        for stored in stored {
            stored.await?;
        }
    }
    Ok(())
}

fn parked(processor: &ProcessorName, consumer: &Consumer, event: &Event, poison: &Poisoned) -> Parked {
    let head = &event.payload[..event.payload.len().min(PARKED_BYTES_MAX)];
    Parked {
        v: 1,
        processor: processor.clone(),
        stream: consumer.stream.to_owned(),
        sequence: event.sequence,
        subject: event.subject.to_string(),
        received: event.received,
        reason: poison.reason.to_owned(),
        detail: poison.detail.chars().take(DETAIL_CHARS_MAX).collect(),
        bytes: event.payload.len() as u64,
        head_hex: head.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
