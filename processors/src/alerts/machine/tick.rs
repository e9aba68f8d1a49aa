//! What a tick does: facts first, then what did not come, then what is to be said.

use super::effect::{Key, Reason, TEAM};
use super::instance::{Instance, Phase};
use super::reports::no_data_key;
use super::rules::{HOST_SILENT, INGEST_OUTAGE, RULE_BROKEN};
use super::voice::Episode;
use super::watch::Watch;
use super::{GAP_MS, Machine, Outage};
use compact_str::CompactString;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{AlertFact, RuleState};
use watchkeeper_schemas::rule::NoDataPolicy;

/// A series that its reporting host does not carry is gone after this, in milliseconds.
const GONE_MS: u64 = 10 * 60_000;
/// A gap longer than this is told, in milliseconds.
const BLIND_MS: u64 = 60_000;
/// Hosts that make an outage at least.
const OUTAGE_HOSTS_MIN: usize = 3;
/// Without another one for so long the fault of a host is over, in milliseconds.
const FAULT_OVER_MS: u64 = 10 * 60_000;

/// A rule by which a host is found silent.
struct Silence {
    rule: CompactString,
    limit_ms: u64,
    inhibits: bool,
}

impl Machine {
    pub(super) fn tick(&mut self, facts: Vec<AlertFact>) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 || self.last_tick.or(self.watching_since).is_some_and(|last| last + GAP_MS < self.now) {
            self.restart_limits();
        }
        if let Some(last) = self.last_tick.filter(|last| lost > 0 || last + BLIND_MS < self.now) {
            self.tell_blind(last, lost);
        }
        self.last_tick = Some(self.now);
        let is_decided = !facts.is_empty();
        facts.into_iter().for_each(|fact| self.put(fact));
        self.look_again();
        self.end_holds();
        self.leave_replaced();
        self.find_silent();
        self.find_missing();
        self.find_broken();
        self.end_inhibition();
        self.end_retro();
        let due = self.voices.iter().filter(|(key, voice)| {
            is_decided || voice.is_due(self.now, || self.is_muted(key, voice.level()))
        });
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        self.touched.extend(due);
    }

    /// The rules by which a host can be found silent: its own, else the built-in one.
    fn silences(&self, id: &str) -> Vec<Silence> {
        let Some(host) = self.hosts.get(id) else { return Vec::new() };
        let own = self.rules.iter().filter(|rule| host.is_in(&rule.saved.scope, id));
        let mut silences: Vec<Silence> = own
            .filter_map(|rule| {
                let limit_ms = host.silence_ms(rule.silence()?);
                let inhibits = rule.saved.state == RuleState::Live;
                Some(Silence { rule: rule.id.clone(), limit_ms, inhibits })
            })
            .collect();
        let replaced = silences.iter().any(|silence| silence.inhibits);
        if !replaced && self.telling(HOST_SILENT).is_some() {
            let limit_ms = host.silence_ms(None);
            silences.push(Silence { rule: HOST_SILENT.into(), limit_ms, inhibits: true });
        }
        silences
    }

    /// Hosts whose limit passes now; an outage of most of them is judged first.
    fn find_silent(&mut self) {
        let mut passing = Vec::new();
        for (id, host) in self.hosts.iter().filter(|(_, host)| !host.watched.paused) {
            let Some(quiet_ms) = host.life.map(|life| self.now.saturating_sub(life)) else { continue };
            // Nothing is ever silent before its third interval is over.
            if quiet_ms <= host.silence_ms(Some(0)) {
                continue;
            }
            let mut due = self.silences(id);
            due.retain(|it| quiet_ms > it.limit_ms && !host.silent.contains_key(&it.rule));
            passing.extend(due.into_iter().map(|silence| (id.clone(), silence)));
        }
        self.judge_outage(&passing);
        for (id, silence) in passing {
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.silent.insert(silence.rule.clone(), silence.inhibits);
            if silence.inhibits {
                host.inhibited = true;
                host.answered = false;
            }
            let since = host.life.unwrap_or(self.now);
            let episode = Episode::of_fact(self.sequence, since, None);
            self.fire(Key::new(&silence.rule, &id, ""), episode);
        }
    }

    fn judge_outage(&mut self, passing: &[(CompactString, Silence)]) {
        let now = self.now;
        if let Some(outage) = &self.outage {
            let reported =
                |id: &&CompactString| self.hosts.get(*id).is_none_or(|host| host.live > outage.since);
            if outage.hosts.iter().filter(reported).count() * 2 > outage.hosts.len() {
                self.outage = None;
                self.close(&Key::new(INGEST_OUTAGE, TEAM, ""), Reason::Ok, now);
            }
        }
        let passing = passing.iter().filter(|(_, silence)| silence.inhibits);
        let newly: BTreeSet<CompactString> = passing.map(|(id, _)| id.clone()).collect();
        if let Some(outage) = &mut self.outage {
            outage.hosts.extend(newly);
            return;
        }
        if newly.is_empty() || self.telling(INGEST_OUTAGE).is_none() {
            return;
        }
        let reporting = |host: &super::Host| host.life.is_some() && !host.watched.paused && !host.is_silent();
        let (mut all, mut quiet) = (0_usize, BTreeSet::new());
        for (id, _) in self.hosts.iter().filter(|(_, host)| reporting(host)) {
            all += 1;
            let limit_ms = self.silences(id).iter().map(|silence| silence.limit_ms).min();
            let Some(host) = self.hosts.get(id) else { continue };
            let half_ms = limit_ms.unwrap_or(host.hole_ms()) / 2;
            if now.saturating_sub(host.live) > half_ms {
                quiet.insert(id.clone());
            }
        }
        if quiet.len() >= OUTAGE_HOSTS_MIN && quiet.len() * 2 > all {
            let since = quiet.iter().filter_map(|id| self.hosts.get(id)).map(|host| host.live).min();
            let detail = named(&quiet, all);
            self.outage = Some(Outage { since: now, hosts: quiet });
            let episode = Episode::of_fact(self.sequence, since.unwrap_or(now), Some(detail));
            self.fire(Key::new(INGEST_OUTAGE, TEAM, ""), episode);
        }
    }

    /// Series without numbers: for a while, or for good.
    fn find_missing(&mut self) {
        let now = self.now;
        let (mut over, mut fired) = (Vec::new(), Vec::new());
        for (id, host) in self.hosts.iter_mut().filter(|(_, host)| !host.watched.paused) {
            let (limit_ms, reports) = (host.no_data_ms(), !host.is_silent());
            let is_fresh = reports && now.saturating_sub(host.live) < limit_ms;
            let old = |watch: &Watch| !watch.is_fresh(now, limit_ms);
            for (rule, watch) in self.rules.iter_mut().zip(&mut host.runs).filter(|(_, watch)| old(watch)) {
                let Some(program) = &rule.program else { continue };
                let Some(ask) = &program.ask else { continue };
                let policy = program.no_data();
                if policy.policy == NoDataPolicy::Keep && watch.is_well() {
                    continue;
                }
                let mut keeps = |instance: &mut Instance| {
                    let quiet_ms = now.saturating_sub(instance.seen);
                    if quiet_ms < limit_ms && instance.missing.is_none() {
                        return true;
                    }
                    let key = || Key::new(&rule.id, id, &ask.series_text(&instance.label));
                    if is_fresh && instance.missing.is_some_and(|since| since + GONE_MS <= now) {
                        over.extend([(key(), Reason::SeriesGone), (no_data_key(&key()), Reason::SeriesGone)]);
                        return false;
                    }
                    if quiet_ms < limit_ms {
                        return true;
                    }
                    let due =
                        quiet_ms >= policy.after_ms.map_or(limit_ms, |after| limit_ms.max(u64::from(after)));
                    match policy.policy {
                        NoDataPolicy::Resolve if due && instance.is_open() => {
                            over.push((key(), Reason::NoData));
                            instance.phase = Phase::Ok;
                        }
                        NoDataPolicy::Alert if due && !instance.no_data => {
                            instance.no_data = true;
                            fired.push((no_data_key(&key()), instance.seen));
                        }
                        NoDataPolicy::Keep | NoDataPolicy::Alert | NoDataPolicy::Resolve => {}
                    }
                    if matches!(instance.phase, Phase::Pending(_)) {
                        instance.phase = Phase::Ok;
                    }
                    true
                };
                let before = watch.instances();
                watch.open(|open| open.instances.retain_mut(&mut keeps));
                rule.instances -= before - watch.instances();
            }
        }
        over.into_iter().for_each(|(key, reason)| self.close(&key, reason, now));
        for (key, since) in fired {
            self.fire(key, Episode::of_fact(self.sequence, since, None));
        }
    }

    /// Rules that watch less than they should, and hosts that sent what nobody could read.
    fn find_broken(&mut self) {
        let now = self.now;
        let all = self.rules.iter().map(|rule| rule.instances).sum();
        let states: Vec<_> = self.rules.iter_mut().map(|rule| (rule.id.clone(), rule.broken(all))).collect();
        for (id, broken) in states {
            let key = Key::new(RULE_BROKEN, TEAM, &id);
            match broken {
                None => self.close(&key, Reason::Ok, now),
                Some(_) => self.fire(key, Episode::of_fact(self.sequence, now, broken)),
            }
        }
        let mut over = Vec::new();
        for (id, host) in &mut self.hosts {
            host.faults.retain(|rule, last| {
                let lasts = *last + FAULT_OVER_MS > now;
                if !lasts {
                    over.push(Key::new(rule, id, ""));
                }
                lasts
            });
        }
        over.iter().for_each(|key| self.close(key, Reason::Ok, now));
    }

    /// Ends with the first live sample, and where nothing finds the host silent any more.
    fn end_inhibition(&mut self) {
        let inhibited = self.hosts.iter().filter(|(_, host)| host.inhibited && !host.is_silent());
        let ended: Vec<CompactString> = inhibited
            .filter(|(id, host)| host.answered || !self.silences(id).iter().any(|it| it.inhibits))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.hosts.entry(id).and_modify(|host| host.inhibited = false);
        }
    }

    /// A rule of its own that watches a host replaces the built-in one; a shadow that goes live tells.
    fn leave_replaced(&mut self) {
        let silent = self.hosts.iter().filter(|(_, host)| !host.silent.is_empty());
        let found: Vec<_> = silent.map(|(id, _)| (id.clone(), self.silences(id))).collect();
        for (id, silences) in found {
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            let tells = |rule: &str| silences.iter().find(|it| it.rule == rule).map(|it| it.inhibits);
            host.silent.iter_mut().for_each(|(rule, now)| *now = tells(rule).unwrap_or(*now));
            let left: Vec<_> = host.silent.keys().filter(|rule| tells(rule).is_none()).cloned().collect();
            left.iter().for_each(|rule| _ = host.silent.remove(rule));
            left.iter().for_each(|rule| self.close(&Key::new(rule, &id, ""), Reason::OutOfScope, self.now));
        }
    }

    /// What a person closed though it is still true opens again after a day.
    fn end_holds(&mut self) {
        let now = self.now;
        let ended =
            self.voices.iter_mut().filter(|(_, voice)| voice.held.as_ref().is_some_and(|it| it.0 <= now));
        let ended: Vec<_> =
            ended.filter_map(|(key, voice)| Some((key.clone(), voice.held.take()?.1))).collect();
        for (key, episode) in ended {
            self.fire(key, Episode::of_fact(self.sequence, episode.since, episode.detail));
        }
    }
}

/// Hosts that are named in one message.
const NAMES_MAX: usize = 20;

/// "3 of 5 hosts silent: a, b, c".
fn named(quiet: &BTreeSet<CompactString>, all: usize) -> CompactString {
    let names: Vec<&str> = quiet.iter().take(NAMES_MAX).map(CompactString::as_str).collect();
    let more = match quiet.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    compact_str::format_compact!("{} of {all} hosts silent: {}{more}", quiet.len(), names.join(", "))
}
