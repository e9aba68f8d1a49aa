//! Reads a durable consumer in batches, from what is acknowledged on, every event in its turn or not at all.
//!
//! Nothing comes unasked: one pull waits for the first event and brings whatever is there then. Between two pulls the
//! reader rests, so that events which come one by one are handled some at a time: waking up costs several times what
//! an event does. An acknowledgement covers everything before it: an event that went elsewhere must end the reading
//! before that.

use crate::event::Event;
use crate::topology::{AHEAD_BYTES_MAX, Consumer, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;
use async_nats::{StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Events that are handled together at most.
const BATCH_EVENTS_MAX: usize = 2048;
/// Nothing received for this long while something is pending: the reading has stalled.
const STALL_AFTER: Duration = Duration::from_secs(10);
/// What the server says where a pull ends without as many events as were asked for.
const NO_MESSAGES: u16 = 404;
const PULL_EXPIRED: u16 = 408;
/// What it says, under a status of its own for troubles, where a pull ends with as many bytes as were asked for.
const FULL: [&str; 2] = ["Message Size Exceeds MaxBytes", "Batch Completed"];

/// What is read, and how far it has come.
pub(crate) struct Reading {
    consumer: Consumer,
    context: Context,
    stream: Stream<()>,
    durable: PullConsumer,
    inbox: String,
    answers: Subscriber,
    /// Where the newest pull is answered: its end is told there, that of an earlier one maybe late and elsewhere.
    pull: Subject,
    pulls: u64,
    /// The newest pull is under way: its end has not been seen.
    asked: bool,
    /// When the last batch was there, and when the next is to be asked for.
    begun: Instant,
    due: Instant,
    /// Count of the last event since the consumer was set back.
    delivery: u64,
    /// Place of the last event in the stream.
    sequence: u64,
}

impl Reading {
    /// Sets the consumer back to what is acknowledged; what comes behind is to be asked for.
    pub(crate) async fn begin(context: &Context, consumer: Consumer) -> Result<Self, async_nats::Error> {
        let stream = context.get_stream_no_info(consumer.stream).await?;
        stream.reset_consumer(consumer.processor, None).await?;
        let durable: PullConsumer = stream.get_consumer(consumer.processor).await?;
        let inbox = context.client().new_inbox();
        let answers = context.client().subscribe(format!("{inbox}.*")).await?;
        let now = Instant::now();
        Ok(Self {
            consumer,
            context: context.clone(),
            stream,
            durable,
            pull: Subject::from(inbox.as_str()),
            inbox,
            answers,
            pulls: 0,
            asked: false,
            begun: now,
            due: now,
            delivery: 0,
            sequence: 0,
        })
    }

    /// Waits for events and returns them with the message of the last; an error when the reading has stalled or broken.
    pub(crate) async fn next_batch(&mut self) -> Result<(Vec<Event>, Message), async_nats::Error> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            if !self.asked {
                sleep_until(self.due).await;
                self.ask().await?;
            }
            self.answer(&mut messages).await?;
        }
        let batch: Vec<Event> =
            messages.iter().map(|message| self.next_event(message)).collect::<Result<_, _>>()?;
        let last = messages.pop().ok_or("a batch without events")?;
        let now = Instant::now();
        self.due = now + self.consumer.gather.pause(batch.len(), now - self.begun);
        self.begun = now;
        if batch.last().is_some_and(|event| event.pending > 0) {
            // More is there: it travels while this is handled.
            self.ask().await?;
        }
        Ok((batch, last))
    }

    /// Asks for what is there, or for what comes first.
    async fn ask(&mut self) -> Result<(), async_nats::Error> {
        let pull = pull::BatchConfig {
            batch: BATCH_EVENTS_MAX,
            max_bytes: AHEAD_BYTES_MAX,
            no_wait: true,
            expires: Some(PULL_EXPIRES),
            idle_heartbeat: PULL_HEARTBEAT,
            ..pull::BatchConfig::default()
        };
        self.pulls += 1;
        self.pull = Subject::from(format!("{}.{}", self.inbox, self.pulls));
        self.durable.request_batch(pull, self.pull.clone()).await?;
        self.asked = true;
        Ok(())
    }

    /// Waits for the end of the pull under way and for the messages that it brings.
    async fn answer(&mut self, messages: &mut Vec<Message>) -> Result<(), async_nats::Error> {
        while messages.len() < BATCH_EVENTS_MAX {
            let Ok(answer) = timeout(STALL_AFTER, self.answers.next()).await else {
                return self.look_for_loss().await;
            };
            let message = answer.ok_or("the connection is closed")?;
            match message.status {
                None => messages.push(Message { message, context: self.context.clone() }),
                Some(_) if message.subject != self.pull => {}
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(status) => {
                    let why = message.description.unwrap_or_default();
                    // An event that alone is more than the bytes that were asked for never comes.
                    if is_end(status, &why) && !(messages.is_empty() && FULL.contains(&why.as_str())) {
                        break;
                    }
                    return Err(format!("the server ended the pull: {status} {why}").into());
                }
            }
        }
        self.asked = false;
        Ok(())
    }

    /// Nothing came for long: an error where there is something that should have.
    async fn look_for_loss(&mut self) -> Result<(), async_nats::Error> {
        let info = self.stream.consumer_info(self.consumer.processor).await?;
        // Nothing is in hand here, so that what is not acknowledged was lost on the way.
        let left = info.num_pending + info.num_ack_pending as u64;
        self.asked = false;
        if left > 0 { Err(format!("{left} events are pending and none arrives").into()) } else { Ok(()) }
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

/// Whether this status is the end of a pull, and no trouble.
pub(crate) fn is_end(status: StatusCode, why: &str) -> bool {
    matches!(status.as_u16(), NO_MESSAGES | PULL_EXPIRED) || FULL.contains(&why)
}
