//! The live stream: one fold of the bucket, told to every client at its own pace.

pub mod cursor;
pub mod stream;

use crate::fleet::Fleet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// Clients of the live stream at one time; each holds a few KiB and one descriptor.
pub const CLIENTS_MAX: usize = 8000;
/// What waking one client costs at most, with its write: rounds are spaced so that waking takes half a core at most.
const WAKE_COST: Duration = Duration::from_micros(10);
/// Shorter pauses between rounds are none: a few clients are woken at once.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The fleet, shared, and the bell that tells of its changes.
#[derive(Debug)]
pub struct Live {
    fleet: RwLock<Fleet>,
    changed: Notify,
    rounds: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            fleet: RwLock::default(),
            changed: Notify::new(),
            rounds: watch::Sender::new(0),
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
        if before != after {
            self.changed.notify_one();
        }
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

    /// Rings for every change, the first of a burst at once; many clients are not woken more often than they can be
    /// served, and what changes meanwhile reaches them together.
    pub async fn ring(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            self.rounds.send_modify(|round| *round += 1);
            let pause = WAKE_COST.saturating_mul(u32::try_from(self.clients() * 2).unwrap_or(u32::MAX));
            if pause >= PAUSE_MIN {
                tokio::time::sleep(pause).await;
            }
        }
    }
}
