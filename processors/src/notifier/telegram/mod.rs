//! Telegram beside its messages: bots and their names, links, commands, buttons.

pub mod api;
pub mod bots;
mod chats;
pub mod commands;
pub mod html;
pub mod pace;
mod poll;
pub mod press;
pub mod rights;
pub mod values;

use super::episodes::Episodes;
use bots::{Bots, Keeper};
use chats::{Chats, Memory};
use poll::{Progress, poll};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_streams::journal::Facts;

/// What could not be read or recorded is tried again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Names of bots that wait to be recorded.
const TOLD_MAX: usize = 64;

/// What serving needs beside the bots.
#[derive(Debug, Clone)]
pub struct Served {
    /// JetStream of CORE.
    pub context: async_nats::jetstream::Context,
    /// All facts, kept newest.
    pub facts: watch::Receiver<Facts>,
    /// What is open, kept newest; nothing before ALERTS was read.
    pub episodes: watch::Receiver<Option<Episodes>>,
    /// Which bot serves whom.
    pub bots: Bots,
}

/// One bot that is polled.
struct Polled {
    token: String,
    stop: watch::Sender<bool>,
}

/// Keeps bots as JOURNAL has them and answers what they are told. Never ends by itself; whoever drops it stops it, and
/// an update that was cut off comes again.
pub async fn serve(keeper: &mut Keeper, served: Served) {
    let Served { context, mut facts, episodes, bots } = served;
    let chats = Chats {
        context,
        facts: facts.clone(),
        episodes,
        bots,
        memory: watch::Sender::new(Memory::default()),
    };
    let (told, mut names) = mpsc::channel(TOLD_MAX);
    let mut polls = JoinSet::new();
    // By Telegram's id of the bot: two tokens of one bot share its updates.
    let mut polled: BTreeMap<String, Polled> = BTreeMap::new();
    let mut progress: BTreeMap<String, Progress> = BTreeMap::new();
    loop {
        let registry = facts.borrow_and_update().clone();
        if let Some(registry) = registry {
            keeper.refresh(&registry).await;
            let wanted = keeper.distinct();
            for old in polled.values().filter(|it| !wanted.contains_key(&it.token)) {
                old.stop.send_replace(true);
            }
            for (token, serving) in wanted {
                let id = serving.id().to_owned();
                // The next token of a bot waits until the one before is done.
                if let Entry::Vacant(place) = polled.entry(id) {
                    let (stop, stopped) = watch::channel(false);
                    let progress = progress.remove(place.key()).unwrap_or_default();
                    polls.spawn(poll(serving, chats.clone(), progress, told.clone(), stopped));
                    place.insert(Polled { token, stop });
                }
            }
            if let Err(error) = keeper.record(&registry, now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the name of a bot is not recorded, trying again"
                );
            }
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { return },
            named = names.recv() => if let Some((token, name)) = named { keeper.named(token, name) },
            Some(ended) = polls.join_next() => match ended {
                Ok((id, done)) => {
                    polled.remove(&id);
                    progress.insert(id, done);
                }
                Err(error) => {
                    tracing::error!(%error, "who answers Telegram failed and begins anew");
                    polled.retain(|_, it| !it.stop.is_closed());
                }
            },
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
