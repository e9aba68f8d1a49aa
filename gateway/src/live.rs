//! The live stream: one fold of the bucket, told to every client at its own pace.

pub mod alert_cursor;
pub mod cursor;
pub mod nats_thread;
pub mod notice_cursor;
pub mod stream;

use crate::fleet::Fleet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// Clients of the live stream at one time; each holds a few KiB and one descriptor.
pub const CLIENTS_MAX: usize = 8000;
/// What it costs to wake a client that finds nothing for it, in microseconds.
const LOOK_US: u64 = 2;
/// What it costs to write to a client, in microseconds.
const WRITE_US: u64 = 10;
/// Shorter pauses between rounds are none: a few clients are woken at once.
const PAUSE_US_MIN: u64 = 1000;

/// The fleet, shared, and the bell that tells of its changes.
#[derive(Debug)]
pub struct Live {
    fleet: RwLock<Fleet>,
    following: AtomicBool,
    changed: Notify,
    rounds: watch::Sender<u64>,
    spent_us: AtomicU64,
    places: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            fleet: RwLock::default(),
            following: AtomicBool::new(false),
            changed: Notify::new(),
            rounds: watch::Sender::new(0),
            spent_us: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(CLIENTS_MAX)),
        }
    }
}

impl Live {
    /// The fleet to read from. Never held over an await.
    pub fn fleet(&self) -> RwLockReadGuard<'_, Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the fleet, and rings where that was a change.
    pub fn fold(&self, change: impl FnOnce(&mut Fleet)) {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let before = (fleet.change(), fleet.is_loaded());
        change(&mut fleet);
        let after = (fleet.change(), fleet.is_loaded());
        drop(fleet);
        // A client listens before it lets go of the fleet that it begins with, and so misses nothing.
        if before != after && self.rounds.receiver_count() > 0 {
            self.changed.notify_one();
        }
    }

    /// Rings for something that is not of the fleet.
    pub fn ring_once(&self) {
        if self.rounds.receiver_count() > 0 {
            self.changed.notify_one();
        }
    }

    /// Whether the fleet is known and followed at this moment.
    pub fn is_following(&self) -> bool {
        self.following.load(Ordering::Relaxed)
    }

    /// Says whether the fleet is known and followed at this moment.
    pub fn set_following(&self, following: bool) {
        self.following.store(following, Ordering::Relaxed);
    }

    /// A place among the clients, for as long as it is held; `None` while all are taken.
    #[must_use]
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Clients at present.
    #[must_use]
    pub fn clients(&self) -> usize {
        CLIENTS_MAX - self.places.available_permits()
    }

    /// Rings when there is something new; a client that was not listening hears it once.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// A client was woken, and maybe written to.
    pub fn spend(&self, written: bool) {
        let spent_us = if written { LOOK_US + WRITE_US } else { LOOK_US };
        self.spent_us.fetch_add(spent_us, Ordering::Relaxed);
    }

    /// Rings for every change, the first of a burst at once. Between rounds it pauses for as long as the last one
    /// took: many clients are not woken more often than they can be served, and what changes meanwhile reaches them
    /// together. Clients that do not read are not woken, and cost the others nothing.
    pub async fn ring(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            self.rounds.send_modify(|round| *round += 1);
            let pause_us = self.spent_us.swap(0, Ordering::Relaxed);
            if pause_us >= PAUSE_US_MIN {
                tokio::time::sleep(Duration::from_micros(pause_us)).await;
            }
        }
    }
}
