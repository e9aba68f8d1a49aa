//! The condition table: what one sample does to one series of one rule on one host.

use super::effect::Sampled;
use super::near::Near;
use super::program::{Ask, Class, Verdict};
use super::window::Window;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::rule::Series;

/// How long "closed by hand, still true" holds, in milliseconds of log time.
pub(super) const HELD_MS: u64 = 24 * 3_600_000;

/// One series of one rule on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Instance {
    /// The row; empty where there is one series.
    pub(super) label: CompactString,
    /// Where it stands.
    pub(super) phase: Phase,
    /// Since when the upper level is true and when that was last seen, in event time.
    pub(super) critical: Option<(u64, u64)>,
    /// Whether the upper level holds.
    pub(super) upper: bool,
    /// When the last sample with the series was read, in log time.
    pub(super) seen: u64,
    /// Since when samples of the host lack the series, in log time.
    pub(super) missing: Option<u64>,
    /// Whether "no data" of it is open.
    pub(super) no_data: bool,
    /// What its windows hold.
    pub(super) windows: Box<[Window]>,
    /// How close it came to an episode, where somebody asks.
    #[serde(skip)]
    pub(super) near: Option<Box<Near>>,
}

/// Where a series stands. Times are event times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Something is wrong, but not for long enough.
    Pending(Run),
    /// An episode is open.
    Firing,
    /// An episode is open, but it may be over.
    Recovering {
        /// First sample that says so.
        since: u64,
        /// Last sample that says so.
        last: u64,
        /// The value of the first.
        first: Option<f64>,
    },
    /// A person closed the episode though it is still true.
    Held {
        /// Until when, in log time.
        until: u64,
        /// Whether the upper level was reached then.
        critical: bool,
    },
}

/// Samples in a row on which a condition is true.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The first.
    pub(super) since: u64,
    /// The last.
    pub(super) last: u64,
    /// The first value.
    pub(super) first: Option<f64>,
    /// The worst value.
    pub(super) peak: Option<f64>,
    /// The last value.
    pub(super) value: Option<f64>,
}

/// When and after what a sample came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Event time, in milliseconds.
    pub(super) t: u64,
    /// Log time, in milliseconds.
    pub(super) now: u64,
    /// Longest time between two samples that is no hole, in milliseconds.
    pub(super) hole_ms: u64,
    /// The clock was set: what came before does not join.
    pub(super) stepped: bool,
    /// The meaning of the rule has just changed.
    pub(super) edited: bool,
}

/// What happened to a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// An episode opens.
    Fired(Run),
    /// The episode is still true.
    Worse(f64, bool),
    /// The episode is over since the first of these.
    Over([Sampled; 2]),
}

impl Run {
    /// Its first and its last sample.
    #[must_use]
    pub(super) fn ends(&self) -> [Sampled; 2] {
        [Sampled { time: self.since, value: self.first }, Sampled { time: self.last, value: self.value }]
    }
}

impl Moment {
    fn is_hole(&self, last: u64) -> bool {
        self.stepped || self.t.saturating_sub(last) > self.hole_ms
    }
}

/// The worse of two values.
#[must_use]
pub(super) fn worse(peak: Option<f64>, value: Option<(f64, bool)>) -> Option<f64> {
    match (peak, value) {
        (Some(peak), Some((value, true))) => Some(peak.max(value)),
        (Some(peak), Some((value, false))) => Some(peak.min(value)),
        (peak, value) => peak.or(value.map(|(value, _)| value)),
    }
}

impl Instance {
    /// A series that was not there before.
    #[must_use]
    pub(super) fn new(label: CompactString, ask: &Ask, now: u64) -> Self {
        let windows = ask.windows.iter().map(|_| Window::default()).collect();
        Self { windows, ..Self::well(label, now) }
    }

    /// A series of which there is nothing to remember but when its last sample was read, in log time.
    #[must_use]
    pub(super) fn well(label: CompactString, seen: u64) -> Self {
        Self {
            label,
            phase: Phase::Ok,
            critical: None,
            upper: false,
            seen,
            missing: None,
            no_data: false,
            windows: Box::default(),
            near: None,
        }
    }

    /// Whether there is nothing else to remember of it.
    #[must_use]
    pub(super) fn is_well(&self) -> bool {
        let Self { label: _, phase, critical, upper, seen: _, missing, no_data, windows, near } = self;
        *phase == Phase::Ok
            && critical.is_none()
            && !upper
            && missing.is_none()
            && !no_data
            && windows.is_empty()
            && near.is_none()
    }

    /// Whether an episode is open.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Firing | Phase::Recovering { .. })
    }

    /// Nobody watches for a while: what runs is forgotten, what is open stays.
    pub(super) fn pause(&mut self) {
        match self.phase {
            Phase::Pending(_) => self.phase = Phase::Ok,
            Phase::Recovering { .. } => self.phase = Phase::Firing,
            Phase::Ok | Phase::Firing | Phase::Held { .. } => {}
        }
        self.critical = None;
        self.windows.iter_mut().for_each(|window| *window = Window::default());
    }

    /// Begins anew under another meaning of its rule; false: the rule has no such series any more.
    pub(super) fn reform(&mut self, ask: &Ask) -> bool {
        self.windows = ask.windows.iter().map(|_| Window::default()).collect();
        self.critical = None;
        if !self.is_open() {
            self.phase = Phase::Ok;
        }
        match &ask.series {
            Series::One => self.label.is_empty(),
            Series::Each { pin, .. } => {
                !self.label.is_empty() && pin.as_ref().is_none_or(|pin| *pin == self.label)
            }
        }
    }

    /// Whether the upper level holds; nothing changes while it is unknown.
    pub(super) fn judge_upper(&mut self, ask: &Ask, verdict: &Verdict, at: &Moment) {
        self.upper = match verdict.critical {
            None => self.upper,
            Some(false) => {
                self.critical = None;
                false
            }
            Some(true) => {
                let since =
                    self.critical.filter(|(_, last)| !at.is_hole(*last)).map_or(at.t, |(since, _)| since);
                self.critical = Some((since, at.t));
                at.t - since >= ask.critical_for_ms
            }
        };
    }

    /// One sample, once through the table.
    pub(super) fn step(&mut self, ask: &Ask, verdict: &Verdict, at: &Moment) -> Option<Change> {
        let keeps = !at.edited || verdict.class != Class::Low;
        match self.phase {
            Phase::Ok => self.rise(ask, verdict, at, None),
            Phase::Pending(run) => match verdict.class {
                Class::High => self.rise(ask, verdict, at, Some(run)),
                Class::Unknown => None,
                Class::Mid | Class::Low => {
                    self.phase = Phase::Ok;
                    None
                }
            },
            Phase::Held { until, critical } => match verdict.class {
                Class::Low => {
                    self.phase = Phase::Ok;
                    None
                }
                Class::High if at.now >= until || (self.upper && !critical) => {
                    self.rise(ask, verdict, at, None)
                }
                Class::High | Class::Mid | Class::Unknown => None,
            },
            Phase::Firing | Phase::Recovering { .. } if !keeps => {
                self.phase = Phase::Ok;
                Some(Change::Over([Sampled { time: at.t, value: verdict.seen }; 2]))
            }
            Phase::Firing => self.fall(ask, verdict, at, None),
            Phase::Recovering { since, last, first } => {
                let begun = (!at.is_hole(last)).then_some(Sampled { time: since, value: first });
                self.fall(ask, verdict, at, begun)
            }
        }
    }

    fn rise(&mut self, ask: &Ask, verdict: &Verdict, at: &Moment, run: Option<Run>) -> Option<Change> {
        if verdict.class != Class::High {
            return None;
        }
        let value = verdict.value.map(|(value, _)| value);
        let run = run.filter(|run| !at.is_hole(run.last));
        let run = run.map_or(Run { since: at.t, last: at.t, first: value, peak: value, value }, |run| Run {
            last: at.t,
            peak: worse(run.peak, verdict.value),
            value: value.or(run.value),
            ..run
        });
        let fires = at.t - run.since >= ask.for_ms;
        self.phase = if fires { Phase::Firing } else { Phase::Pending(run) };
        fires.then_some(Change::Fired(run))
    }

    fn fall(&mut self, ask: &Ask, verdict: &Verdict, at: &Moment, begun: Option<Sampled>) -> Option<Change> {
        match verdict.class {
            Class::Unknown => None,
            Class::High | Class::Mid => {
                self.phase = Phase::Firing;
                verdict.value.map(|(value, larger)| Change::Worse(value, larger))
            }
            Class::Low => {
                let last = Sampled { time: at.t, value: verdict.seen };
                let first = begun.unwrap_or(last);
                if at.t - first.time >= ask.keep_ms {
                    self.phase = Phase::Ok;
                    return Some(Change::Over([first, last]));
                }
                self.phase = Phase::Recovering { since: first.time, last: at.t, first: first.value };
                None
            }
        }
    }
}
