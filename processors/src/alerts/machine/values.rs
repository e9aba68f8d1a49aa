//! The numbers of one sample as a table for each section of the catalogue: a rule reads them by row and column.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use watchkeeper_schemas::catalogue::{Metric, Section};
use watchkeeper_schemas::rule::CUSTOM_PREFIX;
use watchkeeper_schemas::sample::Sample;

const SECTIONS: usize = Section::ALL.len();
/// Room that is made for a sample before it is looked at.
const ROWS_USUAL: usize = 32;
const NUMBERS_USUAL: usize = 256;
/// Stands where a row has no number: unlike one that is not a number it equals itself.
const ABSENT: f64 = f64::INFINITY;

/// The metrics of each section, in the order of their columns.
static COLUMNS: LazyLock<[Vec<&'static Metric>; SECTIONS]> =
    LazyLock::new(|| Section::ALL.map(|section| section.metrics().collect()));

/// A metric by its column in the table of its section, or a gauge of the host's owner by the name behind `custom.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKey {
    /// Of the catalogue.
    Known(Column),
    /// Name behind `custom.`.
    Custom(CompactString),
}

/// Where the tables of a sample have a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    section: usize,
    place: usize,
}

impl Column {
    /// What stands there.
    #[must_use]
    pub fn metric(self) -> &'static Metric {
        COLUMNS[self.section][self.place]
    }
}

impl MetricKey {
    /// Finds a metric by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        if let Some(custom) = name.strip_prefix(CUSTOM_PREFIX) {
            return Some(Self::Custom(custom.into()));
        }
        COLUMNS.iter().enumerate().find_map(|(section, metrics)| {
            let place = metrics.iter().position(|metric| metric.name == name)?;
            Some(Self::Known(Column { section, place }))
        })
    }
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
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
pub struct Values {
    /// How many rows each section has; rows without a number are left out.
    rows: [u32; SECTIONS],
    /// Of the rows, sorted within a section; empty for scalars.
    labels: Box<[CompactString]>,
    /// Row after row, as wide as the section has metrics.
    numbers: Box<[f64]>,
    /// Sorted by name.
    custom: Box<[(CompactString, f64)]>,
}

impl Values {
    /// Leaves out what is no number; of several for one place the first counts.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        let mut making = Making::default();
        let mut known = Vec::with_capacity(values.len());
        for Value { metric, label, number } in values.into_iter().filter(|value| value.number.is_finite()) {
            match metric {
                MetricKey::Known(column) => known.push((column.section, label, column.place, number)),
                MetricKey::Custom(name) => making.custom.push((name, number)),
            }
        }
        known.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
        known.dedup_by(|later, first| (later.0, &later.1, later.2) == (first.0, &first.1, first.2));
        for row in known.chunk_by(|a, b| (a.0, &a.1) == (b.0, &b.1)) {
            let Some((section, label, ..)) = row.first() else { continue };
            let mut numbers = row.iter().peekable();
            let columns = 0..COLUMNS[*section].len();
            let number = |place| numbers.next_if(|it| it.2 == place).map_or(f64::NAN, |(.., number)| *number);
            making.row(*section, label, columns.map(number));
        }
        making.done()
    }

    /// Every number of a sample of the catalogue.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        let mut making = Making {
            labels: Vec::with_capacity(ROWS_USUAL),
            numbers: Vec::with_capacity(NUMBERS_USUAL),
            ..Making::default()
        };
        for (place, (section, metrics)) in Section::ALL.into_iter().zip(&*COLUMNS).enumerate() {
            let begin = making.labels.len();
            section.rows(sample, |label, row| {
                making.row(place, label, metrics.iter().map(|metric| metric.read(row)));
            });
            making.sort(place, begin);
        }
        let custom = sample.custom.iter().filter(|custom| custom.value.is_finite());
        making.custom.extend(custom.map(|custom| (custom.name.as_str().into(), custom.value)));
        making.done()
    }

    /// The numbers of these metrics in a sample.
    #[must_use]
    pub fn of_these(sample: &Sample, metrics: &[MetricKey]) -> Self {
        let mut values = Vec::with_capacity(metrics.len());
        for key in metrics {
            match key {
                MetricKey::Known(column) => {
                    let metric = column.metric();
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

    /// Every row of a metric that has a number, sorted by label.
    pub fn rows(&self, metric: &MetricKey) -> impl Iterator<Item = (&str, f64)> {
        let (labels, numbers, column, width) = match metric {
            MetricKey::Known(column) => {
                let (labels, numbers) = self.table(column.section);
                (labels, numbers, column.place, COLUMNS[column.section].len())
            }
            MetricKey::Custom(_) => Default::default(),
        };
        let custom = match metric {
            MetricKey::Known(_) => None,
            MetricKey::Custom(_) => self.get(metric, "").map(|number| ("", number)),
        };
        let numbers = numbers.chunks_exact(width.max(1)).map(move |row| row[column]);
        let known = labels.iter().map(CompactString::as_str).zip(numbers);
        known.filter(|(_, number)| *number != ABSENT).chain(custom)
    }

    /// The number in one row.
    #[must_use]
    pub fn get(&self, metric: &MetricKey, label: &str) -> Option<f64> {
        let number = match metric {
            // The first section is that of scalars: it has one row or none.
            MetricKey::Known(Column { section: 0, place }) => {
                *self.numbers.get(*place).filter(|_| self.rows[0] == 1 && label.is_empty())?
            }
            MetricKey::Known(column) => {
                let (labels, numbers) = self.table(column.section);
                let row = labels.binary_search_by(|known| known.as_str().cmp(label)).ok()?;
                *numbers.get(row * COLUMNS[column.section].len() + column.place)?
            }
            MetricKey::Custom(name) if label.is_empty() => {
                let place = self.custom.binary_search_by(|(known, _)| known.cmp(name)).ok()?;
                self.custom[place].1
            }
            MetricKey::Custom(_) => return None,
        };
        (number != ABSENT).then_some(number)
    }

    /// Labels and numbers of one section.
    fn table(&self, section: usize) -> (&[CompactString], &[f64]) {
        let (mut row, mut number) = (0, 0);
        for (before, rows) in self.rows[..section].iter().enumerate() {
            row += *rows as usize;
            number += *rows as usize * COLUMNS[before].len();
        }
        let rows = self.rows[section] as usize;
        (&self.labels[row..row + rows], &self.numbers[number..number + rows * COLUMNS[section].len()])
    }
}

#[derive(Default)]
struct Making {
    rows: [u32; SECTIONS],
    labels: Vec<CompactString>,
    numbers: Vec<f64>,
    custom: Vec<(CompactString, f64)>,
}

impl Making {
    /// One more row at the end, if it has a number.
    fn row(&mut self, section: usize, label: &str, numbers: impl Iterator<Item = f64>) {
        let begin = self.numbers.len();
        let finite = |number: f64| if number.is_finite() { number } else { ABSENT };
        self.numbers.extend(numbers.map(finite));
        if self.numbers[begin..].iter().all(|number| *number == ABSENT) {
            self.numbers.truncate(begin);
            return;
        }
        self.rows[section] += 1;
        self.labels.push(label.into());
    }

    /// Sorts the rows of the last section by label; rows of one label become one.
    fn sort(&mut self, section: usize, begin: usize) {
        if self.labels[begin..].is_sorted_by(|a, b| a < b) {
            return;
        }
        let (width, rows) = (COLUMNS[section].len(), self.labels.len() - begin);
        let first = self.numbers.len() - rows * width;
        let numbers = self.numbers.split_off(first);
        let mut rows: Vec<_> = self.labels.drain(begin..).zip(numbers.chunks_exact(width)).collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        for (label, row) in rows {
            if self.labels[begin..].last() == Some(&label) {
                let known = self.numbers.len() - width;
                let known = self.numbers[known..].iter_mut().zip(row).filter(|(known, _)| **known == ABSENT);
                known.for_each(|(known, number)| *known = *number);
                self.rows[section] -= 1;
            } else {
                self.labels.push(label);
                self.numbers.extend_from_slice(row);
            }
        }
    }

    fn done(mut self) -> Values {
        self.custom.sort_by(|a, b| a.0.cmp(&b.0));
        self.custom.dedup_by(|later, first| later.0 == first.0);
        let Self { rows, labels, numbers, custom } = self;
        Values { rows, labels: labels.into(), numbers: numbers.into(), custom: custom.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use watchkeeper_schemas::catalogue::CATALOGUE;
    use watchkeeper_schemas::usual_host::usual_host;

    /// Two metrics of the host, two of disks, a gauge of its owner.
    const NAMES: [&str; 5] =
        ["cpu.usage_pct", "system.uptime_s", "disk.total_bytes", "disk.inodes_used_pct", "custom.queue"];

    fn value(name: usize, row: &str, number: f64) -> Value {
        let label = if NAMES[name].starts_with("disk") { row } else { "" };
        Value { metric: MetricKey::find(NAMES[name]).unwrap(), label: label.into(), number }
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_found_and_nothing_else(
            put in prop::collection::vec((0..5_usize, "[abc]", prop_oneof![9 => -5.0..5.0_f64, 1 => Just(f64::NAN)]), 0..20),
        ) {
            let all: Vec<Value> = put.iter().map(|(name, row, number)| value(*name, row, *number)).collect();
            let values = Values::new(all.clone());
            for name in NAMES {
                let key = MetricKey::find(name).unwrap();
                let mut expected: Vec<(String, f64)> = Vec::new();
                for it in all.iter().filter(|it| it.metric == key && it.number.is_finite()) {
                    if expected.iter().all(|(label, _)| *label != it.label.as_str()) {
                        expected.push((it.label.to_string(), it.number));
                    }
                }
                expected.sort_by(|a, b| a.0.cmp(&b.0));
                let found: Vec<_> = values.rows(&key).map(|(label, number)| (label.to_owned(), number)).collect();
                prop_assert_eq!(&found, &expected);
                for label in ["", "a", "b", "c", "d"] {
                    let number = expected.iter().find(|(known, _)| known == label).map(|(_, number)| *number);
                    prop_assert_eq!(values.get(&key, label), number, "{} {}", name, label);
                }
            }
        }
    }

    #[test]
    fn every_number_of_a_sample_is_found() {
        let mut sample = usual_host("web-1").unwrap();
        sample.disks.reverse();
        sample.cores.retain(|core| core.core != 1);
        let again = sample.disk_io[0].clone();
        sample.disk_io.push(again);
        let (values, mut count) = (Values::of(&sample), 0);
        for metric in CATALOGUE {
            let key = MetricKey::find(metric.name).unwrap();
            metric.values(&sample, |label, number| {
                assert_eq!(values.get(&key, label), Some(number), "{} {label}", metric.name);
                count += 1;
            });
            assert_eq!(values.get(&key, "nowhere"), None);
        }
        assert!(count > 100, "{count} numbers");
        assert_eq!(values.rows[3], 3, "rows of one device are one");
    }
}
