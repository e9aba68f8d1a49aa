//! The barest reader of stored samples: a pull consumer that stamps what it is given, and does nothing else.

use super::system::{as_processors, processors_context, settings_of_processors};
use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::Context;
use futures_util::StreamExt as _;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_streams::lag::lag;
use watchkeeper_streams::topology::{
    ACK_PENDING_EVENTS_MAX, AHEAD_BYTES_MAX, LATEST_CONSUMER, PULL_EXPIRES, PULL_HEARTBEAT,
};
use xtask::stack::Stack;

/// Messages that are acknowledged together at most.
const TOGETHER_MAX: usize = 256;
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A number in the stream, and when that sample was there.
type Came = (u64, Instant);

/// A reader on a thread of its own, in the place of the processor `latest`, which must not run: the same consumer with
/// the same settings, acknowledged in the same way.
pub(super) struct Follower {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<Vec<Came>>>,
}

impl Follower {
    /// Starts, and waits until what was stored before has been read.
    pub(super) async fn start(stack: &Stack) -> Result<Self> {
        let context = processors_context(stack).await?;
        let (stop, stopped) = watch::channel(false);
        let settings = settings_of_processors(stack)?;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting tokio")?;
            runtime.block_on(async { read(&as_processors(settings).await?, stopped).await })
        });
        let begin = Instant::now();
        loop {
            let lag = lag(&context, &LATEST_CONSUMER).await?;
            if lag.attended && lag.events == 0 {
                return Ok(Self { stop, thread });
            }
            ensure!(begin.elapsed() < DRAIN_DEADLINE, "a bare reader stays behind: {lag:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends; what came, in the order of the stream.
    pub(super) fn stop(self) -> Result<Vec<Came>> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow!("a bare reader broke down"))?
    }
}

async fn read(context: &Context, mut stopped: watch::Receiver<bool>) -> Result<Vec<Came>> {
    let stream = context.get_stream_no_info(LATEST_CONSUMER.stream).await?;
    let consumer: PullConsumer =
        stream.get_consumer(LATEST_CONSUMER.processor).await.map_err(|error| anyhow!(error))?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(usize::try_from(ACK_PENDING_EVENTS_MAX)?)
        .max_bytes_per_batch(AHEAD_BYTES_MAX)
        .expires(PULL_EXPIRES)
        .heartbeat(PULL_HEARTBEAT)
        .messages()
        .await?;
    let mut messages = messages.ready_chunks(TOGETHER_MAX);
    let mut came = Vec::new();
    loop {
        let together = tokio::select! {
            together = messages.next() => together.context("the messages of a consumer ended")?,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let now = Instant::now();
        for message in &together {
            let message = message.as_ref().map_err(|error| anyhow!("reading samples: {error}"))?;
            let info = message.info().map_err(|error| anyhow!(error))?;
            came.push((info.stream_sequence, now));
        }
        if let Some(Ok(last)) = together.last() {
            last.ack().await.map_err(|error| anyhow!(error))?;
        }
    }
    context.client().flush().await?;
    Ok(came)
}
