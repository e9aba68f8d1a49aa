//! I4, I5, I6, I8: the condition against a slow model that reads the whole history anew for each sample.

use super::super::{Effect, Input, Kind, Machine, Report, TransitionKind, Values};
use super::random_log::cases;
use crate::alerts::line;
use proptest::prelude::*;
use watchkeeper_schemas::alerting::{AlertFact, SavedRule};
use watchkeeper_schemas::ids::BootId;

/// Longer between two counted samples is a hole, in milliseconds.
const HOLE_MS: u64 = 30_000;

/// Whether a sample is above 90, below 80, between, or has no number.
fn class(value: Option<u8>) -> char {
    match value {
        Some(value) if value > 90 => 'H',
        Some(value) if value < 80 => 'L',
        Some(_) => 'M',
        None => '?',
    }
}

/// First sample of the run of `wanted` that ends with the last sample, without a hole.
fn run_since(history: &[(u64, char)], wanted: char) -> Option<u64> {
    let mut counted = history.iter().rev().filter(|(_, class)| *class != '?');
    let &(mut since, _) =
        counted.next().filter(|(_, class)| *class == wanted && history.last().unwrap().1 == wanted)?;
    for (t, class) in counted {
        if *class != wanted || since - t > HOLE_MS {
            break;
        }
        since = *t;
    }
    Some(since)
}

/// Times of FIRED and RESOLVED as ALERTS §5 defines them.
fn expected(samples: &[(u64, Option<u8>)], for_ms: u64, keep_ms: u64) -> Vec<(u64, TransitionKind)> {
    let (mut history, mut open, mut found) = (Vec::new(), false, Vec::new());
    for (t, value) in samples {
        history.push((*t, class(*value)));
        let wanted = if open { ('L', keep_ms) } else { ('H', for_ms) };
        if run_since(&history, wanted.0).is_some_and(|since| t - since >= wanted.1) {
            found.push((*t, if open { TransitionKind::Resolved } else { TransitionKind::Fired }));
            open = !open;
        }
    }
    found
}

fn found(samples: &[(u64, Option<u8>)], for_ms: u64, keep_ms: u64) -> Vec<(u64, TransitionKind)> {
    let text = format!("cpu.usage_pct > 90 for {for_ms}ms clear < 80 keep {keep_ms}ms");
    let saved = SavedRule {
        text,
        scope: Default::default(),
        receivers: Default::default(),
        state: Default::default(),
        policy: Vec::new(),
    };
    let mut machine = Machine::default();
    machine.begin(vec![AlertFact::Rule { id: "r1".parse().unwrap(), value: Some(saved) }]);
    machine.meet("h1");
    let mut found = Vec::new();
    for (index, (t, value)) in samples.iter().enumerate() {
        let sequence = 2 * index as u64 + 1;
        let values = Values::new(vec![line::value("cpu.usage_pct", value.map(f64::from)).unwrap()]);
        let report = Report {
            host: "h1".to_owned(),
            boot: BootId([1; 16]),
            seq: index as u64 + 1,
            time: *t,
            interval_ms: 5000,
            clock_step_ms: 0,
            values,
        };
        let inputs = [Kind::Live(Box::new(report)), Kind::Tick(Vec::new())];
        for (offset, kind) in inputs.into_iter().enumerate() {
            for effect in machine.step(Input { sequence: sequence + offset as u64, time: *t, kind }) {
                if let Effect::Transition(it) = effect
                    && it.key.rule == "r1"
                {
                    found.push((*t, it.kind));
                }
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn the_condition_is_what_the_history_says(
        steps in prop::collection::vec(
            (prop_oneof![8 => 1..8_u64, 1 => 25..70_u64], prop::option::weighted(0.85, 70..100_u8)), 1..60),
        for_s in 0..40_u64,
        keep_s in 0..40_u64,
        steady in any::<bool>(),
    ) {
        let mut t = 1_000_000;
        let samples: Vec<_> = steps.iter().map(|(seconds, value)| {
            t += seconds * 1000;
            // Long stretches of one class, so that long runs happen.
            (t, value.map(|value| if steady && t % 200_000 < 120_000 { value.max(91) } else { value }))
        }).collect();
        let (for_ms, keep_ms) = (for_s * 1000, keep_s * 1000);
        prop_assert_eq!(found(&samples, for_ms, keep_ms), expected(&samples, for_ms, keep_ms));
    }
}
