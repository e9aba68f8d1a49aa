//! What history answers: series on a regular grid, gaps as null. Pure.

use crate::history::grid::Grid;
use crate::history::selector::Selector;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::SystemTime;
use watchkeeper_schemas::ids::{HostId, MetricName};
use watchkeeper_schemas::quantity::UnixMs;

/// Series of one answer.
pub const SERIES_MAX: usize = 512;
/// Hosts of one answer.
pub const HOSTS_MAX: usize = 20_000;
/// The only tier yet.
const TIER: &str = "raw";
/// Decimals that are shown; samples carry no more.
const SCALE: f64 = 1e4;
/// Beyond this a number has no decimals worth showing.
const SCALED_MAX: f64 = 1e11;

/// The history of one metric of one host.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HistoryView {
    /// The host.
    host: HostId,
    #[serde(flatten)]
    head: Head,
    /// One for each label set; none where there is nothing.
    series: Vec<Series>,
}

/// The history of one metric of every host of a team, averages only.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FleetHistoryView {
    #[serde(flatten)]
    head: Head,
    /// By host: the average of each step; null where there is nothing.
    #[schema(value_type = BTreeMap<String, Vec<Option<f64>>>)]
    hosts: BTreeMap<String, Points>,
}

/// What an answer is about. Value i of a series stands for the step that begins at `start` + i × `step_s`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Head {
    /// The metric.
    #[schema(value_type = String, example = "cpu.usage_pct")]
    metric: MetricName,
    /// Its unit as the catalogue writes it; empty for a custom gauge.
    #[schema(example = "percent")]
    unit: &'static str,
    /// The tier that was read.
    #[schema(example = "raw")]
    tier: &'static str,
    /// The beginning that was asked for.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMs,
    /// The end that was asked for.
    #[schema(value_type = String, format = DateTime)]
    to: UnixMs,
    /// Where the first step begins.
    #[schema(value_type = String, format = DateTime)]
    start: UnixMs,
    /// Seconds from one value to the next.
    step_s: u64,
}

/// One series.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Series {
    /// Its labels; none for a scalar.
    #[schema(value_type = BTreeMap<String, String>)]
    labels: BTreeMap<&'static str, String>,
    /// The average of each step; null where there is nothing.
    #[schema(value_type = Vec<Option<f64>>)]
    avg: Points,
    /// The smallest value of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    min: Points,
    /// The largest value of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    max: Points,
}

/// Values on a grid; not a number is a gap.
#[derive(Debug)]
struct Points(Vec<f64>);

impl Points {
    fn gaps(grid: &Grid) -> Self {
        Self(vec![f64::NAN; grid.points])
    }

    fn set(&mut self, index: usize, value: Option<f64>) {
        if let (Some(place), Some(value)) = (self.0.get_mut(index), value) {
            *place = value;
        }
    }
}

impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for value in &self.0 {
            let shown =
                if value.abs() < SCALED_MAX { (value * SCALE).round() / SCALE } else { value.round() };
            if !shown.is_finite() {
                seq.serialize_element(&())?;
            } else if shown.fract() == 0.0 && shown.abs() <= WHOLE_MAX {
                seq.serialize_element(&(shown as i64))?;
            } else {
                seq.serialize_element(&shown)?;
            }
        }
        seq.end()
    }
}

/// Whole numbers are exact up to here.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Average, smallest and largest value of a step.
pub type Step = [Option<f64>; 3];

/// Collects the rows of one host's answer.
pub struct HostRows {
    grid: Grid,
    label: Option<&'static str>,
    series: BTreeMap<(Option<u64>, String), [Points; 3]>,
}

impl HostRows {
    /// An answer without rows.
    #[must_use]
    pub fn new(selector: &Selector, grid: Grid) -> Self {
        Self { grid, label: selector.shown_label(), series: BTreeMap::new() }
    }

    /// Adds a row. Labels that are numbers stand in the order of numbers; series beyond the limit are left out.
    pub fn add(&mut self, ts: SystemTime, label: &str, step: Step) {
        let Some(index) = self.grid.index(ts) else { return };
        let key = (label.parse().ok(), label.to_owned());
        if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
            return;
        }
        let grid = &self.grid;
        let points = self.series.entry(key).or_insert_with(|| [(); 3].map(|()| Points::gaps(grid)));
        for (points, value) in points.iter_mut().zip(step) {
            points.set(index, value);
        }
    }

    /// The whole answer.
    #[must_use]
    pub fn finish(self, host: HostId, selector: Selector) -> HistoryView {
        let series = self.series.into_iter().map(|((_, label), [avg, min, max])| {
            let labels = self.label.map(|name| (name, label)).into_iter().collect();
            Series { labels, avg, min, max }
        });
        HistoryView { host, series: series.collect(), head: head(selector, &self.grid) }
    }
}

/// Collects the rows of a fleet's answer.
pub struct FleetRows {
    grid: Grid,
    hosts: BTreeMap<String, Points>,
}

impl FleetRows {
    /// An answer without rows.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        Self { grid, hosts: BTreeMap::new() }
    }

    /// Adds a row; hosts beyond the limit are left out.
    pub fn add(&mut self, ts: SystemTime, host: &str, average: Option<f64>) {
        let Some(index) = self.grid.index(ts) else { return };
        if let Some(points) = self.hosts.get_mut(host) {
            points.set(index, average);
        } else if self.hosts.len() < HOSTS_MAX {
            let mut points = Points::gaps(&self.grid);
            points.set(index, average);
            self.hosts.insert(host.to_owned(), points);
        }
    }

    /// The whole answer.
    #[must_use]
    pub fn finish(self, selector: Selector) -> FleetHistoryView {
        FleetHistoryView { head: head(selector, &self.grid), hosts: self.hosts }
    }
}

fn head(selector: Selector, grid: &Grid) -> Head {
    Head {
        metric: selector.metric,
        unit: selector.stored.unit,
        tier: TIER,
        from: grid.from,
        to: grid.to,
        start: grid.start(),
        step_s: grid.step_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::grid::{Moment, RangeAsk, system_time};

    fn grid() -> Grid {
        let ask = RangeAsk {
            from: Some(Moment::At(UnixMs(100_000))),
            to: Some(Moment::At(UnixMs(130_000))),
            step_s: Some(10),
        };
        Grid::lay(&ask, UnixMs(0), 1).unwrap()
    }

    fn at(s: u64) -> SystemTime {
        system_time(UnixMs(s * 1000))
    }

    #[test]
    fn values_stand_at_their_step_and_gaps_are_null() {
        let selector = Selector::parse("core.usage_pct").unwrap();
        let mut rows = HostRows::new(&selector, grid());
        rows.add(at(120), "10", [Some(f64::from(12.3_f32)), Some(12.0), None]);
        rows.add(at(100), "2", [Some(1.0), Some(f64::NAN), Some(f64::INFINITY)]);
        rows.add(at(130), "2", [Some(9.0); 3]);
        rows.add(at(99), "2", [Some(9.0); 3]);
        let json = serde_json::to_value(rows.finish("a".parse().unwrap(), selector)).unwrap();
        assert_eq!(json["series"][0]["labels"]["core"], "2", "2 stands before 10");
        assert_eq!(
            json["series"][0].to_string(),
            r#"{"avg":[1,null,null],"labels":{"core":"2"},"max":[null,null,null],"min":[null,null,null]}"#
        );
        assert_eq!(json["series"][1]["avg"].to_string(), "[null,null,12.3]");
        assert_eq!(
            (&json["start"], &json["step_s"], &json["unit"]),
            (&"1970-01-01T00:01:40.000Z".into(), &10.into(), &"percent".into())
        );
    }

    #[test]
    fn a_fleet_has_one_line_a_host() {
        let mut rows = FleetRows::new(grid());
        rows.add(at(110), "b", Some(2.5));
        rows.add(at(100), "a", Some(9_007_199_254_740_991.0));
        let json = serde_json::to_value(rows.finish(Selector::parse("memory.used_bytes").unwrap())).unwrap();
        assert_eq!(json["hosts"].to_string(), r#"{"a":[9007199254740991,null,null],"b":[null,2.5,null]}"#);
    }

    #[test]
    fn no_answer_has_series_without_end() {
        let selector = Selector::parse("disk.used_pct").unwrap();
        let mut rows = HostRows::new(&selector, grid());
        for number in 0..5000 {
            rows.add(at(100), &["/m", &number.to_string()].concat(), [Some(1.0); 3]);
        }
        assert_eq!(rows.series.len(), SERIES_MAX);
    }
}
