//! What a sample does: the host lives, its clock is judged, every rule looks at it.

use super::Machine;
use super::effect::{Effect, Key, NoticeKind, Reason, Sampled, TEAM, TransitionKind};
use super::input::Report;
use super::instance::{Change, Instance, Moment, Phase, worse};
use super::program::{Ask, Seen};
use super::rules::{BLIND, CLOCK_SKEW, Entry, REBOOTED, SHARED_IDENTITY, UNREADABLE};
use super::values::Values;
use super::voice::Episode;
use super::watch::Watch;
use super::{Notice, Transition};
use compact_str::CompactString;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Series;

/// Instances of one rule at most.
const RULE_INSTANCES_MAX: usize = 10_000;
/// Instances of one team at most.
const TEAM_INSTANCES_MAX: usize = 100_000;
/// A broken rule is whole again below this share of the limit, in percent.
const HEALED_PCT: usize = 90;
/// Behind a series: the alert that its numbers are missing.
pub(super) const NO_DATA: &str = "no_data";

/// What a rule found out about one series.
#[derive(Debug)]
pub(super) enum Finding {
    Fired(Episode, [Sampled; 2]),
    Worse(f64, bool),
    Over([Sampled; 2]),
    Upper(bool),
    DataAgain,
}

/// What a rule looks at.
pub(super) struct Look<'a> {
    pub(super) values: &'a Values,
    pub(super) at: Moment,
    /// Windows take the sample in, after throwing away what came before where true; none: it was taken in before.
    pub(super) feed: Option<bool>,
    /// When the sample was read, in log time.
    pub(super) seen: u64,
    pub(super) sequence: u64,
    /// It is kept how close series come.
    pub(super) near: bool,
}

impl Machine {
    /// A sample of the live lane.
    pub(super) fn live(&mut self, mut report: Report) {
        let mut room = self.room();
        let Some(host) = self.hosts.get_mut(report.host.as_str()) else {
            self.counts.unknown += 1;
            return;
        };
        let Some(accepted) = host.accept(&mut report, self.now) else {
            self.counts.late += 1;
            if host.is_another_agent(&report, self.now) {
                self.fault(SHARED_IDENTITY, &report.host);
            }
            return;
        };
        let (id, t, mut found) = (report.host.as_str(), accepted.at.t, Vec::new());
        let (paused, was_silent) = (host.watched.paused, !host.silent.is_empty());
        if !paused {
            let look = Look {
                values: &host.last,
                at: accepted.at,
                feed: Some(accepted.broken),
                seen: self.now,
                sequence: self.sequence,
                near: self.keeps_nearness,
            };
            for (rule, watch) in self.rules.iter_mut().zip(&mut host.runs) {
                look.at_rule(rule, watch, &mut room, &mut |key, finding| found.push((key, finding)), id);
            }
        }
        if was_silent {
            self.came_back(id);
        }
        if paused {
            return;
        }
        if accepted.rebooted && !was_silent {
            self.tell_once(Key::new(REBOOTED, id, ""), t, "the host started anew");
        }
        let skew = || Key::new(CLOCK_SKEW, id, "");
        match accepted.skew {
            Some(true) => self.fire(skew(), Episode::of_fact(self.sequence, t, None)),
            Some(false) => self.close(&skew(), Reason::Ok, t),
            None => {}
        }
        found.into_iter().for_each(|(key, finding)| self.apply(key, finding, t));
    }

    /// A message that could not be read is a sign of life, and a fault.
    pub(super) fn unreadable(&mut self, host: &str) {
        let now = self.now;
        let Some(known) = self.hosts.get_mut(host) else {
            self.counts.unknown += 1;
            return;
        };
        known.life = Some(now);
        let paused = known.watched.paused;
        self.came_back(host);
        if paused {
            return;
        }
        self.fault(UNREADABLE, host);
    }

    /// Something is wrong with what a host sends, until it was right for a while.
    fn fault(&mut self, rule: &str, id: &str) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(id) {
            host.faults.insert(rule.into(), now);
        }
        self.fire(Key::new(rule, id, ""), Episode::of_fact(self.sequence, now, None));
    }

    /// The host is no longer silent.
    fn came_back(&mut self, id: &str) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(id) else { return };
        for rule in std::mem::take(&mut host.silent).into_keys() {
            self.close(&Key::new(&rule, id, ""), Reason::Ok, now);
        }
    }

    /// The rules that facts touched look once at the last sample of the hosts that facts touched.
    pub(super) fn look_again(&mut self) {
        for ((host_id, rule_id), edited) in std::mem::take(&mut self.again) {
            let Ok(place) = self.rules.binary_search_by(|rule| rule.id.cmp(&rule_id)) else { continue };
            let mut room = self.room();
            let Some(host) = self.hosts.get_mut(&host_id) else { continue };
            let moment = host.last_moment(self.now, edited).filter(|_| !host.watched.paused);
            let (t, mut found) = (host.t, Vec::new());
            if let (Some(at), Some(watch)) = (moment, host.runs.get_mut(place)) {
                let (values, seen, near) = (&host.last, host.live, self.keeps_nearness);
                let look = Look { values, at, feed: None, seen, sequence: self.sequence, near };
                let found = &mut |key, finding| found.push((key, finding));
                look.at_rule(&mut self.rules[place], watch, &mut room, found, &host_id);
            }
            for (key, finding) in found {
                if let (true, Finding::Over(samples)) = (edited, &finding) {
                    self.deciding = one_or_two(*samples);
                    self.close(&key, Reason::RuleChanged, self.now);
                } else {
                    self.apply(key, finding, t);
                }
            }
        }
    }

    /// Instances that the team may still have.
    fn room(&self) -> usize {
        TEAM_INSTANCES_MAX.saturating_sub(self.rules.iter().map(|rule| rule.instances).sum())
    }

    fn apply(&mut self, key: Key, finding: Finding, t: u64) {
        self.deciding.clear();
        match finding {
            Finding::Fired(episode, samples) => {
                self.deciding = one_or_two(samples);
                self.fire(key, episode);
            }
            Finding::Over(samples) => {
                self.deciding = one_or_two(samples);
                self.close(&key, Reason::Ok, samples[0].time);
            }
            Finding::DataAgain => self.close(&key, Reason::Ok, t),
            Finding::Worse(value, larger) => {
                if let Some(open) = self.voices.get_mut(&key).and_then(|voice| voice.open.as_mut()) {
                    open.value = Some(value);
                    open.peak = worse(open.peak, Some((value, larger)));
                }
            }
            Finding::Upper(critical) => {
                let Some(voice) = self.voices.get_mut(&key) else { return };
                let before = voice.level();
                let Some(open) = voice.open.as_mut().filter(|open| open.critical != critical) else { return };
                open.critical = critical;
                let decided = Sampled { time: t, value: open.value };
                if voice.level() != before {
                    self.deciding = vec![decided];
                    self.record(&key, TransitionKind::Level, None);
                }
            }
        }
    }

    /// Something that happened and is over: recorded, told, never called back.
    pub(super) fn tell_once(&mut self, key: Key, t: u64, detail: &str) {
        let Some(telling) = self.telling(&key.rule) else { return };
        let (episode, level, muted) =
            (self.sequence, telling.severity, self.is_muted(&key, telling.severity));
        let open = Episode::new(episode, t, None, None, false);
        let fired = self.transition(&key, &open, TransitionKind::Fired, level);
        let resolved = self.transition(&key, &open, TransitionKind::Resolved, level);
        self.deciding.clear();
        self.out.push(Effect::Transition(Transition { reason: Some(detail.into()), ..fired }));
        self.out.push(Effect::Transition(Transition {
            reason: Some(Reason::Ok.as_str().into()),
            duration_ms: Some(0),
            ..resolved
        }));
        let level = telling.severity;
        let heard = telling.receivers.iter().filter(|it| !muted && telling.hears(it, level));
        for receiver in heard.cloned() {
            self.out.push(Effect::Notice(Notice {
                key: key.clone(),
                episode,
                kind: NoticeKind::Firing,
                n: 1,
                receiver,
                level,
                reason: Some(detail.into()),
                short_episodes: 0,
                shadow: telling.shadow,
                since: t,
                value: None,
                peak: None,
                duration_ms: Some(0),
            }));
        }
    }

    /// Nobody watched from the last tick until now, or what came meanwhile was lost.
    pub(super) fn tell_blind(&mut self, from: u64, lost: u64) {
        self.tell_span(from, self.now, lost);
    }

    /// Inputs came too late to be of use; nothing of it is told twice.
    pub(super) fn tell_behind(&mut self, from: u64, until: u64) {
        let from = from.max(self.blind_until);
        if from < until {
            self.tell_span(from, until, 0);
        }
    }

    fn tell_span(&mut self, from: u64, until: u64, lost: u64) {
        self.blind_until = until;
        let (from, until) = (UnixMs(from), UnixMs(until));
        let inputs = if lost == 1 { "input" } else { "inputs" };
        let lost = if lost > 0 { format!(", {lost} {inputs} lost") } else { String::new() };
        let detail = format!("blind from {from} to {until}{lost}");
        self.tell_once(Key::new(BLIND, TEAM, ""), self.now, &detail);
    }
}

impl Look<'_> {
    pub(super) fn at_rule(
        &self,
        rule: &mut Entry,
        watch: &mut Watch,
        room: &mut usize,
        found: &mut impl FnMut(Key, Finding),
        host: &str,
    ) {
        let Some(ask) = rule.program.as_ref().and_then(|program| program.ask.as_ref()) else { return };
        if self.stays_well(ask, watch) {
            return;
        }
        watch.open(|open| {
            let labels = match ask.series {
                Series::One if ask.is_carried(self.values, "") => vec![CompactString::default()],
                Series::One => Vec::new(),
                Series::Each { .. } => ask.labels(self.values),
            };
            let unwatched = std::mem::take(&mut open.unwatched);
            for label in labels {
                let place = open.instances.binary_search_by(|instance| instance.label.cmp(&label));
                let Err(place) = place else { continue };
                rule.full |= *room == 0 || rule.instances >= RULE_INSTANCES_MAX;
                if rule.full {
                    open.unwatched += 1;
                    continue;
                }
                *room -= 1;
                rule.instances += 1;
                let near = self.near.then(Box::default);
                open.instances.insert(place, Instance { near, ..Instance::new(label, ask, self.seen) });
            }
            rule.unwatched = rule.unwatched - unwatched + open.unwatched;
            for instance in &mut open.instances {
                let series = ask.series_text(&instance.label);
                self.at_instance(ask, instance, &mut |finding| {
                    let key = Key::new(&rule.id, host, &series);
                    let own = !matches!(finding, Finding::DataAgain);
                    found(if own { key } else { no_data_key(&key) }, finding);
                });
            }
        });
    }

    /// The usual case: the sample carries the same series as before, and nothing becomes wrong with any.
    fn stays_well(&self, ask: &Ask, watch: &mut Watch) -> bool {
        match watch {
            Watch::Off => true,
            Watch::Well { seen } => {
                let stays = ask.stays_well(self.values);
                if stays {
                    *seen = self.seen;
                }
                stays
            }
            Watch::RowsWell(rows) => {
                let labels = rows.0.iter().map(|(label, _)| label.as_str());
                let stays = ask.has_labels(self.values, labels)
                    && !rows.0.iter().any(|(label, _)| ask.stirs(self.values, label));
                if stays {
                    rows.0.iter_mut().for_each(|(_, seen)| *seen = self.seen);
                }
                stays
            }
            Watch::Open(_) => false,
        }
    }

    fn at_instance(&self, ask: &Ask, instance: &mut Instance, found: &mut impl FnMut(Finding)) {
        if ask.is_carried(self.values, &instance.label) {
            instance.seen = self.seen;
            instance.missing = None;
            if std::mem::take(&mut instance.no_data) {
                found(Finding::DataAgain);
            }
        } else if self.feed == Some(true) {
            instance.missing = Some(self.seen);
        } else {
            instance.missing.get_or_insert(instance.seen);
        }
        let windows: Vec<Option<f64>> = match self.feed {
            None => Vec::new(),
            Some(broken) => (ask.windows.iter().zip(&mut instance.windows))
                .map(|(spec, window)| window.take(spec, self.values, &instance.label, self.at.t, broken))
                .collect(),
        };
        let verdict = ask.verdict(&Seen { values: self.values, label: &instance.label, windows: &windows });
        instance.judge_upper(ask, &verdict, &self.at);
        let change = instance.step(ask, &verdict, &self.at);
        if let Some(near) = &mut instance.near {
            near.take(ask.limit, &verdict, &instance.phase, self.at.t);
        }
        match change {
            Some(Change::Fired(run)) => {
                let critical = instance.upper;
                let episode = Episode::new(self.sequence, run.since, run.value, run.peak, critical);
                found(Finding::Fired(episode, run.ends()));
            }
            Some(Change::Worse(value, larger)) => found(Finding::Worse(value, larger)),
            Some(Change::Over(samples)) => found(Finding::Over(samples)),
            None => {}
        }
        if instance.phase == Phase::Firing {
            found(Finding::Upper(instance.upper));
        }
    }
}

/// The alert that the numbers of a series are missing.
pub(super) fn no_data_key(key: &Key) -> Key {
    Key::new(&key.rule, &key.host, &format!("{}{NO_DATA}", key.series))
}

/// One where a single sample decided.
fn one_or_two([first, last]: [Sampled; 2]) -> Vec<Sampled> {
    if first.time == last.time { vec![last] } else { vec![first, last] }
}

impl Entry {
    /// Why it watches less than it should; it takes new series again when there is room.
    pub(super) fn broken(&mut self, team_instances: usize) -> Option<CompactString> {
        if self.program.is_none() {
            return Some(CompactString::const_new("its text does not read"));
        }
        self.full &= self.instances >= RULE_INSTANCES_MAX / 100 * HEALED_PCT
            || team_instances >= TEAM_INSTANCES_MAX / 100 * HEALED_PCT;
        self.full.then(|| compact_str::format_compact!("{} series have no place", self.unwatched))
    }
}
