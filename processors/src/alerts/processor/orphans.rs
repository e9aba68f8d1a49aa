//! Open episodes by what was published, read where no snapshot knows them.

use super::projection::State;
use crate::alerts::machine::{Heard, Key, Orphan};
use async_nats::jetstream::context::Context;
use std::collections::BTreeMap;
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::notice::{Intent, NoticeWord};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::NOTICE_INTENTS;
use watchkeeper_streams::rebuild::{self, Begin, RebuildError};
use watchkeeper_streams::topology::{ALERTS, NOTICES};

/// What ALERTS says instead of a name when nobody looks after an episode any more.
const WITHDRAWN: &str = "withdrawn";

/// Open episodes with their teams, until the machines know them.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    open: Vec<(TeamId, Orphan)>,
    adopted: bool,
}

/// Folded from ALERTS and NOTICES.
#[derive(Default)]
struct Fold(BTreeMap<(TeamId, Key), Orphan>);

/// Reads both streams. An episode that an input behind `published` opened is opened by it again.
pub(super) async fn read(context: &Context, published: u64) -> Result<Orphans, RebuildError> {
    let mut fold = Fold::default();
    rebuild::read(context, ALERTS, &[], Begin::First, |event| {
        if let Ok(event) = serde_json::from_slice(&event.payload) {
            fold.transition(&event);
        }
    })
    .await?;
    if !fold.0.is_empty() {
        rebuild::read(context, NOTICES, &[NOTICE_INTENTS], Begin::First, |event| {
            if let Ok(intent) = serde_json::from_slice(&event.payload) {
                fold.told(&intent);
            }
        })
        .await?;
    }
    let open = fold.0.into_iter().map(|((team, _), orphan)| (team, orphan));
    let open = open.filter(|(_, orphan)| orphan.number <= published).collect();
    Ok(Orphans { open, adopted: false })
}

impl Orphans {
    /// At the first tick rules and hosts are known: those that began before it are gone on with.
    pub(super) fn adopt(&mut self, state: &mut State, sequence: u64) {
        if std::mem::replace(&mut self.adopted, true) {
            return;
        }
        for (team, orphan) in self.open.iter().filter(|(_, orphan)| orphan.number < sequence) {
            let adopted = state.machine(team).is_some_and(|machine| machine.adopt(orphan));
            tracing::info!(key = ?orphan.key, adopted, "an episode is open that no snapshot knows");
        }
    }

    /// Everything was read that they were decided by: those that are not open now are over.
    pub(super) fn settle(&mut self, state: &mut State) {
        if !self.adopted {
            return;
        }
        for (team, orphan) in self.open.drain(..) {
            if let Some(machine) = state.machine(&team) {
                machine.settle(&orphan);
            }
        }
    }
}

impl Fold {
    fn transition(&mut self, event: &AlertEvent) {
        if event.retro {
            return;
        }
        let key = Key::of(&event.episode);
        let place = (event.team.clone(), key.clone());
        if event.transition == TransitionWord::Resolved {
            self.0.remove(&place);
            return;
        }
        let number = event.episode.episode;
        let known = self.0.remove(&place).filter(|known| known.number == number);
        let acked = match event.transition {
            TransitionWord::Acked if event.reason.as_deref() == Some(WITHDRAWN) => None,
            TransitionWord::Acked => Some(event.level),
            TransitionWord::Fired | TransitionWord::Level | TransitionWord::Resolved => {
                known.as_ref().and_then(|known| known.acked)
            }
        };
        let told = known.map(|known| known.told).unwrap_or_default();
        let AlertEvent { since, value, peak, level, .. } = *event;
        let since = since.0;
        self.0.insert(place, Orphan { key, number, since, value, peak, level, acked, told });
    }

    fn told(&mut self, intent: &Intent) {
        let place = (intent.team.clone(), Key::of(&intent.episode));
        let Some(orphan) = self.0.get_mut(&place).filter(|it| it.number == intent.episode.episode) else {
            return;
        };
        let known = orphan.told.iter().position(|heard| heard.receiver == intent.receiver);
        let place = known.unwrap_or_else(|| {
            orphan.told.push(Heard {
                receiver: intent.receiver.clone(),
                level: Severity::Info,
                last: 0,
                reminders: 0,
                level_ups: 0,
                step: 1,
            });
            orphan.told.len() - 1
        });
        let heard = &mut orphan.told[place];
        (heard.level, heard.last) = (heard.level.max(intent.level), heard.last.max(intent.time.0));
        match intent.notice {
            NoticeWord::Reminder => heard.reminders = heard.reminders.max(intent.n),
            NoticeWord::LevelUp => heard.level_ups = heard.level_ups.max(intent.n),
            NoticeWord::Escalated => heard.step = heard.step.max(intent.n),
            NoticeWord::Firing | NoticeWord::Flapping | NoticeWord::Steady | NoticeWord::Resolved => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(transition: &str, episode: u64, reason: Option<&str>) -> AlertEvent {
        let golden = include_str!("../../../../schemas/golden/alert-event.json");
        let mut event: serde_json::Value = serde_json::from_str(golden).unwrap();
        event["transition"] = transition.into();
        event["episode"] = episode.into();
        event["reason"] = reason.into();
        serde_json::from_value(event).unwrap()
    }

    fn intent(notice: &str, n: u32, time: &str) -> Intent {
        let golden = include_str!("../../../../schemas/golden/notice-intent.json");
        let mut intent: serde_json::Value = serde_json::from_str(golden).unwrap();
        intent["notice"] = notice.into();
        intent["n"] = n.into();
        intent["time"] = time.into();
        serde_json::from_value(intent).unwrap()
    }

    #[test]
    fn what_is_open_is_found_with_who_heard_and_who_looks_after_it() {
        let mut fold = Fold::default();
        fold.transition(&event("fired", 4_000, None));
        fold.transition(&event("resolved", 4_000, Some("ok")));
        fold.transition(&event("fired", 4_711, None));
        fold.transition(&event("acked", 4_711, Some("alice")));
        fold.told(&intent("firing", 1, "2026-09-21T14:15:20.000Z"));
        fold.told(&intent("reminder", 2, "2026-09-21T14:25:20.000Z"));
        let [(_, orphan)] = &fold.0.into_iter().collect::<Vec<_>>()[..] else { panic!("one is open") };
        assert_eq!((orphan.number, orphan.acked), (4_711, Some(Severity::Warning)));
        let [heard] = &orphan.told[..] else { panic!("one heard: {orphan:?}") };
        assert_eq!((heard.receiver.as_str(), heard.reminders, heard.step), ("ops", 2, 1));
        assert_eq!(heard.last, 1_790_000_720_000);
    }
}
