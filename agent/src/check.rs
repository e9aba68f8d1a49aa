//! `check`: one sample of this host, as JSON or as a table for people.

use crate::collectors::Observe;
use crate::sampler::Sampler;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;
use watchkeeper_schemas::catalogue::{CATALOGUE, Metric, Unit};
use watchkeeper_schemas::ids::InvalidId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::{Inventory, Sample};
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::view::Numbers;

/// Time over which rates are taken.
const RATES_OVER: Duration = Duration::from_secs(1);

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The name that stands for this host is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// No boot id can be made.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// It cannot be written as JSON.
    #[error("the sample cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The sample with the names and units of a view.
#[derive(Serialize)]
struct Checked<'a> {
    time: UnixMs,
    inventory: Option<&'a Inventory>,
    #[serde(flatten)]
    numbers: Numbers<'a>,
}

/// Reads the host twice, a second apart, and renders the sample.
///
/// # Errors
/// When there is none.
pub fn check(observe: &Observe, human: bool) -> Result<String, CheckError> {
    let subject = SampleSubject::live("local".parse()?, "local".parse()?);
    let mut sampler = Sampler::new(observe, subject, RATES_OVER)?;
    std::thread::sleep(RATES_OVER);
    let sample = sampler.sample(0);
    if human {
        return Ok(table(&sample));
    }
    let checked =
        Checked { time: sample.time, inventory: sample.inventory.as_deref(), numbers: Numbers(&sample) };
    Ok(serde_json::to_string_pretty(&checked)?)
}

/// A line of every number, in the words of the catalogue.
fn table(sample: &Sample) -> String {
    let mut text = String::new();
    if let Some(inventory) = &sample.inventory {
        let Inventory { hostname, os, kernel, cpu_model, cores, .. } = &**inventory;
        let [hostname, os, kernel, cpu_model] = [hostname, os, kernel, cpu_model].map(|it| it.as_str());
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{hostname}: {os}, kernel {kernel}, {cores} × {cpu_model}\n");
    }
    for metric in CATALOGUE {
        metric.values(sample, |label, value| {
            let name = metric
                .section()
                .label()
                .map_or_else(|| metric.name.to_owned(), |key| format!("{}{{{key}={label:?}}}", metric.name));
            let _infallible =
                writeln!(text, "{name:<44} {:>14}  {}", worded(metric, value), metric.description);
        });
    }
    text
}

/// A number with its unit.
fn worded(metric: &Metric, value: f64) -> String {
    match metric.unit {
        Unit::Percent => format!("{value:.1} %"),
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::PerSecond => format!("{value}/s"),
        Unit::Count => format!("{value}"),
        Unit::Celsius => format!("{value:.1} °C"),
        Unit::Megahertz => format!("{value} MHz"),
        Unit::Seconds => format!("{value} s"),
        Unit::Microseconds => format!("{value} µs"),
    }
}

fn bytes(value: f64) -> String {
    let mut scaled = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return if unit == "B" { format!("{scaled:.0} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::usual_host::{usual_host, usual_inventory};

    #[test]
    fn a_table_names_every_number_with_its_unit() {
        let mut sample = usual_host("web-1").unwrap();
        sample.inventory = Some(Box::new(usual_inventory()));
        let told = table(&sample);
        for part in [
            "web-1.example.net: Debian",
            "34.2 %",
            "disk.free_bytes{mount=\"/data\"}",
            "61.0 °C",
            "3412 MHz",
            "1.8 MiB/s",
            "1.8 TiB",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        let numbers: usize = CATALOGUE
            .iter()
            .map(|metric| {
                let mut n = 0;
                metric.values(&sample, |_, _| n += 1);
                n
            })
            .sum();
        assert_eq!(told.lines().count(), numbers + 2);
    }
}
