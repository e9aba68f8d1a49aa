//! What people decide, applied at a tick.

use super::Machine;
use super::effect::{Key, Reason, TEAM, TransitionKind};
use super::host::Host;
use super::instance::{HELD_MS, Phase};
use super::program::Program;
use super::reports::no_data_key;
use super::rules::{Entry, RECEIVER_FAILED, built_in};
use super::voice::Episode;
use super::watch::Watch;
use compact_str::CompactString;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{AlertFact, EpisodeRef, RuleState, SavedRule, WatchedHost};
use watchkeeper_schemas::rule::NoDataPolicy;
use watchkeeper_schemas::rule::Severity;

/// A silence that is over is kept for so long: the broker's clock may fall into it again, in milliseconds.
const SILENCE_KEPT_MS: u64 = 24 * 3_600_000;

impl Machine {
    pub(super) fn put(&mut self, fact: AlertFact) {
        match fact {
            AlertFact::Rule { id, value } => match built_in(id.as_str()) {
                Some(_) => self.put_built_in(id.as_str(), value),
                None => self.put_rule(id.as_str(), value),
            },
            AlertFact::Host { id, value } => self.put_host(id.as_str(), value),
            AlertFact::Silence { id, value: Some(silence) } => {
                self.silences.insert(id, silence);
            }
            AlertFact::Silence { id, value: None } => {
                self.silences.remove(&id);
            }
            AlertFact::Ack { episode, value } => self.acknowledge(&episode, value),
            AlertFact::Resolve { episode, by: _ } => self.resolve(&episode),
            AlertFact::Defaults { value } => self.defaults = value,
            AlertFact::Receiver { id, value } => self.put_receiver(&id, value),
            AlertFact::Hears { id, value } => match value.filter(|from| *from > Severity::Info) {
                Some(from) => _ = self.hears.insert(id, from),
                None => _ = self.hears.remove(&id),
            },
            AlertFact::Behind { from, until } => self.tell_behind(from.0, until.0),
        }
        let now = self.now;
        self.silences.retain(|_, silence| silence.until.0.saturating_add(SILENCE_KEPT_MS) > now);
    }

    fn put_built_in(&mut self, id: &str, value: Option<SavedRule>) {
        if value.as_ref().is_some_and(|saved| saved.state == RuleState::Disabled) {
            self.close_all(|key| key.rule == id, Reason::Disabled);
            self.hosts.values_mut().for_each(|host| _ = host.silent.remove(id));
        }
        match value {
            Some(saved) => self.built_ins.insert(id.into(), saved),
            None => self.built_ins.remove(id),
        };
    }

    fn put_rule(&mut self, id: &str, value: Option<SavedRule>) {
        let place = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id));
        let Some(saved) = value else {
            if let Ok(place) = place {
                self.close_all(|key| key.rule == id, Reason::Deleted);
                self.forget_retro(id, Reason::Deleted);
                self.rules.remove(place);
                for host in self.hosts.values_mut() {
                    host.runs.remove(place);
                    host.silent.remove(id);
                }
            }
            return;
        };
        let mut entry = Entry::new(id, saved, self.sequence);
        match place {
            Err(place) => {
                self.rules.insert(place, entry);
                self.hosts.values_mut().for_each(|host| host.runs.insert(place, Watch::Off));
                self.rescope_rule(place, Reason::OutOfScope);
            }
            Ok(place) => {
                let was = &self.rules[place];
                if was.saved.state == RuleState::Live && entry.saved.state == RuleState::Shadow {
                    self.switch_off(place, Reason::Disabled);
                }
                let was = &self.rules[place];
                (entry.instances, entry.unwatched, entry.full) = (was.instances, was.unwatched, was.full);
                let before = std::mem::replace(&mut self.rules[place], entry);
                self.edited(place, &before);
            }
        }
    }

    /// A rule was saved again.
    fn edited(&mut self, place: usize, before: &Entry) {
        let id = before.id.clone();
        let (was, is) = (before.saved.state, self.rules[place].saved.state);
        if was == RuleState::Shadow && is == RuleState::Live {
            let own = self.voices.iter_mut().filter(|(key, _)| key.rule == id);
            own.for_each(|(_, voice)| voice.forget_shadow());
        }
        let meant = |program: &Option<Program>| program.as_ref().map(|program| program.rule.clone());
        let same = match (meant(&before.program), meant(&self.rules[place].program)) {
            (Some(old), Some(new)) => old.means_the_same(&new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.reform(place);
        }
        let gone = if is == RuleState::Disabled { Reason::Disabled } else { Reason::OutOfScope };
        self.rescope_rule(place, gone);
    }

    /// The rule means something else: its series that no longer belong go, the others begin anew.
    fn reform(&mut self, place: usize) {
        let Some(rule) = self.rules.get_mut(place) else { return };
        let ask = rule.program.as_ref().and_then(|program| program.ask.as_ref());
        let no_data = rule.program.as_ref().is_some_and(|it| it.no_data().policy == NoDataPolicy::Alert);
        let (id, mut kept) = (rule.id.clone(), BTreeSet::new());
        for (host_id, host) in &mut self.hosts {
            if ask.is_some() {
                host.silent.remove(&id);
            } else if host.silent.contains_key(&id) {
                kept.insert(Key::new(&id, host_id, ""));
            }
            let Some(watch) = host.runs.get_mut(place) else { continue };
            let before = watch.instances();
            let is_on = watch.open(|open| {
                open.instances.retain_mut(|instance| ask.is_some_and(|ask| instance.reform(ask)));
                // Without an expression no instance was kept.
                for instance in &mut open.instances {
                    let series = ask.map_or(CompactString::default(), |ask| ask.series_text(&instance.label));
                    let key = Key::new(&id, host_id, &series);
                    instance.no_data &= no_data;
                    kept.extend(Some(no_data_key(&key)).filter(|_| no_data));
                    kept.insert(key);
                }
            });
            rule.instances -= before - watch.instances();
            if is_on.is_some() {
                self.again.insert((host_id.clone(), id.clone()), true);
            }
        }
        self.close_all(|key| key.rule == id && !kept.contains(key), Reason::RuleChanged);
        self.forget_retro(&id, Reason::RuleChanged);
    }

    fn rescope_rule(&mut self, place: usize, gone: Reason) {
        let hosts: Vec<CompactString> = self.hosts.keys().cloned().collect();
        hosts.iter().for_each(|host| self.rescope(host, place, gone));
    }

    /// A rule begins or ends to watch a host.
    fn rescope(&mut self, host_id: &str, place: usize, gone: Reason) {
        let (Some(rule), Some(host)) = (self.rules.get_mut(place), self.hosts.get_mut(host_id)) else {
            return;
        };
        let id = rule.id.clone();
        let is_in = host.is_in(&rule.saved.scope, host_id);
        let on = rule.asks() && is_in;
        let silence_ends = !(is_in && rule.silence().is_some()) && host.silent.remove(&id).is_some();
        let Some(watch) = host.runs.get_mut(place) else { return };
        let was = watch.is_on();
        if !was && on {
            *watch = Watch::on();
            self.again.entry((host_id.into(), id)).or_insert(false);
        } else if was && !on || silence_ends {
            let before = std::mem::replace(watch, if on { Watch::on() } else { Watch::Off });
            rule.instances -= before.instances();
            rule.unwatched -= before.unwatched();
            self.close_all(|key| key.rule == id && key.host == host_id, gone);
        }
    }

    /// Ends everything of a rule, as if it had never watched.
    fn switch_off(&mut self, place: usize, reason: Reason) {
        let Some(rule) = self.rules.get_mut(place) else { return };
        (rule.instances, rule.unwatched) = (0, 0);
        let id = rule.id.clone();
        for host in self.hosts.values_mut() {
            host.silent.remove(&id);
            if let Some(watch) = host.runs.get_mut(place) {
                *watch = Watch::Off;
            }
        }
        self.close_all(|key| key.rule == id, reason);
    }

    pub(super) fn put_host(&mut self, id: &str, value: Option<WatchedHost>) {
        let Some(watched) = value else {
            self.close_all(|key| key.host == id, Reason::Deleted);
            let host = self.hosts.remove(id).unwrap_or_default();
            for (rule, watch) in self.rules.iter_mut().zip(&host.runs) {
                rule.instances -= watch.instances();
                rule.unwatched -= watch.unwatched();
            }
            self.outage.iter_mut().for_each(|outage| _ = outage.hosts.remove(id));
            return;
        };
        let rules = self.rules.len();
        let now = self.now;
        let host = self.hosts.entry(id.into()).or_insert_with(|| Box::new(Host::new(rules)));
        let was_paused = host.watched.paused;
        let resumed = was_paused && !watched.paused;
        host.watched = watched;
        if host.watched.paused && !was_paused {
            host.runs.iter_mut().for_each(Watch::pause);
        }
        if resumed {
            host.restart_limits(now);
            for (rule, _) in self.rules.iter().zip(&host.runs).filter(|(_, watch)| watch.is_on()) {
                self.again.entry((id.into(), rule.id.clone())).or_insert(false);
            }
        }
        (0..rules).for_each(|place| self.rescope(id, place, Reason::OutOfScope));
    }

    fn acknowledge(&mut self, episode: &EpisodeRef, by: Option<String>) {
        let key = Key::of(episode);
        let Some(voice) = self.voices.get_mut(&key) else { return };
        let level = voice.level();
        let Some(open) = voice.open.as_mut().filter(|open| open.number == episode.episode) else { return };
        let acked = by.is_some().then_some(level);
        if open.acked != acked {
            open.acked = acked;
            let reason = by.map_or(CompactString::const_new("withdrawn"), CompactString::from);
            self.record(&key, TransitionKind::Acked, Some(reason));
        }
    }

    fn resolve(&mut self, episode: &EpisodeRef) {
        let key = Key::of(episode);
        let open = self.voices.get(&key).and_then(|voice| voice.open.as_ref());
        let Some(open) = open.filter(|it| it.number == episode.episode).cloned() else { return };
        let (until, critical, mut is_held) = (self.now + HELD_MS, open.critical, false);
        if let Ok(place) = self.rules.binary_search_by(|rule| rule.id.cmp(&key.rule))
            && let Some(ask) = self.rules[place].program.as_ref().and_then(|program| program.ask.as_ref())
            && let Some(watch) = self.hosts.get_mut(&key.host).and_then(|host| host.runs.get_mut(place))
        {
            watch.open(|open| {
                let own = open.instances.iter_mut().filter(|it| ask.series_text(&it.label) == key.series);
                for instance in own {
                    instance.phase = Phase::Held { until, critical };
                    is_held = true;
                }
            });
        }
        self.close(&key, Reason::Manual, self.now);
        if let Some(voice) = self.voices.get_mut(&key).filter(|_| !is_held) {
            voice.held = Some((until, open));
        }
    }

    /// Messages to a receiver are refused, or arrive again.
    fn put_receiver(&mut self, id: &str, failure: Option<String>) {
        let key = Key::new(RECEIVER_FAILED, TEAM, id);
        match failure {
            None => {
                self.failing.remove(id);
                self.close(&key, Reason::Ok, self.now);
            }
            Some(why) => {
                self.failing.insert(id.to_owned());
                let detail = Some(CompactString::from(why));
                self.fire(key, Episode::of_fact(self.sequence, self.now, detail));
            }
        }
    }

    fn close_all(&mut self, which: impl Fn(&Key) -> bool, reason: Reason) {
        let keys: Vec<Key> = self.voices.keys().filter(|key| which(key)).cloned().collect();
        keys.iter().for_each(|key| self.close(key, reason, self.now));
    }
}
