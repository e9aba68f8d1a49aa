//! The clock of the log: a tick once a second and at once when JOURNAL grows, from one of all programs.

use crate::config::Config;
use crate::connection::Connection;
use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use watchkeeper_schemas::subjects::TICK;
use watchkeeper_schemas::tick::Tick;
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::lease::Lease;
use watchkeeper_streams::topology::{self, SAMPLES};

/// The log's second.
const SECOND: Duration = Duration::from_secs(1);
/// Facts that come sooner after one another share a tick.
const SHARE: Duration = Duration::from_millis(20);
/// Who has no lease asks this often.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Longest wait for the acknowledgement of a tick.
const TICK_MAX: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

type Error = async_nats::Error;

/// Ticks until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let connection = Connection::open(config, "ticker").await?;
    let holder = connection.client().new_inbox();
    let lease = Lease::new(connection.context.clone(), LEASE_KEY, holder);
    let mut ticker = Ticker { connection, lease, last: None };
    let ended = tokio::select! {
        _ = shutdown.wait_for(|stop| *stop) => Ok(()),
        ended = ticker.tick(config) => ended,
    };
    // Who cannot be reached any more finds it run out.
    drop(timeout(SECOND, ticker.lease.release()).await);
    ended
}

/// Where the lease stands.
const LEASE_KEY: &str = "lease.ticker";

struct Ticker {
    connection: Connection,
    lease: Lease,
    /// The place of the last tick in SAMPLES, once it is known.
    last: Option<u64>,
}

impl Ticker {
    async fn tick(&mut self, config: &Config) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        while let Err(error) = topology::ensure(&self.connection.context, &config.limits()).await {
            if matches!(error, topology::TopologyError::Differs { .. }) {
                return Err(error.into());
            }
            sleep(backoff.next_wait()).await;
        }
        let mut next = Instant::now();
        let (mut holds, mut failing) = (false, false);
        loop {
            self.wait(next).await?;
            let ticked = self.turn().await;
            let now = Instant::now();
            match ticked {
                Ok(true) => {
                    if !std::mem::replace(&mut holds, true) {
                        tracing::info!("this program ticks");
                    }
                    (failing, next) = (false, (next + SECOND).max(now + SHARE));
                    if next > now + SECOND {
                        next = now + SECOND;
                    }
                    backoff.reset();
                }
                Ok(false) => {
                    if std::mem::take(&mut holds) {
                        tracing::info!("another program ticks");
                    }
                    next = now + ASK_AGAIN;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(
                            error = &*error as &dyn std::error::Error,
                            "cannot tick, trying again"
                        );
                    }
                    next = now + backoff.next_wait();
                }
            }
        }
    }

    /// Waits until `next`, or for whoever ticks until JOURNAL has grown.
    async fn wait(&mut self, next: Instant) -> anyhow::Result<()> {
        tokio::select! {
            () = sleep_until(next) => {}
            grown = self.connection.facts.changed(), if self.lease.is_held() => {
                grown.context("nobody follows JOURNAL any more")?;
                sleep(SHARE).await;
            }
        }
        Ok(())
    }

    /// One tick, where the lease is ours; whether it is.
    async fn turn(&mut self) -> Result<bool, Error> {
        // What is handed over without a connection would be sent when it is no longer true.
        if self.connection.connected.client.connection_state() != State::Connected {
            return Err("there is no connection".into());
        }
        let Some(journal_seq) =
            self.connection.facts.borrow_and_update().as_ref().map(|facts| facts.sequence())
        else {
            return Ok(self.lease.is_held());
        };
        if !self.lease.hold().await? {
            self.last = None;
            return Ok(false);
        }
        let last = match self.last {
            Some(last) => last,
            None => self.last_tick().await?,
        };
        let payload = serde_json::to_vec(&Tick::at(journal_seq))?;
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(last);
        self.last = None;
        let published = async { self.connection.context.send_publish(TICK, message).await?.await };
        match timeout(TICK_MAX, published).await? {
            Ok(acknowledged) => {
                self.last = Some(acknowledged.sequence);
                Ok(true)
            }
            // Another one ticked, or our own tick came although we were told otherwise: the lease knows.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                self.lease.lost();
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The place of the last tick; 0 where there is none.
    async fn last_tick(&self) -> Result<u64, Error> {
        let samples = self.connection.context.get_stream_no_info(SAMPLES).await?;
        match samples.get_last_raw_message_by_subject(TICK).await {
            Ok(message) => Ok(message.sequence),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
