//! Back-filled samples: what would have been alerts while nobody could hear. Recorded, never told.

use super::effect::{Effect, Key, Reason, Transition, TransitionKind};
use super::host::Host;
use super::input::Report;
use super::instance::{Moment, worse};
use super::reports::{Finding, Look};
use super::voice::Episode;
use super::watch::Watch;
use super::{Kind, Machine};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::rule::Severity;

/// What rules make of a host's past.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Retro {
    boots: Vec<BootId>,
    seq: u64,
    /// Event time of the last sample.
    t: u64,
    /// When the last sample was read, in log time.
    read: u64,
    watches: BTreeMap<CompactString, Watch>,
    open: Vec<(Key, Episode)>,
}

/// Earlier boots that are still known as earlier.
const BOOTS_MAX: usize = 8;

impl Retro {
    /// When the last sample was read, in log time.
    pub(super) fn read_mut(&mut self) -> &mut u64 {
        &mut self.read
    }

    /// Takes a sample in the order of boots and numbers; none: it was there before.
    fn accept(&mut self, report: &Report, now: u64, hole_ms: u64) -> Option<(Moment, bool)> {
        let is_new_boot = self.boots.last() != Some(&report.boot);
        if is_new_boot && self.boots.contains(&report.boot) || !is_new_boot && report.seq <= self.seq {
            return None;
        }
        if is_new_boot {
            self.boots.push(report.boot);
            if self.boots.len() > BOOTS_MAX {
                self.boots.remove(0);
            }
        }
        let t = self.t.max(report.time.min(now));
        let broken = is_new_boot || t - self.t > hole_ms;
        (self.seq, self.t, self.read) = (report.seq, t, now);
        Some((Moment { t, now, hole_ms, stepped: false, edited: false }, broken))
    }
}

impl Machine {
    /// A sample of the back-fill lane: touches nothing that is live.
    pub(super) fn backfill(&mut self, report: &Report) {
        let id = CompactString::from(&report.host);
        let Some(mut host) = self.hosts.remove(&id) else {
            self.counts.unknown += 1;
            return;
        };
        let mut retro = host.retro.take().unwrap_or_default();
        match retro.accept(report, self.now, host.hole_ms()) {
            Some((at, broken)) if !host.watched.paused => {
                self.look_back(&host, &mut retro, report, at, broken)
            }
            Some(_) => {}
            None => self.counts.late += 1,
        }
        host.retro = Some(retro);
        self.hosts.insert(id, host);
    }

    fn look_back(&mut self, host: &Host, retro: &mut Retro, report: &Report, at: Moment, broken: bool) {
        let look = Look {
            values: &report.values,
            at,
            feed: Some(broken),
            seen: self.now,
            sequence: self.sequence,
            near: false,
        };
        let (mut found, mut room) = (Vec::new(), usize::MAX);
        for (rule, _) in self.rules.iter_mut().zip(&host.runs).filter(|(_, watch)| watch.is_on()) {
            let watch = retro.watches.entry(rule.id.clone()).or_insert_with(Watch::on);
            // Instances of the past live for minutes: they do not count against those of today.
            let counted = (std::mem::take(&mut rule.instances), rule.unwatched, rule.full);
            rule.full = false;
            look.at_rule(
                rule,
                watch,
                &mut room,
                &mut |key, finding| found.push((key, finding)),
                &report.host,
            );
            (rule.instances, rule.unwatched, rule.full) = counted;
        }
        for (key, finding) in found {
            let place = retro.open.iter().position(|(open, _)| *open == key);
            match finding {
                Finding::Fired(episode, samples) => {
                    self.deciding = samples.to_vec();
                    let live = self.voices.get(&key).and_then(|voice| voice.open.as_ref());
                    if live.is_none_or(|live| live.since > at.t) {
                        self.record_retro(&key, &episode, TransitionKind::Fired, None, at.t);
                        retro.open.push((key, episode));
                    }
                }
                Finding::Over(samples) => {
                    let end = samples[0].time;
                    self.deciding = samples.to_vec();
                    if let Some((key, episode)) = place.map(|place| retro.open.remove(place)) {
                        self.record_retro(&key, &episode, TransitionKind::Resolved, Some(Reason::Ok), end);
                    }
                }
                Finding::Worse(value, larger) => {
                    if let Some((_, episode)) = place.and_then(|place| retro.open.get_mut(place)) {
                        episode.value = Some(value);
                        episode.peak = worse(episode.peak, Some((value, larger)));
                    }
                }
                Finding::Upper(critical) => {
                    let open = place.and_then(|place| retro.open.get_mut(place));
                    if let Some((key, episode)) = open.filter(|(_, episode)| episode.critical != critical) {
                        episode.critical = critical;
                        self.record_retro(key, episode, TransitionKind::Level, None, at.t);
                    }
                }
                Finding::DataAgain => {}
            }
            self.deciding.clear();
        }
    }

    /// The past is told to its end: what is open there ends with the first live sample after the hole.
    pub(super) fn end_retro(&mut self) {
        let told = self.hosts.iter().filter(|(_, host)| host.retro.is_some());
        let ids: Vec<CompactString> = told.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(host) = self.hosts.get_mut(&id) else { continue };
            let (limit_ms, resumed) = (host.no_data_ms(), host.resumed);
            let ended = host.retro.as_mut().filter(|retro| retro.read + limit_ms <= self.now);
            let Some(retro) = ended else { continue };
            let end = resumed.max(retro.t);
            retro.watches.clear();
            for (key, episode) in std::mem::take(&mut retro.open) {
                self.record_retro(&key, &episode, TransitionKind::Resolved, Some(Reason::Ok), end);
            }
        }
    }

    /// A rule means something else, or is gone: so are its findings about the past.
    pub(super) fn forget_retro(&mut self, rule: &str, reason: Reason) {
        let mut ended = Vec::new();
        for retro in self.hosts.values_mut().filter_map(|host| host.retro.as_mut()) {
            retro.watches.remove(rule);
            let t = retro.t;
            ended.extend(retro.open.extract_if(.., |(key, _)| key.rule == rule).map(|open| (open, t)));
        }
        for ((key, episode), t) in ended {
            self.record_retro(&key, &episode, TransitionKind::Resolved, Some(reason), t);
        }
    }

    fn record_retro(
        &mut self,
        key: &Key,
        episode: &Episode,
        kind: TransitionKind,
        why: Option<Reason>,
        end: u64,
    ) {
        let severity = self.telling(&key.rule).map_or(Severity::Warning, |telling| telling.severity);
        let level = if episode.critical { Severity::Critical } else { severity };
        let transition = self.transition(key, episode, kind, level);
        let duration_ms = why.map(|_| end.saturating_sub(episode.since));
        let reason = why.map(|why| why.as_str().into());
        self.out.push(Effect::Transition(Transition { retro: true, reason, duration_ms, ..transition }));
    }
}

impl Kind {
    /// A sample of either lane.
    #[must_use]
    pub fn sample(report: Report, is_backfill: bool) -> Self {
        if is_backfill { Self::Backfill(Box::new(report)) } else { Self::Live(Box::new(report)) }
    }
}
