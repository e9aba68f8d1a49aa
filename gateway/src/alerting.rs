//! Alerts as people see them: rules and silences go to JOURNAL, episodes are folded from ALERTS and NOTICES.
//!
//! Read `episodes.rs` (what is known of episodes, pure), `form.rs` (what may be said), `desk.rs` (how it is recorded).

pub mod backtest;
pub mod desk;
pub mod episodes;
pub mod form;

use crate::live::Live;
use async_nats::jetstream::context::Context;
use episodes::Episodes;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use watchkeeper_streams::tail::{News, follow};
use watchkeeper_streams::topology::{ALERTS, NOTICES};

/// The episodes of every team, shared.
#[derive(Debug, Default)]
pub struct Alerting {
    episodes: RwLock<Episodes>,
}

impl Alerting {
    /// The episodes to read from. Never held over an await.
    pub fn episodes(&self) -> RwLockReadGuard<'_, Episodes> {
        self.episodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn fold(&self, live: &Live, change: impl FnOnce(&mut Episodes)) {
        let mut episodes = self.episodes.write().unwrap_or_else(PoisonError::into_inner);
        let before = episodes.change();
        change(&mut episodes);
        let changed = episodes.change() != before;
        drop(episodes);
        if changed {
            live.ring_once();
        }
    }

    /// Keeps the episodes equal to ALERTS, for as long as the program lives.
    pub async fn follow_alerts(
        self: Arc<Self>,
        context: Context,
        connects: watch::Receiver<u64>,
        live: Arc<Live>,
    ) {
        follow(context, ALERTS, connects, |news| match news {
            News::Event(event) => {
                let read = serde_json::from_slice(&event.payload);
                match read {
                    Ok(alert) => self.fold(&live, |episodes| episodes.apply(alert)),
                    Err(error) => {
                        tracing::error!(sequence = event.sequence, %error, "a transition in ALERTS does not read");
                    }
                }
            }
            News::Current => self.fold(&live, Episodes::loaded),
        })
        .await;
    }

    /// Keeps the notices equal to NOTICES, for as long as the program lives.
    pub async fn follow_notices(
        self: Arc<Self>,
        context: Context,
        connects: watch::Receiver<u64>,
        live: Arc<Live>,
    ) {
        follow(context, NOTICES, connects, |news| {
            if let News::Event(event) = news
                && let Ok(intent) = serde_json::from_slice(&event.payload)
            {
                self.fold(&live, |episodes| episodes.tell(intent));
            }
        })
        .await;
    }
}
