//! The numbers of one sample, sorted, so that a rule finds its own by bisection.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::catalogue::{CATALOGUE, Section};
use watchkeeper_schemas::rule::CUSTOM_PREFIX;
use watchkeeper_schemas::sample::Sample;

/// A metric by its place in the catalogue, or a gauge of the host's owner by the name behind `custom.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MetricKey {
    /// Place in the catalogue.
    Known(u16),
    /// Name behind `custom.`.
    Custom(CompactString),
}

impl MetricKey {
    /// Finds a metric by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        if let Some(custom) = name.strip_prefix(CUSTOM_PREFIX) {
            return Some(Self::Custom(custom.into()));
        }
        CATALOGUE.iter().position(|metric| metric.name == name).map(|place| Self::Known(place as u16))
    }
}

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Of which metric.
    pub metric: MetricKey,
    /// Of which row; empty for scalars.
    pub label: CompactString,
    /// Finite.
    pub number: f64,
}

/// The finite numbers of one sample.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Values(Vec<Value>);

impl Values {
    /// Sorts, and leaves out what is no number.
    #[must_use]
    pub fn new(mut values: Vec<Value>) -> Self {
        values.retain(|value| value.number.is_finite());
        values.sort_by(|a, b| (&a.metric, &a.label).cmp(&(&b.metric, &b.label)));
        values.dedup_by(|a, b| a.metric == b.metric && a.label == b.label);
        Self(values)
    }

    /// Every number of a sample of the catalogue.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        let mut values = Vec::new();
        for section in Section::ALL {
            section.rows(sample, |label, row| {
                for (place, metric) in CATALOGUE.iter().enumerate().filter(|(_, it)| it.section() == section)
                {
                    let metric_key = MetricKey::Known(place as u16);
                    values.push(Value { metric: metric_key, label: label.into(), number: metric.read(row) });
                }
            });
        }
        for custom in &sample.custom {
            let metric = MetricKey::Custom(custom.name.as_str().into());
            values.push(Value { metric, label: CompactString::default(), number: custom.value });
        }
        Self::new(values)
    }

    /// The numbers of these metrics in a sample.
    #[must_use]
    pub fn of_these(sample: &Sample, metrics: &[MetricKey]) -> Self {
        let mut values = Vec::with_capacity(metrics.len());
        for key in metrics {
            match key {
                MetricKey::Known(place) => {
                    let Some(metric) = CATALOGUE.get(usize::from(*place)) else { continue };
                    metric.section().rows(sample, |label, row| {
                        let number = metric.read(row);
                        values.push(Value { metric: key.clone(), label: label.into(), number });
                    });
                }
                MetricKey::Custom(name) => {
                    let own = sample.custom.iter().filter(|custom| custom.name.as_str() == name.as_str());
                    let label = CompactString::default();
                    let value = |number| Value { metric: key.clone(), label: label.clone(), number };
                    values.extend(own.map(|custom| value(custom.value)));
                }
            }
        }
        Self::new(values)
    }

    /// Every row of a metric.
    #[must_use]
    pub fn rows(&self, metric: &MetricKey) -> &[Value] {
        let start = self.0.partition_point(|value| value.metric < *metric);
        let length = self.0[start..].iter().take_while(|value| value.metric == *metric).count();
        &self.0[start..start + length]
    }

    /// The number in one row.
    #[must_use]
    pub fn get(&self, metric: &MetricKey, label: &str) -> Option<f64> {
        let place =
            self.0.binary_search_by(|value| (&value.metric, value.label.as_str()).cmp(&(metric, label)));
        place.ok().map(|place| self.0[place].number)
    }
}
