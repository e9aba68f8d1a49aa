//! SESSIONS and SECRETS as this gateway sees them: mirrored in memory, opened, and written by compare-and-swap.
//!
//! A request is judged from the mirror alone. What another gateway writes is here within milliseconds; what this one
//! writes is here at once.

use crate::identity::seal::Seal;
use crate::identity::secret::NoRandomness;
use crate::identity::shelf::{Shelf, Slot};
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::watch;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{EVERYTHING, bucket_filter, bucket_key};
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::event::{Event, unix_ms};
use watchkeeper_streams::topology::{
    AHEAD_BYTES_MAX, PULL_EXPIRES, PULL_HEARTBEAT, SECRETS, SESSIONS, bucket_stream,
};

/// Waits between tries to follow a bucket.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The server forgets a follower that asks for nothing for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Longest wait for an acknowledgement.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often the mirror is rid of what is too old, in changes.
const TIDY_EVERY: u32 = 1024;

/// Which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// What ends by itself: sessions, invitations, enrolments.
    Sessions,
    /// What stays: passwords and tokens.
    Secrets,
}

impl Bucket {
    fn name(self) -> &'static str {
        match self {
            Self::Sessions => SESSIONS,
            Self::Secrets => SECRETS,
        }
    }
}

/// A value with the revision that a change of it must name.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its place in the bucket.
    pub revision: u64,
    /// The value, opened.
    pub value: Arc<[u8]>,
}

impl Kept {
    /// The value as JSON of `T`; nothing, and a line in the log, where it is not.
    #[must_use]
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let read = serde_json::from_slice(&self.value);
        read.inspect_err(|error| tracing::error!(%error, self.revision, "a sealed value does not read")).ok()
    }
}

/// Why nothing was written, or it is not known whether.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Somebody else was faster; nothing was written.
    #[error("somebody else changed it meanwhile")]
    Conflict,
    /// There is no connection to NATS; nothing was written.
    #[error("there is no connection to NATS")]
    Away,
    /// The value could not be sealed.
    #[error(transparent)]
    Seal(#[from] NoRandomness),
    /// The value could not be written as JSON.
    #[error("the value cannot be written")]
    Form(#[from] serde_json::Error),
    /// JetStream did not acknowledge in time.
    #[error("cannot write to {bucket}")]
    JetStream {
        /// The bucket.
        bucket: &'static str,
        /// What went wrong.
        source: PublishError,
    },
}

#[derive(Debug, Default)]
struct Mirror {
    shelf: RwLock<Shelf>,
    loaded: AtomicBool,
}

/// Both buckets.
#[derive(Debug)]
pub struct Vault {
    context: Context,
    seal: Seal,
    sessions: Mirror,
    secrets: Mirror,
    changed: watch::Sender<u64>,
    ended: watch::Sender<u64>,
}

impl Vault {
    /// Knows nothing until it is followed.
    #[must_use]
    pub fn new(context: Context, seal: Seal) -> Self {
        let (sessions, secrets) = (Mirror::default(), Mirror::default());
        let (changed, ended) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { context, seal, sessions, secrets, changed, ended }
    }

    /// Whether both buckets have been read.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.sessions.loaded.load(Ordering::Relaxed) && self.secrets.loaded.load(Ordering::Relaxed)
    }

    /// Changes when something in SESSIONS was ended.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// What is kept under a key.
    #[must_use]
    pub fn get(&self, bucket: Bucket, key: &str) -> Option<Kept> {
        let shelf = self.shelf(bucket);
        let slot = shelf.slots.get(key)?;
        slot.value.as_ref().map(|value| Kept { revision: slot.revision, value: Arc::clone(value) })
    }

    /// What a write of a key must name as the last revision, be it that it was removed; 0 where it never was.
    #[must_use]
    pub fn revision(&self, bucket: Bucket, key: &str) -> u64 {
        self.shelf(bucket).slots.get(key).map_or(0, |slot| slot.revision)
    }

    /// Everything whose key begins so, with the rest of the key.
    #[must_use]
    pub fn below(&self, bucket: Bucket, prefix: &str) -> Vec<(String, Kept)> {
        let shelf = self.shelf(bucket);
        let found = shelf
            .slots
            .range(prefix.to_owned()..)
            .map_while(|(key, slot)| Some((key.strip_prefix(prefix)?, slot)));
        let kept =
            |slot: &Slot| Some(Kept { revision: slot.revision, value: Arc::clone(slot.value.as_ref()?) });
        found.filter_map(|(rest, slot)| Some((rest.to_owned(), kept(slot)?))).collect()
    }

    /// Writes a value as JSON if the key is still at `expected`, 0 for one that never was; its revision.
    ///
    /// # Errors
    /// When somebody was faster, or JetStream does not answer.
    pub async fn put<T: serde::Serialize>(
        &self,
        bucket: Bucket,
        key: &str,
        value: &T,
        expected: u64,
    ) -> Result<u64, VaultError> {
        let value = serde_json::to_vec(value)?;
        let sealed = self.seal.seal(&bucket_key(bucket.name(), key), &value)?;
        let message = PublishMessage::build().payload(sealed.into());
        self.write(bucket, key, message, expected, Some(value.into())).await
    }

    /// Removes a key that is still at `expected`: of several who try, exactly one succeeds.
    ///
    /// # Errors
    /// When somebody was faster, or JetStream does not answer.
    pub async fn take(&self, bucket: Bucket, key: &str, expected: u64) -> Result<(), VaultError> {
        let message = PublishMessage::build().header("KV-Operation", "DEL");
        self.write(bucket, key, message, expected, None).await.map(|_| ())
    }

    /// Waits until a key is here at a newer revision than `known`, as it is behind a conflict; whether it was in time.
    pub async fn newer(&self, bucket: Bucket, key: &str, known: u64) -> bool {
        let mut changed = self.changed.subscribe();
        let newer = changed.wait_for(|_| self.revision(bucket, key) > known);
        tokio::time::timeout(WRITE_MAX, newer).await.is_ok_and(|seen| seen.is_ok())
    }

    async fn write(
        &self,
        bucket: Bucket,
        key: &str,
        message: PublishMessage,
        expected: u64,
        value: Option<Arc<[u8]>>,
    ) -> Result<u64, VaultError> {
        // The client would keep it, and send it when it is of no use to anybody any more.
        if self.context.client().connection_state() != State::Connected {
            return Err(VaultError::Away);
        }
        let message = message.expected_last_subject_sequence(expected);
        let failed = |source: PublishError| match source.kind() {
            PublishErrorKind::WrongLastSequence => VaultError::Conflict,
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded
            | PublishErrorKind::Other => VaultError::JetStream { bucket: bucket.name(), source },
        };
        let subject = bucket_key(bucket.name(), key);
        let written = async { self.context.send_publish(subject, message).await?.await };
        let revision = match tokio::time::timeout(WRITE_MAX, written).await {
            Ok(acknowledgement) => acknowledgement.map_err(failed)?.sequence,
            Err(_) => return Err(failed(PublishError::new(PublishErrorKind::TimedOut))),
        };
        self.apply(bucket, key, Slot { revision, stored: crate::fleet::watch::now(), value });
        Ok(revision)
    }

    /// Keeps the mirror of a bucket equal to it, through lost connections, until it is dropped.
    pub async fn follow(self: Arc<Self>, bucket: Bucket, mut connects: watch::Receiver<u64>) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        loop {
            connects.mark_unchanged();
            let ended = tokio::select! {
                ended = self.tail(bucket, &mut backoff) => ended,
                // The server forgot its consumer if it was started again; what was missed is read at once.
                _ = connects.changed() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, bucket = bucket.name(), "a bucket cannot be followed, trying again");
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }

    /// Reads the newest of every key, then what follows, for as long as the connection bears.
    async fn tail(&self, bucket: Bucket, backoff: &mut Backoff) -> Result<(), async_nats::Error> {
        let stream = self.context.get_stream(bucket_stream(bucket.name())).await?;
        self.begin(bucket, unix_ms(stream.cached_info().created));
        let settings = pull::Config {
            filter_subject: EVERYTHING.to_owned(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(settings).await?;
        if consumer.cached_info().num_pending == 0 {
            self.mirror(bucket).loaded.store(true, Ordering::Relaxed);
        }
        backoff.reset();
        let filter = bucket_filter(bucket.name());
        let prefix = filter.trim_end_matches('>');
        let events = consumer.stream().max_bytes_per_batch(AHEAD_BYTES_MAX);
        let mut events = events.expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT).messages().await?;
        while let Some(message) = events.next().await {
            let event = Event::of_message(&message?)?;
            if let Some(key) = event.subject.strip_prefix(prefix) {
                self.fold(bucket, key, &event);
            }
            if event.pending == 0 {
                self.mirror(bucket).loaded.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Revisions of a bucket that was made anew say nothing about those before.
    fn begin(&self, bucket: Bucket, epoch: UnixMs) {
        let mut shelf = self.mirror(bucket).shelf.write().unwrap_or_else(PoisonError::into_inner);
        if shelf.epoch != epoch {
            *shelf = Shelf { epoch, ..Shelf::default() };
        }
    }

    fn fold(&self, bucket: Bucket, key: &str, event: &Event) {
        // The mark of a removed key is empty, a sealed value never is.
        let opened = match &event.payload[..] {
            [] => None,
            sealed => match self.seal.unseal(&bucket_key(bucket.name(), key), sealed) {
                Ok(value) => Some(value.into()),
                Err(error) => {
                    tracing::error!(bucket = bucket.name(), sequence = event.sequence, %error, "left out");
                    None
                }
            },
        };
        self.apply(bucket, key, Slot { revision: event.sequence, stored: event.received, value: opened });
    }

    fn apply(&self, bucket: Bucket, key: &str, slot: Slot) {
        let mut shelf = self.mirror(bucket).shelf.write().unwrap_or_else(PoisonError::into_inner);
        let now = slot.stored;
        let gone = shelf.apply(key, slot);
        shelf.changes = shelf.changes.wrapping_add(1);
        if bucket == Bucket::Sessions && shelf.changes.is_multiple_of(TIDY_EVERY) {
            shelf.tidy(now);
        }
        drop(shelf);
        self.changed.send_modify(|changed| *changed += 1);
        if gone {
            self.ended.send_modify(|ended| *ended += 1);
        }
    }

    fn mirror(&self, bucket: Bucket) -> &Mirror {
        match bucket {
            Bucket::Sessions => &self.sessions,
            Bucket::Secrets => &self.secrets,
        }
    }

    fn shelf(&self, bucket: Bucket) -> RwLockReadGuard<'_, Shelf> {
        self.mirror(bucket).shelf.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Vault {
    /// As if the buckets had been read.
    pub(crate) fn pretend_loaded(&self) {
        self.sessions.loaded.store(true, Ordering::Relaxed);
        self.secrets.loaded.store(true, Ordering::Relaxed);
    }

    /// As if a value had been read.
    pub(crate) fn pretend<T: serde::Serialize>(&self, bucket: Bucket, key: &str, value: &T) {
        let value = Some(serde_json::to_vec(value).unwrap().into());
        let revision = self.revision(bucket, key) + 1;
        self.apply(bucket, key, Slot { revision, stored: crate::fleet::watch::now(), value });
    }
}
