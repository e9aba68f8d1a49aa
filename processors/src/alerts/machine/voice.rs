//! Who was told what of one instance, and what is owed: notices follow from comparing that with what is true.

use super::SHADOW_RECEIVER;
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
pub(super) const STEADY_AFTER_MS: u64 = 30 * 60_000;

/// Everything that was and is to be said of one instance. Times are log times unless named otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Voice {
    /// The episode that is open.
    pub(super) open: Option<Episode>,
    /// How bad the rule says that it is.
    severity: Severity,
    /// The newest episode.
    pub(super) newest: About,
    pub(super) tells: BTreeMap<String, Tell>,
    openings: VecDeque<u64>,
    /// The last opening while flapping.
    pub(super) flapping: Option<u64>,
    /// Steps of the policy that were told while flapping: episodes that come and go do not begin them anew.
    pub(super) steps: Option<Steps>,
    /// Closed by hand though still true, where no series remembers it: until when, and what would open again.
    pub(super) held: Option<(u64, Episode)>,
    /// Until when there is nothing to say, as long as it is muted or not as here.
    #[serde(skip)]
    quiet: Option<(u64, bool)>,
}

/// Steps of the policy that were told, and when the last one was.
pub(super) type Steps = (usize, u64);

/// What there is to say of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) number: u64,
    pub(super) since: u64,
    pub(super) value: Option<f64>,
    pub(super) peak: Option<f64>,
    /// None: it is open.
    pub(super) duration_ms: Option<u64>,
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
    /// Steps of the policy that were told.
    pub(super) steps: Option<Steps>,
    /// What it is about, where no number says it.
    pub(super) detail: Option<CompactString>,
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
        Self { number, since, value, peak, critical, acked: None, steps: None, detail: None }
    }

    /// An episode of something that is no number.
    #[must_use]
    pub(super) fn of_fact(number: u64, since: u64, detail: Option<CompactString>) -> Self {
        Self { detail, ..Self::new(number, since, None, None, false) }
    }

    /// What there is to say of it while it is open.
    #[must_use]
    pub(super) fn about(&self) -> About {
        let Self { number, since, value, peak, .. } = *self;
        About { number, since, value, peak, duration_ms: None }
    }
}

/// What one receiver was told of one instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Tell {
    pub(super) told: Option<Told>,
    /// Until when, and at which level, nothing new is told.
    pub(super) cooldown: Option<(u64, Severity)>,
    /// Episodes that came and went in the cooldown.
    pub(super) short_episodes: u32,
    /// That it is flapping was told, at this level.
    pub(super) flapping: Option<Severity>,
    /// The highest level told of an episode while it was flapping.
    pub(super) highest: Option<(u64, Severity)>,
}

/// What one receiver was told of one episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) episode: u64,
    /// The highest level told.
    pub(super) level: Severity,
    pub(super) last: u64,
    pub(super) reminders: u32,
    pub(super) level_ups: u32,
    /// In place of one whose channel refuses: the rule need not name them.
    pub(super) instead: bool,
    /// It is over, and why: that is owed.
    pub(super) closed: Option<(CompactString, About)>,
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
    /// Whose channel refuses.
    pub(super) failing: BTreeSet<String>,
    /// Who hears where no further step does and somebody's channel refuses.
    pub(super) instead: BTreeSet<String>,
    /// Who does not hear of everything, and from which level on they do.
    pub(super) hears: BTreeMap<String, Severity>,
}

impl Told {
    /// Whether a receiver who was told so may hear more.
    #[must_use]
    pub(super) fn may_hear(&self, telling: &Telling, receiver: &str) -> bool {
        self.instead || telling.names(receiver)
    }
}

impl Telling {
    /// Whether a receiver hears of something that is so bad.
    #[must_use]
    pub(super) fn hears(&self, receiver: &str, level: Severity) -> bool {
        self.hears.get(receiver).is_none_or(|from| *from <= level)
    }

    /// Who hears at the step, counted from 1.
    pub(super) fn at_step(&self, step: usize) -> Option<&BTreeSet<String>> {
        match step {
            0 => None,
            1 => Some(&self.receivers),
            step => self.policy.get(step - 1).map(|step| &step.receivers),
        }
    }

    /// Whether a receiver may hear of it.
    #[must_use]
    pub(super) fn names(&self, receiver: &str) -> bool {
        self.receivers.contains(receiver) || self.policy.iter().any(|step| step.receivers.contains(receiver))
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            open: None,
            severity: Severity::Warning,
            newest: About::default(),
            tells: BTreeMap::new(),
            openings: VecDeque::new(),
            flapping: None,
            steps: None,
            held: None,
            quiet: None,
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
        self.newest = episode.about();
        self.held = None;
        self.open = Some(Episode { steps: self.steps, ..episode });
        self.openings.retain(|then| then + FLAPPING_WITHIN_MS > now);
        self.openings.push_back(now);
        if self.flapping.is_some() || self.openings.len() >= FLAPPING_OPENINGS {
            self.flapping = Some(now);
        }
        while self.openings.len() > FLAPPING_OPENINGS {
            self.openings.pop_front();
        }
    }

    /// The open episode is over since `end`, for those whom its rule names now.
    pub(super) fn closed(
        &mut self,
        telling: Option<&Telling>,
        reason: &str,
        end: u64,
        now: u64,
    ) -> Option<Episode> {
        let Some(episode) = self.open.take() else {
            self.held = None;
            return None;
        };
        self.newest = About { duration_ms: Some(end.saturating_sub(episode.since)), ..episode.about() };
        self.steps = episode.steps.filter(|_| self.flapping.is_some());
        let named = telling.filter(|telling| !telling.shadow);
        for (receiver, tell) in &mut self.tells {
            tell.told.take_if(|told| named.is_some_and(|telling| !told.may_hear(telling, receiver)));
            match tell.told.as_mut().filter(|told| told.episode == episode.number) {
                Some(told) => told.closed = Some((reason.into(), self.newest)),
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
            && self.held.is_none()
            && self.flapping.is_none()
            && self.openings.iter().all(|then| then + FLAPPING_WITHIN_MS <= now)
            && self
                .tells
                .values()
                .all(|tell| tell.told.is_none() && tell.cooldown.is_none_or(|(until, _)| until <= now))
    }

    /// Whether there may be something to say without anything having happened.
    #[must_use]
    pub(super) fn is_due(&self, now: u64, muted: impl FnOnce() -> bool) -> bool {
        self.quiet.is_none_or(|(until, was_muted)| until <= now || muted() != was_muted)
    }

    /// Everything is said: when is the next deadline?
    pub(super) fn rest(&mut self, telling: Option<&Telling>, muted: bool, now: u64) {
        let repeat_ms = telling.map(|telling| telling.repeat_ms).filter(|ms| *ms > 0);
        let waits = telling.into_iter().flat_map(|telling| &telling.policy).map(|step| step.wait_ms);
        let steps = self.open.as_ref().and_then(|open| open.steps);
        let escalation =
            steps.and_then(|(steps, at)| Some(at.saturating_add(waits.clone().nth(steps.checked_sub(1)?)?)));
        let tells = self.tells.values().flat_map(|tell| {
            let reminder = tell.told.as_ref().zip(repeat_ms).map(|(told, ms)| told.last + ms);
            [reminder, tell.cooldown.map(|(until, _)| until)]
        });
        let own = [escalation, self.flapping.map(|last| last + STEADY_AFTER_MS)];
        let openings = self.openings.iter().map(|then| Some(then + FLAPPING_WITHIN_MS));
        let deadlines = tells.chain(own).chain(openings).flatten().filter(|time| *time > now);
        self.quiet = Some((deadlines.min().unwrap_or(u64::MAX), muted));
    }

    /// Whether single openings are held back.
    #[cfg(test)]
    pub(super) fn is_flapping(&self) -> bool {
        self.flapping.is_some()
    }

    /// What a shadow told is forgotten when its rule goes live.
    pub(super) fn forget_shadow(&mut self) {
        self.tells.remove(SHADOW_RECEIVER);
        self.steps = None;
        self.open.iter_mut().for_each(|open| open.steps = None);
    }

    /// The broker's clock fell: what runs keeps what remained.
    pub(super) fn fall_back(&mut self, by: u64) {
        self.quiet = None;
        let back = |time: &mut u64| *time = time.saturating_sub(by);
        self.openings.iter_mut().for_each(back);
        self.flapping.iter_mut().for_each(back);
        self.held.iter_mut().for_each(|(until, _)| back(until));
        let steps = self.open.iter_mut().filter_map(|open| open.steps.as_mut()).chain(&mut self.steps);
        steps.for_each(|(_, at)| back(at));
        for tell in self.tells.values_mut() {
            tell.cooldown.iter_mut().for_each(|(until, _)| back(until));
            tell.told.iter_mut().for_each(|told| back(&mut told.last));
        }
    }
}
