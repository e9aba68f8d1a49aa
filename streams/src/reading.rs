//! Reads a durable consumer in batches, from what is acknowledged on, every event in its turn or not at all.
//!
//! An acknowledgement covers everything before it: an event that went elsewhere must end the reading before that.

use crate::event::Event;
use crate::topology::{AHEAD_BYTES_MAX, Consumer, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::ReadyChunks;
use std::time::Duration;
use tokio::time::Instant;

/// Events that are handled together at most.
const BATCH_EVENTS_MAX: usize = 2048;
/// Events that the server sends ahead of the one being handled.
const AHEAD_EVENTS_MAX: usize = 4096;
/// Nothing received for this long while something is pending: the reading has stalled.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// What is read, and how far it has come.
pub(crate) struct Reading {
    consumer: Consumer,
    stream: Stream<()>,
    batches: ReadyChunks<pull::Stream>,
    /// Count of the last event since the consumer was set back.
    delivery: u64,
    /// Place of the last event in the stream.
    sequence: u64,
}

impl Reading {
    /// Sets the consumer back to what is acknowledged and asks for what comes behind.
    pub(crate) async fn begin(context: &Context, consumer: Consumer) -> Result<Self, async_nats::Error> {
        let stream = context.get_stream_no_info(consumer.stream).await?;
        stream.reset_consumer(consumer.processor, None).await?;
        let durable: PullConsumer = stream.get_consumer(consumer.processor).await?;
        let messages = durable
            .stream()
            .max_messages_per_batch(AHEAD_EVENTS_MAX)
            .max_bytes_per_batch(AHEAD_BYTES_MAX)
            .expires(PULL_EXPIRES)
            .heartbeat(PULL_HEARTBEAT)
            .messages()
            .await?;
        Ok(Self {
            consumer,
            stream,
            batches: messages.ready_chunks(BATCH_EVENTS_MAX),
            delivery: 0,
            sequence: 0,
        })
    }

    /// Waits for events and returns them with the message of the last; an error when the reading has stalled or broken.
    pub(crate) async fn next_batch(&mut self) -> Result<(Vec<Event>, Message), async_nats::Error> {
        let mut messages = self.first_messages().await?;
        let until = Instant::now() + self.consumer.gather;
        while messages.len() < BATCH_EVENTS_MAX && !self.consumer.gather.is_zero() {
            match tokio::time::timeout_at(until, self.batches.next()).await {
                Ok(more) => messages.extend(received(more)?),
                Err(_) => break,
            }
        }
        let batch = messages.iter().map(|message| self.next_event(message)).collect::<Result<_, _>>()?;
        let last = messages.into_iter().next_back().ok_or("a batch without events")?;
        Ok((batch, last))
    }

    async fn first_messages(&mut self) -> Result<Vec<Message>, async_nats::Error> {
        loop {
            if let Ok(messages) = tokio::time::timeout(STALL_AFTER, self.batches.next()).await {
                return received(messages);
            }
            let info = self.stream.consumer_info(self.consumer.processor).await?;
            // Nothing is in hand here, so that what is not acknowledged was lost on the way.
            let left = info.num_pending + info.num_ack_pending as u64;
            if left > 0 {
                return Err(format!("{left} events are pending and none arrives").into());
            }
        }
    }

    /// The event of a message; an error where one before it went elsewhere or it came before.
    fn next_event(&mut self, message: &Message) -> Result<Event, async_nats::Error> {
        let info = message.info()?;
        if info.consumer_sequence != self.delivery + 1 || info.stream_sequence <= self.sequence {
            let (sequence, after) = (info.stream_sequence, self.sequence);
            return Err(format!("event {sequence} came out of turn, after {after}").into());
        }
        (self.delivery, self.sequence) = (info.consumer_sequence, info.stream_sequence);
        Ok(Event::new(message, &info))
    }
}

fn received(
    messages: Option<Vec<Result<Message, pull::MessagesError>>>,
) -> Result<Vec<Message>, async_nats::Error> {
    let messages = messages.ok_or("the server ended the pull")?;
    Ok(messages.into_iter().collect::<Result<_, _>>()?)
}
