//! What a tick does: facts first, then what did not come, then what is to be said.

use super::effect::{Key, Reason, TEAM};
use super::instance::Phase;
use super::reports::no_data_key;
use super::rules::{HOST_SILENT, INGEST_OUTAGE, RULE_BROKEN};
use super::voice::Episode;
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
        if let Some(last) = self.last_tick.filter(|last| last + GAP_MS < self.now) {
            self.restart_limits();
            if last + BLIND_MS < self.now {
                self.tell_blind(last);
            }
        }
        self.last_tick = Some(self.now);
        facts.into_iter().for_each(|fact| self.put(fact));
        self.look_again();
        self.find_silent();
        self.find_missing();
        self.find_broken();
        self.end_inhibition();
        self.end_retro();
        self.touched.extend(self.voices.keys().cloned());
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
            due.retain(|it| quiet_ms > it.limit_ms && !host.silent.contains(&it.rule));
            passing.extend(due.into_iter().map(|silence| (id.clone(), silence)));
        }
        self.judge_outage(&passing);
        for (id, silence) in passing {
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            host.silent.insert(silence.rule.clone());
            if silence.inhibits {
                host.inhibited = true;
                host.answered = false;
            }
            let since = host.life.unwrap_or(self.now);
            let episode = Episode::new(self.sequence, since, None, None, false);
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
        let newly: BTreeSet<CompactString> = passing.iter().map(|(id, _)| id.clone()).collect();
        if let Some(outage) = &mut self.outage {
            outage.hosts.extend(newly);
            return;
        }
        if newly.is_empty() || self.telling(INGEST_OUTAGE).is_none() {
            return;
        }
        let reporting =
            |host: &super::Host| host.life.is_some() && !host.watched.paused && host.silent.is_empty();
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
            self.outage = Some(Outage { since: now, hosts: quiet });
            let episode = Episode::new(self.sequence, since.unwrap_or(now), None, None, false);
            self.fire(Key::new(INGEST_OUTAGE, TEAM, ""), episode);
        }
    }

    /// Series without numbers: for a while, or for good.
    fn find_missing(&mut self) {
        let now = self.now;
        let (mut over, mut fired) = (Vec::new(), Vec::new());
        for (id, host) in self.hosts.iter_mut().filter(|(_, host)| !host.watched.paused) {
            let (limit_ms, reports) = (host.no_data_ms(), host.silent.is_empty());
            let is_fresh = reports && now.saturating_sub(host.live) < limit_ms;
            for (rule, watch) in self.rules.iter_mut().zip(&mut host.runs).filter(|(_, watch)| watch.on) {
                let Some(program) = &rule.program else { continue };
                let Some(ask) = &program.ask else { continue };
                let before = watch.instances.len();
                watch.instances.retain_mut(|instance| {
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
                    let policy = program.no_data();
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
                });
                rule.instances -= before - watch.instances.len();
            }
        }
        over.into_iter().for_each(|(key, reason)| self.close(&key, reason, now));
        for (key, since) in fired {
            self.fire(key, Episode::new(self.sequence, since, None, None, false));
        }
    }

    /// Rules that watch less than they should, and hosts that sent what nobody could read.
    fn find_broken(&mut self) {
        let now = self.now;
        let states: Vec<_> = self.rules.iter_mut().map(|rule| (rule.id.clone(), rule.is_whole())).collect();
        for (id, is_whole) in states {
            let key = Key::new(RULE_BROKEN, TEAM, &id);
            if is_whole {
                self.close(&key, Reason::Ok, now);
            } else {
                self.fire(key, Episode::new(self.sequence, now, None, None, false));
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

    fn end_inhibition(&mut self) {
        for host in self.hosts.values_mut().filter(|host| host.inhibited) {
            host.inhibited = !(host.answered && host.silent.is_empty());
        }
    }
}
