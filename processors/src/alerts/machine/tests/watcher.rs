//! What must be true after each input of any log (ALERTS §5), seen from outside: from inputs and effects.

use super::super::{Effect, Input, Key, Kind, Machine, Notice, NoticeKind, Transition, TransitionKind};
use super::super::{GAP_MS, SHADOW_RECEIVER, rules::built_in};
use super::random_log::COOLDOWN_MS;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{AlertFact, RuleState, SavedRule};
use watchkeeper_schemas::rule::Severity;

type Place = (Key, String);

/// Everything that was decided so far.
#[derive(Default)]
pub(super) struct Watcher {
    now: u64,
    rules: BTreeMap<String, SavedRule>,
    hosts: BTreeSet<String>,
    paused: BTreeSet<String>,
    silences: BTreeMap<String, (u64, u64, String)>,
    /// The number of the newest episode, and whether it is open.
    turns: BTreeMap<Key, (u64, bool)>,
    retro: BTreeMap<Key, bool>,
    acked: BTreeMap<(Key, u64), Severity>,
    /// Ids of notices.
    said: BTreeSet<(Key, u64, NoticeKind, u32, String)>,
    told: BTreeMap<Place, u64>,
    /// Who was told in place of one whose channel refuses.
    instead: BTreeSet<(Place, u64)>,
    cooling: BTreeMap<Place, (u64, Severity)>,
}

/// Of one of the rules here, not of a built-in one.
fn is_own(key: &Key) -> bool {
    key.rule.len() == 2
}

/// Whether a receiver may hear of a rule.
fn names(rule: &SavedRule, receiver: &str) -> bool {
    let steps = rule.policy.iter().flat_map(|step| &step.receivers);
    rule.receivers.iter().chain(steps).any(|named| named == receiver)
}

impl Watcher {
    pub(super) fn look(&mut self, input: &Input, effects: &[Effect], machine: &Machine) {
        if input.time + GAP_MS < self.now {
            let by = self.now - input.time;
            self.now = input.time;
            self.cooling.values_mut().for_each(|(until, _)| *until -= by);
        }
        self.now = self.now.max(input.time);
        if let Kind::Tick(facts) = &input.kind {
            facts.iter().for_each(|fact| self.note(fact));
        }
        for effect in effects {
            match effect {
                Effect::Transition(it) => self.transition(it, input),
                Effect::Notice(it) => self.notice(it, input, machine),
            }
        }
        self.forget_removed(machine);
        if matches!(input.kind, Kind::Tick(_)) {
            self.settled(machine);
            self.exceeded(input, machine);
        }
        let counted: usize = machine.rules.iter().map(|rule| rule.instances).sum();
        let there =
            machine.hosts.values().flat_map(|host| &host.runs).map(super::super::watch::Watch::instances);
        assert_eq!(counted, there.sum::<usize>(), "I22: instances that are counted, and that are there");
    }

    fn note(&mut self, fact: &AlertFact) {
        match fact {
            AlertFact::Rule { id, value: Some(rule) } => {
                let before = self.rules.insert(id.to_string(), rule.clone());
                if let Some(before) = before.as_ref().filter(|before| before.state == RuleState::Live)
                    && rule.state == RuleState::Shadow
                {
                    // What it told ends now, for those whom it named until now.
                    self.forget_unnamed(id.as_str(), before);
                }
                let before = before.map(|rule| rule.state);
                if (before, rule.state) == (Some(RuleState::Shadow), RuleState::Live) {
                    let kept = |(key, it): &Place| key.rule != id.as_str() || it != SHADOW_RECEIVER;
                    self.told.retain(|place, _| kept(place));
                    self.cooling.retain(|place, _| kept(place));
                }
            }
            AlertFact::Rule { id, value: None } => {
                if let Some(before) =
                    self.rules.remove(id.as_str()).filter(|it| it.state != RuleState::Shadow)
                {
                    self.forget_unnamed(id.as_str(), &before);
                }
            }
            AlertFact::Host { id, value } => {
                let is_paused = value.as_ref().is_some_and(|host| host.paused);
                self.paused.remove(id.as_str());
                self.paused.extend(Some(id.to_string()).filter(|_| is_paused));
                self.hosts.remove(id.as_str());
                self.hosts.extend(value.as_ref().map(|_| id.to_string()));
            }
            AlertFact::Silence { id, value: Some(silence) } => {
                let host = id.trim_start_matches("s-").to_owned();
                self.silences.insert(id.clone(), (silence.from.0, silence.until.0, host));
            }
            AlertFact::Silence { id, value: None } => _ = self.silences.remove(id),
            AlertFact::Ack { .. }
            | AlertFact::Resolve { .. }
            | AlertFact::Defaults { .. }
            | AlertFact::Receiver { .. }
            | AlertFact::Hears { .. }
            | AlertFact::Behind { .. } => {}
        }
    }

    /// Who is neither named by the rule nor stands in for somebody hears nothing more.
    fn forget_unnamed(&mut self, id: &str, rule: &SavedRule) {
        let instead = &self.instead;
        self.told.retain(|place, episode| {
            place.0.rule != id || names(rule, &place.1) || instead.contains(&(place.clone(), *episode))
        });
    }

    fn state(&self, rule: &str) -> Option<RuleState> {
        self.rules.get(rule).map(|rule| rule.state)
    }

    fn transition(&mut self, it: &Transition, input: &Input) {
        let of_rule = self.rules.contains_key(it.key.rule.as_str()) || built_in(&it.key.rule).is_some();
        let is_end = it.kind == TransitionKind::Resolved;
        assert!(of_rule || is_end, "I20: of no rule: {it:?}");
        if is_own(&it.key) && it.kind == TransitionKind::Fired {
            assert_ne!(self.state(&it.key.rule), Some(RuleState::Disabled), "I20: disabled: {it:?}");
            assert!(self.hosts.contains(it.key.host.as_str()), "I21: on no host of the team: {it:?}");
        }
        if it.retro {
            let open = self.retro.entry(it.key.clone()).or_default();
            assert_eq!(*open, it.kind != TransitionKind::Fired, "I7 in the past: {it:?}");
            *open = !is_end;
            return;
        }
        assert!(!matches!(input.kind, Kind::Backfill(_)), "I18: back-fill touches what is live: {it:?}");
        if is_own(&it.key) && !it.key.series.contains("no_data") {
            let by_number = it.kind == TransitionKind::Fired || it.reason.as_deref() == Some("ok");
            let has_facts = matches!(&input.kind, Kind::Tick(facts) if !facts.is_empty());
            let by_sample = matches!(&input.kind, Kind::Live(report) if report.host == it.key.host.as_str());
            assert!(!by_number || has_facts || by_sample, "I8: without a sample: {it:?} at {input:?}");
        }
        let (number, is_open) = self.turns.entry(it.key.clone()).or_default();
        match it.kind {
            TransitionKind::Fired => {
                assert!(!*is_open && it.episode > *number, "I7: {it:?} after {number} open={is_open}");
                assert_eq!(it.episode, input.sequence, "an episode is named by the input that opened it");
                (*number, *is_open) = (it.episode, true);
            }
            TransitionKind::Resolved | TransitionKind::Level | TransitionKind::Acked => {
                assert!(*is_open && it.episode == *number, "I7: {it:?} after {number} open={is_open}");
                *is_open = !is_end;
            }
        }
        let episode = (it.key.clone(), it.episode);
        if it.kind == TransitionKind::Acked && it.reason.as_deref() == Some("withdrawn") {
            self.acked.remove(&episode);
        } else if it.kind == TransitionKind::Acked {
            self.acked.insert(episode, it.level);
        }
    }

    fn notice(&mut self, it: &Notice, input: &Input, machine: &Machine) {
        assert!(!matches!(input.kind, Kind::Backfill(_)), "I18: {it:?}");
        let id = (it.key.clone(), it.episode, it.kind, it.n, it.receiver.clone());
        assert!(self.said.insert(id), "I16: decided twice: {it:?}");
        assert_eq!(it.shadow, it.receiver == SHADOW_RECEIVER, "{it:?}");
        if !is_own(&it.key) {
            return;
        }
        let silenced = self
            .silences
            .values()
            .any(|(from, until, host)| *host == it.key.host.as_str() && (*from..*until).contains(&self.now));
        let host = machine.hosts.get(&it.key.host);
        let inhibited = host.is_some_and(|host| host.inhibited);
        let paused = self.paused.contains(it.key.host.as_str());
        assert!(!(silenced || inhibited || paused), "I14: muted: {it:?}");
        let place = (it.key.clone(), it.receiver.clone());
        let acked = self.acked.get(&(it.key.clone(), it.episode));
        match it.kind {
            NoticeKind::Resolved => {
                assert_eq!(self.told.remove(&place), Some(it.episode), "I11: never told: {it:?}");
                assert!(it.duration_ms.is_some(), "{it:?}");
            }
            NoticeKind::Firing => {
                let cooling =
                    self.cooling.get(&place).filter(|(until, level)| *until > self.now && it.level <= *level);
                assert_eq!(cooling, None, "I12: inside the cooldown: {it:?}");
                self.tell(place, it);
            }
            NoticeKind::Escalated | NoticeKind::Reminder => {
                assert!(acked.is_none_or(|level| *level < it.level), "I15: acknowledged: {it:?}");
                if it.kind == NoticeKind::Escalated {
                    let rule = self.rules.get(it.key.rule.as_str());
                    if rule.is_none_or(|rule| !names(rule, &it.receiver)) {
                        self.instead.insert((place.clone(), it.episode));
                    }
                    self.tell(place, it);
                }
            }
            NoticeKind::LevelUp | NoticeKind::Flapping | NoticeKind::Steady => {}
        }
    }

    fn tell(&mut self, place: Place, it: &Notice) {
        self.cooling.insert(place.clone(), (self.now + COOLDOWN_MS, it.level));
        self.told.insert(place, it.episode);
    }

    fn receivers(&self, rule: &str) -> BTreeSet<String> {
        match self.rules.get(rule) {
            Some(rule) if rule.state == RuleState::Shadow => BTreeSet::from([SHADOW_RECEIVER.to_owned()]),
            Some(rule) => rule.receivers.clone(),
            None => BTreeSet::new(),
        }
    }

    /// A receiver that the rule no longer names hears nothing more.
    fn forget_removed(&mut self, machine: &Machine) {
        let (rules, instead) = (&self.rules, &self.instead);
        self.told.retain(|place, episode| {
            if instead.contains(&(place.clone(), *episode)) {
                return true;
            }
            let (key, receiver) = place;
            let rule = rules.get(key.rule.as_str()).filter(|rule| rule.state != RuleState::Shadow);
            rule.is_none_or(|rule| names(rule, receiver)) || machine.open_episode(key) == Some(*episode)
        });
    }

    /// I13, I14: what is not held back is told at the tick.
    fn settled(&self, machine: &Machine) {
        for (key, voice) in machine.voices.iter().filter(|(key, _)| is_own(key)) {
            if voice.is_flapping() || machine.is_muted(key, voice.level()) {
                continue;
            }
            let open = voice.open.as_ref().map(|open| open.number);
            for receiver in self.receivers(&key.rule) {
                let place = (key.clone(), receiver);
                let told = self.told.get(&place).copied();
                let cooling = self.cooling.get(&place);
                let deferred = open.is_some()
                    && cooling.is_some_and(|(until, level)| *until > self.now && voice.level() <= *level);
                assert!(
                    told == open || told.is_none() && deferred,
                    "I13, I14: {place:?} told {told:?}, open {open:?}"
                );
            }
        }
        let lost = self.told.keys().filter(|(key, receiver)| {
            let heard = self.receivers(&key.rule);
            (heard.is_empty() || heard.contains(receiver)) && !machine.voices.contains_key(key)
        });
        assert_eq!(lost.collect::<Vec<_>>(), Vec::<&Place>::new(), "never told as over");
    }

    /// I9: a rule saved on an exceeded threshold fires without a further sample.
    fn exceeded(&self, input: &Input, machine: &Machine) {
        let Kind::Tick(facts) = &input.kind else { return };
        for fact in facts {
            let AlertFact::Rule { id, value: Some(rule) } = fact else { continue };
            let plain = rule.text == super::random_log::TEXTS[3] && rule.state != RuleState::Disabled;
            for (name, host) in machine.hosts.iter().filter(|(_, host)| plain && !host.watched.paused) {
                let key = Key::new(id.as_str(), name, "");
                let cpu = super::super::MetricKey::find("cpu.usage_pct").unwrap();
                let is_young = host.life.is_some() && self.now.saturating_sub(host.live) < host.no_data_ms();
                let exceeded = is_young && host.last.get(&cpu, "").is_some_and(|cpu| cpu > 60.0);
                let place = machine.rules.iter().position(|it| it.id == id.as_str()).unwrap();
                let by_hand = host.runs[place].is_held();
                let is_open = machine.open_episode(&key).is_some();
                assert!(!exceeded || is_open || by_hand, "I9: {key:?} at {input:?}");
            }
        }
    }
}
