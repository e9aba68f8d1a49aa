//! Network interfaces: /proc/net/dev.

use super::roots::Roots;
use super::source::Source;
use super::{ROWS_MAX, Tick};
use crate::rates::{BYTES_PER_S_MAX, Width, events_per_second, growth, per_second};
use std::time::Duration;
use watchkeeper_schemas::quantity::Text;
use watchkeeper_schemas::sample::Network;

/// Numbers of a line that are counted on: 8 of receiving, 4 of sending.
const FIELDS: usize = 12;

/// Counters of one interface since it came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counters {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_drops: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_drops: u64,
}

/// Each interface that can be read and its counters.
fn parse(text: &str) -> impl Iterator<Item = (&str, Counters)> {
    text.lines().filter_map(|line| {
        // Names may hold a colon (old aliases) but numbers never do.
        let (name, numbers) = line.rsplit_once(':')?;
        let mut fields = [0; FIELDS];
        let mut words = numbers.split_ascii_whitespace();
        for field in &mut fields {
            *field = words.next()?.parse().ok()?;
        }
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_drops,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_drops,
        ] = fields;
        let counters =
            Counters { rx_bytes, rx_packets, rx_errors, rx_drops, tx_bytes, tx_packets, tx_errors, tx_drops };
        Some((name.trim(), counters))
    })
}

/// The loop-back says nothing about the host's network; one end of each container's cable comes and goes with it, and
/// its traffic is counted at the bridge.
fn is_left_out(interface: &str) -> bool {
    interface == "lo" || interface.starts_with("veth")
}

/// Rates of one interface; `None` where it was reset or replaced.
fn rates(interface: &Text, before: &Counters, now: &Counters, elapsed: Duration) -> Option<Network> {
    let grown = |field: fn(&Counters) -> u64| growth(field(before), field(now), Width::Bits64);
    Some(Network {
        interface: interface.clone(),
        rx_bytes_per_s: per_second(grown(|it| it.rx_bytes)?, elapsed, BYTES_PER_S_MAX)?,
        tx_bytes_per_s: per_second(grown(|it| it.tx_bytes)?, elapsed, BYTES_PER_S_MAX)?,
        rx_packets_per_s: events_per_second(grown(|it| it.rx_packets)?, elapsed)?,
        tx_packets_per_s: events_per_second(grown(|it| it.tx_packets)?, elapsed)?,
        rx_errors: exact(now.rx_errors),
        tx_errors: exact(now.tx_errors),
        rx_drops: exact(now.rx_drops),
        tx_drops: exact(now.tx_drops),
    })
}

/// Counters travel exactly below 2^53; a driver that tells more tells nonsense.
fn exact(count: u64) -> u64 {
    count.min((1 << 53) - 1)
}

pub(super) struct NetworkCollector {
    dev: Source,
    before: Vec<(Text, Counters)>,
}

impl NetworkCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { dev: Source::new(roots.of_process("net/dev")), before: Vec::new() }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> Vec<Network> {
        let text = self.dev.read(tick.buffer).unwrap_or_default();
        // An interface that never carried anything is not in use.
        let used = |counters: &Counters| counters.rx_packets > 0 || counters.tx_packets > 0;
        let told = parse(&text).filter(|(name, counters)| used(counters) && !is_left_out(name));
        let now: Vec<(Text, Counters)> =
            told.map(|(name, counters)| (Text::fit(name), counters)).take(ROWS_MAX).collect();
        let rows = now.iter().filter_map(|(name, counters)| {
            let (_, before) = self.before.iter().find(|(before, _)| before == name)?;
            rates(name, before, counters, tick.elapsed)
        });
        let rows = rows.collect();
        self.before = now;
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo: 8238298    8404    0    0    0     0          0         0  8238298    8404    0    0    0     0       0          0\n  \
        eth0:869931640   29443    1    2    0     0          0         0  2156154   19527    3    4    0     0       0          0\n\
        br-12:x 1 2\nwlan0: 1 2 3\n";

    #[test]
    fn the_fields_stand_where_the_kernel_puts_them() {
        let rows: Vec<_> = parse(DEV).collect();
        assert_eq!(rows.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["lo", "eth0"]);
        let expected = Counters {
            rx_bytes: 869_931_640,
            rx_packets: 29_443,
            rx_errors: 1,
            rx_drops: 2,
            tx_bytes: 2_156_154,
            tx_packets: 19_527,
            tx_errors: 3,
            tx_drops: 4,
        };
        assert_eq!(rows[1].1, expected);
        assert_eq!(parse("").count(), 0);
        assert!(is_left_out("lo") && is_left_out("veth12ab") && !is_left_out("eth0") && !is_left_out("lo1"));
    }

    #[test]
    fn an_interface_that_came_up_anew_is_absent_for_a_tick() {
        let old = Counters { rx_bytes: 5_000_000_000_000, rx_packets: 9, ..Counters::default() };
        let reset = Counters { rx_bytes: 1_200, ..old };
        let second = Duration::from_secs(1);
        let eth0 = Text::fit("eth0");
        assert_eq!(rates(&eth0, &old, &reset, second), None);
        assert_eq!(rates(&eth0, &reset, &old, second), None, "replaced by one that counted further");
        assert_eq!(
            rates(&eth0, &reset, &Counters { rx_bytes: 2_200, ..old }, second).unwrap().rx_bytes_per_s,
            1000
        );
    }

    proptest! {
        #[test]
        fn no_pair_of_readings_gives_an_absurd_rate(a: [u64; 8], b: [u64; 8], ms in 0_u64..10_000) {
            let counters = |n: [u64; 8]| Counters {
                rx_bytes: n[0], rx_packets: n[1], rx_errors: n[2], rx_drops: n[3],
                tx_bytes: n[4], tx_packets: n[5], tx_errors: n[6], tx_drops: n[7],
            };
            if let Some(row) = rates(&Text::fit("eth0"), &counters(a), &counters(b), Duration::from_millis(ms)) {
                prop_assert!(row.rx_bytes_per_s <= BYTES_PER_S_MAX && row.tx_bytes_per_s <= BYTES_PER_S_MAX);
                prop_assert!(row.rx_errors < 1 << 53);
            }
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = parse(&text).count();
        }
    }
}
