//! Which series are asked for: a metric of the catalogue or a custom one, all its labels or one pinned. Pure.

use std::str::Chars;
use watchkeeper_schemas::catalogue::{self, Metric, Section};
use watchkeeper_schemas::ids::MetricName;
use watchkeeper_schemas::quantity::TEXT_BYTES_MAX;

/// The beginning of the name of a gauge that a host's owner added.
pub const CUSTOM: &str = "custom.";
/// The table of custom gauges.
const CUSTOM_TABLE: &str = "custom";
/// Its column that tells gauges apart.
const CUSTOM_LABEL: &str = "name";
/// Its column with the number.
const CUSTOM_COLUMN: &str = "value";

/// Which series are asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The metric as it was asked for.
    pub metric: MetricName,
    /// Where its numbers are kept.
    pub stored: Stored,
    /// Only the series with this value of the label.
    pub pinned: Option<String>,
}

/// Where the numbers of a metric are kept. Every name in it is ours, never a client's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: String,
    /// The column that tells series of one host apart.
    pub label: Option<&'static str>,
    /// The unit, as the catalogue writes it; custom gauges have none.
    pub unit: &'static str,
}

impl Selector {
    /// Reads `disk.used_pct` or `disk.used_pct{mount="/"}`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, labels) = match text.split_once('{') {
            None => (text, None),
            Some((name, rest)) => (name, Some(rest)),
        };
        let metric: MetricName = name.parse().map_err(|_| example())?;
        if let Some(custom) = name.strip_prefix(CUSTOM) {
            return match labels {
                None => Ok(Self { stored: custom_gauge(), pinned: Some(custom.to_owned()), metric }),
                Some(_) => Err("a custom gauge without labels, such as custom.queue.depth".to_owned()),
            };
        }
        let known = catalogue::metric(name).ok_or_else(example)?;
        let stored = of_catalogue(known);
        let pinned = match (labels, stored.label) {
            (None, _) => None,
            (Some(rest), Some(label)) => {
                Some(parse_pin(rest, label).ok_or_else(|| pin_example(name, label))?)
            }
            (Some(_), None) => return Err([name, " has no labels: no {…} behind it"].concat()),
        };
        Ok(Self { metric, stored, pinned })
    }

    /// Whether a host has at most one such series.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.stored.label.is_none() || self.stored.table == CUSTOM_TABLE
    }

    /// The label that tells series of the answer apart.
    #[must_use]
    pub fn shown_label(&self) -> Option<&'static str> {
        self.stored.label.filter(|_| !self.is_scalar())
    }
}

fn of_catalogue(metric: &Metric) -> Stored {
    let section: Section = metric.section();
    Stored {
        table: section.table(),
        column: metric.column(),
        label: section.label(),
        unit: unit(metric.unit),
    }
}

fn custom_gauge() -> Stored {
    Stored { table: CUSTOM_TABLE, column: CUSTOM_COLUMN.to_owned(), label: Some(CUSTOM_LABEL), unit: "" }
}

/// The unit in the catalogue's own word.
fn unit(unit: catalogue::Unit) -> &'static str {
    use catalogue::Unit;
    match unit {
        Unit::Percent => "percent",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::PerSecond => "per_second",
        Unit::Count => "count",
        Unit::Celsius => "celsius",
        Unit::Megahertz => "megahertz",
        Unit::Seconds => "seconds",
        Unit::Microseconds => "microseconds",
    }
}

/// Reads `mount="/"}`; `\"` and `\\` stand for themselves.
fn parse_pin(text: &str, label: &str) -> Option<String> {
    let mut rest =
        text.trim_start().strip_prefix(label)?.trim_start().strip_prefix('=')?.trim_start().chars();
    if rest.next() != Some('"') {
        return None;
    }
    let value = parse_quoted(&mut rest)?;
    (rest.as_str().trim() == "}" && value.len() <= TEXT_BYTES_MAX).then_some(value)
}

fn parse_quoted(rest: &mut Chars<'_>) -> Option<String> {
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => value.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => value.push(c),
        }
    }
}

fn example() -> String {
    "a metric of /api/v1/metrics such as cpu.usage_pct, or custom.<name>".to_owned()
}

fn pin_example(name: &str, label: &str) -> String {
    [name, " or ", name, "{", label, "=\"…\"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::catalogue::CATALOGUE;

    #[test]
    fn every_metric_of_the_catalogue_can_be_asked_for_in_its_own_unit() {
        for metric in CATALOGUE {
            let selector = Selector::parse(metric.name).unwrap();
            assert_eq!(selector.stored.column, metric.column());
            assert_eq!(serde_json::to_value(metric.unit).unwrap(), selector.stored.unit);
        }
    }

    #[test]
    fn one_series_can_be_pinned() {
        let pinned = |text: &str| Selector::parse(text).unwrap().pinned;
        assert_eq!(pinned("disk.used_pct"), None);
        assert_eq!(pinned(r#"disk.used_pct{mount="/"}"#).as_deref(), Some("/"));
        assert_eq!(
            pinned(r#"disk.used_pct{ mount = "/a \"b\" \\ {c}" }"#).as_deref(),
            Some(r#"/a "b" \ {c}"#)
        );
        assert_eq!(pinned("custom.queue.depth").as_deref(), Some("queue.depth"));
    }

    #[test]
    fn anything_else_says_what_was_expected() {
        let bad = [
            "",
            "cpu",
            "cpu.nothing",
            "CPU.usage_pct",
            "cpu.usage_pct;drop table host",
            "host.ts",
            r#"cpu.usage_pct{core="0"}"#,
            "disk.used_pct{",
            r#"disk.used_pct{mount="/""#,
            r#"disk.used_pct{mount=/}"#,
            r#"disk.used_pct{device="/"}"#,
            r#"disk.used_pct{mount="/"}x"#,
            r#"disk.used_pct{mount="\n"}"#,
            r#"custom.x{name="y"}"#,
            "custom.",
            "custom.a'b",
        ];
        for text in bad {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Selector::parse(r#"disk.used_pct{x="/"}"#).unwrap_err(),
            r#"disk.used_pct or disk.used_pct{mount="…"}"#
        );
    }
}
