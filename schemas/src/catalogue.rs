//! The catalogue: every metric with its name, unit, labels, kind, range and where a sample holds it.
//!
//! Docs, validation, history columns, views and the page take their words from here.

use crate::quantity::{Kib, Pct};
use crate::sample::{Core, Disk, DiskIo, Network, Sample, Swap, Temperature};
use Unit::{Bytes, BytesPerSecond, Celsius, Count, Megahertz, Microseconds, PerSecond, Percent, Seconds};
use serde::Serialize;
use std::fmt::Write as _;

/// What a number counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Share of a whole, 0 to 100.
    Percent,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Events a second.
    PerSecond,
    /// A plain number.
    Count,
    /// Degrees Celsius.
    Celsius,
    /// Megahertz.
    Megahertz,
    /// Seconds.
    Seconds,
    /// Microseconds.
    Microseconds,
}

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until it starts again.
    Counter,
}

/// Where a group of metrics stands: one history table and one place in a view each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Scalars of the host.
    Host,
    /// One row a processor.
    Core,
    /// One row a mounted file system.
    Disk,
    /// One row a block device.
    DiskIo,
    /// One row a network interface.
    Network,
    /// One row a temperature sensor.
    Temperature,
}

impl Section {
    /// Every section.
    pub const ALL: [Self; 6] =
        [Self::Host, Self::Core, Self::Disk, Self::DiskIo, Self::Network, Self::Temperature];

    /// The label that tells rows apart; none for scalars.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Host => None,
            Self::Core => Some("core"),
            Self::Disk => Some("mount"),
            Self::DiskIo => Some("device"),
            Self::Network => Some("interface"),
            Self::Temperature => Some("sensor"),
        }
    }

    /// The name of its raw history table.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Core => "cpu_core",
            Self::Disk => "disk",
            Self::DiskIo => "disk_io",
            Self::Network => "net",
            Self::Temperature => "temp",
        }
    }

    /// The name of its list in a view; scalars stand under their group instead.
    #[must_use]
    pub fn list(self) -> Option<&'static str> {
        match self {
            Self::Host => None,
            Self::Core => Some("cores"),
            Self::Disk => Some("disks"),
            Self::DiskIo => Some("disk_io"),
            Self::Network => Some("networks"),
            Self::Temperature => Some("temperatures"),
        }
    }

    /// Its metrics, in the catalogue's order.
    pub fn metrics(self) -> impl Iterator<Item = &'static Metric> + Clone {
        CATALOGUE.iter().filter(move |metric| metric.section() == self)
    }

    /// Calls `row` with the label (empty for scalars) and the row's place, for every row of a sample.
    pub fn rows<'a>(self, sample: &'a Sample, mut row: impl FnMut(&str, Row<'a>)) {
        match self {
            Self::Host => row("", Row::Host(sample)),
            Self::Core => {
                let mut label = compact_str::CompactString::default();
                for core in &sample.cores {
                    label.clear();
                    let _infallible = write!(label, "{}", core.core);
                    row(&label, Row::Core(core));
                }
            }
            Self::Disk => sample.disks.iter().for_each(|it| row(it.mount.as_str(), Row::Disk(it))),
            Self::DiskIo => sample.disk_io.iter().for_each(|it| row(it.device.as_str(), Row::DiskIo(it))),
            Self::Network => {
                sample.networks.iter().for_each(|it| row(it.interface.as_str(), Row::Network(it)))
            }
            Self::Temperature => {
                sample.temperatures.iter().for_each(|it| row(it.sensor.as_str(), Row::Temperature(it)));
            }
        }
    }
}

/// One row of a section in a sample.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// The scalars.
    Host(&'a Sample),
    /// A processor.
    Core(&'a Core),
    /// A mounted file system.
    Disk(&'a Disk),
    /// A block device.
    DiskIo(&'a DiskIo),
    /// A network interface.
    Network(&'a Network),
    /// A temperature sensor.
    Temperature(&'a Temperature),
}

/// Where a sample holds a metric; not a number where it does not carry it.
#[derive(Debug, Clone, Copy)]
enum Read {
    Host(fn(&Sample) -> f64),
    Core(fn(&Core) -> f64),
    Disk(fn(&Disk) -> f64),
    DiskIo(fn(&DiskIo) -> f64),
    Network(fn(&Network) -> f64),
    Temperature(fn(&Temperature) -> f64),
}

/// One metric: its words, its limits and where a sample holds it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// `<group>.<field>`, the field ending with the unit.
    pub name: &'static str,
    /// What the number counts in.
    pub unit: Unit,
    /// Gauge or counter.
    pub kind: Kind,
    /// Smallest value that can be true.
    pub min: f64,
    /// Largest value that can be true.
    pub max: f64,
    /// What it means, in a sentence for people.
    pub description: &'static str,
    read: Read,
}

impl Metric {
    /// The section that holds it.
    #[must_use]
    pub fn section(&self) -> Section {
        match self.read {
            Read::Host(_) => Section::Host,
            Read::Core(_) => Section::Core,
            Read::Disk(_) => Section::Disk,
            Read::DiskIo(_) => Section::DiskIo,
            Read::Network(_) => Section::Network,
            Read::Temperature(_) => Section::Temperature,
        }
    }

    /// Group and field: `cpu.usage_pct` is `cpu` and `usage_pct`.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// The value in one row of its own section; not a number where absent.
    #[must_use]
    pub fn read(&self, row: Row<'_>) -> f64 {
        match (self.read, row) {
            (Read::Host(read), Row::Host(it)) => read(it),
            (Read::Core(read), Row::Core(it)) => read(it),
            (Read::Disk(read), Row::Disk(it)) => read(it),
            (Read::DiskIo(read), Row::DiskIo(it)) => read(it),
            (Read::Network(read), Row::Network(it)) => read(it),
            (Read::Temperature(read), Row::Temperature(it)) => read(it),
            _ => f64::NAN,
        }
    }

    /// Calls `value` with the label (empty for scalars) and the number, for every number that the sample carries.
    pub fn values(&self, sample: &Sample, mut value: impl FnMut(&str, f64)) {
        self.section().rows(sample, |label, row| {
            let number = self.read(row);
            if number.is_finite() {
                value(label, number);
            }
        });
    }

    /// Whether every number of this metric that the sample carries can be true.
    #[inline(always)]
    fn is_in_range(&self, sample: &Sample) -> bool {
        let holds = |value: f64| value.is_nan() || (self.min..=self.max).contains(&value);
        match self.read {
            Read::Host(read) => holds(read(sample)),
            Read::Core(read) => sample.cores.iter().all(|it| holds(read(it))),
            Read::Disk(read) => sample.disks.iter().all(|it| holds(read(it))),
            Read::DiskIo(read) => sample.disk_io.iter().all(|it| holds(read(it))),
            Read::Network(read) => sample.networks.iter().all(|it| holds(read(it))),
            Read::Temperature(read) => sample.temperatures.iter().all(|it| holds(read(it))),
        }
    }

    /// Its column in the history table of its section: scalars keep their group, others only the field.
    #[must_use]
    pub fn column(&self) -> String {
        let (group, field) = self.parts();
        match self.section() {
            Section::Host => format!("{group}_{field}"),
            Section::Core | Section::Disk | Section::DiskIo | Section::Network | Section::Temperature => {
                field.to_owned()
            }
        }
    }
}

/// Finds a metric by its name. Custom gauges (`custom.…`) are not in the catalogue.
#[must_use]
pub fn metric(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| metric.name == name)
}

/// Amounts and counters stay exact in JSON below this.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// No interface or disk moves more bytes a second.
const BYTES_PER_S_MAX: f64 = 1e13;
/// No counter of events turns faster.
const PER_S_MAX: f64 = 4_294_967_295.0;

const fn gauge(name: &'static str, unit: Unit, max: f64, read: Read, description: &'static str) -> Metric {
    Metric { name, unit, kind: Kind::Gauge, min: 0.0, max, description, read }
}

const fn counter(name: &'static str, read: Read, description: &'static str) -> Metric {
    Metric { name, unit: Unit::Count, kind: Kind::Counter, min: 0.0, max: EXACT_MAX, description, read }
}

/// Reads a field of an optional section.
macro_rules! of {
    ($section:ident, |$it:ident| $value:expr) => {
        Read::Host(|sample| sample.$section.as_ref().map_or(f64::NAN, |$it| $value))
    };
}

fn used(total: Kib, available: Kib) -> f64 {
    Kib(total.0.saturating_sub(available.0)).value()
}

/// Makes of one list the table to look things up in, and the range check with every reader compiled in.
macro_rules! catalogue {
    ($($metric:expr,)*) => {
        /// Unknown where there is no swap space: that is no emptiness to be glad of.
fn swap_used_pct(swap: &Swap) -> f64 {
    if swap.total.0 == 0 { f64::NAN } else { Pct::ratio(swap.used.value(), swap.total.value()).value() }
}

/// Every metric that a sample can carry, beside custom gauges.
        pub static CATALOGUE: &[Metric] = &[$($metric),*];

        /// The name of the first metric with a value that cannot be true.
        pub(crate) fn first_out_of_range(sample: &Sample) -> Option<&'static str> {
            $({
                const METRIC: Metric = $metric;
                if !METRIC.is_in_range(sample) {
                    return Some(METRIC.name);
                }
            })*
            None
        }
    };
}

catalogue! {
    gauge("cpu.usage_pct", Percent, 100.0, of!(cpu, |it| it.usage_pct.value()), "Share of processor time that was not idle"),
    gauge("cpu.user_pct", Percent, 100.0, of!(cpu, |it| it.user_pct.value()), "Share of processor time in programs"),
    gauge("cpu.system_pct", Percent, 100.0, of!(cpu, |it| it.system_pct.value()), "Share of processor time in the kernel"),
    gauge("cpu.iowait_pct", Percent, 100.0, of!(cpu, |it| it.iowait_pct.value()), "Share of processor time idle while a disk was awaited"),
    gauge("cpu.steal_pct", Percent, 100.0, of!(cpu, |it| it.steal_pct.value()), "Share of processor time that the hypervisor gave to others"),
    gauge("cpu.nice_pct", Percent, 100.0, of!(cpu, |it| it.nice_pct.value()), "Share of processor time in programs of low priority"),
    gauge("cpu.irq_pct", Percent, 100.0, of!(cpu, |it| it.irq_pct.value()), "Share of processor time in interrupts, hard and soft"),
    gauge("cpu.frequency_mhz", Megahertz, 100_000.0, of!(cpu, |it| it.frequency_mhz.map_or(f64::NAN, f64::from)), "Mean clock rate of the processors"),
    gauge("cpu.context_switches_per_s", PerSecond, PER_S_MAX, of!(cpu, |it| f64::from(it.context_switches_per_s)), "Context switches a second"),
    gauge("cpu.interrupts_per_s", PerSecond, PER_S_MAX, of!(cpu, |it| f64::from(it.interrupts_per_s)), "Interrupts a second"),
    gauge("core.usage_pct", Percent, 100.0, Read::Core(|it| it.usage_pct.value()), "Share of one processor's time that was not idle"),
    gauge("load.avg_1", Count, 1e6, of!(load, |it| it.avg_1.value()), "Tasks running or waiting, mean over 1 minute"),
    gauge("load.avg_5", Count, 1e6, of!(load, |it| it.avg_5.value()), "Tasks running or waiting, mean over 5 minutes"),
    gauge("load.avg_15", Count, 1e6, of!(load, |it| it.avg_15.value()), "Tasks running or waiting, mean over 15 minutes"),
    gauge("memory.total_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.total.value()), "Main memory"),
    gauge("memory.available_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.available.value()), "Memory that programs could get without swapping"),
    gauge("memory.used_bytes", Bytes, EXACT_MAX, of!(memory, |it| used(it.total, it.available)), "Memory that is not available"),
    gauge("memory.used_pct", Percent, 100.0, of!(memory, |it| Pct::ratio(used(it.total, it.available), it.total.value()).value()), "Share of memory that is not available"),
    gauge("memory.cached_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.cached.value()), "Memory that holds file contents"),
    gauge("memory.buffers_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.buffers.value()), "Memory that holds block device contents"),
    gauge("memory.shared_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.shared.value()), "Memory in shared segments and tmpfs"),
    gauge("memory.slab_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.slab.value()), "Memory in the kernel's own objects"),
    gauge("memory.dirty_bytes", Bytes, EXACT_MAX, of!(memory, |it| it.dirty.value()), "Memory that waits to be written to disk"),
    gauge("swap.total_bytes", Bytes, EXACT_MAX, of!(swap, |it| it.total.value()), "Swap space"),
    gauge("swap.used_bytes", Bytes, EXACT_MAX, of!(swap, |it| it.used.value()), "Swap space in use"),
    gauge("swap.used_pct", Percent, 100.0, of!(swap, |it| swap_used_pct(it)), "Share of swap space in use"),
    gauge("swap.in_pages_per_s", PerSecond, PER_S_MAX, of!(swap, |it| f64::from(it.in_pages_per_s)), "Pages read back from swap a second"),
    gauge("swap.out_pages_per_s", PerSecond, PER_S_MAX, of!(swap, |it| f64::from(it.out_pages_per_s)), "Pages written to swap a second"),
    gauge("disk.total_bytes", Bytes, EXACT_MAX, Read::Disk(|it| it.total.value()), "Size of the file system"),
    gauge("disk.used_bytes", Bytes, EXACT_MAX, Read::Disk(|it| it.used.value()), "Space in use"),
    gauge("disk.free_bytes", Bytes, EXACT_MAX, Read::Disk(|it| it.free.value()), "Space that ordinary users can still fill"),
    gauge("disk.used_pct", Percent, 100.0, Read::Disk(|it| Pct::ratio(it.used.value(), it.used.value() + it.free.value()).value()), "Share of the space for ordinary users in use, as df shows it"),
    gauge("disk.inodes_used_pct", Percent, 100.0, Read::Disk(|it| it.inodes_used_pct.value()), "Share of inodes in use"),
    gauge("disk_io.read_bytes_per_s", BytesPerSecond, BYTES_PER_S_MAX, Read::DiskIo(|it| it.read_bytes_per_s as f64), "Bytes read a second"),
    gauge("disk_io.write_bytes_per_s", BytesPerSecond, BYTES_PER_S_MAX, Read::DiskIo(|it| it.write_bytes_per_s as f64), "Bytes written a second"),
    gauge("disk_io.reads_per_s", PerSecond, PER_S_MAX, Read::DiskIo(|it| f64::from(it.reads_per_s)), "Reads completed a second"),
    gauge("disk_io.writes_per_s", PerSecond, PER_S_MAX, Read::DiskIo(|it| f64::from(it.writes_per_s)), "Writes completed a second"),
    gauge("disk_io.read_latency_us", Microseconds, PER_S_MAX, Read::DiskIo(|it| f64::from(it.read_latency_us)), "Mean time of a read"),
    gauge("disk_io.write_latency_us", Microseconds, PER_S_MAX, Read::DiskIo(|it| f64::from(it.write_latency_us)), "Mean time of a write"),
    gauge("disk_io.busy_pct", Percent, 100.0, Read::DiskIo(|it| it.busy_pct.value()), "Share of time with at least one request under way"),
    gauge("net.rx_bytes_per_s", BytesPerSecond, BYTES_PER_S_MAX, Read::Network(|it| it.rx_bytes_per_s as f64), "Bytes received a second"),
    gauge("net.tx_bytes_per_s", BytesPerSecond, BYTES_PER_S_MAX, Read::Network(|it| it.tx_bytes_per_s as f64), "Bytes sent a second"),
    gauge("net.rx_packets_per_s", PerSecond, PER_S_MAX, Read::Network(|it| f64::from(it.rx_packets_per_s)), "Packets received a second"),
    gauge("net.tx_packets_per_s", PerSecond, PER_S_MAX, Read::Network(|it| f64::from(it.tx_packets_per_s)), "Packets sent a second"),
    counter("net.rx_errors", Read::Network(|it| it.rx_errors as f64), "Packets received broken since the interface came up"),
    counter("net.tx_errors", Read::Network(|it| it.tx_errors as f64), "Packets that could not be sent since the interface came up"),
    counter("net.rx_drops", Read::Network(|it| it.rx_drops as f64), "Packets received and dropped since the interface came up"),
    counter("net.tx_drops", Read::Network(|it| it.tx_drops as f64), "Packets dropped before sending since the interface came up"),
    Metric {
        name: "temp.celsius",
        unit: Celsius,
        kind: Kind::Gauge,
        min: -273.15,
        max: 1000.0,
        description: "Temperature of a sensor",
        read: Read::Temperature(|it| it.celsius.value()),
    },
    gauge("processes.total", Count, PER_S_MAX, of!(processes, |it| f64::from(it.total)), "Processes"),
    gauge("processes.threads", Count, PER_S_MAX, of!(processes, |it| f64::from(it.threads)), "Threads of all processes"),
    gauge("processes.running", Count, PER_S_MAX, of!(processes, |it| f64::from(it.running)), "Tasks that run or could run"),
    gauge("processes.blocked", Count, PER_S_MAX, of!(processes, |it| f64::from(it.blocked)), "Tasks that wait for a disk"),
    gauge("pressure.cpu_pct", Percent, 100.0, of!(pressure, |it| it.cpu_pct.value()), "Share of the last 10 s in which a task waited for a processor"),
    gauge("pressure.memory_pct", Percent, 100.0, of!(pressure, |it| it.memory_pct.value()), "Share of the last 10 s in which a task waited for memory"),
    gauge("pressure.io_pct", Percent, 100.0, of!(pressure, |it| it.io_pct.value()), "Share of the last 10 s in which a task waited for a disk"),
    gauge("system.uptime_s", Seconds, EXACT_MAX, of!(system, |it| it.uptime_s as f64), "Time since the host started"),
    gauge("system.open_files", Count, PER_S_MAX, of!(system, |it| f64::from(it.open_files)), "Open file handles of the whole host"),
    gauge("system.tcp_connections", Count, PER_S_MAX, of!(system, |it| f64::from(it.tcp_connections)), "TCP sockets in use"),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MetricName;
    use std::collections::BTreeSet;

    #[test]
    fn names_parse_and_are_unique() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for name in names {
            assert!(name.parse::<MetricName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_field_ends_with_its_unit() {
        for metric in CATALOGUE {
            let ending = match metric.unit {
                Unit::Percent => "_pct",
                Unit::Bytes => "_bytes",
                Unit::BytesPerSecond => "_bytes_per_s",
                Unit::PerSecond => "_per_s",
                Unit::Celsius => "celsius",
                Unit::Megahertz => "_mhz",
                Unit::Seconds => "_s",
                Unit::Microseconds => "_us",
                Unit::Count => "",
            };
            assert!(metric.name.ends_with(ending), "{} should end with {ending}", metric.name);
        }
    }

    #[test]
    fn no_history_table_is_wider_than_questdb_likes() {
        for section in Section::ALL {
            assert!(section.metrics().count() <= 40, "{section:?}");
        }
    }
}
