//! ALERTS §5 over random logs: what must hold whatever happens. `ALERT_CASES` sets the number of logs.

use super::super::{Effect, Input, Key, Kind, Machine, NoticeKind, Report, TransitionKind, Values};
use crate::alerts::line;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{
    AlertFact, Defaults, EpisodeRef, Matcher, SavedRule, Silence, Step, WatchedHost,
};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// Cooldown of the rules here, in milliseconds.
const COOLDOWN_MS: u64 = 60_000;
const RULES: [&str; 4] = [
    "cpu.usage_pct > 80 for 10s clear < 60 keep 10s critical when cpu.usage_pct > 95 cooldown 1m",
    "disk.used_pct > 80 cooldown 1m repeat 2m no-data alert",
    "avg(cpu.usage_pct, 15s) > 70 cooldown 1m no-data resolve",
    "cpu.usage_pct > 60 cooldown 1m",
];
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

pub(super) fn cases() -> u32 {
    std::env::var("ALERT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

#[derive(Debug, Clone)]
enum Step1 {
    Sample { host: usize, cpu: Option<u8>, disk: Option<u8> },
    Reboot { host: usize },
    Again { back: usize },
    Wait { seconds: u64 },
    Skip { seconds: u64 },
    Rule { rule: usize, text: usize },
    Delete { rule: usize },
    Pause { host: usize, paused: bool },
    Silence { host: usize, seconds: u64 },
    Ack { nth: usize },
    Resolve { nth: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step1>> {
    let level = || prop::option::weighted(0.9, prop::sample::select(vec![10, 50, 65, 75, 85, 97_u8]));
    let step = prop_oneof![
        30 => (0..3_usize, level(), level()).prop_map(|(host, cpu, disk)| Step1::Sample { host, cpu, disk }),
        1 => (0..3_usize).prop_map(|host| Step1::Reboot { host }),
        3 => (0..20_usize).prop_map(|back| Step1::Again { back }),
        20 => (1..8_u64).prop_map(|seconds| Step1::Wait { seconds }),
        3 => (20..100_u64).prop_map(|seconds| Step1::Wait { seconds }),
        1 => (6..200_u64).prop_map(|seconds| Step1::Skip { seconds }),
        3 => (0..4_usize, 0..4_usize).prop_map(|(rule, text)| Step1::Rule { rule, text }),
        1 => (0..4_usize).prop_map(|rule| Step1::Delete { rule }),
        2 => (0..3_usize, any::<bool>()).prop_map(|(host, paused)| Step1::Pause { host, paused }),
        3 => (0..3_usize, 5..60_u64).prop_map(|(host, seconds)| Step1::Silence { host, seconds }),
        2 => (0..4_usize).prop_map(|nth| Step1::Ack { nth }),
        1 => (0..4_usize).prop_map(|nth| Step1::Resolve { nth }),
    ];
    prop::collection::vec(step, 1..60)
}

fn rule(rule: usize, text: usize) -> AlertFact {
    let receivers = BTreeSet::from(["rx1".to_owned()]);
    let escalation = Step { receivers: BTreeSet::from(["rx2".to_owned()]), wait_ms: 30_000 };
    let first = Step { receivers: receivers.clone(), wait_ms: 30_000 };
    let value = SavedRule {
        text: RULES[text].to_owned(),
        scope: Default::default(),
        receivers,
        state: Default::default(),
        policy: if rule == 3 { vec![first, escalation] } else { Vec::new() },
    };
    AlertFact::Rule { id: format!("r{rule}").parse().unwrap(), value: Some(value) }
}

/// The inputs of a log; what names open episodes is decided by a machine that reads along.
fn log(steps: &[Step1]) -> Vec<Input> {
    let mut log =
        Log { inputs: Vec::new(), now: 100_000, machine: Machine::default(), seqs: [0; 3], boots: [1; 3] };
    let mut facts = vec![AlertFact::Defaults {
        value: Defaults { receivers: BTreeSet::from(["rx1".to_owned()]), policy: Vec::new() },
    }];
    facts.extend((0..4).map(|it| rule(it, it)));
    facts.extend(HOSTS.iter().map(|host| fact_of_host(host, false)));
    log.push(Kind::Tick(facts));
    steps.iter().for_each(|step| log.step(step));
    log.inputs
}

fn fact_of_host(host: &str, paused: bool) -> AlertFact {
    AlertFact::Host { id: host.parse().unwrap(), value: Some(WatchedHost { paused, ..Default::default() }) }
}

struct Log {
    inputs: Vec<Input>,
    now: u64,
    machine: Machine,
    seqs: [u64; 3],
    boots: [u8; 3],
}

impl Log {
    fn push(&mut self, kind: Kind) {
        let input = Input { sequence: self.inputs.len() as u64 + 1, time: self.now, kind };
        self.machine.step(input.clone());
        self.inputs.push(input);
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1000;
            self.push(Kind::Tick(Vec::new()));
        }
    }

    fn sample(&mut self, host: usize, cpu: Option<u8>, disk: Option<u8>) {
        self.seqs[host] += 1;
        let number = |value: Option<u8>| value.map(f64::from);
        let values = vec![
            line::value("cpu.usage_pct", number(cpu)).unwrap(),
            line::value("disk.used_pct{mount=\"/\"}", number(disk)).unwrap(),
        ];
        self.push(Kind::Live(Box::new(Report {
            host: HOSTS[host].to_owned(),
            boot: BootId([self.boots[host]; 16]),
            seq: self.seqs[host],
            time: self.now,
            interval_ms: 5000,
            clock_step_ms: 0,
            values: Values::new(values),
        })));
    }

    fn open(&self, nth: usize) -> Option<EpisodeRef> {
        let open: Vec<_> =
            self.machine.voices.iter().filter_map(|(key, it)| Some((key, it.open.as_ref()?))).collect();
        let (key, episode) = open.get(nth)?;
        let (rule, host, series) = (key.rule.to_string(), key.host.to_string(), key.series.to_string());
        Some(EpisodeRef { rule, host, series, episode: episode.number })
    }

    fn step(&mut self, step: &Step1) {
        match *step {
            Step1::Sample { host, cpu, disk } => self.sample(host, cpu, disk),
            Step1::Reboot { host } => {
                self.boots[host] = self.boots[host].wrapping_add(1);
                self.seqs[host] = 0;
            }
            Step1::Again { back } => {
                let samples: Vec<_> =
                    self.inputs.iter().filter(|it| matches!(it.kind, Kind::Live(_))).collect();
                if let Some(again) = samples.iter().rev().nth(back).map(|it| it.kind.clone()) {
                    self.push(again);
                }
            }
            Step1::Wait { seconds } => self.wait(seconds),
            Step1::Skip { seconds } => self.now += seconds * 1000,
            Step1::Rule { rule: id, text } => self.push(Kind::Tick(vec![rule(id, text)])),
            Step1::Delete { rule } => {
                let id = format!("r{rule}").parse().unwrap();
                self.push(Kind::Tick(vec![AlertFact::Rule { id, value: None }]));
            }
            Step1::Pause { host, paused } => self.push(Kind::Tick(vec![fact_of_host(HOSTS[host], paused)])),
            Step1::Silence { host, seconds } => {
                let value = Some(Silence {
                    author: "ann".to_owned(),
                    reason: "test".to_owned(),
                    from: UnixMs(self.now),
                    until: UnixMs(self.now + seconds * 1000),
                    matchers: vec![Matcher::Host(HOSTS[host].parse().unwrap())],
                });
                self.push(Kind::Tick(vec![AlertFact::Silence { id: format!("s{host}"), value }]));
            }
            Step1::Ack { nth } => {
                if let Some(episode) = self.open(nth) {
                    self.push(Kind::Tick(vec![AlertFact::Ack { episode, value: Some("ann".to_owned()) }]));
                }
            }
            Step1::Resolve { nth } => {
                if let Some(episode) = self.open(nth) {
                    self.push(Kind::Tick(vec![AlertFact::Resolve { episode, by: "ann".to_owned() }]));
                }
            }
        }
    }
}

fn run(machine: &mut Machine, inputs: &[Input]) -> Vec<(u64, Effect)> {
    let mut effects = Vec::new();
    for input in inputs {
        let time = input.time;
        effects.extend(machine.step(input.clone()).into_iter().map(|effect| (time, effect)));
    }
    effects
}

/// Of one of the rules here, not of a built-in one.
fn is_own(key: &Key) -> bool {
    key.rule.len() == 2
}

/// I7: FIRED and RESOLVED take turns, numbers grow.
fn check_turns(effects: &[(u64, Effect)]) {
    let mut open: BTreeMap<Key, (u64, bool)> = BTreeMap::new();
    for (_, effect) in effects {
        let Effect::Transition(it) = effect else { continue };
        let (number, is_open) = open.entry(it.key.clone()).or_default();
        match it.kind {
            TransitionKind::Fired => {
                assert!(!*is_open && it.episode > *number, "{it:?} after {number} open={is_open}");
                (*number, *is_open) = (it.episode, true);
            }
            TransitionKind::Resolved => {
                assert!(*is_open && it.episode == *number, "{it:?} after {number} open={is_open}");
                *is_open = false;
            }
            TransitionKind::Level | TransitionKind::Acked => {
                assert!(*is_open && it.episode == *number, "{it:?}")
            }
        }
    }
}

/// I11, I12, I15 and that no notice is decided twice.
fn check_notices(effects: &[(u64, Effect)]) {
    let (mut said, mut told, mut last) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    let mut acked: BTreeMap<(Key, u64), Severity> = BTreeMap::new();
    for (time, effect) in effects {
        let it = match effect {
            Effect::Transition(it) => {
                if it.kind == TransitionKind::Acked {
                    acked.insert((it.key.clone(), it.episode), it.level);
                }
                continue;
            }
            Effect::Notice(it) => it,
        };
        let id = (it.key.clone(), it.episode, it.kind, it.n, it.receiver.clone());
        assert!(said.insert(id), "decided twice: {it:?}");
        let episode = (it.key.clone(), it.receiver.clone(), it.episode);
        let level = acked.get(&(it.key.clone(), it.episode));
        match it.kind {
            NoticeKind::Resolved => assert!(told.remove(&episode), "never told: {it:?}"),
            NoticeKind::Firing => {
                told.insert(episode);
                let before = last.insert((it.key.clone(), it.receiver.clone()), (*time, it.level));
                let early =
                    before.is_some_and(|(then, level)| it.level <= level && time - then < COOLDOWN_MS);
                assert!(!(early && is_own(&it.key)), "inside the cooldown: {it:?} {before:?}");
            }
            NoticeKind::Escalated => {
                told.insert(episode);
                assert!(level.is_none_or(|level| *level < it.level), "acknowledged: {it:?}");
            }
            NoticeKind::Reminder => {
                assert!(level.is_none_or(|level| *level < it.level), "acknowledged: {it:?}")
            }
            NoticeKind::LevelUp | NoticeKind::Flapping | NoticeKind::Steady => {}
        }
    }
}

/// I13, I14: once nothing is held back any more, what was told equals what is true.
fn check_settled(machine: &Machine, effects: &[(u64, Effect)]) {
    let mut told: BTreeMap<(Key, String), u64> = BTreeMap::new();
    for (_, effect) in effects {
        let Effect::Notice(it) = effect else { continue };
        let place = (it.key.clone(), it.receiver.clone());
        match it.kind {
            NoticeKind::Firing | NoticeKind::Escalated => _ = told.insert(place, it.episode),
            NoticeKind::Resolved => _ = told.remove(&place),
            NoticeKind::Flapping | NoticeKind::Steady | NoticeKind::LevelUp | NoticeKind::Reminder => {}
        }
    }
    for (key, voice) in &machine.voices {
        // The cooldown of built-in rules is longer than the rest that a log is given here.
        if !is_own(key) || voice.is_flapping() || machine.is_muted(key, voice.level()) {
            continue;
        }
        let open = voice.open.as_ref().map(|open| open.number);
        let known = told.get(&(key.clone(), "rx1".to_owned())).copied();
        assert_eq!(known, open, "{key:?}: told, open");
    }
    let owed = told.keys().filter(|(key, _)| !machine.voices.contains_key(key));
    let owed: Vec<_> = owed.filter(|(key, _)| is_own(key)).collect();
    assert!(owed.is_empty(), "never told as over: {owed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds(steps in steps(), cut in 0.0..1.0_f64) {
        let mut inputs = log(&steps);
        let (mut now, mut sequence) = (inputs.last().unwrap().time, inputs.len() as u64);
        for host in HOSTS {
            sequence += 1;
            inputs.push(Input { sequence, time: now, kind: Kind::Tick(vec![fact_of_host(host, false)]) });
        }
        for _ in 0..COOLDOWN_MS / 1000 + 2 {
            (now, sequence) = (now + 1000, sequence + 1);
            inputs.push(Input { sequence, time: now, kind: Kind::Tick(Vec::new()) });
        }
        let mut machine = Machine::default();
        let effects = run(&mut machine, &inputs);
        check_turns(&effects);
        check_notices(&effects);
        check_settled(&machine, &effects);
        // I1, I2: a machine that begins again from a snapshot at any place says the same.
        let cut = (inputs.len() as f64 * cut) as usize;
        let mut first = Machine::default();
        let mut again = run(&mut first, &inputs[..cut]);
        let mut second = Machine::restore(&first.snapshot().unwrap()).unwrap();
        again.extend(run(&mut second, &inputs[cut..]));
        prop_assert_eq!(again, effects);
        prop_assert_eq!(second.snapshot().unwrap(), machine.snapshot().unwrap());
    }

    #[test]
    fn a_sample_sent_again_changes_only_a_counter(steps in steps(), which in 0.0..1.0_f64) {
        let inputs = log(&steps);
        let mut machine = Machine::default();
        run(&mut machine, &inputs);
        let samples: Vec<_> = inputs.iter().filter(|input| matches!(input.kind, Kind::Live(_))).collect();
        if let Some(again) = samples.get((samples.len() as f64 * which) as usize) {
            let before = machine.snapshot().unwrap();
            let (sequence, counts) = (machine.sequence, machine.counts);
            let effects = machine.step(Input { sequence, time: machine.now, kind: again.kind.clone() });
            prop_assert_eq!(effects, vec![]);
            prop_assert_eq!(machine.counts.late, counts.late + 1);
            machine.counts = counts;
            prop_assert_eq!(machine.snapshot().unwrap(), before);
        }
    }
}
