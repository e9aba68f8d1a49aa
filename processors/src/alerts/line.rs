//! Names of metrics and boots as files write them.

use super::machine::{MetricKey, Value};
use compact_str::CompactString;
use std::collections::BTreeMap;
use watchkeeper_schemas::catalogue::metric;
use watchkeeper_schemas::ids::{BootId, MetricName};
use watchkeeper_schemas::rule::CUSTOM_PREFIX;

/// Reads `cpu.usage_pct` or `disk.used_pct{mount="/"}` with its number; none stands for "not a number".
///
/// # Errors
/// What is wrong with the name, for people.
pub(super) fn value(name: &str, number: Option<f64>) -> Result<Value, String> {
    let (metric_name, label) = match name.split_once('{') {
        None => (name, None),
        Some((metric_name, rest)) => {
            let pair = rest.strip_suffix('}').and_then(|pair| pair.split_once('='));
            let read =
                pair.and_then(|(label, text)| Some((label, serde_json::from_str::<String>(text).ok()?)));
            (
                metric_name,
                Some(read.ok_or_else(|| format!("{name}: expected {metric_name}{{label=\"value\"}}"))?),
            )
        }
    };
    let expected = match metric(metric_name) {
        Some(known) => known.section().label(),
        None if metric_name.starts_with(CUSTOM_PREFIX) && metric_name.parse::<MetricName>().is_ok() => None,
        None => return Err(format!("{metric_name} is not a metric of the catalogue")),
    };
    if label.as_ref().map(|(label, _)| label.as_ref()) != expected {
        return Err(format!("{name}: expected {}", expected.unwrap_or("no label")));
    }
    let key = MetricKey::find(metric_name).ok_or_else(|| format!("{metric_name} is not a metric"))?;
    let label = label.map_or_else(CompactString::default, |(_, value)| value.into());
    Ok(Value { metric: key, label, number: number.unwrap_or(f64::NAN) })
}

/// Boots by the names that a file gives them.
#[derive(Debug, Default)]
pub(super) struct Boots(BTreeMap<String, u128>);

impl Boots {
    pub(super) fn find(&mut self, name: &str) -> BootId {
        if let Ok(boot) = name.parse() {
            return boot;
        }
        let next = self.0.len() as u128 + 1;
        BootId(self.0.entry(name.to_owned()).or_insert(next).to_be_bytes())
    }
}

/// Milliseconds of seconds.
pub(super) fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).round().max(0.0) as u64
}

/// Seconds as people write them: whole ones without a point.
pub(super) fn seconds(ms: u64) -> String {
    (ms as f64 / 1000.0).to_string()
}
