//! Block devices: /proc/diskstats, whole devices only.

use super::roots::Roots;
use super::source::Source;
use super::{ROWS_MAX, Tick};
use crate::rates::{BYTES_PER_S_MAX, Width, events_per_second, growth, mean_us, per_second};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_schemas::quantity::{Pct, Text};
use watchkeeper_schemas::sample::DiskIo;

/// /proc/diskstats counts in these, whatever the device.
const SECTOR_BYTES: u64 = 512;
/// Images, memory and removable media: no disks of the host.
const LEFT_OUT: [&str; 6] = ["loop", "ram", "zram", "fd", "sr", "nbd"];
/// Names that are remembered; beyond, what is known is looked up anew.
const NAMES_MAX: usize = 4096;

/// Counters of one device since it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counters {
    reads: u64,
    read_sectors: u64,
    read_ms: u64,
    writes: u64,
    written_sectors: u64,
    write_ms: u64,
    busy_ms: u64,
}

/// Each line of /proc/diskstats that can be read: the device and its counters.
fn parse(text: &str) -> impl Iterator<Item = (&str, Counters)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(2);
        let device = words.next()?;
        let mut numbers = words.map(|word| word.parse::<u64>().ok());
        // Fields as in the kernel's admin-guide/iostats: merged requests and those under way are not of interest.
        let mut at = |skip: usize| numbers.nth(skip).flatten();
        let counters = Counters {
            reads: at(0)?,
            read_sectors: at(1)?,
            read_ms: at(0)?,
            writes: at(0)?,
            written_sectors: at(1)?,
            write_ms: at(0)?,
            busy_ms: at(1)?,
        };
        Some((device, counters))
    })
}

/// Rates of one device; `None` where it was reset or replaced.
fn rates(device: &Text, before: &Counters, now: &Counters, elapsed: Duration) -> Option<DiskIo> {
    let grown = |field: fn(&Counters) -> u64| growth(field(before), field(now), Width::Bits64);
    // The kernel keeps milliseconds in 32 bits.
    let grown_ms = |field: fn(&Counters) -> u64| growth(field(before), field(now), Width::Bits32);
    let (reads, writes) = (grown(|it| it.reads)?, grown(|it| it.writes)?);
    let bytes = |sectors: u64| per_second(sectors.saturating_mul(SECTOR_BYTES), elapsed, BYTES_PER_S_MAX);
    Some(DiskIo {
        device: device.clone(),
        read_bytes_per_s: bytes(grown(|it| it.read_sectors)?)?,
        write_bytes_per_s: bytes(grown(|it| it.written_sectors)?)?,
        reads_per_s: events_per_second(reads, elapsed)?,
        writes_per_s: events_per_second(writes, elapsed)?,
        read_latency_us: mean_us(grown_ms(|it| it.read_ms)?, reads),
        write_latency_us: mean_us(grown_ms(|it| it.write_ms)?, writes),
        busy_pct: Pct::ratio(grown_ms(|it| it.busy_ms)? as f64, elapsed.as_secs_f64() * 1000.0),
    })
}

pub(super) struct DiskIoCollector {
    diskstats: Source,
    blocks: PathBuf,
    /// Every name that was seen, and whether it is a whole device.
    whole: BTreeMap<String, bool>,
    before: Vec<(Text, Counters)>,
}

impl DiskIoCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            diskstats: Source::new(roots.path("proc/diskstats")),
            blocks: roots.path("sys/block"),
            whole: BTreeMap::new(),
            before: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> Vec<DiskIo> {
        let text = self.diskstats.read(tick.buffer).unwrap_or_default();
        let mut now: Vec<(Text, Counters)> = Vec::with_capacity(self.before.len());
        for (device, counters) in parse(&text) {
            // A device that never did anything is not in use.
            let used = counters.reads > 0 || counters.writes > 0;
            if used && now.len() < ROWS_MAX && self.is_whole(device) {
                now.push((Text::fit(device), counters));
            }
        }
        let rows = now.iter().filter_map(|(device, counters)| {
            let (_, before) = self.before.iter().find(|(before, _)| before == device)?;
            rates(device, before, counters, tick.elapsed)
        });
        let rows = rows.collect();
        self.before = now;
        rows
    }

    /// Whole devices stand in /sys/block, partitions below them.
    fn is_whole(&mut self, device: &str) -> bool {
        if let Some(whole) = self.whole.get(device) {
            return *whole;
        }
        if self.whole.len() >= NAMES_MAX {
            self.whole.clear();
        }
        // In sysfs a slash of a name is written as an exclamation mark.
        let whole = !is_left_out(device) && self.blocks.join(device.replace('/', "!")).exists();
        self.whole.insert(device.to_owned(), whole);
        whole
    }
}

fn is_left_out(device: &str) -> bool {
    LEFT_OUT.iter().any(|kind| {
        device.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DISKSTATS: &str = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
        254       0 vda 226669 38518 15540706 172118 67817 67913 12058360 69914 0 41528 247620 18997 104 1805552 3076 12878 2511\n \
        254       1 vda1 1 2 3 4 5 6 7 8 9 10 11\n   8 0 sda 1 2 3\n   8 16 sdb x 2 3 4 5 6 7 8 9 10 11\n";
    const FIVE: Duration = Duration::from_secs(5);

    #[test]
    fn the_fields_stand_where_the_kernel_puts_them() {
        let rows: Vec<_> = parse(DISKSTATS).collect();
        assert_eq!(rows.iter().map(|(device, _)| *device).collect::<Vec<_>>(), ["loop0", "vda", "vda1"]);
        let expected = Counters {
            reads: 1,
            read_sectors: 3,
            read_ms: 4,
            writes: 5,
            written_sectors: 7,
            write_ms: 8,
            busy_ms: 10,
        };
        assert_eq!(rows[2].1, expected);
        assert_eq!(parse("").count() + parse("\n \n7 0\n").count(), 0);
    }

    #[test]
    fn milliseconds_that_wrap_go_on() {
        let before = Counters {
            reads: 100,
            read_ms: u64::from(u32::MAX) - 99,
            busy_ms: u64::from(u32::MAX) - 999,
            ..Counters::default()
        };
        let now =
            Counters { reads: 110, read_ms: 100, busy_ms: 1500, read_sectors: 10_000, ..Counters::default() };
        let row = rates(&Text::fit("vda"), &before, &now, FIVE).unwrap();
        assert_eq!(
            (row.reads_per_s, row.read_latency_us, row.busy_pct, row.read_bytes_per_s),
            (2, 20_000, Pct(500), 1_024_000)
        );
    }

    #[test]
    fn a_device_that_was_replaced_is_absent_for_a_tick() {
        let old = Counters { reads: 1_000_000, ..Counters::default() };
        assert_eq!(rates(&Text::fit("sdb"), &old, &Counters { reads: 3, ..old }, FIVE), None);
        assert_eq!(rates(&Text::fit("sdb"), &old, &old, Duration::ZERO), None);
    }

    #[test]
    fn images_and_memory_are_no_disks() {
        assert!(["loop0", "ram15", "zram0", "sr0", "fd0", "nbd3"].into_iter().all(is_left_out));
        assert!(!["sda", "nvme0n1", "dm-0", "md127", "ramdisk", "fdx"].into_iter().any(is_left_out));
    }

    proptest! {
        #[test]
        fn no_pair_of_readings_gives_an_absurd_rate(a: [u64; 7], b: [u64; 7], ms in 0_u64..10_000) {
            let counters = |n: [u64; 7]| Counters {
                reads: n[0], read_sectors: n[1], read_ms: n[2], writes: n[3], written_sectors: n[4], write_ms: n[5], busy_ms: n[6],
            };
            if let Some(row) = rates(&Text::fit("sda"), &counters(a), &counters(b), Duration::from_millis(ms)) {
                prop_assert!(row.read_bytes_per_s <= BYTES_PER_S_MAX && row.busy_pct.0 <= 1000);
            }
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = parse(&text).count();
        }
    }
}
