//! Runs a processor on its durable consumer: batches, retries, parking, acknowledgement after durability.
//!
//! A session lasts as long as a connection. Each begins by setting the consumer back to what was acknowledged, so
//! that whatever a dead process or a lost connection had received comes again at once and in order.

use crate::backoff::Backoff;
use crate::connect::Connected;
use crate::event::Event;
use crate::parking;
use crate::processor::{Failure, Poisoned, Processor};
use crate::reading::Reading;
use crate::topology::{self, Consumer, Limits, TopologyError};
use async_nats::connection::State;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::{self, Message};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// A batch in hand may take this long to become durable after it is to stop.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(3);
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(100);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time for JetStream to answer a request or to acknowledge a publish.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time for the last acknowledgement to leave at the end.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// The server refuses what goes beyond its `max_buffered_msgs` of 500 on one stream.
const PUBLISHES_UNANSWERED_MAX: usize = 400;

/// Why a runner gave up; anything that may heal is tried again for ever.
#[derive(Debug, thiserror::Error)]
#[error("processor {processor} cannot run")]
pub struct RunError {
    processor: &'static str,
    #[source]
    source: TopologyError,
}

/// What a runner works with.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The connection.
    pub connected: Connected,
    /// JetStream over it.
    pub context: Context,
    /// The consumer it reads.
    pub consumer: Consumer,
    /// What the topology is to be.
    pub limits: Limits,
    /// Turns true when it is to stop; the batch in hand is finished first.
    pub shutdown: watch::Receiver<bool>,
}

/// Why a session ended.
enum End {
    Shutdown,
    Broken(async_nats::Error),
    Fatal(TopologyError),
}

impl<E: Into<async_nats::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Why a wait ended.
enum Woken {
    Elapsed,
    Reconnected,
    Stop,
}

impl Runner {
    /// Runs until shutdown; then the last batch is acknowledged.
    ///
    /// # Errors
    /// When the stream stands there with settings that cannot be worked with.
    pub async fn run<P: Processor>(mut self, processor: &mut P) -> Result<(), RunError> {
        let ended = self.sessions(processor).await;
        // Who cannot be reached any more sends the batch again.
        drop(tokio::time::timeout(FLUSH_WAIT_MAX, self.connected.client.flush()).await);
        ended
    }

    async fn sessions<P: Processor>(&mut self, processor: &mut P) -> Result<(), RunError> {
        let mut connects = self.connected.events.connects();
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let mut healthy = true;
        loop {
            if self.until_connected(&mut connects).await {
                return Ok(());
            }
            match self.session(processor, &mut connects, &mut backoff, &mut healthy).await {
                End::Shutdown => return Ok(()),
                End::Fatal(source) => return Err(RunError { processor: self.consumer.processor, source }),
                End::Broken(error) => {
                    if std::mem::take(&mut healthy) {
                        let error = chain(&*error);
                        tracing::warn!(
                            processor = self.consumer.processor,
                            error,
                            "reading was interrupted, beginning anew"
                        );
                    }
                }
            }
            match self.pause(backoff.next_wait(), &mut connects).await {
                Woken::Stop => return Ok(()),
                Woken::Reconnected => backoff.reset(),
                Woken::Elapsed => {}
            }
        }
    }

    /// Waits for the connection; true if it is to stop.
    async fn until_connected(&mut self, connects: &mut watch::Receiver<u64>) -> bool {
        while self.connected.client.connection_state() != State::Connected {
            if matches!(self.pause(RETRY_WAIT_MAX, connects).await, Woken::Stop) {
                return true;
            }
        }
        false
    }

    async fn session<P: Processor>(
        &mut self,
        processor: &mut P,
        connects: &mut watch::Receiver<u64>,
        backoff: &mut Backoff,
        healthy: &mut bool,
    ) -> End {
        let mut shutdown = self.shutdown.clone();
        let begun = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => return End::Shutdown,
            begun = self.begin(processor, connects) => begun,
        };
        let mut reading = match begun {
            Ok(reading) => reading,
            Err(end) => return end,
        };
        if !std::mem::replace(healthy, true) {
            tracing::info!(processor = self.consumer.processor, "reading again");
        }
        loop {
            let batch = tokio::select! {
                biased;
                () = stopped(&mut shutdown) => return End::Shutdown,
                _ = connects.changed() => return End::Broken("the connection was made anew".into()),
                batch = reading.next_batch() => batch,
            };
            let handled = match batch {
                Ok((batch, last)) => self.handle(processor, &batch, &last, connects).await,
                Err(error) => Err(End::Broken(error)),
            };
            if let Err(end) = handled {
                return end;
            }
            backoff.reset();
        }
    }

    async fn begin<P: Processor>(
        &self,
        processor: &mut P,
        connects: &mut watch::Receiver<u64>,
    ) -> Result<Reading, End> {
        topology::ensure(&self.context, &self.limits).await.map_err(|error| match error {
            TopologyError::Differs { .. } => End::Fatal(error),
            TopologyError::JetStream { .. } => End::Broken(error.into()),
        })?;
        // Answers came: the connection that this session lasts as long as has been told by now.
        connects.mark_unchanged();
        if let Err(Failure::Retry(error)) = processor.resume().await {
            return Err(End::Broken(error));
        }
        Ok(Reading::begin(&self.context, self.consumer).await?)
    }

    /// Lets the processor handle a batch until it is durable, parks what never can be, acknowledges.
    async fn handle<P: Processor>(
        &mut self,
        processor: &mut P,
        batch: &[Event],
        last: &Message,
        connects: &mut watch::Receiver<u64>,
    ) -> Result<(), End> {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let mut told = String::new();
        let mut shutdown = self.shutdown.clone();
        loop {
            let attempted = tokio::select! {
                biased;
                attempted = self.attempt(processor, batch) => attempted,
                // What is not done by then comes again at the next start.
                () = stopped_for(&mut shutdown, FINISH_WAIT_MAX) => return Err(End::Shutdown),
            };
            let Err(error) = attempted else { break };
            let error = chain(&*error);
            if error != told {
                tracing::warn!(processor = self.consumer.processor, error, "batch failed, trying again");
                told = error;
            }
            match self.pause(backoff.next_wait(), connects).await {
                Woken::Elapsed => {}
                Woken::Stop => return Err(End::Shutdown),
                // The events come again with the new connection.
                Woken::Reconnected => return Err(End::Broken("the connection was made anew".into())),
            }
        }
        if !told.is_empty() {
            tracing::info!(processor = self.consumer.processor, "batches are handled again");
        }
        last.ack().await.map_err(End::Broken)
    }

    /// Ok once every event of the batch is durable, be it parked.
    async fn attempt<P: Processor>(
        &self,
        processor: &mut P,
        batch: &[Event],
    ) -> Result<(), async_nats::Error> {
        match processor.process(batch).await {
            Ok(()) => Ok(()),
            Err(Failure::Retry(error)) => Err(error),
            Err(Failure::Poison(poisoned)) => {
                parking::park(&self.context, &self.consumer, batch, &poisoned).await?;
                tell_parked(&self.consumer, &poisoned);
                Ok(())
            }
        }
    }

    /// Waits, unless the connection is made anew or it is to stop.
    async fn pause(&mut self, wait: Duration, connects: &mut watch::Receiver<u64>) -> Woken {
        tokio::select! {
            biased;
            () = stopped(&mut self.shutdown) => Woken::Stop,
            _ = connects.changed() => Woken::Reconnected,
            () = tokio::time::sleep(wait) => Woken::Elapsed,
        }
    }
}

/// Returns once it is to stop.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An owner that is gone wants it to stop, too.
    drop(shutdown.wait_for(|stop| *stop).await);
}

/// Returns once it was to stop for this long.
async fn stopped_for(shutdown: &mut watch::Receiver<bool>, grace: Duration) {
    stopped(shutdown).await;
    tokio::time::sleep(grace).await;
}

fn tell_parked(consumer: &Consumer, poisoned: &[Poisoned]) {
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for poison in poisoned {
        *by_reason.entry(poison.reason).or_default() += 1;
    }
    let first = poisoned.first().map_or("", |poison| poison.detail.as_str());
    tracing::warn!(
        processor = consumer.processor,
        parked = poisoned.len(),
        ?by_reason,
        first,
        "events parked"
    );
}

/// An error with all its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// JetStream for our programs: publishes that wait for acknowledgement are bounded below what the server takes.
#[must_use]
pub fn jetstream(client: async_nats::Client) -> Context {
    jetstream::ContextBuilder::new()
        .timeout(ANSWER_WAIT_MAX)
        .max_ack_inflight(PUBLISHES_UNANSWERED_MAX)
        .backpressure_on_inflight(true)
        .build(client)
}
