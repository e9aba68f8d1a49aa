//! ALERTS §5 over random logs: what must hold whatever happens. `ALERT_CASES` sets the number of logs.

use super::super::{Effect, Input, Key, Kind, Machine};
use super::random_log::{COOLDOWN_MS, HOSTS, Log, cases, fact_of_host, happenings};
use super::watcher::Watcher;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What makes two effects the same one: a transition carries its input, a notice is decided once whatever the input.
type Id = (u64, Key, u64, u8, u32, String);

fn id(sequence: u64, effect: &Effect) -> Id {
    match effect {
        Effect::Transition(it) => {
            let lane = if it.retro { "retro" } else { "" };
            (sequence, it.key.clone(), it.episode, it.kind as u8, 0, lane.to_owned())
        }
        Effect::Notice(it) => (0, it.key.clone(), it.episode, it.kind as u8, it.n, it.receiver.clone()),
    }
}

/// What is published: each effect once, the first time that it is decided.
#[derive(Default, PartialEq, Debug)]
struct Published(BTreeMap<Id, Effect>);

impl Published {
    /// Publishes what is new of consecutive inputs; how many effects were.
    fn publish(&mut self, first: usize, effects: &[Vec<Effect>]) -> usize {
        let before = self.0.len();
        for (index, found) in effects.iter().enumerate() {
            for effect in found {
                self.0.entry(id((first + index) as u64, effect)).or_insert_with(|| effect.clone());
            }
        }
        self.0.len() - before
    }
}

fn run(machine: &mut Machine, inputs: &[Input]) -> Vec<Vec<Effect>> {
    inputs.iter().map(|input| machine.step(input.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_must_hold_holds(happenings in happenings(), cut in 0.0..1.0_f64, lost in 0.0..1.0_f64, which in 0.0..1.0_f64) {
        let (mut watcher, mut effects) = (Watcher::default(), Vec::new());
        let mut look = |input: &Input, found: &[Effect], machine: &Machine| {
            effects.push(found.to_vec());
            watcher.look(input, found, machine);
        };
        let mut log = Log::begin(&mut look);
        let mut snapshot = log.machine.snapshot().unwrap();
        let cut_after = (happenings.len() as f64 * cut) as usize;
        let mut cut_at = log.inputs.len();
        for (index, happening) in happenings.iter().enumerate() {
            if index == cut_after {
                (snapshot, cut_at) = (log.machine.snapshot().unwrap(), log.inputs.len());
            }
            log.happen(happening);
        }
        for host in HOSTS {
            if log.machine.knows(host) {
                log.push(Kind::Tick(vec![fact_of_host(host, false)]));
            }
        }
        log.wait(COOLDOWN_MS / 1000 + 2);
        let (inputs, machine) = (log.inputs, log.machine);

        // I1, I2: a machine that begins again from a snapshot says the same, whatever the batches.
        let mut again = Machine::restore(&snapshot).unwrap();
        prop_assert_eq!(&run(&mut again, &inputs[cut_at..])[..], &effects[cut_at..]);
        let end = machine.snapshot().unwrap();
        prop_assert_eq!(&again.snapshot().unwrap(), &end);

        // I16: crashed somewhere after the snapshot, the effects until then published.
        let crash = cut_at + ((inputs.len() - cut_at) as f64 * lost) as usize;
        let (mut whole, mut crashed) = (Published::default(), Published::default());
        whole.publish(0, &effects);
        crashed.publish(0, &effects[..crash]);
        crashed.publish(cut_at, &effects[cut_at..]);
        prop_assert_eq!(&whole, &crashed);
        prop_assert_eq!(whole.0.len(), effects.iter().map(Vec::len).sum::<usize>(), "an id for each effect");
        // I17: read again from the snapshot, nothing is new.
        prop_assert_eq!(whole.publish(cut_at, &effects[cut_at..]), 0);

        // I3: a sample that comes again at the end.
        let samples: Vec<_> = inputs.iter().filter(|it| matches!(it.kind, Kind::Live(_) | Kind::Backfill(_))).collect();
        if let Some(repeated) = samples.get((samples.len() as f64 * which) as usize) {
            let (sequence, time, before) = (again.sequence, again.now, again.counts);
            let found = again.step(Input { sequence, time, kind: repeated.kind.clone() });
            prop_assert_eq!(found, vec![]);
            prop_assert_eq!(again.counts.late + again.counts.unknown, before.late + before.unknown + 1);
            again.counts = before;
            prop_assert_eq!(again.snapshot().unwrap(), end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases() / 400))]

    #[test]
    fn every_cut_point_is_like_another(happenings in happenings()) {
        let mut snapshots = Vec::new();
        let mut effects = Vec::new();
        let mut look = |_: &Input, found: &[Effect], machine: &Machine| {
            snapshots.push(machine.snapshot().unwrap());
            effects.push(found.to_vec());
        };
        let mut log = Log::begin(&mut look);
        happenings.iter().for_each(|happening| log.happen(happening));
        let inputs = log.inputs;
        for cut in 1..inputs.len() {
            let mut again = Machine::restore(&snapshots[cut - 1]).unwrap();
            prop_assert_eq!(&again.step(inputs[cut].clone()), &effects[cut], "after input {}", cut);
            prop_assert_eq!(&again.snapshot().unwrap(), &snapshots[cut], "after input {}", cut);
        }
    }
}
