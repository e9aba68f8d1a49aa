//! One host as its samples show it: which are new, when they were taken, when it was last heard of.

use super::input::Report;
use super::instance::Moment;
use super::retro::Retro;
use super::values::Values;
use super::watch::Watch;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watchkeeper_schemas::alerting::{Scope, WatchedHost};
use watchkeeper_schemas::ids::BootId;

/// Earlier boots that are still known as earlier.
const BOOTS_MAX: usize = 8;
/// Shortest hole and shortest silence, in milliseconds.
const HOLE_MS_MIN: u64 = 30_000;
/// Shortest time after which data are missing, in milliseconds.
const NO_DATA_MS_MIN: u64 = 60_000;
/// How far a sample may be ahead of the broker, and how far a clock may jump, in milliseconds.
const CLOCK_MS_MAX: u64 = 10_000;
/// Samples in a row that decide about a clock.
const SKEWED_SAMPLES: u8 = 3;
/// A clock is wrong beyond this, in milliseconds.
const SKEW_MS_HIGH: u64 = 30_000;
/// And right again below this, in milliseconds.
const SKEW_MS_LOW: u64 = 15_000;

/// One host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Host {
    /// As people configured it.
    pub(super) watched: WatchedHost,
    boots: Vec<BootId>,
    seq: u64,
    /// Event time of the last accepted sample.
    pub(super) t: u64,
    /// Log time of the last accepted live sample.
    pub(super) live: u64,
    /// Log time of the last life sign; none: it never reported.
    pub(super) life: Option<u64>,
    /// Sample time − broker time of the last sample.
    offset_ms: i64,
    /// Intervals of the last two samples.
    intervals_ms: [u32; 2],
    /// The last accepted sample.
    pub(super) last: Values,
    skewed: u8,
    straight: u8,
    /// Rules that found it silent, and whether they are more than shadows.
    pub(super) silent: BTreeMap<CompactString, bool>,
    /// Its own alerts are held back while it is silent.
    pub(super) inhibited: bool,
    /// A live sample came since it was silent.
    pub(super) answered: bool,
    /// What is wrong with what it sends, and when that was last seen, in log time.
    pub(super) faults: BTreeMap<CompactString, u64>,
    /// When the last sample was taken by the host's own clock.
    pub(super) taken: u64,
    /// Event time of the first live sample after the last hole.
    pub(super) resumed: u64,
    /// What rules make of back-filled samples.
    pub(super) retro: Option<Box<Retro>>,
    /// What each rule makes of it, in the order of the rules.
    pub(super) runs: Vec<Watch>,
}

/// A sample that was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    /// When it was.
    pub(super) at: Moment,
    /// What came before does not join: a hole, a new boot, a clock that was set.
    pub(super) broken: bool,
    /// The host started anew.
    pub(super) rebooted: bool,
    /// The clock has become wrong, or right again.
    pub(super) skew: Option<bool>,
}

impl Host {
    /// A host that never reported, with a place for each rule.
    pub(super) fn new(rules: usize) -> Self {
        Self { runs: vec![Watch::Off; rules], ..Self::default() }
    }

    /// In milliseconds; watching a host more closely never shortens it.
    fn interval_ms(&self) -> u64 {
        let [a, b] = self.intervals_ms;
        u64::from(self.watched.interval_ms.max(a).max(b))
    }

    /// Longer is a hole between samples, and a silence.
    #[must_use]
    pub(super) fn hole_ms(&self) -> u64 {
        (3 * self.interval_ms()).max(HOLE_MS_MIN)
    }

    /// A silence by a rule of its own.
    #[must_use]
    pub(super) fn silence_ms(&self, for_ms: Option<u64>) -> u64 {
        for_ms.map_or(self.hole_ms(), |for_ms| for_ms.max(3 * self.interval_ms()))
    }

    /// After this numbers are missing.
    #[must_use]
    pub(super) fn no_data_ms(&self) -> u64 {
        (3 * self.interval_ms()).max(NO_DATA_MS_MIN)
    }

    /// Whether a rule watches it.
    #[must_use]
    pub(super) fn is_in(&self, scope: &Scope, id: &str) -> bool {
        scope.includes(id, &self.watched.tags)
    }

    /// The moment of the last accepted sample, for rules that look at it again; none where it is too old.
    #[must_use]
    pub(super) fn last_moment(&self, now: u64, edited: bool) -> Option<Moment> {
        let is_young = self.life.is_some() && now.saturating_sub(self.live) < self.no_data_ms();
        is_young.then(|| Moment { t: self.t, now, hole_ms: self.hole_ms(), stepped: false, edited })
    }

    /// Takes a sample; none: an earlier boot, or one that was there before.
    pub(super) fn accept(&mut self, report: &mut Report, now: u64) -> Option<Accepted> {
        let is_new_boot = self.boots.last() != Some(&report.boot);
        if is_new_boot && self.boots.contains(&report.boot) || !is_new_boot && report.seq <= self.seq {
            return None;
        }
        let is_first = self.boots.is_empty();
        if is_new_boot {
            self.boots.push(report.boot);
            if self.boots.len() > BOOTS_MAX {
                self.boots.remove(0);
            }
        }
        self.seq = report.seq;
        self.intervals_ms = [self.intervals_ms[1], report.interval_ms];
        let taken = report.time.clamp(now.saturating_sub(self.no_data_ms()), now + CLOCK_MS_MAX);
        let t = self.t.max(taken);
        let offset_ms = report.time.cast_signed() - now.cast_signed();
        let jumped = offset_ms.abs_diff(self.offset_ms) > CLOCK_MS_MAX;
        let stepped = !is_first && (jumped || report.clock_step_ms.unsigned_abs() > CLOCK_MS_MAX);
        let hole = t.saturating_sub(self.t) > self.hole_ms();
        if hole {
            self.resumed = t;
        }
        self.offset_ms = offset_ms;
        self.taken = report.time;
        self.t = t;
        self.live = now;
        self.life = Some(now);
        self.answered = true;
        self.last = std::mem::take(&mut report.values);
        let at = Moment { t, now, hole_ms: self.hole_ms(), stepped, edited: false };
        let broken = is_first || stepped || hole || is_new_boot;
        Some(Accepted { at, broken, rebooted: is_new_boot && !is_first, skew: self.skew() })
    }

    /// Late by its number, but newer than the newest: somebody else sends under this name.
    pub(super) fn is_another_agent(&self, report: &Report, now: u64) -> bool {
        report.time > self.taken.max(self.t) && report.time.abs_diff(now) <= CLOCK_MS_MAX
    }

    /// Three samples in a row decide.
    fn skew(&mut self) -> Option<bool> {
        let off = self.offset_ms.unsigned_abs();
        self.skewed = if off > SKEW_MS_HIGH { self.skewed.saturating_add(1) } else { 0 };
        self.straight = if off < SKEW_MS_LOW { self.straight.saturating_add(1) } else { 0 };
        if self.skewed >= SKEWED_SAMPLES {
            Some(true)
        } else {
            (self.straight >= SKEWED_SAMPLES).then_some(false)
        }
    }

    /// Whether a rule that tells found it silent.
    #[must_use]
    pub(super) fn is_silent(&self) -> bool {
        self.silent.values().any(|tells| *tells)
    }

    /// Limits begin anew: after a gap of the log, or when it is watched again.
    pub(super) fn restart_limits(&mut self, now: u64) {
        self.life = self.life.map(|_| now);
        self.runs.iter_mut().for_each(|watch| watch.restart_limits(now));
    }

    /// The broker's clock fell.
    pub(super) fn fall_back(&mut self, by: u64) {
        let back = |time: &mut u64| *time = time.saturating_sub(by);
        back(&mut self.live);
        self.faults.values_mut().chain(self.retro.iter_mut().map(|retro| retro.read_mut())).for_each(back);
        self.runs.iter_mut().for_each(|watch| watch.fall_back(by));
    }
}
