//! Who looks at what when: receivers about whom something is new, those who wait for a time, those who are being called.

use super::book::{Book, Record, To};
use super::episodes::Episodes;
use super::pace::{Limit, Pace};
use super::plan::{Ask, Dispatch, Plan, Verdict, plan};
use super::reach::Reach;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::notice::NoticeResult;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_streams::event::Event;
use watchkeeper_streams::tail::News;

/// Calls under way at once.
pub(super) const CALLS_MAX: usize = 64;

/// Everything that telling is made of.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) book: Book,
    pub(super) pace: Pace,
    /// All of NOTICES was read.
    pub(super) is_current: bool,
    /// Receivers about whom something is new.
    fresh: BTreeSet<To>,
    /// Receivers who wait for a time.
    wakes: BTreeMap<To, UnixMs>,
    /// Receivers for whom something is under way.
    busy: BTreeSet<To>,
    /// Receivers who wait for a call to another one to be over.
    blocked: BTreeSet<To>,
    /// Calls under way.
    calls: usize,
}

/// What is to be done for a receiver.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) to: To,
    pub(super) reach: Reach,
    pub(super) plan: Plan,
    /// What is to be read again of what waits in NOTICES.
    pub(super) take: Vec<u64>,
}

impl Desk {
    /// Folds what NOTICES tells.
    pub(super) fn notices(&mut self, news: News, now: UnixMs) {
        match news {
            News::Event(event) => {
                let Some(record) = Record::read(&event.subject, &event.payload) else {
                    tracing::error!(sequence = event.sequence, "a message in NOTICES cannot be read");
                    return;
                };
                self.fresh.insert(record.to());
                self.book.read(event.sequence, event.received, now, record);
            }
            News::Current => self.is_current = true,
        }
    }

    /// What ALERTS told changes what is to be told.
    pub(super) fn alert(&mut self, event: &AlertEvent) {
        match event.transition {
            TransitionWord::Fired | TransitionWord::Level => {}
            TransitionWord::Acked | TransitionWord::Resolved => {
                self.fresh.extend(self.book.waiting().filter(|to| to.team == event.team).cloned());
            }
        }
    }

    /// Something is new about a receiver.
    #[cfg(test)]
    pub(super) fn look_at(&mut self, to: To) {
        self.fresh.insert(to);
    }

    /// Everybody is to be looked at again.
    pub(super) fn all_fresh(&mut self) {
        self.fresh.extend(self.book.waiting().cloned());
    }

    /// Calls that others made before this program read NOTICES count, too.
    pub(super) fn remember_calls(&mut self, registry: &Registry, has_bot: bool, now: UnixMs) {
        let calls: Vec<(To, UnixMs)> =
            self.book.calls().map(|(to, end)| (to.clone(), end.min(now))).collect();
        for (to, end) in calls {
            self.pace.called(&Reach::of(registry, &to, has_bot).limits, end);
        }
    }

    /// The next receiver for whom something is to be done now.
    pub(super) fn turn(
        &mut self,
        registry: &Registry,
        episodes: &Episodes,
        has_bot: bool,
        now: UnixMs,
    ) -> Option<Turn> {
        let due = self.wakes.iter().filter(|(_, at)| **at <= now).map(|(to, _)| to.clone());
        self.fresh.extend(due.collect::<Vec<_>>());
        while let Some(to) = self.fresh.pop_first() {
            if self.busy.contains(&to) {
                // It is looked at again when that is over.
                continue;
            }
            self.wakes.remove(&to);
            let Some(queue) = self.book.queue(&to) else { continue };
            let reach = Reach::of(registry, &to, has_bot);
            let room = self.calls < CALLS_MAX;
            let free_at = if room { self.pace.free_at(&reach.limits, now) } else { None };
            let plan = plan(&Ask { now, to: &to, queue, way: &reach.way, episodes, free_at });
            if free_at.is_none() {
                self.blocked.insert(to.clone());
            }
            if let Some(wake) = plan.wake {
                self.wakes.insert(to.clone(), wake);
            }
            let take = self.book.to_take(&to);
            let is_idle = plan.owed.is_none()
                && plan.verdicts.is_empty()
                && plan.failure.is_none()
                && plan.questions.is_empty()
                && plan.send.is_none()
                && take.is_empty();
            if !is_idle {
                return Some(Turn { to, reach, plan, take });
            }
        }
        None
    }

    /// When to look again though nothing happens.
    pub(super) fn wake(&self) -> Option<UnixMs> {
        self.wakes.values().min().copied()
    }

    /// Something begins for a receiver; nothing else does before it is over.
    pub(super) fn begin(&mut self, to: &To) {
        self.busy.insert(to.clone());
    }

    /// It is over.
    pub(super) fn end(&mut self, to: To) {
        self.busy.remove(&to);
        self.fresh.insert(to);
    }

    /// It failed, and is tried again then.
    pub(super) fn put_off(&mut self, to: To, until: UnixMs) {
        self.busy.remove(&to);
        self.wakes.insert(to, until);
    }

    /// A call begins.
    pub(super) fn call_begins(&mut self, limits: &[Limit]) {
        self.calls += 1;
        self.pace.begin(limits);
    }

    /// It is over: others may go.
    pub(super) fn call_ends(&mut self, limits: &[Limit], now: UnixMs) {
        self.calls = self.calls.saturating_sub(1);
        self.pace.end(limits, now);
        self.fresh.append(&mut self.blocked);
    }

    /// Ends intents here, before NOTICES tells it.
    pub(super) fn wrote(&mut self, results: &[NoticeResult]) {
        for result in results {
            self.book.wrote(Record::Result(result.clone()));
        }
    }
}

/// Results as they are written.
pub(super) fn results(to: &To, reach: &Reach, verdicts: Vec<Verdict>, time: UnixMs) -> Vec<NoticeResult> {
    let one = |Verdict { id, outcome, detail, into, message }| NoticeResult {
        v: 1,
        id,
        team: to.team.clone(),
        receiver: to.receiver.clone(),
        channel: reach.kind,
        outcome,
        detail,
        into,
        message,
        time,
    };
    verdicts.into_iter().map(one).collect()
}

/// The transition that an event of ALERTS tells.
pub(super) fn transition(event: &Event) -> Option<AlertEvent> {
    let read = serde_json::from_slice(&event.payload);
    if let Err(error) = &read {
        tracing::error!(sequence = event.sequence, %error, "a transition in ALERTS cannot be used");
    }
    read.ok()
}

/// The attempt that a dispatch makes.
pub(super) fn attempt(to: &To, dispatch: &Dispatch, time: UnixMs) -> watchkeeper_schemas::notice::Attempt {
    watchkeeper_schemas::notice::Attempt {
        v: 1,
        id: dispatch.lead.clone(),
        k: dispatch.k,
        team: to.team.clone(),
        receiver: to.receiver.clone(),
        members: dispatch.members.clone(),
        possible_repeat: dispatch.possible_repeat,
        time,
    }
}
