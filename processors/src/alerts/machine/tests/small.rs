//! A machine that keeps in little room what is well says the same as one that writes everything out before each input.

use super::super::watch::Watch;
use super::super::{Input, Kind, Machine, Report, Values};
use super::random_log::{cases, fact_of_host};
use crate::alerts::line;
use proptest::prelude::*;
use watchkeeper_schemas::alerting::{AlertFact, SavedRule};
use watchkeeper_schemas::ids::BootId;

/// Scalars and rows, with an upper level or without, of one metric or of several.
const TEXTS: [&str; 9] = [
    "cpu.usage_pct > 60",
    "cpu.usage_pct > 60 no-data alert",
    "cpu.usage_pct > 60 critical when swap.used_pct > 60",
    "cpu.usage_pct > 60 and swap.used_pct > 60 no-data resolve",
    "absent(swap.used_pct)",
    "disk.used_pct > 60",
    "disk.used_pct > 60 critical when disk.inodes_used_pct > 60 for 10s",
    "disk.used_pct{mount=\"/\"} > 60 clear < 40 no-data alert",
    "disk.used_pct > 60 and disk.inodes_used_pct > 60",
];
const NAMES: [&str; 6] = [
    "cpu.usage_pct",
    "swap.used_pct",
    "disk.used_pct{mount=\"/\"}",
    "disk.used_pct{mount=\"/data\"}",
    "disk.inodes_used_pct{mount=\"/\"}",
    "disk.inodes_used_pct{mount=\"/data\"}",
];

fn begin() -> Machine {
    let mut machine = Machine::default();
    let rule = |(place, text): (usize, &&str)| {
        let (scope, receivers) = (Default::default(), ["ops".to_owned()].into());
        let text = (*text).to_owned();
        let saved = SavedRule { text, scope, receivers, state: Default::default(), policy: Vec::new() };
        AlertFact::Rule { id: format!("r{place}").parse().unwrap(), value: Some(saved) }
    };
    let facts = TEXTS.iter().enumerate().map(rule).chain([fact_of_host("h1", false)]);
    machine.begin(facts.collect());
    machine
}

fn written_out(machine: &Machine) -> Vec<Watch> {
    let mut watches: Vec<Watch> = machine.hosts.values().flat_map(|host| host.runs.clone()).collect();
    watches.iter_mut().for_each(Watch::spread);
    watches
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 10))]

    #[test]
    fn what_is_kept_in_little_room_is_all_that_there_is(
        samples in prop::collection::vec(
            (prop_oneof![8 => 5..8_u64, 1 => 60..700_u64],
             prop::collection::vec(prop_oneof![8 => Just(Some(30_u8)), 1 => Just(Some(90)), 1 => Just(None)], 6)), 1..40),
    ) {
        let (mut small, mut full) = (begin(), begin());
        let (mut now, mut sequence) = (1_000_000, 0);
        for (seconds, numbers) in &samples {
            // Ticks alone first, the last of them after a while without a sample.
            let ticks = (0..*seconds).filter(|it| it % 4 == 0 || *it > 590).map(|it| (now + it * 1000, None));
            let times: Vec<_> = ticks.chain([(now + seconds * 1000, Some(numbers))]).collect();
            now += seconds * 1000;
            for (time, numbers) in times {
                sequence += 1;
                let kind = numbers.map_or(Kind::Tick(Vec::new()), |numbers| {
                    let value = |(name, number): (&&str, &Option<u8>)| line::value(name, number.map(f64::from)).unwrap();
                    let values = Values::new(NAMES.iter().zip(numbers).map(value).collect());
                    let (host, boot) = ("h1".to_owned(), BootId([1; 16]));
                    Kind::Live(Box::new(Report {
                        host, boot, seq: sequence, time, interval_ms: 5000, clock_step_ms: 0, values,
                    }))
                });
                full.hosts.values_mut().flat_map(|host| &mut host.runs).for_each(Watch::spread);
                let input = Input { sequence, time, kind };
                prop_assert_eq!(small.step(input.clone()), full.step(input), "at {}", time);
                prop_assert_eq!(written_out(&small), written_out(&full), "at {}", time);
            }
        }
    }
}
