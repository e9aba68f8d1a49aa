//! Follows the LATEST bucket through lost connections and new buckets, and judges silence once a second.

use crate::fleet::status::BrokerClock;
use crate::fleet::{Entry, Fleet};
use crate::live::Live;
use crate::metrics::Metrics;
use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, GetStreamError, GetStreamErrorKind, KeyValueError};
use async_nats::jetstream::kv::{self, Operation, Store, Watch};
use futures_util::StreamExt as _;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::bucket_filter;
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::event::{Event, unix_ms};
use watchkeeper_streams::rebuild::{Begin, read};
use watchkeeper_streams::topology::{LATEST, bucket_stream};

/// Entries that are folded under one lock.
const FOLD_ENTRIES_MAX: usize = 64;
/// How often silence is judged.
const TICK: Duration = Duration::from_secs(1);
/// How often it is made sure that the bucket is still the same one.
const BUCKET_CHECK: Duration = Duration::from_secs(2);
/// First and longest wait before the bucket is looked for again.
const AGAIN_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The bucket as the gateway follows it.
pub struct Follow {
    /// The connection to NATS.
    pub client: Client,
    /// JetStream.
    pub context: Context,
    /// Changes when the connection was made anew.
    pub connects: watch::Receiver<u64>,
    /// Where entries go.
    pub live: Arc<Live>,
    /// Counts what could not be read.
    pub metrics: Arc<Metrics>,
}

/// Why the bucket has to be looked for again.
enum Again {
    Reconnected,
    /// The processors, which make it, have not been here yet.
    NotThere,
    Failed(Box<dyn Error + Send + Sync>),
}

/// Our clock.
#[must_use]
pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Follows the bucket for as long as the program lives.
pub async fn follow(mut follow: Follow) {
    let mut clock = BrokerClock::default();
    let mut backoff = Backoff::new(AGAIN_WAIT.0, AGAIN_WAIT.1);
    let mut told = false;
    loop {
        let again = follow.once(&mut clock, &mut backoff).await;
        follow.live.set_following(false);
        match again {
            Again::Reconnected => {
                if *follow.connects.borrow() > 1 {
                    follow.metrics.reconnects.inc();
                }
                continue;
            }
            Again::NotThere if told => {}
            Again::NotThere => {
                told = true;
                tracing::info!("there is no live view yet: waiting for the processors to make it");
            }
            Again::Failed(error) if told => tracing::debug!(%error, "the live view cannot be followed yet"),
            Again::Failed(error) => {
                told = true;
                tracing::warn!(%error, "the live view cannot be followed, trying again");
            }
        }
        follow.wait(&clock, backoff.next_wait()).await;
    }
}

impl Follow {
    /// Reads the bucket whole and follows it until something ends that.
    async fn once(&mut self, clock: &mut BrokerClock, backoff: &mut Backoff) -> Again {
        self.connects.mark_unchanged();
        let mut connects = self.connects.clone();
        let store = match self.context.get_key_value(LATEST).await {
            Ok(store) => store,
            Err(error) if is_not_there(&error) => return Again::NotThere,
            Err(error) => return Again::Failed(error.into()),
        };
        let epoch = unix_ms(store.stream.cached_info().created).0;
        let entries = match self.open(&store, epoch, clock).await {
            Ok(opened) => opened,
            Err(error) => return Again::Failed(error),
        };
        self.live.fold(Fleet::loaded);
        self.live.set_following(true);
        backoff.reset();
        let mut entries = entries.ready_chunks(FOLD_ENTRIES_MAX);
        let mut checked = std::pin::pin!(another_bucket(&store, epoch));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = connects.changed() => return Again::Reconnected,
                chunk = entries.next() => match chunk.map(|chunk| self.fold(chunk, clock)) {
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Again::Failed(error.into()),
                    None => return Again::Failed("the watch of the live view ended".into()),
                },
                _ = tick.tick() => {
                    self.live.fold(|fleet| { fleet.tick(clock.at(now())); });
                    self.live.set_following(self.client.connection_state() == State::Connected);
                }
                why = &mut checked => return Again::Failed(why),
            }
        }
    }

    /// Reads what the bucket holds and opens a watch on what follows.
    ///
    /// The whole is pulled, because the server cuts off whoever it has pushed more to than they have taken; the watch
    /// is pushed, because that is at once.
    async fn open(
        &self,
        store: &Store,
        epoch: u64,
        clock: &BrokerClock,
    ) -> Result<Watch, Box<dyn Error + Send + Sync>> {
        self.live.fold(|fleet| fleet.begin(epoch));
        let broker_now = clock.at(now());
        let filter = bucket_filter(LATEST);
        let prefix = filter.trim_end_matches('>');
        let each = |event: Event| {
            let key = event.subject.strip_prefix(prefix).unwrap_or_default();
            // The mark of a removed host is empty, a view never is.
            let view = Some(&event.payload[..]).filter(|view| !view.is_empty());
            let entry = Entry { key, view, revision: event.sequence };
            self.live.fold(|fleet| self.apply(fleet, entry, broker_now));
        };
        read(&self.context, &bucket_stream(LATEST), &[], Begin::LastPerSubject, each).await?;
        let behind = self.live.fleet().place().revision + 1;
        Ok(store.watch_all_from_revision(behind).await?)
    }

    /// Folds entries that have just been stored: they tell the broker's time, too.
    fn fold(
        &self,
        chunk: Vec<Result<kv::Entry, kv::WatcherError>>,
        clock: &mut BrokerClock,
    ) -> Result<(), kv::WatcherError> {
        let entries = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
        if let Some(newest) = entries.last() {
            clock.observe(unix_ms(newest.created), now());
        }
        let broker_now = clock.at(now());
        self.live.fold(|fleet| {
            for entry in &entries {
                let view = match entry.operation {
                    Operation::Put => Some(&entry.value[..]),
                    Operation::Delete | Operation::Purge => None,
                };
                self.apply(fleet, Entry { key: &entry.key, view, revision: entry.revision }, broker_now);
            }
        });
        Ok(())
    }

    fn apply(&self, fleet: &mut Fleet, entry: Entry<'_>, broker_now: UnixMs) {
        if let Err(error) = fleet.apply(entry, broker_now) {
            self.metrics.entries_unreadable.inc();
            tracing::warn!(error = &error as &dyn Error, key = entry.key, "entry of the live view left out");
        }
    }

    /// Waits for the next try; silence is judged meanwhile.
    async fn wait(&mut self, clock: &BrokerClock, wait: Duration) {
        self.live.fold(|fleet| {
            fleet.tick(clock.at(now()));
        });
        tokio::select! {
            _ = self.connects.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Whether JetStream says that there is no such bucket.
fn is_not_there(error: &KeyValueError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<GetStreamError>());
    let kind = source.map(GetStreamError::kind);
    matches!(kind, Some(GetStreamErrorKind::JetStream(reply)) if reply.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Returns once the bucket is not the one that was created at `epoch`, and says why.
async fn another_bucket(store: &Store, epoch: u64) -> Box<dyn Error + Send + Sync> {
    loop {
        tokio::time::sleep(BUCKET_CHECK).await;
        match store.status().await {
            Ok(status) if unix_ms(status.info.created).0 == epoch => {}
            Ok(_) => return "the bucket of the live view was created anew".into(),
            Err(error) => return error.into(),
        }
    }
}
