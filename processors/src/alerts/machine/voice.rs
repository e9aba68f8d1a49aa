//! Who was told what of one instance, and what is owed: notices follow from comparing that with what is true.

use super::effect::{Effect, Key, Notice, NoticeKind};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use watchkeeper_schemas::alerting::Step;
use watchkeeper_schemas::rule::Severity;

/// Openings within [`FLAPPING_WITHIN_MS`] that make an instance flapping.
const FLAPPING_OPENINGS: usize = 4;
/// In log time.
const FLAPPING_WITHIN_MS: u64 = 60 * 60_000;
/// Without an opening for so long an instance is steady, in log time.
const STEADY_AFTER_MS: u64 = 30 * 60_000;

/// Everything that was and is to be said of one instance. Times are log times unless named otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Voice {
    /// The episode that is open.
    pub(super) open: Option<Episode>,
    /// How bad the rule says that it is.
    severity: Severity,
    newest: u64,
    tells: BTreeMap<String, Tell>,
    openings: VecDeque<u64>,
    /// The last opening while flapping.
    flapping: Option<u64>,
}

/// An open episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Episode {
    /// Sequence of the input that opened it.
    pub(super) number: u64,
    /// First sample that was true, in event time.
    pub(super) since: u64,
    /// The last value.
    pub(super) value: Option<f64>,
    /// The worst value.
    pub(super) peak: Option<f64>,
    /// Whether the upper level holds.
    pub(super) critical: bool,
    /// The level up to which somebody looks after it.
    pub(super) acked: Option<Severity>,
    /// Steps of the policy that were told, and when the last one was.
    steps: Option<(usize, u64)>,
}

impl Episode {
    /// An episode that nobody heard of.
    #[must_use]
    pub(super) fn new(
        number: u64,
        since: u64,
        value: Option<f64>,
        peak: Option<f64>,
        critical: bool,
    ) -> Self {
        Self { number, since, value, peak, critical, acked: None, steps: None }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Tell {
    told: Option<Told>,
    /// Until when, and at which level, nothing new is told.
    cooldown: Option<(u64, Severity)>,
    /// Episodes that came and went in the cooldown.
    short_episodes: u32,
    /// That it is flapping was told, at this level.
    flapping: Option<Severity>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    episode: u64,
    /// The highest level told.
    level: Severity,
    last: u64,
    reminders: u32,
    level_ups: u32,
    /// It is over, and why: that is owed.
    closed: Option<CompactString>,
}

/// Who hears of a rule, and how often.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Telling {
    /// Who hears at once.
    pub(super) receivers: BTreeSet<String>,
    /// Who hears next; the first step hears at once, too.
    pub(super) policy: Vec<Step>,
    /// How bad the lower level is.
    pub(super) severity: Severity,
    /// In milliseconds.
    pub(super) cooldown_ms: u64,
    /// In milliseconds; 0: never.
    pub(super) repeat_ms: u64,
    /// Recorded, not sent.
    pub(super) shadow: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            open: None,
            severity: Severity::Warning,
            newest: 0,
            tells: BTreeMap::new(),
            openings: VecDeque::new(),
            flapping: None,
        }
    }
}

impl Voice {
    /// How bad it is now.
    #[must_use]
    pub(super) fn level(&self) -> Severity {
        let upper = self.open.as_ref().is_some_and(|open| open.critical);
        if upper { Severity::Critical } else { self.severity }
    }

    /// Takes over how bad the rule says that it is.
    pub(super) fn set_severity(&mut self, severity: Severity) {
        self.severity = severity;
    }

    /// An episode opens.
    pub(super) fn opened(&mut self, episode: Episode, now: u64) {
        self.newest = episode.number;
        self.open = Some(episode);
        self.openings.retain(|then| then + FLAPPING_WITHIN_MS > now);
        self.openings.push_back(now);
        if self.flapping.is_some() || self.openings.len() >= FLAPPING_OPENINGS {
            self.flapping = Some(now);
        }
        while self.openings.len() > FLAPPING_OPENINGS {
            self.openings.pop_front();
        }
    }

    /// The open episode is over.
    pub(super) fn closed(&mut self, reason: &str, now: u64) -> Option<Episode> {
        let episode = self.open.take()?;
        for tell in self.tells.values_mut() {
            match tell.told.as_mut().filter(|told| told.episode == episode.number) {
                Some(told) => told.closed = Some(reason.into()),
                None if tell.cooldown.is_some_and(|(until, _)| now < until) => tell.short_episodes += 1,
                None => {}
            }
        }
        Some(episode)
    }

    /// Nothing is open, owed, cooling down or counted: it need not be kept.
    #[must_use]
    pub(super) fn is_silent(&self, now: u64) -> bool {
        self.open.is_none()
            && self.flapping.is_none()
            && self.openings.iter().all(|then| then + FLAPPING_WITHIN_MS <= now)
            && self
                .tells
                .values()
                .all(|tell| tell.told.is_none() && tell.cooldown.is_none_or(|(until, _)| until <= now))
    }

    /// Whether single openings are held back.
    #[cfg(test)]
    pub(super) fn is_flapping(&self) -> bool {
        self.flapping.is_some()
    }

    /// What a shadow told is forgotten when its rule goes live.
    pub(super) fn forget_tells(&mut self) {
        self.tells.clear();
        self.openings.clear();
        self.flapping = None;
    }

    /// The broker's clock fell: what runs keeps what remained.
    pub(super) fn fall_back(&mut self, by: u64) {
        let back = |time: &mut u64| *time = time.saturating_sub(by);
        self.openings.iter_mut().for_each(back);
        self.flapping.iter_mut().for_each(back);
        self.open.iter_mut().filter_map(|open| open.steps.as_mut()).for_each(|(_, at)| back(at));
        for tell in self.tells.values_mut() {
            tell.cooldown.iter_mut().for_each(|(until, _)| back(until));
            tell.told.iter_mut().for_each(|told| back(&mut told.last));
        }
    }

    /// Says what is true and was not said; nothing while `muted`. No `telling`: the rule is gone.
    pub(super) fn speak(
        &mut self,
        key: &Key,
        telling: Option<&Telling>,
        muted: bool,
        now: u64,
        out: &mut Vec<Effect>,
    ) {
        let mut said = Saying { key, now, shadow: telling.is_some_and(|telling| telling.shadow), out };
        self.leave_out_removed(telling);
        if muted {
            return;
        }
        if self.flapping.is_some_and(|last| last + STEADY_AFTER_MS <= now) {
            self.say_steady(&mut said);
        }
        if self.flapping.is_some() {
            if let Some(telling) = telling {
                self.say_flapping(telling, &mut said);
            }
            return;
        }
        self.say_resolved(&mut said);
        if let Some(telling) = telling {
            self.say_firing(telling, &mut said);
            self.say_open(telling, &mut said);
            self.escalate(telling, &mut said);
        }
    }

    /// A receiver that a rule no longer names hears nothing more.
    fn leave_out_removed(&mut self, telling: Option<&Telling>) {
        let Some(telling) = telling else { return };
        self.tells.retain(|receiver, _| {
            telling.receivers.contains(receiver)
                || telling.policy.iter().any(|it| it.receivers.contains(receiver))
        });
    }

    fn say_steady(&mut self, said: &mut Saying<'_>) {
        self.flapping = None;
        let level = self.level();
        let reason = if self.open.is_some() { "open" } else { "over" };
        for (receiver, tell) in &mut self.tells {
            if tell.flapping.take().is_some() {
                said.say(self.newest, NoticeKind::Steady, 1, receiver, level, Some(reason.into()), 0);
            }
        }
    }

    fn say_flapping(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &self.open else { return };
        for receiver in &telling.receivers {
            let tell = self.tells.entry(receiver.clone()).or_default();
            let told = tell.told.as_ref().filter(|told| told.episode == open.number).map(|told| told.level);
            match tell.flapping {
                None => said.say(open.number, NoticeKind::Flapping, 1, receiver, level, None, 0),
                Some(before) if before.max(told.unwrap_or(before)) < level => {
                    said.say(open.number, NoticeKind::LevelUp, 1, receiver, level, None, 0);
                }
                Some(_) => continue,
            }
            tell.flapping = Some(level);
        }
    }

    fn say_resolved(&mut self, said: &mut Saying<'_>) {
        for (receiver, tell) in &mut self.tells {
            if let Some(told) = tell.told.take_if(|told| told.closed.is_some()) {
                said.say(told.episode, NoticeKind::Resolved, 1, receiver, told.level, told.closed, 0);
            }
        }
    }

    fn say_firing(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &mut self.open else { return };
        for receiver in &telling.receivers {
            let tell = self.tells.entry(receiver.clone()).or_default();
            let cooling = tell.cooldown.is_some_and(|(until, at)| said.now < until && level <= at);
            if tell.told.is_some() || cooling {
                continue;
            }
            let short_episodes = std::mem::take(&mut tell.short_episodes);
            said.say(open.number, NoticeKind::Firing, 1, receiver, level, None, short_episodes);
            tell.tell(open.number, level, said.now, telling.cooldown_ms);
            open.steps.get_or_insert((1, said.now));
        }
    }

    /// Higher levels and reminders.
    fn say_open(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &self.open else { return };
        let is_acked = open.acked.is_some_and(|acked| level <= acked);
        for (receiver, tell) in &mut self.tells {
            let Some(told) = tell.told.as_mut().filter(|told| told.episode == open.number) else { continue };
            if told.level < level {
                told.level = level;
                told.level_ups += 1;
                told.last = said.now;
                said.say(open.number, NoticeKind::LevelUp, told.level_ups, receiver, level, None, 0);
            } else if telling.repeat_ms > 0 && !is_acked && told.last + telling.repeat_ms <= said.now {
                told.reminders += 1;
                told.last = said.now;
                said.say(open.number, NoticeKind::Reminder, told.reminders, receiver, level, None, 0);
            }
        }
    }

    fn escalate(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &mut self.open else { return };
        let Some((steps, at)) = open.steps.filter(|_| open.acked.is_none_or(|acked| acked < level)) else {
            return;
        };
        let due = steps.checked_sub(1).and_then(|last| telling.policy.get(last));
        let is_due = due.is_some_and(|step| at.saturating_add(step.wait_ms) <= said.now);
        let Some(next) = telling.policy.get(steps).filter(|_| is_due) else { return };
        for receiver in &next.receivers {
            let n = steps as u32 + 1;
            said.say(open.number, NoticeKind::Escalated, n, receiver, level, None, 0);
            let tell = self.tells.entry(receiver.clone()).or_default();
            tell.tell(open.number, level, said.now, telling.cooldown_ms);
        }
        open.steps = Some((steps + 1, said.now));
    }
}

impl Tell {
    fn tell(&mut self, episode: u64, level: Severity, now: u64, cooldown_ms: u64) {
        let known = self.told.take().filter(|told| told.episode == episode);
        let (reminders, level_ups) = known.map_or((0, 0), |told| (told.reminders, told.level_ups));
        self.told = Some(Told { episode, level, last: now, reminders, level_ups, closed: None });
        self.cooldown = Some((now + cooldown_ms, level));
    }
}

struct Saying<'a> {
    key: &'a Key,
    now: u64,
    shadow: bool,
    out: &'a mut Vec<Effect>,
}

impl Saying<'_> {
    #[expect(clippy::too_many_arguments, reason = "each says another part of one message")]
    fn say(
        &mut self,
        episode: u64,
        kind: NoticeKind,
        n: u32,
        receiver: &str,
        level: Severity,
        reason: Option<CompactString>,
        short_episodes: u32,
    ) {
        let (key, receiver, shadow) = (self.key.clone(), receiver.to_owned(), self.shadow);
        let notice = Notice { key, episode, kind, n, receiver, level, reason, short_episodes, shadow };
        self.out.push(Effect::Notice(notice));
    }
}
