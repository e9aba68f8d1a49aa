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
