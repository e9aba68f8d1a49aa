//! Alerts as people see them: rules and silences go to JOURNAL, episodes are folded from ALERTS and NOTICES.
//!
//! Read `episodes.rs` (what is known of episodes, pure), `notices.rs` (what became of each notice, pure), `form.rs` (what may be said), `desk.rs` (how it is recorded).

pub mod backtest;
pub mod desk;
pub mod episodes;
pub mod form;
pub mod notices;

use crate::identity::known::Known;
use crate::live::Live;
use async_nats::jetstream::context::Context;
use episodes::Episodes;
use notices::Notices;
use serde::de::DeserializeOwned;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use watchkeeper_schemas::registry::TeamFacts;
use watchkeeper_schemas::subjects::{NoticeKind, notice_kind};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::tail::{News, follow};
use watchkeeper_streams::topology::{ALERTS, NOTICES};

/// The episodes and notices of every team, shared.
#[derive(Debug, Default)]
pub struct Alerting {
    episodes: RwLock<Episodes>,
    notices: RwLock<Notices>,
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

    /// The notices to read from. Never held over an await.
    pub fn notices(&self) -> RwLockReadGuard<'_, Notices> {
        self.notices.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the notices, and rings where that was a change.
    pub fn fold_notices(&self, live: &Live, change: impl FnOnce(&mut Notices)) {
        let mut notices = self.notices.write().unwrap_or_else(PoisonError::into_inner);
        let before = notices.change();
        change(&mut notices);
        let changed = notices.change() != before;
        drop(notices);
        if changed {
            live.ring_once();
        }
    }

    /// Keeps the notices equal to NOTICES, for as long as the program lives.
    pub async fn follow_notices(
        self: Arc<Self>,
        context: Context,
        connects: watch::Receiver<u64>,
        live: Arc<Live>,
    ) {
        follow(context, NOTICES, connects, |news| match news {
            News::Event(event) => self.fold_notices(&live, |notices| fold(notices, &event)),
            News::Current => self.fold_notices(&live, Notices::loaded),
        })
        .await;
    }

    /// Tells when something about the receivers of a team changes, for as long as the program lives.
    pub async fn follow_receivers(
        self: Arc<Self>,
        mut known: watch::Receiver<Option<Arc<Known>>>,
        live: Arc<Live>,
    ) {
        loop {
            let now = known.borrow_and_update().clone();
            if let Some(known) = now {
                self.fold_notices(&live, |notices| {
                    for (id, team) in known.registry.teams() {
                        notices.receivers_changed(id, newest_about_receivers(team));
                    }
                });
            }
            if known.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Folds a record of NOTICES; one of a later version says nothing here.
fn fold(notices: &mut Notices, event: &Event) {
    match notice_kind(&event.subject) {
        Some(NoticeKind::Intent) => read(event).into_iter().for_each(|it| notices.decide(event.sequence, it)),
        Some(NoticeKind::Test) => read(event).into_iter().for_each(|it| notices.test(event.sequence, it)),
        Some(NoticeKind::Attempt) => read(event).into_iter().for_each(|it| notices.attempt(it)),
        Some(NoticeKind::Answer) => read(event).into_iter().for_each(|it| notices.answer(it)),
        Some(NoticeKind::Result) => read(event).into_iter().for_each(|it| notices.result(it)),
        None => tracing::debug!(subject = event.subject.as_str(), "a record of NOTICES of a later version"),
    }
}

fn read<T: DeserializeOwned>(event: &Event) -> Option<T> {
    let read = serde_json::from_slice(&event.payload);
    read.inspect_err(|error| {
        tracing::error!(sequence = event.sequence, %error, "a record in NOTICES does not read");
    })
    .ok()
}

/// The place in JOURNAL of the newest fact about a team's receivers, its bot, or who hears by default.
fn newest_about_receivers(team: &TeamFacts) -> u64 {
    let receivers = team.receivers.all().map(|(_, it)| it.revision);
    let offers = team.link_offers.all().map(|(_, it)| it.revision);
    let chats = team.chats.all().map(|(_, it)| it.revision);
    let failures = team.receiver_failures.all().map(|(_, it)| it.revision);
    let bots =
        team.bots.all().map(|(_, it)| it.revision).chain(team.bot_states.all().map(|(_, it)| it.revision));
    let defaults = team.alert_defaults.all().map(|(_, it)| it.revision);
    receivers.chain(offers).chain(chats).chain(failures).chain(bots).chain(defaults).max().unwrap_or(0)
}
