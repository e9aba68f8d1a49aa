//! The page about metrics, made from the catalogue.

use crate::catalogue::{Kind, Metric, Section, Unit};
use std::fmt::Write as _;

/// `docs/metrics.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Every number that a host reports, by section. Generated from `schemas/src/catalogue.rs`; \
         `UPDATE=1 cargo test -p watchkeeper-schemas` writes it again.\n\n\
         A metric is `<group>.<field>`; rows of a section are told apart by its label, as in `disk.used_pct{mount=\"/\"}`. \
         A number outside its range is refused with its sample; one that is not a number is left out and counted. \
         Gauges of your own are `custom.<name>`, of any finite value.\n",
    );
    for section in Section::ALL {
        let _infallible = write!(page, "\n## {}\n\n", title(section));
        let label = section.label().map_or("No label.".to_owned(), |label| format!("Label `{label}`."));
        let _infallible = writeln!(page, "{label} History table `{}`.\n", section.table());
        page.push_str("| metric | unit | kind | range | column | meaning |\n|---|---|---|---|---|---|\n");
        for metric in section.metrics() {
            let _infallible = writeln!(
                page,
                "| `{}` | {} | {} | {} | `{}` | {} |",
                metric.name,
                unit(metric.unit),
                kind(metric.kind),
                range(metric),
                metric.column(),
                metric.description
            );
        }
    }
    page
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Host => "The host",
        Section::Core => "Each processor",
        Section::Disk => "Each mounted file system",
        Section::DiskIo => "Each block device",
        Section::Network => "Each network interface",
        Section::Temperature => "Each temperature sensor",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "%",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes/s",
        Unit::PerSecond => "1/s",
        Unit::Count => "count",
        Unit::Celsius => "°C",
        Unit::Megahertz => "MHz",
        Unit::Seconds => "s",
        Unit::Microseconds => "µs",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    }
}

/// Limits as people write them: powers for the large ones.
fn range(metric: &Metric) -> String {
    let max = if metric.max >= 9e15 {
        "2^53".to_owned()
    } else if metric.max > 4e9 && metric.max < 5e9 {
        "2^32 − 1".to_owned()
    } else if metric.max >= 1e13 {
        "10^13".to_owned()
    } else {
        metric.max.to_string()
    };
    format!("{} to {max}", metric.min)
}
