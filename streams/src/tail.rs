//! Follows a stream to its end and beyond: every event once and in order, through lost connections.

use crate::backoff::Backoff;
use crate::event::Event;
use crate::rebuild::{Begin, reader};
use crate::topology::{AHEAD_BYTES_MAX, PULL_EXPIRES, PULL_HEARTBEAT};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::Context;
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::sync::watch;

/// Waits between tries to follow.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The server forgets a follower that asks for nothing for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What whoever follows is told.
#[derive(Debug)]
pub enum News {
    /// The next event.
    Event(Event),
    /// Everything that is there was told.
    Current,
}

/// Tells every event of a stream, from the first that is kept; runs until it is dropped.
pub async fn follow(
    context: Context,
    stream: &'static str,
    connects: watch::Receiver<u64>,
    each: impl FnMut(News),
) {
    follow_after(context, stream, 0, connects, each).await;
}

/// Like [`follow`], of what stands behind a place in the stream.
pub async fn follow_after(
    context: Context,
    stream: &'static str,
    after: u64,
    mut connects: watch::Receiver<u64>,
    mut each: impl FnMut(News),
) {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut sequence = after;
    loop {
        connects.mark_unchanged();
        let before = sequence;
        let ended = tokio::select! {
            ended = tail(&context, stream, &mut sequence, &mut each) => ended,
            // The server forgot its consumer if it was started again; what was missed is read at once.
            _ = connects.changed() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, stream, "a stream cannot be followed, trying again");
            tokio::time::sleep(backoff.next_wait()).await;
        }
        if sequence > before {
            backoff.reset();
        }
    }
}

/// Tells everything after what was told before, for as long as the connection bears.
async fn tail(
    context: &Context,
    stream: &'static str,
    sequence: &mut u64,
    each: &mut impl FnMut(News),
) -> Result<(), async_nats::Error> {
    let source = context.get_stream_no_info(stream).await?;
    let settings =
        pull::Config { inactive_threshold: FORGOTTEN_AFTER, ..reader(&[], Begin::Sequence(*sequence + 1)) };
    let consumer = source.create_consumer(settings).await?;
    if consumer.cached_info().num_pending == 0 {
        each(News::Current);
    }
    let events = consumer.stream().max_bytes_per_batch(AHEAD_BYTES_MAX);
    let mut events = events.expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT).messages().await?;
    while let Some(message) = events.next().await {
        let event = Event::of_message(&message?)?;
        let is_last = event.pending == 0;
        *sequence = event.sequence;
        each(News::Event(event));
        if is_last {
            each(News::Current);
        }
    }
    Ok(())
}
