//! Reads what a stream holds, once and at the protocol's speed: to rebuild a projection or to seed a view.

use crate::event::Event;
use crate::reading::is_end;
use crate::topology::{AHEAD_BYTES_MAX, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::Context;
use async_nats::{Client, StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;
use futures_util::stream::ReadyChunks;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects;

/// Events of one pull: more than fit into its bytes, so that the bytes end it.
const AHEAD_EVENTS_MAX: usize = 1_000_000;
/// One pull is answered while the next waits at the server.
const PULLS_UNDER_WAY: u64 = 2;
/// Bytes of one pull; no event that is read so may be larger. Several reads share a connection, which the server cuts
/// where more than 4 MB wait for it.
const PULL_BYTES_MAX: usize = AHEAD_BYTES_MAX / 2;
/// A read that receives nothing for this long has failed; the server forgets a reader that asks for nothing as long.
const READ_STALL: Duration = Duration::from_secs(10);

/// Events that are taken together at most.
const TOGETHER_MAX: usize = 256;
/// The connection is looked after this often.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the first event that is kept.
    First,
    /// At this sequence.
    Sequence(u64),
    /// At the first event that was stored at this time or later.
    Time(UnixMs),
    /// At the last event of each subject, and only these.
    LastPerSubject,
}

/// Why a read ended early.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// JetStream did not answer as it should.
    #[error("cannot read stream {stream}")]
    JetStream {
        /// The stream.
        stream: String,
        /// What went wrong.
        source: async_nats::Error,
    },
    /// The server went quiet in the middle.
    #[error("stream {stream} sent nothing for {READ_STALL:?}, {left} events were left")]
    Stalled {
        /// The stream.
        stream: String,
        /// Events that were still to come.
        left: u64,
    },
}

/// Calls `each` with every event from `begin` up to what the stream holds when the read begins; returns their number.
/// No filter means every subject. Where others write meanwhile, last events may be theirs in place of earlier ones.
///
/// # Errors
/// When JetStream does not answer, goes quiet or the connection is lost: what was read so far was given to `each`.
pub async fn read(
    context: &Context,
    stream: &str,
    filters: &[&str],
    begin: Begin,
    mut each: impl FnMut(Event),
) -> Result<u64, RebuildError> {
    let each = |event| {
        each(event);
        ControlFlow::Continue(())
    };
    read_while(context, stream, filters, begin, each).await
}

/// Like [`read`], until `each` has enough; returns the number of events that were there to be read.
///
/// # Errors
/// As [`read`].
pub async fn read_while(
    context: &Context,
    stream: &str,
    filters: &[&str],
    begin: Begin,
    mut each: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<u64, RebuildError> {
    let failed = |source: async_nats::Error| RebuildError::JetStream { stream: stream.to_owned(), source };
    let client = context.client();
    let source = context.get_stream_no_info(stream).await.map_err(|e| failed(e.into()))?;
    let consumer = source.create_consumer(reader(filters, begin)).await.map_err(|e| failed(e.into()))?;
    // An answer came: this connection stands.
    let connects = client.statistics().connects.load(Ordering::Relaxed);
    let total = consumer.cached_info().num_pending;
    if total == 0 {
        return Ok(0);
    }
    let inbox = client.new_inbox();
    let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|e| failed(e.into()))?;
    let answers = answers.ready_chunks(TOGETHER_MAX);
    let mut pulls = Pulls { consumer, inbox, answers, ready: Vec::new().into_iter(), asked: 0, ended: 0 };
    let (mut left, mut delivery, progress) = (total, 0, AtomicU64::new(0));
    // One timer for all that is read: one for each event would cost more than the event.
    let mut trouble = std::pin::pin!(trouble(&client, connects, &progress));
    while left > 0 {
        let next = tokio::select! {
            biased;
            next = pulls.next_event() => next.map_err(failed)?,
            trouble = &mut trouble => return Err(match trouble {
                // The consumer may live on, but what it sent is lost.
                Trouble::Reconnected => failed("the connection was made anew".into()),
                Trouble::Quiet => RebuildError::Stalled { stream: stream.to_owned(), left },
            }),
        };
        let message = Message { message: next, context: context.clone() };
        let info = message.info().map_err(failed)?;
        delivery += 1;
        progress.store(delivery, Ordering::Relaxed);
        if info.consumer_sequence != delivery {
            return Err(failed(format!("event {} came out of turn", info.stream_sequence).into()));
        }
        // `pending` also counts what came after the read began; both ends are safe to stop at.
        left = (left - 1).min(info.pending);
        if each(Event::new(&message, &info)).is_break() {
            break;
        }
    }
    Ok(total)
}

/// Why a read cannot go on.
enum Trouble {
    Reconnected,
    Quiet,
}

/// Returns once the connection is another one than the `connects`-th, or nothing came for too long.
async fn trouble(client: &Client, connects: u64, progress: &AtomicU64) -> Trouble {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        sleep(LOOK_AFTER).await;
        if client.statistics().connects.load(Ordering::Relaxed) != connects {
            return Trouble::Reconnected;
        }
        let now_seen = progress.load(Ordering::Relaxed);
        if now_seen != seen {
            (seen, since) = (now_seen, Instant::now());
        } else if since.elapsed() >= READ_STALL {
            return Trouble::Quiet;
        }
    }
}

/// Pulls of so many bytes, the next asked for while one is answered.
struct Pulls {
    consumer: PullConsumer,
    inbox: String,
    answers: ReadyChunks<Subscriber>,
    /// What came together and was not looked at yet.
    ready: std::vec::IntoIter<async_nats::Message>,
    asked: u64,
    ended: u64,
}

impl Pulls {
    /// Asks so that the server always has something to send.
    async fn ask(&mut self) -> Result<(), async_nats::Error> {
        while self.asked - self.ended < PULLS_UNDER_WAY {
            self.asked += 1;
            let pull = pull::BatchConfig {
                batch: AHEAD_EVENTS_MAX,
                max_bytes: PULL_BYTES_MAX,
                expires: Some(PULL_EXPIRES),
                idle_heartbeat: PULL_HEARTBEAT,
                ..pull::BatchConfig::default()
            };
            let subject = Subject::from(format!("{}.{}", self.inbox, self.asked));
            self.consumer.request_batch(pull, subject).await?;
        }
        Ok(())
    }

    /// The next event; an error where the server has none that fits into a pull.
    async fn next_event(&mut self) -> Result<async_nats::Message, async_nats::Error> {
        let mut fruitless = 0;
        loop {
            let Some(message) = self.ready.next() else {
                self.ask().await?;
                self.ready = self.answers.next().await.ok_or("the connection is closed")?.into_iter();
                continue;
            };
            let Some(status) = message.status else { return Ok(message) };
            let why = message.description.unwrap_or_default();
            if status == StatusCode::IDLE_HEARTBEAT {
                continue;
            }
            self.ended += 1;
            fruitless += 1;
            // The end of one pull may follow the last event of the one before.
            if !is_end(status, &why) || fruitless > PULLS_UNDER_WAY {
                return Err(format!("the server ended the pull: {status} {why}").into());
            }
        }
    }
}

/// A consumer that lives in the server's memory as long as it is read.
pub(crate) fn reader(filters: &[&str], begin: Begin) -> pull::Config {
    let filters = if filters.is_empty() { &[subjects::EVERYTHING] } else { filters };
    pull::Config {
        filter_subjects: filters.iter().map(ToString::to_string).collect(),
        deliver_policy: match begin {
            Begin::First => DeliverPolicy::All,
            Begin::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
            Begin::Time(time) => match async_nats::datetime::from_nanos(i128::from(time.0) * 1_000_000) {
                Ok(start_time) => DeliverPolicy::ByStartTime { start_time },
                // A time that no clock shows lies behind everything.
                Err(_) => DeliverPolicy::New,
            },
            Begin::LastPerSubject => DeliverPolicy::LastPerSubject,
        },
        ack_policy: AckPolicy::None,
        inactive_threshold: READ_STALL,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    }
}
