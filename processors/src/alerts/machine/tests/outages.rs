//! I19: outages of bus, ticker or processor, of any length and in any order, raise nothing about hosts that report.

use super::super::{Effect, Input, Kind, Machine, Report, TransitionKind, Values};
use super::random_log::cases;
use crate::alerts::line;
use proptest::prelude::*;
use watchkeeper_schemas::alerting::{AlertFact, SavedRule};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::UnixMs;

/// What stands still for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Away {
    Nothing,
    /// Samples come, ticks do not.
    Ticker,
    /// Nothing is stored.
    Bus,
    /// The broker's clock is set back.
    Clock,
}

const HOSTS: usize = 4;

struct Fleet {
    machine: Machine,
    now: u64,
    sequence: u64,
    found: Vec<Effect>,
}

impl Fleet {
    fn new() -> Self {
        let mut machine = Machine::default();
        let rule = |(index, text): (usize, &&str)| AlertFact::Rule {
            id: format!("r{index}").parse().unwrap(),
            value: Some(SavedRule {
                text: (*text).to_owned(),
                scope: Default::default(),
                receivers: Default::default(),
                state: Default::default(),
                policy: Vec::new(),
            }),
        };
        let texts = ["cpu.usage_pct > 90 no-data alert", "host silent for 5s severity info"];
        machine.begin(texts.iter().enumerate().map(rule).collect());
        (0..HOSTS).for_each(|host| machine.meet(&format!("h{host}")));
        Self { machine, now: 10_000_000, sequence: 0, found: Vec::new() }
    }

    fn step(&mut self, kind: Kind) {
        self.sequence += 1;
        let effects = self.machine.step(Input { sequence: self.sequence, time: self.now, kind });
        let own = |effect: &Effect| match effect {
            Effect::Transition(it) => it.key.rule != "blind" && it.key.rule != "rebooted",
            Effect::Notice(_) => false,
        };
        self.found.extend(effects.into_iter().filter(own));
    }

    /// One second, in which a fifth of the hosts report.
    fn second(&mut self, away: Away) {
        self.now += 1000;
        if away == Away::Bus {
            return;
        }
        if away != Away::Ticker {
            self.step(Kind::Tick(Vec::new()));
        }
        let second = self.now / 1000;
        for host in (0..HOSTS).filter(|host| (second + *host as u64).is_multiple_of(5)) {
            let values = Values::new(vec![line::value("cpu.usage_pct", Some(1.0)).unwrap()]);
            self.step(Kind::Live(Box::new(Report {
                host: format!("h{host}"),
                boot: BootId([1; 16]),
                seq: self.sequence,
                time: self.now,
                interval_ms: 5000,
                clock_step_ms: 0,
                values,
            })));
        }
    }
}

#[test]
fn inputs_that_were_lost_are_told_once_and_are_no_fault_of_a_host() {
    let mut fleet = Fleet::new();
    (0..20).for_each(|_| fleet.second(Away::Nothing));
    let before = fleet.now;
    (0..30).for_each(|_| fleet.second(Away::Bus));
    fleet.machine.lose(150);
    // What is kept meanwhile keeps what is to be told.
    fleet.machine = Machine::restore(&fleet.machine.snapshot().unwrap()).unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        (fleet.now, fleet.sequence) = (fleet.now + 1000, fleet.sequence + 1);
        let tick = Input { sequence: fleet.sequence, time: fleet.now, kind: Kind::Tick(Vec::new()) };
        told.extend(fleet.machine.step(tick).into_iter().filter_map(|effect| match effect {
            Effect::Transition(it) if it.kind == TransitionKind::Fired => Some(it.reason.unwrap_or_default()),
            Effect::Transition(_) | Effect::Notice(_) => None,
        }));
    }
    let (from, until) = (UnixMs(before), UnixMs(fleet.now - 2000));
    assert_eq!(told, [format!("blind from {from} to {until}, 150 inputs lost")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn an_outage_of_ours_is_no_fault_of_a_host(parts in prop::collection::vec(
        (prop::sample::select(vec![Away::Nothing, Away::Ticker, Away::Bus, Away::Clock]), 1..90_u64), 1..4)
    ) {
        let mut fleet = Fleet::new();
        for (away, seconds) in parts {
            if away == Away::Clock {
                fleet.now -= seconds * 1000;
            } else {
                (0..seconds).for_each(|_| fleet.second(away));
            }
        }
        (0..70).for_each(|_| fleet.second(Away::Nothing));
        prop_assert_eq!(fleet.found, vec![]);
    }
}
