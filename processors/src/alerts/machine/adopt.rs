//! Episodes that are open by what was published, of which a machine that lost its snapshot knows nothing: it goes on
//! with those that began before what it can still read, and ends those that are over by what it has read.

use super::effect::{Key, Reason};
use super::instance::{Instance, Phase};
use super::reports::NO_DATA;
use super::rules::{CLOCK_SKEW, HOST_SILENT, SHARED_IDENTITY, UNREADABLE};
use super::voice::{Episode, Tell, Told};
use super::{COOLDOWN_MS, Machine};
use compact_str::CompactString;
use watchkeeper_schemas::alerting::{RuleState, label_of};
use watchkeeper_schemas::rule::Severity;

/// An open episode as its transitions and notices show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// Of which instance.
    pub key: Key,
    /// Its number.
    pub number: u64,
    /// First sample that was true, in event time.
    pub since: u64,
    /// The last value that is known.
    pub value: Option<f64>,
    /// The worst of them.
    pub peak: Option<f64>,
    /// How bad it was.
    pub level: Severity,
    /// The level up to which somebody looks after it.
    pub acked: Option<Severity>,
    /// Who heard.
    pub told: Vec<Heard>,
}

/// What one receiver heard of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Who.
    pub receiver: String,
    /// The highest level.
    pub level: Severity,
    /// When, in log time, for the last time.
    pub last: u64,
    /// How many reminders.
    pub reminders: u32,
    /// How often that it became worse.
    pub level_ups: u32,
    /// By which step of the policy.
    pub step: u32,
}

impl Machine {
    /// Goes on with an episode; false: what it is about is not watched here.
    pub fn adopt(&mut self, orphan: &Orphan) -> bool {
        let is_watched = match self.rules.binary_search_by(|rule| rule.id.cmp(&orphan.key.rule)) {
            Ok(place) => self.adopt_series(place, orphan),
            Err(_) => self.adopt_built_in(orphan),
        };
        if is_watched {
            self.give_voice(orphan);
        }
        is_watched
    }

    /// Ends an episode that is not open here, or goes on with it under its own number where it was found open again.
    pub fn settle(&mut self, orphan: &Orphan) {
        match self.open_episode(&orphan.key) {
            Some(number) if number == orphan.number => {}
            Some(_) => self.give_voice(orphan),
            None => {
                let rule = self.rule(&orphan.key.rule).map(|rule| rule.saved.state);
                let reason = match rule {
                    Some(RuleState::Disabled) => Reason::Disabled,
                    Some(_) => Reason::Ok,
                    None if super::built_in(&orphan.key.rule).is_some() => Reason::Ok,
                    None => Reason::Deleted,
                };
                self.give_voice(orphan);
                self.close(&orphan.key, reason, self.now);
            }
        }
    }

    fn adopt_series(&mut self, place: usize, orphan: &Orphan) -> bool {
        let (now, rule) = (self.now, &mut self.rules[place]);
        let Some(host) = self.hosts.get_mut(&orphan.key.host) else { return false };
        if rule.silence().is_some() {
            host.silent.insert(rule.id.clone(), rule.saved.state == RuleState::Live);
            host.inhibited |= rule.saved.state == RuleState::Live;
            return true;
        }
        let Some(ask) = rule.program.as_ref().and_then(|program| program.ask.as_ref()) else { return false };
        let Some(watch) = host.runs.get_mut(place) else { return false };
        let (series, is_no_data) = match orphan.key.series.strip_suffix(NO_DATA) {
            Some(series) => (series, true),
            None => (orphan.key.series.as_str(), false),
        };
        let label: CompactString = label_of(series).map(|(_, value)| value).unwrap_or_default().into();
        if ask.series_text(&label) != series {
            return false;
        }
        let severity = rule.program.as_ref().map_or(orphan.level, |program| program.rule.severity());
        let before = watch.instances();
        let adopted = watch.open(|open| {
            let place = open.instances.binary_search_by(|instance| instance.label.cmp(&label));
            let place = place.unwrap_or_else(|place| {
                open.instances.insert(place, Instance::new(label, ask, now));
                place
            });
            let instance = &mut open.instances[place];
            match is_no_data {
                true => instance.no_data = true,
                false => instance.phase = Phase::Firing,
            }
            instance.upper = orphan.level > severity;
        });
        rule.instances += watch.instances() - before;
        adopted.is_some()
    }

    fn adopt_built_in(&mut self, orphan: &Orphan) -> bool {
        let (id, now) = (orphan.key.rule.as_str(), self.now);
        if self.telling(id).is_none() {
            return false;
        }
        let Some(host) = self.hosts.get_mut(&orphan.key.host) else { return false };
        match id {
            HOST_SILENT => {
                host.silent.insert(id.into(), true);
                host.inhibited = true;
            }
            CLOCK_SKEW => {}
            UNREADABLE | SHARED_IDENTITY => _ = host.faults.insert(id.into(), now),
            _ => return false,
        }
        true
    }

    /// What is open, and who heard of it.
    fn give_voice(&mut self, orphan: &Orphan) {
        let telling = self.telling(&orphan.key.rule);
        let cooldown_ms = telling.as_ref().map_or(COOLDOWN_MS, |telling| telling.cooldown_ms);
        let severity = telling.map_or(orphan.level, |telling| telling.severity);
        let critical = orphan.level > severity;
        let voice = self.voices.entry(orphan.key.clone()).or_default();
        voice.set_severity(severity);
        let Orphan { number, since, value, peak, acked, .. } = *orphan;
        let step = orphan.told.iter().max_by_key(|heard| (heard.step, heard.last));
        let steps = step.map(|heard| (heard.step as usize, heard.last));
        let episode = Episode { acked, steps, ..Episode::new(number, since, value, peak, critical) };
        voice.newest = episode.about();
        voice.open = Some(episode);
        voice.tells.clear();
        for Heard { receiver, level, last, reminders, level_ups, step: _ } in orphan.told.iter().cloned() {
            let (episode, instead, closed) = (number, false, None);
            let told = Some(Told { episode, level, last, reminders, level_ups, instead, closed });
            let cooldown = Some((last + cooldown_ms, level));
            voice.tells.insert(receiver, Tell { told, cooldown, ..Tell::default() });
        }
        self.touched.insert(orphan.key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::random_log::{Log, fact_of_host};
    use super::super::{Effect, Input, Kind, Notice, Transition, TransitionKind};
    use super::*;
    use watchkeeper_schemas::alerting::AlertFact;

    /// What a machine decided, as who lost it finds it.
    fn orphans(effects: &[Effect]) -> Vec<Orphan> {
        let mut open: Vec<Orphan> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Transition(it) if it.kind == TransitionKind::Resolved => {
                    open.retain(|orphan| orphan.key != it.key);
                }
                Effect::Transition(Transition { key, episode, since, value, peak, level, .. }) => {
                    let told = open.iter().find(|it| it.key == *key).map(|it| it.told.clone());
                    open.retain(|orphan| orphan.key != *key);
                    let (key, told) = (key.clone(), told.unwrap_or_default());
                    let (number, since, value, peak, level) = (*episode, *since, *value, *peak, *level);
                    open.push(Orphan { key, number, since, value, peak, level, acked: None, told });
                }
                Effect::Notice(Notice { key, receiver, level, .. }) => {
                    let receiver = receiver.clone();
                    let heard = Heard {
                        receiver,
                        level: *level,
                        last: 1_001_000,
                        reminders: 0,
                        level_ups: 0,
                        step: 1,
                    };
                    open.iter_mut().filter(|it| it.key == *key).for_each(|it| it.told = vec![heard.clone()]);
                }
            }
        }
        open
    }

    #[test]
    fn whoever_lost_everything_ends_what_is_over_and_tells_those_who_heard() {
        let mut decided = Vec::new();
        let mut look = |_: &Input, effects: &[Effect], _: &Machine| decided.extend(effects.to_vec());
        let mut log = Log::begin(&mut look);
        log.sample(0, Some(97), Some(85));
        log.wait(1);
        let begin = log.inputs[0].clone();
        drop(log);
        let found = orphans(&decided);
        assert_eq!(found.len(), 2, "{found:?}");

        // The same rules and hosts, and nothing of the samples.
        let mut machine = Machine::default();
        machine.step(begin);
        assert!(found.iter().all(|orphan| machine.adopt(orphan)));
        let open =
            |machine: &Machine| found.iter().map(|it| machine.open_episode(&it.key)).collect::<Vec<_>>();
        assert_eq!(open(&machine), [Some(2), Some(2)]);
        // Who heard is told no second time; the host that went meanwhile ends what was about it.
        let effects = machine.step(Input { sequence: 90, time: 1_002_000, kind: Kind::Tick(Vec::new()) });
        assert!(
            effects.iter().all(|it| !matches!(it, Effect::Notice(n) if n.key.rule == "r3")),
            "{effects:?}"
        );
        let gone = AlertFact::Host { id: "h1".parse().unwrap(), value: None };
        let effects = machine.step(Input { sequence: 91, time: 1_003_000, kind: Kind::Tick(vec![gone]) });
        let ended = effects.iter().filter(|it| matches!(it, Effect::Transition(t) if t.episode == 2)).count();
        assert_eq!(ended, 2, "{effects:?}");

        // Nothing is there any more: it is over all the same, and those who heard are told.
        let mut machine = Machine::default();
        machine.begin(vec![fact_of_host("h2", false)]);
        assert!(!found.iter().any(|orphan| machine.adopt(orphan)));
        found.iter().for_each(|orphan| machine.settle(orphan));
        let effects = machine.step(Input { sequence: 92, time: 1_004_000, kind: Kind::Tick(Vec::new()) });
        let resolved = effects.iter().filter(|it| {
            matches!(it, Effect::Transition(t) if t.reason.as_deref() == Some("deleted"))
                || matches!(it, Effect::Notice(n) if n.receiver == "rx1" && n.episode == 2)
        });
        assert_eq!(resolved.count(), 4, "{effects:?}");
    }
}
