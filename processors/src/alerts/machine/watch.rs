//! What one rule makes of one host. Nearly always nothing is wrong: then each series takes no more room than it must.

use super::instance::{Instance, Phase};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// What one rule makes of one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) enum Watch {
    /// The rule does not watch it.
    #[default]
    Off,
    /// One series without a label, and nothing is wrong with it.
    Well {
        /// When the last sample with the series was read, in log time.
        seen: u64,
    },
    /// Series with labels, and nothing is wrong with any.
    RowsWell(Box<Rows>),
    /// Whatever else there can be.
    Open(Box<Open>),
}

/// Series by label, sorted, and when the last sample with each was read, in log time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows(pub(super) Vec<(CompactString, u64)>);

/// Series of which something is to be remembered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Open {
    /// Sorted by label.
    pub(super) instances: Vec<Instance>,
    /// Series of the last sample that have no place.
    pub(super) unwatched: usize,
}

impl Watch {
    /// A rule begins to watch.
    #[must_use]
    pub(super) fn on() -> Self {
        Self::Open(Box::default())
    }

    /// Whether the rule watches the host.
    #[must_use]
    pub(super) fn is_on(&self) -> bool {
        *self != Self::Off
    }

    /// How many series there are.
    #[must_use]
    pub(super) fn instances(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Well { .. } => 1,
            Self::RowsWell(rows) => rows.0.len(),
            Self::Open(open) => open.instances.len(),
        }
    }

    /// Series of which something is to be remembered.
    #[must_use]
    pub(super) fn kept(&self) -> &[Instance] {
        match self {
            Self::Off | Self::Well { .. } | Self::RowsWell(_) => &[],
            Self::Open(open) => &open.instances,
        }
    }

    /// Series of the last sample that have no place.
    #[must_use]
    pub(super) fn unwatched(&self) -> usize {
        match self {
            Self::Off | Self::Well { .. } | Self::RowsWell(_) => 0,
            Self::Open(open) => open.unwatched,
        }
    }

    /// Whether the series without a label is held closed by hand.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        let Self::Open(open) = self else { return false };
        open.instances.iter().any(|it| matches!(it.phase, Phase::Held { .. }))
    }

    /// Every series written out in full, however well it is.
    #[cfg(test)]
    pub(super) fn spread(&mut self) {
        let mut all = None;
        self.open(|open| all = Some(open.clone()));
        *self = all.map_or(Self::Off, |open| Self::Open(Box::new(open)));
    }

    /// Does something to every series, written out in full; none where the rule does not watch.
    pub(super) fn open<T>(&mut self, work: impl FnOnce(&mut Open) -> T) -> Option<T> {
        let instances = match self {
            Self::Off => return None,
            Self::Well { seen } => vec![Instance::well(CompactString::default(), *seen)],
            Self::RowsWell(rows) => {
                rows.0.drain(..).map(|(label, seen)| Instance::well(label, seen)).collect()
            }
            Self::Open(open) => std::mem::take(&mut open.instances),
        };
        let mut open = match std::mem::take(self) {
            Self::Open(open) => open,
            Self::Off | Self::Well { .. } | Self::RowsWell(_) => Box::default(),
        };
        open.instances = instances;
        let done = work(&mut open);
        *self = Self::closed(open);
        Some(done)
    }

    /// In as little room as it fits.
    fn closed(mut open: Box<Open>) -> Self {
        let all_well = open.unwatched == 0 && open.instances.iter().all(Instance::is_well);
        match open.instances.as_mut_slice() {
            [only] if all_well && only.label.is_empty() => Self::Well { seen: only.seen },
            [_, ..] if all_well => {
                let rows = open.instances.into_iter().map(|it| (it.label, it.seen));
                Self::RowsWell(Box::new(Rows(rows.collect())))
            }
            [..] => Self::Open(open),
        }
    }

    /// Limits begin anew.
    pub(super) fn restart_limits(&mut self, now: u64) {
        match self {
            Self::Off => {}
            Self::Well { seen } => *seen = now,
            Self::RowsWell(rows) => rows.0.iter_mut().for_each(|(_, seen)| *seen = now),
            Self::Open(open) => {
                for instance in &mut open.instances {
                    instance.seen = now;
                    instance.missing = instance.missing.map(|_| now);
                }
            }
        }
    }

    /// The broker's clock fell.
    pub(super) fn fall_back(&mut self, by: u64) {
        let Self::Open(open) = self else { return };
        for instance in &mut open.instances {
            if let Phase::Held { until, .. } = &mut instance.phase {
                *until = until.saturating_sub(by);
            }
        }
    }

    /// Nobody watches the host for a while.
    pub(super) fn pause(&mut self) {
        if let Self::Open(_) = self {
            self.open(|open| open.instances.iter_mut().for_each(Instance::pause));
        }
    }

    /// Whether nothing is wrong with any series.
    #[must_use]
    pub(super) fn is_well(&self) -> bool {
        matches!(self, Self::Well { .. } | Self::RowsWell(_))
    }

    /// Whether no series was quiet for so long, and none is missing.
    #[must_use]
    pub(super) fn is_fresh(&self, now: u64, limit_ms: u64) -> bool {
        let is_new = |seen: u64| now.saturating_sub(seen) < limit_ms;
        match self {
            Self::Off => true,
            Self::Well { seen } => is_new(*seen),
            Self::RowsWell(rows) => rows.0.iter().all(|(_, seen)| is_new(*seen)),
            Self::Open(open) => open.instances.iter().all(|it| is_new(it.seen) && it.missing.is_none()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::Window;
    use super::*;

    /// Nothing is wrong with the first three; each of the others has one thing to remember.
    fn states() -> Vec<Open> {
        let well = |label: &str| Instance::well(label.into(), 1000);
        let run =
            super::super::instance::Run { since: 1, last: 2, first: None, peak: None, value: Some(3.0) };
        let of = |instances| Open { instances, unwatched: 0 };
        vec![
            of(vec![well("")]),
            of(vec![well("/")]),
            of(vec![well("/"), Instance { seen: 2000, ..well("/data") }]),
            Open { instances: vec![well("/")], unwatched: 7 },
            of(vec![Instance { phase: Phase::Pending(run), ..well("") }]),
            of(vec![Instance { phase: Phase::Held { until: 100, critical: false }, ..well("") }]),
            of(vec![Instance { critical: Some((1, 2)), ..well("") }]),
            of(vec![well("/"), Instance { upper: true, ..well("/data") }]),
            of(vec![Instance { missing: Some(3), ..well("") }]),
            of(vec![Instance { no_data: true, ..well("") }]),
            of(vec![Instance { windows: vec![Window::default()].into(), ..well("") }]),
        ]
    }

    #[test]
    fn little_room_forgets_nothing() {
        for (place, open) in states().into_iter().enumerate() {
            let full = Watch::Open(Box::new(open.clone()));
            let mut small = Watch::closed(Box::new(open.clone()));
            assert_eq!(small.is_well(), place < 3, "{small:?}");
            let counts = (open.instances.len(), open.unwatched);
            assert_eq!((small.instances(), small.unwatched()), counts, "{small:?}");
            for now in [1000, 1059, 1060, 2059, 2060] {
                assert_eq!(small.is_fresh(now, 60), full.is_fresh(now, 60), "{small:?} at {now}");
            }
            small.spread();
            assert_eq!(small, full);
        }
    }

    #[test]
    fn what_happens_to_all_happens_to_what_is_small() {
        let changes: [fn(&mut Watch); 3] =
            [|it| it.restart_limits(5000), |it| it.fall_back(30), |it| it.pause()];
        for open in states() {
            for change in changes {
                let mut full = Watch::Open(Box::new(open.clone()));
                let mut small = Watch::closed(Box::new(open.clone()));
                [&mut full, &mut small].into_iter().for_each(change);
                [&mut full, &mut small].into_iter().for_each(Watch::spread);
                assert_eq!(small, full);
            }
        }
        let mut held = Watch::closed(Box::new(states()[5].clone()));
        held.fall_back(30);
        let Watch::Open(open) = held else { unreachable!() };
        assert_eq!(open.instances[0].phase, Phase::Held { until: 70, critical: false });
        let mut restarted = Watch::closed(Box::new(states()[2].clone()));
        restarted.restart_limits(5000);
        assert!(restarted.is_well() && restarted.is_fresh(5059, 60) && !restarted.is_fresh(5060, 60));
    }
}
