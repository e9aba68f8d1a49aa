//! What a rule would have done: the machine of alerts over inputs of the past, and what is kept of its decisions. Pure.
//!
//! The machine is the one that evaluates live. It begins with no episode open, knows the hosts and their tags as they
//! are today, holds nothing back, and tells one imaginary receiver.

use super::scope::Reads;
use crate::alerts::machine::{Effect, Input, Key, Machine, Nearness, Notice, Transition, TransitionKind};
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{AlertFact, Defaults, RuleState, SavedRule, WatchedHost};
use watchkeeper_schemas::backtest::{
    BacktestDifference, EPISODES_MAX, NEAREST_MAX, NOTICES_MAX, NearMiss, NoticeCount, TriedEpisode,
    TriedNotice, TriedOutcome, TriedRule,
};
use watchkeeper_schemas::ids::{HostId, RuleId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::{Rule, RuleError};

/// Stands for the rule that is tried; no built-in one is called so.
const TRIED: &str = "backtest";
/// Hears everything.
const RECEIVER: &str = "backtest";
/// The built-in rule that says which rules watch less than they should.
const RULE_BROKEN: &str = "rule_broken";

/// The rules that are tried, and the hosts as they are today.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The rule.
    pub rule: TriedRule,
    /// The same rule as it is saved, to compare with.
    pub before: Option<TriedRule>,
    /// The team's hosts.
    pub hosts: BTreeMap<HostId, WatchedHost>,
}

/// Rules over inputs, one after the other.
#[derive(Debug)]
pub struct Trial {
    reads: Reads,
    rule: Side,
    before: Option<Side>,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Of the rule.
    pub rule: TriedOutcome,
    /// Of the rule as it is saved.
    pub before: Option<TriedOutcome>,
    /// What the edit changes.
    pub difference: Option<BacktestDifference>,
    /// What is not in there, in sentences.
    pub left_out: Vec<String>,
}

/// Tries rules over inputs in the order of the log.
///
/// # Errors
/// When a text is no rule.
pub fn run(question: Question, inputs: impl IntoIterator<Item = Input>) -> Result<Findings, RuleError> {
    let mut trial = Trial::new(question)?;
    inputs.into_iter().for_each(|input| trial.step(input));
    Ok(trial.findings())
}

impl Trial {
    /// Before the first input.
    ///
    /// # Errors
    /// When a text is no rule.
    pub fn new(question: Question) -> Result<Self, RuleError> {
        let Question { rule, before, hosts } = question;
        let mut reads = Reads::default();
        let rule = Side::new(rule, &hosts, &mut reads)?;
        let before = before.map(|before| Side::new(before, &hosts, &mut reads)).transpose()?;
        Ok(Self { reads, rule, before })
    }

    /// What of a sample is looked at.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The next input.
    pub fn step(&mut self, input: Input) {
        if let Some(before) = &mut self.before {
            before.step(input.clone());
        }
        self.rule.step(input);
    }

    /// What came of it.
    #[must_use]
    pub fn findings(self) -> Findings {
        let mut left_out = BTreeSet::new();
        let mut rule = self.rule.outcome(&mut left_out);
        let mut before = self.before.map(|before| before.outcome(&mut left_out));
        let difference = before.as_mut().map(|before| compare(&mut rule, before));
        Findings { rule, before, difference, left_out: left_out.into_iter().collect() }
    }
}

/// One rule, its machine, and what it decided.
#[derive(Debug)]
struct Side {
    machine: Machine,
    outcome: TriedOutcome,
    /// Where the open episode of a series stands in the list; nothing where it has no place in it.
    open: BTreeMap<Key, Option<usize>>,
    /// Hosts that had an episode.
    hosts: BTreeSet<String>,
    notices: BTreeMap<&'static str, NoticeCount>,
    unwatched: Option<String>,
}

impl Side {
    fn new(
        tried: TriedRule,
        hosts: &BTreeMap<HostId, WatchedHost>,
        reads: &mut Reads,
    ) -> Result<Self, RuleError> {
        let rule: Rule = tried.text.parse()?;
        let text = rule.to_string();
        reads.add(&rule, &tried.scope, hosts);
        let judged = hosts
            .iter()
            .filter(|(id, host)| tried.scope.includes(id.as_str(), &host.tags) && !host.paused)
            .count();
        let mut machine = Machine::default();
        machine.keep_nearness();
        let receivers = BTreeSet::from([RECEIVER.to_owned()]);
        let mut facts = vec![AlertFact::Defaults { value: Defaults { receivers, policy: Vec::new() } }];
        facts.extend(
            hosts.iter().map(|(id, host)| AlertFact::Host { id: id.clone(), value: Some(host.clone()) }),
        );
        let saved = SavedRule {
            text: text.clone(),
            scope: tried.scope,
            receivers: BTreeSet::new(),
            state: RuleState::Live,
            policy: Vec::new(),
        };
        if let Ok(id) = TRIED.parse::<RuleId>() {
            facts.push(AlertFact::Rule { id, value: Some(saved) });
        }
        machine.begin(facts);
        let outcome = TriedOutcome { text, hosts: judged as u64, ..TriedOutcome::default() };
        Ok(Self {
            machine,
            outcome,
            open: BTreeMap::new(),
            hosts: BTreeSet::new(),
            notices: BTreeMap::new(),
            unwatched: None,
        })
    }

    fn step(&mut self, input: Input) {
        let time = UnixMs(input.time);
        for effect in self.machine.step(input) {
            match effect {
                Effect::Transition(it) if it.key.rule == TRIED && !it.retro => self.transition(&it, time),
                Effect::Notice(it) if it.key.rule == TRIED => self.notice(&it, time),
                Effect::Transition(it) if it.key.rule == RULE_BROKEN && it.key.series == TRIED => {
                    self.unwatched = it.reason.map(Into::into).or(self.unwatched.take());
                }
                Effect::Transition(_) | Effect::Notice(_) => {}
            }
        }
    }

    fn transition(&mut self, it: &Transition, time: UnixMs) {
        if it.kind == TransitionKind::Fired {
            self.fired(it, time);
        }
        let place = match it.kind {
            TransitionKind::Resolved => self.open.remove(&it.key).flatten(),
            TransitionKind::Fired | TransitionKind::Level | TransitionKind::Acked => {
                self.open.get(&it.key).copied().flatten()
            }
        };
        let Some(episode) = place.and_then(|place| self.outcome.episodes.get_mut(place)) else { return };
        episode.level = episode.level.max(it.level);
        episode.peak = it.peak.or(episode.peak);
        if it.kind == TransitionKind::Resolved {
            episode.until = Some(UnixMs(it.since + it.duration_ms.unwrap_or(0)));
            episode.reason = it.reason.as_ref().map(ToString::to_string);
        }
    }

    fn fired(&mut self, it: &Transition, time: UnixMs) {
        self.outcome.episode_count += 1;
        if !self.hosts.contains(it.key.host.as_str()) {
            self.hosts.insert(it.key.host.to_string());
        }
        let place = (self.outcome.episodes.len() < EPISODES_MAX).then(|| {
            self.outcome.episodes.push(TriedEpisode {
                host: it.key.host.to_string(),
                series: it.key.series.to_string(),
                level: it.level,
                since: UnixMs(it.since),
                fired: time,
                until: None,
                reason: None,
                peak: it.peak,
                notice_count: 0,
                notices: Vec::new(),
                in_both: false,
            });
            self.outcome.episodes.len() - 1
        });
        self.open.insert(it.key.clone(), place);
    }

    fn notice(&mut self, it: &Notice, time: UnixMs) {
        let notice = it.kind.word();
        self.outcome.notice_count += 1;
        self.notices.entry(notice.as_str()).or_insert(NoticeCount { notice, count: 0 }).count += 1;
        // The end of an episode is told after it; nothing newer of its series has begun then.
        let of_series = |episode: &&mut TriedEpisode| {
            episode.host == it.key.host && episode.series == it.key.series && episode.since.0 == it.since
        };
        if let Some(episode) = self.outcome.episodes.iter_mut().rev().find(of_series) {
            episode.notice_count += 1;
            if episode.notices.len() < NOTICES_MAX {
                episode.notices.push(TriedNotice { time, notice });
            }
        }
    }

    fn outcome(mut self, left_out: &mut BTreeSet<String>) -> TriedOutcome {
        for (key, place) in &self.open {
            let peak = self.machine.open_peak(key);
            if let Some(episode) = place.and_then(|place| self.outcome.episodes.get_mut(place)) {
                episode.peak = peak.or(episode.peak);
            }
        }
        let listed = self.outcome.episodes.len() as u64;
        if self.outcome.episode_count > listed {
            let more = self.outcome.episode_count - listed;
            left_out.insert(format!("{more} later episodes are counted, but not listed."));
        }
        if let Some(unwatched) = &self.unwatched {
            left_out.insert(format!("The rule would have watched less than it should: {unwatched}."));
        }
        self.outcome.hosts_with_episodes = self.hosts.len() as u64;
        self.outcome.notices = self.notices.into_values().collect();
        let near = self.machine.nearness(TRIED).filter(|it| !self.hosts.contains(it.host.as_str()));
        self.outcome.nearest = nearest(near);
        self.outcome
    }
}

/// For each host the series that came closest, the closest hosts first.
fn nearest(all: impl Iterator<Item = Nearness>) -> Vec<NearMiss> {
    let mut best: BTreeMap<HostId, (Closeness, Nearness)> = BTreeMap::new();
    for near in all {
        let (Ok(host), Some(closeness)) = (near.host.parse::<HostId>(), Closeness::of(&near)) else {
            continue;
        };
        if best.get(&host).is_none_or(|(known, _)| closeness.is_closer_than(known)) {
            best.insert(host, (closeness, near));
        }
    }
    let mut best: Vec<(HostId, (Closeness, Nearness))> = best.into_iter().collect();
    // Stable: hosts that came equally close stand by name.
    best.sort_by(|(_, (a, _)), (_, (b, _))| {
        b.held.total_cmp(&a.held).then(a.distance.total_cmp(&b.distance))
    });
    best.truncate(NEAREST_MAX);
    let miss = |(host, (_, near)): (HostId, (Closeness, Nearness))| NearMiss {
        host,
        series: near.series.into(),
        value: near.worst.map(|(value, _)| value),
        threshold: near.threshold,
        at: near.held.or(near.worst.map(|(_, at)| (0, at))).map(|(_, at)| UnixMs(at)),
        held_ms: near.held.map_or(0, |(held_ms, _)| held_ms),
        for_ms: near.for_ms,
    };
    best.into_iter().map(miss).collect()
}

/// What was true for a while came closer than what never was; that by its distance from the threshold.
#[derive(Debug, Clone, Copy)]
struct Closeness {
    /// Share of `for` that the condition held; negative: it never was true.
    held: f64,
    /// From the worst value to the threshold, as a share of the threshold.
    distance: f64,
}

impl Closeness {
    fn of(near: &Nearness) -> Option<Self> {
        let held = near.held.map_or(-1.0, |(held_ms, _)| held_ms as f64 / near.for_ms.max(1) as f64);
        let distance = near.worst.zip(near.threshold).map(|((worst, _), threshold)| {
            (worst - threshold).abs() / threshold.abs().max(f64::MIN_POSITIVE)
        });
        let known = near.held.is_some() || distance.is_some();
        known.then_some(Self { held, distance: distance.unwrap_or(f64::MAX) })
    }

    fn is_closer_than(&self, other: &Self) -> bool {
        self.held > other.held || self.held.total_cmp(&other.held).is_eq() && self.distance < other.distance
    }
}

/// Which listed episodes of one rule the other has at the same time.
fn compare(rule: &mut TriedOutcome, before: &mut TriedOutcome) -> BacktestDifference {
    mark(&mut rule.episodes, &before.episodes);
    mark(&mut before.episodes, &rule.episodes);
    let kept = rule.episodes.iter().filter(|it| it.in_both).count() as u64;
    let notices = rule.notice_count.cast_signed() - before.notice_count.cast_signed();
    BacktestDifference {
        added: rule.episodes.len() as u64 - kept,
        removed: before.episodes.iter().filter(|it| !it.in_both).count() as u64,
        kept,
        notices,
    }
}

fn mark(episodes: &mut [TriedEpisode], others: &[TriedEpisode]) {
    let mut by_series: BTreeMap<(&str, &str), Vec<&TriedEpisode>> = BTreeMap::new();
    for other in others {
        by_series.entry((&other.host, &other.series)).or_default().push(other);
    }
    let end = |episode: &TriedEpisode| episode.until.unwrap_or(UnixMs(u64::MAX));
    for episode in episodes {
        let others = by_series.get(&(episode.host.as_str(), episode.series.as_str()));
        let meets = |other: &&TriedEpisode| other.since <= end(episode) && episode.since <= end(other);
        episode.in_both = others.is_some_and(|others| others.iter().any(meets));
    }
}

#[cfg(test)]
mod tests;
