//! A lease: of several programs one does the work, and another goes on within seconds when that one is gone.
//!
//! It is a key of the SNAPSHOTS bucket, written by compare-and-swap. Nobody compares clocks: whoever waits takes a lease
//! whose entry did not change for as long as a lease lasts, by its own clock; whoever holds it renews it sooner.

use crate::topology::SNAPSHOTS;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use std::time::Duration;
use tokio::time::Instant;

/// An entry that did not change for so long is nobody's any more.
pub const LEASE: Duration = Duration::from_secs(4);
/// The holder writes its entry anew after this.
const RENEW_AFTER: Duration = Duration::from_millis(1500);
/// What a holder that goes on purpose leaves behind.
const FREE: &str = "";

/// Why a lease is not known to be held.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the lease {key}")]
pub struct LeaseError {
    action: &'static str,
    key: &'static str,
    #[source]
    source: async_nats::Error,
}

/// A place for one.
#[derive(Debug)]
pub struct Lease {
    context: Context,
    key: &'static str,
    /// What tells this holder from every other.
    holder: String,
    store: Option<Store>,
    /// Revision of our entry, and when it was written at the latest.
    held: Option<(u64, Instant)>,
    /// Somebody else's entry, and since when it has not changed.
    seen: Option<(u64, Instant)>,
}

impl Lease {
    /// A lease by its key, not held yet; `holder` tells this program from every other.
    #[must_use]
    pub fn new(context: Context, key: &'static str, holder: String) -> Self {
        Self { context, key, holder, store: None, held: None, seen: None }
    }

    /// Takes the lease where it is free, keeps it where it is ours; whether it is ours now.
    ///
    /// # Errors
    /// When the bucket does not answer: then it is not known to be ours.
    pub async fn hold(&mut self) -> Result<bool, LeaseError> {
        match self.held {
            Some((_, at)) if at.elapsed() < RENEW_AFTER => Ok(true),
            Some((revision, _)) => self.write(revision).await,
            None => self.take().await,
        }
    }

    /// Whether it is ours without asking: for less time than others wait.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held_until().is_some_and(|until| Instant::now() < until)
    }

    /// Until when nobody else can have taken it; none: it is not ours.
    #[must_use]
    pub fn held_until(&self) -> Option<Instant> {
        self.held.map(|(_, at)| at + LEASE)
    }

    /// The work is another's from now on.
    pub fn lost(&mut self) {
        self.held = None;
        self.seen = None;
    }

    /// Lets go of it, so that nobody has to wait.
    ///
    /// # Errors
    /// When the bucket does not answer: then it runs out by itself.
    pub async fn release(&mut self) -> Result<(), LeaseError> {
        if let Some((revision, _)) = self.held.take() {
            let (failed, store) = (self.failed("release"), self.store().await?);
            store.update(self.key, FREE.into(), revision).await.map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<bool, LeaseError> {
        let (failed, store) = (self.failed("read"), self.store().await?);
        let entry = store.entry(self.key).await.map_err(|e| failed(e.into()))?;
        let Some(entry) = entry else { return self.write(0).await };
        let free = [FREE.as_bytes(), self.holder.as_bytes()];
        if entry.operation != Operation::Put || free.contains(&entry.value.as_ref()) {
            return self.write(entry.revision).await;
        }
        let since = match self.seen {
            Some((revision, since)) if revision == entry.revision => since,
            Some(_) | None => Instant::now(),
        };
        self.seen = Some((entry.revision, since));
        if since.elapsed() < LEASE { Ok(false) } else { self.write(entry.revision).await }
    }

    /// Writes our entry over the one of this revision, unless somebody was faster.
    async fn write(&mut self, revision: u64) -> Result<bool, LeaseError> {
        let (failed, store) = (self.failed("write"), self.store().await?);
        let (begun, value) = (Instant::now(), self.holder.clone());
        let written = store.update(self.key, value.into(), revision).await;
        match written {
            Ok(revision) => {
                self.held = Some((revision, begun));
                self.seen = None;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), UpdateErrorKind::WrongLastRevision) => {
                // An answer that was lost on the way leaves our own entry behind.
                let entry = store.entry(self.key).await.map_err(|e| failed(e.into()))?;
                let ours = entry.filter(|entry| entry.value.as_ref() == self.holder.as_bytes());
                self.held = ours.map(|entry| (entry.revision, begun));
                self.seen = None;
                Ok(self.held.is_some())
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    async fn store(&mut self) -> Result<Store, LeaseError> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let failed = self.failed("open");
        let store = self.context.get_key_value(SNAPSHOTS).await.map_err(|e| failed(e.into()))?;
        self.store = Some(store.clone());
        Ok(store)
    }

    fn failed(&self, action: &'static str) -> impl Fn(async_nats::Error) -> LeaseError + use<> {
        let key = self.key;
        move |source| LeaseError { action, key, source }
    }
}
