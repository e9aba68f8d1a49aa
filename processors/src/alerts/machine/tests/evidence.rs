//! What a transition says of itself, so that "why did it fire?" has an answer when rule and samples are long gone.

use super::super::{Effect, Evidence, Input, Kind, Machine, Notice, Report, Sampled, Transition, Values};
use crate::alerts::line;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{AlertFact, Matcher, SavedRule, Silence};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::UnixMs;

const TEXT: &str = "cpu.usage_pct > 90 for 10s clear < 50 keep 5s";

fn machine() -> Machine {
    let mut machine = Machine::default();
    machine.meet("h1");
    let rule = SavedRule {
        text: TEXT.to_owned(),
        scope: Default::default(),
        receivers: BTreeSet::from(["rx1".to_owned()]),
        state: Default::default(),
        policy: Vec::new(),
    };
    let silence = Silence {
        author: "ann".to_owned(),
        reason: "deploy".to_owned(),
        from: UnixMs(0),
        until: UnixMs(1_013_000),
        matchers: vec![Matcher::Host("h1".parse().unwrap())],
    };
    let facts = vec![
        AlertFact::Rule { id: "r1".parse().unwrap(), value: Some(rule) },
        AlertFact::Silence { id: "s1".to_owned(), value: Some(silence) },
    ];
    machine.step(Input { sequence: 7, time: 999_000, kind: Kind::Tick(facts) });
    machine
}

fn effects() -> (Vec<Transition>, Vec<Notice>) {
    let (mut machine, mut transitions, mut notices) = (machine(), Vec::new(), Vec::new());
    for (index, cpu) in [91.0, 97.0, 95.0, 40.0, 30.0].into_iter().enumerate() {
        let time = 1_000_000 + index as u64 * 5000;
        let values = Values::new(vec![line::value("cpu.usage_pct", Some(cpu)).unwrap()]);
        let seq = index as u64 + 1;
        let (host, boot) = ("h1".to_owned(), BootId([1; 16]));
        let report = Report { host, boot, seq, time, interval_ms: 5000, clock_step_ms: 0, values };
        for kind in [Kind::Live(Box::new(report)), Kind::Tick(Vec::new())] {
            for effect in machine.step(Input { sequence: 100 + seq, time, kind }) {
                match effect {
                    Effect::Transition(it) => transitions.push(it),
                    Effect::Notice(it) => notices.push(it),
                }
            }
        }
    }
    (transitions, notices)
}

#[test]
fn a_transition_carries_rule_samples_and_what_held_its_notices_back() {
    let (transitions, _) = effects();
    let evidence: Vec<_> = transitions.into_iter().map(|it| it.evidence).collect();
    let sampled = |time, value| Sampled { time, value: Some(value) };
    let expected = |samples, muted_by| Evidence { rule: TEXT.into(), in_force: 7, samples, muted_by };
    assert_eq!(
        evidence,
        [
            expected(vec![sampled(1_000_000, 91.0), sampled(1_010_000, 95.0)], vec!["silence s1".into()]),
            expected(vec![sampled(1_015_000, 40.0), sampled(1_020_000, 30.0)], vec![]),
        ]
    );
}

#[test]
fn a_notice_says_value_peak_and_how_long_it_lasted() {
    let (_, notices) = effects();
    let said: Vec<_> = notices.iter().map(|it| (it.since, it.value, it.peak, it.duration_ms)).collect();
    let open = (1_000_000, Some(95.0), Some(97.0), None);
    assert_eq!(said, [open, (1_000_000, Some(95.0), Some(97.0), Some(15_000))]);
}
