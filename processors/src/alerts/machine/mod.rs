//! The alert machine of one team: reads samples and ticks in the order of the log, says what to record and to send.
//!
//! Pure: no clock, no I/O, no randomness, no hash order. What it does is defined by what it read.

mod adopt;
mod effect;
mod facts;
mod host;
mod input;
mod instance;
mod near;
mod program;
mod reports;
mod retro;
mod rules;
mod saying;
mod snapshot;
#[cfg(test)]
mod tests;
mod tick;
mod values;
mod voice;
mod watch;
mod window;

pub use adopt::{Heard, Orphan};
pub use effect::{
    Effect, Evidence, Key, Notice, NoticeKind, Reason, Sampled, TEAM, Transition, TransitionKind,
};
pub use input::{Input, Kind, Report};
pub use near::Nearness;
pub use values::{Column, MetricKey, Value, Values};

use compact_str::CompactString;
use host::Host;
use rules::{Entry, built_in};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use voice::{Episode, Telling, Voice};
use watchkeeper_schemas::alerting::{
    AlertFact, Defaults, Matcher, RuleState, SavedRule, Silence, WatchedHost,
};
use watchkeeper_schemas::rule::Severity;

/// How long nothing new is told after a notice where a rule says nothing else, in milliseconds.
const COOLDOWN_MS: u64 = 5 * 60_000;
/// Ticks further apart, or a broker's clock that falls further, are a gap, in milliseconds.
const GAP_MS: u64 = 5000;
/// Stands for every receiver of a rule that tells nobody yet.
pub const SHADOW_RECEIVER: &str = "shadow";

/// Everything that the machine knows of one team.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Highest broker time of any input, in milliseconds since 1970.
    now: u64,
    sequence: u64,
    /// Log time of the first input.
    watching_since: Option<u64>,
    last_tick: Option<u64>,
    /// Until when it was told that nobody watched.
    blind_until: u64,
    /// Inputs that left the log before they were read, to be told at the next tick.
    lost: u64,
    /// Sorted by id.
    rules: Vec<Entry>,
    /// What people changed of the built-in rules.
    built_ins: BTreeMap<CompactString, SavedRule>,
    hosts: BTreeMap<CompactString, Box<Host>>,
    silences: BTreeMap<String, Silence>,
    defaults: Defaults,
    /// Receivers whose channel refuses.
    failing: BTreeSet<String>,
    /// Receivers who do not hear of everything, and from which level on they do.
    hears: BTreeMap<String, Severity>,
    voices: BTreeMap<Key, Voice>,
    outage: Option<Outage>,
    /// What was read and ignored.
    pub counts: Counts,
    /// It is kept how close series come to an episode.
    #[serde(skip)]
    keeps_nearness: bool,
    /// Hosts and rules to look at again, and whether the rule means something else now.
    #[serde(skip)]
    again: BTreeMap<(CompactString, CompactString), bool>,
    #[serde(skip)]
    touched: BTreeSet<Key>,
    /// The samples that decide what is recorded next.
    #[serde(skip)]
    deciding: Vec<Sampled>,
    #[serde(skip)]
    out: Vec<Effect>,
}

/// What was read and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Samples of an earlier boot, or that were there before.
    pub late: u64,
    /// Samples of hosts that are not there.
    pub unknown: u64,
}

/// Most hosts fell silent at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Outage {
    /// In log time.
    since: u64,
    hosts: BTreeSet<CompactString>,
}

impl Machine {
    /// The next input: what to record and to send, in a fixed order.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        self.sequence = input.sequence;
        if input.time + GAP_MS < self.now {
            self.fall_back(input.time);
        }
        self.now = self.now.max(input.time);
        self.watching_since.get_or_insert(self.now);
        match input.kind {
            Kind::Live(report) => self.live(*report),
            Kind::Backfill(report) => self.backfill(&report),
            Kind::Unreadable(host) => self.unreadable(&host),
            Kind::Tick(facts) => self.tick(facts),
        }
        for key in std::mem::take(&mut self.touched) {
            self.speak(&key);
        }
        let mut effects = std::mem::take(&mut self.out);
        effects.sort_by(|a, b| a.order().cmp(&b.order()));
        effects
    }

    /// Whether the host is there.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// The last accepted live sample of a host: when its own clock says it was taken, and its numbers.
    #[must_use]
    pub fn last_sample(&self, host: &str) -> Option<(u64, &Values)> {
        self.hosts.get(host).map(|host| (host.taken, &host.last))
    }

    /// What was decided before the first input.
    pub fn begin(&mut self, facts: Vec<AlertFact>) {
        facts.into_iter().for_each(|fact| self.put(fact));
        self.look_again();
    }

    /// The number of the episode that is open.
    #[must_use]
    pub fn open_episode(&self, key: &Key) -> Option<u64> {
        self.voices.get(key).and_then(|voice| voice.open.as_ref()).map(|open| open.number)
    }

    /// So many inputs before the next one left the log unread; they may have been any team's.
    pub fn lose(&mut self, inputs: u64) {
        self.lost = self.lost.saturating_add(inputs);
    }

    /// The worst value of the episode that is open.
    #[must_use]
    pub fn open_peak(&self, key: &Key) -> Option<f64> {
        self.voices.get(key).and_then(|voice| voice.open.as_ref()).and_then(|open| open.peak)
    }

    /// Hosts of files are known by appearing.
    pub fn meet(&mut self, host: &str) {
        if !self.knows(host) {
            self.put_host(host, Some(WatchedHost::default()));
            self.look_again();
        }
    }

    /// The broker's clock fell: `now` follows it, and what runs keeps what remained.
    fn fall_back(&mut self, to: u64) {
        let by = self.now - to;
        self.now = to;
        self.voices.values_mut().for_each(|voice| voice.fall_back(by));
        self.hosts.values_mut().for_each(|host| host.fall_back(by));
        self.outage.iter_mut().for_each(|outage| outage.since = outage.since.saturating_sub(by));
        let watched = self.last_tick.iter_mut().chain(&mut self.watching_since);
        watched.for_each(|time| *time = time.saturating_sub(by));
        self.restart_limits();
    }

    fn restart_limits(&mut self) {
        let now = self.now;
        self.hosts.values_mut().for_each(|host| host.restart_limits(now));
    }

    /// An episode opens, unless the rule is switched off.
    fn fire(&mut self, key: Key, episode: Episode) {
        let Some(telling) = self.telling(&key.rule) else { return };
        let voice = self.voices.entry(key.clone()).or_default();
        if voice.open.is_some() || voice.held.is_some() {
            return;
        }
        voice.set_severity(telling.severity);
        voice.opened(episode, self.now);
        self.record(&key, TransitionKind::Fired, None);
    }

    /// The open episode is over since `end`, in event time.
    fn close(&mut self, key: &Key, reason: Reason, end: u64) {
        if !self.voices.contains_key(key) {
            return;
        }
        let (telling, now) = (self.telling(&key.rule), self.now);
        let Some(voice) = self.voices.get_mut(key) else { return };
        let level = voice.level();
        let Some(episode) = voice.closed(telling.as_ref(), reason.as_str(), end, now) else { return };
        let duration_ms = Some(end.saturating_sub(episode.since));
        let transition = self.transition(key, &episode, TransitionKind::Resolved, level);
        let reason = Some(reason.as_str().into());
        self.out.push(Effect::Transition(Transition { reason, duration_ms, ..transition }));
        self.touched.insert(key.clone());
    }

    /// Records what became of the open episode.
    fn record(&mut self, key: &Key, kind: TransitionKind, reason: Option<CompactString>) {
        let Some(voice) = self.voices.get(key) else { return };
        let Some(episode) = voice.open.clone() else { return };
        let transition = self.transition(key, &episode, kind, voice.level());
        let reason = reason.or(episode.detail.filter(|_| kind == TransitionKind::Fired));
        self.out.push(Effect::Transition(Transition { reason, ..transition }));
        self.touched.insert(key.clone());
    }

    fn transition(
        &mut self,
        key: &Key,
        episode: &Episode,
        kind: TransitionKind,
        level: Severity,
    ) -> Transition {
        let rule = self.rule(&key.rule);
        let evidence = Evidence {
            rule: rule.map_or(CompactString::default(), |rule| rule.saved.text.as_str().into()),
            in_force: rule.map_or(0, |rule| rule.in_force),
            samples: Vec::new(),
            muted_by: self.mutes(key, level).collect(),
        };
        Transition {
            key: key.clone(),
            episode: episode.number,
            kind,
            level,
            reason: None,
            evidence: Evidence { samples: std::mem::take(&mut self.deciding), ..evidence },
            since: episode.since,
            value: episode.value,
            peak: episode.peak,
            duration_ms: None,
            retro: false,
            shadow: self.rule(&key.rule).is_some_and(|rule| rule.saved.state == RuleState::Shadow),
        }
    }

    fn rule(&self, id: &str) -> Option<&Entry> {
        let place = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id));
        place.ok().and_then(|place| self.rules.get(place))
    }

    /// Who hears of a rule; none: it is gone, or a built-in one that is switched off.
    fn telling(&self, id: &str) -> Option<Telling> {
        let own = self.rule(id);
        let saved = own.map(|rule| &rule.saved).or_else(|| self.built_ins.get(id));
        let rule = own.and_then(|rule| rule.program.as_ref()).map(|program| &program.rule);
        if own.is_none()
            && (built_in(id).is_none() || saved.is_some_and(|it| it.state == RuleState::Disabled))
        {
            return None;
        }
        let shadow = saved.is_some_and(|saved| saved.state == RuleState::Shadow);
        let named = saved.map(|saved| &saved.receivers).filter(|named| !named.is_empty());
        let mut receivers = named.unwrap_or(&self.defaults.receivers).clone();
        let policy = saved.map(|saved| &saved.policy).filter(|policy| !policy.is_empty());
        let mut policy = policy.unwrap_or(&self.defaults.policy).clone();
        receivers.extend(policy.first().into_iter().flat_map(|step| step.receivers.iter().cloned()));
        if shadow {
            receivers = BTreeSet::from([SHADOW_RECEIVER.to_owned()]);
            policy.clear();
        }
        let severity = rule.map(|rule| rule.severity()).or_else(|| built_in(id)).unwrap_or(Severity::Warning);
        let cooldown_ms = rule.and_then(|rule| rule.cooldown_ms).map_or(COOLDOWN_MS, u64::from);
        let repeat_ms = rule.and_then(|rule| rule.repeat_ms).map_or(0, u64::from);
        let (failing, instead) = match shadow || self.failing.is_empty() {
            true => Default::default(),
            false => (self.failing.clone(), self.defaults.receivers.clone()),
        };
        let hears = self.hears.clone();
        Some(Telling { receivers, policy, severity, cooldown_ms, repeat_ms, shadow, failing, instead, hears })
    }

    /// Says of one instance what is true and was not said.
    fn speak(&mut self, key: &Key) {
        let mut telling = self.telling(&key.rule);
        if let Some(telling) = telling.as_mut().filter(|_| key.rule == rules::RECEIVER_FAILED) {
            telling.receivers.remove(key.series.as_str());
            telling.instead.remove(key.series.as_str());
        }
        let Some(mut voice) = self.voices.remove(key) else { return };
        if let Some(telling) = &telling {
            voice.set_severity(telling.severity);
        }
        let muted = self.is_muted(key, voice.level());
        voice.speak(key, telling.as_ref(), muted, self.now, &mut self.out);
        if !voice.is_silent(self.now) {
            voice.rest(telling.as_ref(), muted, self.now);
            self.voices.insert(key.clone(), voice);
        }
    }

    fn is_muted(&self, key: &Key, level: Severity) -> bool {
        self.mutes(key, level).next().is_some()
    }

    /// Silence, maintenance, inhibition, pause: whatever holds notices back, in words.
    fn mutes(&self, key: &Key, level: Severity) -> impl Iterator<Item = CompactString> {
        let host = self.hosts.get(&key.host);
        let is_silence = self.is_silence(&key.rule);
        let inhibited = host.is_some_and(|host| host.inhibited) && !is_silence;
        let in_outage =
            is_silence && self.outage.as_ref().is_some_and(|outage| outage.hosts.contains(&key.host));
        let paused = host.is_some_and(|host| host.watched.paused);
        let here = [(inhibited, "host silent"), (in_outage, "ingest outage"), (paused, "host paused")];
        let silences = self.silences.iter().filter(move |(_, it)| self.silences_key(it, key, level));
        let named = silences.map(|(id, _)| compact_str::format_compact!("silence {id}"));
        here.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.into()).chain(named)
    }

    fn is_silence(&self, rule: &str) -> bool {
        rule == rules::HOST_SILENT || self.rule(rule).is_some_and(|rule| rule.silence().is_some())
    }

    fn silences_key(&self, silence: &Silence, key: &Key, level: Severity) -> bool {
        let runs = (silence.from.0..silence.until.0).contains(&self.now) && !silence.matchers.is_empty();
        runs && silence.matchers.iter().all(|matcher| match matcher {
            Matcher::Host(host) => host.as_str() == key.host,
            Matcher::Tag(tag) => {
                self.hosts.get(&key.host).is_some_and(|host| host.watched.tags.contains(tag))
            }
            Matcher::Rule(rule) => rule.as_str() == key.rule,
            Matcher::Label { name, value } => {
                key.series.starts_with(&format!("{{{name}={}}}", serde_json::Value::from(value.as_str())))
            }
            Matcher::Severity(severity) => *severity == level,
        })
    }
}
