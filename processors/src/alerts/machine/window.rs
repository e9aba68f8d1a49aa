//! The values of the last while, and what is made of them.

use super::program::Read;
use super::values::Values;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use watchkeeper_schemas::rule::Fold;

/// What a window keeps and makes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    /// Of which metric.
    pub(super) read: Read,
    /// How values are made one; none: the rate at which they grow.
    pub(super) fold: Option<Fold>,
    /// The last while, in milliseconds; none: the last two samples.
    pub(super) window_ms: Option<u64>,
}

/// Values in a window at most: 15 minutes at one sample a second, and the edges.
const VALUES_MAX: usize = 1024;

/// The values that one series had lately.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Window {
    /// Event time of the first sample since creation, hole or new boot.
    first: Option<u64>,
    values: VecDeque<(u64, f64)>,
}

impl Window {
    /// Takes a sample at event time `t`; `broken`: what came before does not count. What the window gives then.
    pub(super) fn take(
        &mut self,
        spec: &Spec,
        values: &Values,
        label: &str,
        t: u64,
        broken: bool,
    ) -> Option<f64> {
        if broken {
            *self = Self::default();
        }
        let first = *self.first.get_or_insert(t);
        let Some(number) = spec.read.get(values, label) else {
            if spec.window_ms.is_none() {
                self.values.clear();
            }
            return None;
        };
        self.values.push_back((t, number));
        let Some(window_ms) = spec.window_ms else {
            while self.values.len() > 2 {
                self.values.pop_front();
            }
            return self.rate();
        };
        while self.values.front().is_some_and(|(then, _)| then + window_ms <= t)
            || self.values.len() > VALUES_MAX
        {
            self.values.pop_front();
        }
        if t - first < window_ms {
            return None;
        }
        let numbers = self.values.iter().map(|(_, number)| *number);
        match spec.fold {
            Some(Fold::Avg) => Some(numbers.sum::<f64>() / self.values.len() as f64),
            Some(Fold::Min) => numbers.reduce(f64::min),
            Some(Fold::Max) => numbers.reduce(f64::max),
            None => self.rate(),
        }
    }

    /// A counter that shrank began again: what it counted before is not known.
    fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.values.front()?, self.values.back()?);
        let pairs = self.values.iter().zip(self.values.iter().skip(1));
        let shrank = pairs.into_iter().any(|((_, a), (_, b))| b < a);
        (to > from && !shrank).then(|| (last - first) / ((to - from) as f64 / 1000.0))
    }
}
