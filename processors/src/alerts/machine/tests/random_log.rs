//! Random logs of a small team: samples, ticks, outages, decisions. What names open episodes looks at a machine that reads along.

use super::super::{Effect, Input, Kind, Machine, Report, Values};
use crate::alerts::line;
use proptest::prelude::*;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{
    AlertFact, Defaults, EpisodeRef, Matcher, RuleState, SavedRule, Silence, Step, WatchedHost,
};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::UnixMs;

/// Cooldown of the rules here, in milliseconds.
pub(super) const COOLDOWN_MS: u64 = 60_000;
/// Texts of rules; the last one has neither `for` nor windows.
pub(super) const TEXTS: [&str; 4] = [
    "cpu.usage_pct > 80 for 10s clear < 60 keep 10s critical when cpu.usage_pct > 95 cooldown 1m",
    "disk.used_pct > 80 cooldown 1m repeat 2m no-data alert",
    "avg(cpu.usage_pct, 15s) > 70 cooldown 1m no-data resolve",
    "cpu.usage_pct > 60 cooldown 1m",
];
/// Who is told: at once, by escalation, in place of the first.
const RECEIVERS: [&str; 3] = ["rx1", "rx2", "rx3"];
pub(super) const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// Logs that each property looks at: `ALERT_CASES`, or as many as the issue of the machine asks for.
pub(super) fn cases() -> u32 {
    std::env::var("ALERT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

/// What happens next.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Sample { host: usize, cpu: Option<u8>, disk: Option<u8> },
    Backfill { host: usize, back_s: u64, cpu: Option<u8> },
    Unreadable { host: usize },
    Reboot { host: usize },
    Again { back: usize },
    Wait { seconds: u64 },
    Skip { seconds: u64 },
    Fall { seconds: u64 },
    Rule { rule: usize, text: usize, state: RuleState, other_receiver: bool },
    Delete { rule: usize },
    Pause { host: usize, paused: bool },
    Remove { host: usize },
    Silence { host: usize, seconds: u64 },
    Ack { nth: usize, withdrawn: bool },
    Resolve { nth: usize },
    Receiver { id: usize, refuses: bool },
    Behind { seconds: u64 },
}

pub(super) fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let level = || prop::option::weighted(0.9, prop::sample::select(vec![10, 50, 65, 75, 85, 97_u8]));
    let state = || {
        prop::sample::select(vec![RuleState::Live, RuleState::Live, RuleState::Shadow, RuleState::Disabled])
    };
    let next = prop_oneof![
        40 => (0..3_usize, level(), level()).prop_map(|(host, cpu, disk)| Happening::Sample { host, cpu, disk }),
        2 => (0..3_usize, 1..120_u64, level())
            .prop_map(|(host, back_s, cpu)| Happening::Backfill { host, back_s, cpu }),
        1 => (0..3_usize).prop_map(|host| Happening::Unreadable { host }),
        1 => (0..3_usize).prop_map(|host| Happening::Reboot { host }),
        2 => (0..20_usize).prop_map(|back| Happening::Again { back }),
        20 => (1..8_u64).prop_map(|seconds| Happening::Wait { seconds }),
        2 => (20..80_u64).prop_map(|seconds| Happening::Wait { seconds }),
        1 => (6..200_u64).prop_map(|seconds| Happening::Skip { seconds }),
        1 => (1..60_u64).prop_map(|seconds| Happening::Fall { seconds }),
        4 => (0..4_usize, 0..4_usize, state(), prop::bool::weighted(0.2))
            .prop_map(|(rule, text, state, other_receiver)| Happening::Rule { rule, text, state, other_receiver }),
        1 => (0..4_usize).prop_map(|rule| Happening::Delete { rule }),
        2 => (0..3_usize, any::<bool>()).prop_map(|(host, paused)| Happening::Pause { host, paused }),
        1 => (0..3_usize).prop_map(|host| Happening::Remove { host }),
        3 => (0..3_usize, 5..60_u64).prop_map(|(host, seconds)| Happening::Silence { host, seconds }),
        3 => (0..4_usize, prop::bool::weighted(0.3)).prop_map(|(nth, withdrawn)| Happening::Ack { nth, withdrawn }),
        1 => (0..4_usize).prop_map(|nth| Happening::Resolve { nth }),
        2 => (0..3_usize, any::<bool>()).prop_map(|(id, refuses)| Happening::Receiver { id, refuses }),
        1 => (0..90_u64).prop_map(|seconds| Happening::Behind { seconds }),
    ];
    prop::collection::vec(next, 1..48)
}

/// The fourth rule has an escalation policy; a rule tells `rx1`, or `rx3` in its place.
fn rule(rule: usize, text: usize, state: RuleState, other_receiver: bool) -> AlertFact {
    let receiver = if other_receiver { "rx3" } else { "rx1" };
    let receivers = BTreeSet::from([receiver.to_owned()]);
    let escalation = Step { receivers: BTreeSet::from(["rx2".to_owned()]), wait_ms: 30_000 };
    let first = Step { receivers: receivers.clone(), wait_ms: 30_000 };
    let value = SavedRule {
        text: TEXTS[text].to_owned(),
        scope: Default::default(),
        receivers,
        state,
        policy: if rule == 3 { vec![first, escalation] } else { Vec::new() },
    };
    AlertFact::Rule { id: format!("r{rule}").parse().unwrap(), value: Some(value) }
}

pub(in super::super) fn fact_of_host(host: &str, paused: bool) -> AlertFact {
    AlertFact::Host { id: host.parse().unwrap(), value: Some(WatchedHost { paused, ..Default::default() }) }
}

/// A log as it grows, and the machine that reads it.
pub(in super::super) struct Log<'a> {
    pub(in super::super) inputs: Vec<Input>,
    pub(super) now: u64,
    pub(super) machine: Machine,
    seqs: [u64; 3],
    boots: [u8; 3],
    /// Sees each input, what came of it, and the machine after it.
    look: &'a mut dyn FnMut(&Input, &[Effect], &Machine),
}

impl<'a> Log<'a> {
    /// The team with its rules and hosts.
    pub(in super::super) fn begin(look: &'a mut dyn FnMut(&Input, &[Effect], &Machine)) -> Self {
        let machine = Machine::default();
        let mut log = Self { inputs: Vec::new(), now: 1_000_000, machine, seqs: [0; 3], boots: [1; 3], look };
        let receivers = BTreeSet::from(["rx1".to_owned()]);
        let mut facts = vec![AlertFact::Defaults { value: Defaults { receivers, policy: Vec::new() } }];
        facts.extend((0..4).map(|it| rule(it, it, RuleState::Live, false)));
        facts.extend(HOSTS.iter().map(|host| fact_of_host(host, false)));
        log.push(Kind::Tick(facts));
        log
    }

    pub(super) fn push(&mut self, kind: Kind) {
        let input = Input { sequence: self.inputs.len() as u64 + 1, time: self.now, kind };
        let effects = self.machine.step(input.clone());
        (self.look)(&input, &effects, &self.machine);
        self.inputs.push(input);
    }

    fn decide(&mut self, fact: AlertFact) {
        self.push(Kind::Tick(vec![fact]));
    }

    /// A live sample of now.
    pub(in super::super) fn sample(&mut self, host: usize, cpu: Option<u8>, disk: Option<u8>) {
        let report = self.report(host, self.now, cpu, disk);
        self.push(Kind::Live(Box::new(report)));
    }

    pub(in super::super) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1000;
            self.push(Kind::Tick(Vec::new()));
        }
    }

    fn report(&mut self, host: usize, time: u64, cpu: Option<u8>, disk: Option<u8>) -> Report {
        self.seqs[host] += 1;
        let number = |value: Option<u8>| value.map(f64::from);
        let values = vec![
            line::value("cpu.usage_pct", number(cpu)).unwrap(),
            line::value("disk.used_pct{mount=\"/\"}", number(disk)).unwrap(),
        ];
        Report {
            host: HOSTS[host].to_owned(),
            boot: BootId([self.boots[host]; 16]),
            seq: self.seqs[host],
            time,
            interval_ms: 5000,
            clock_step_ms: 0,
            values: Values::new(values),
        }
    }

    fn open(&self, nth: usize) -> Option<EpisodeRef> {
        let mut open = self.machine.voices.iter().filter_map(|(key, it)| Some((key, it.open.as_ref()?)));
        let (key, episode) = open.nth(nth)?;
        let (rule, host, series) = (key.rule.to_string(), key.host.to_string(), key.series.to_string());
        Some(EpisodeRef { rule, host, series, episode: episode.number })
    }

    pub(super) fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Sample { host, cpu, disk } => self.sample(host, cpu, disk),
            Happening::Backfill { host, back_s, cpu } => {
                let report = self.report(host, self.now - back_s * 1000, cpu, None);
                self.push(Kind::Backfill(Box::new(report)));
            }
            Happening::Unreadable { host } => self.push(Kind::Unreadable(HOSTS[host].to_owned())),
            Happening::Reboot { host } => {
                self.boots[host] = self.boots[host].wrapping_add(1);
                self.seqs[host] = 0;
            }
            Happening::Again { back } => {
                let mut samples = self.inputs.iter().rev().filter(|it| matches!(it.kind, Kind::Live(_)));
                if let Some(again) = samples.nth(back).map(|it| it.kind.clone()) {
                    self.push(again);
                }
            }
            Happening::Wait { seconds } => self.wait(seconds),
            Happening::Skip { seconds } => self.now += seconds * 1000,
            Happening::Fall { seconds } => self.now -= seconds * 1000,
            Happening::Rule { .. }
            | Happening::Delete { .. }
            | Happening::Pause { .. }
            | Happening::Remove { .. }
            | Happening::Silence { .. }
            | Happening::Ack { .. }
            | Happening::Resolve { .. }
            | Happening::Receiver { .. }
            | Happening::Behind { .. } => self.people(happening),
        }
    }

    fn people(&mut self, happening: &Happening) {
        let fact = match *happening {
            Happening::Rule { rule: id, text, state, other_receiver } => {
                rule(id, text, state, other_receiver)
            }
            Happening::Delete { rule } => {
                AlertFact::Rule { id: format!("r{rule}").parse().unwrap(), value: None }
            }
            // A host that is enrolled again has another id.
            Happening::Pause { host, paused } if self.machine.knows(HOSTS[host]) => {
                fact_of_host(HOSTS[host], paused)
            }
            Happening::Remove { host } => AlertFact::Host { id: HOSTS[host].parse().unwrap(), value: None },
            Happening::Silence { host, seconds } => {
                let value = Some(Silence {
                    author: "ann".to_owned(),
                    reason: "test".to_owned(),
                    from: UnixMs(self.now),
                    until: UnixMs(self.now + seconds * 1000),
                    matchers: vec![Matcher::Host(HOSTS[host].parse().unwrap())],
                });
                AlertFact::Silence { id: format!("s-{}", HOSTS[host]), value }
            }
            Happening::Ack { nth, withdrawn } => {
                let Some(episode) = self.open(nth) else { return };
                AlertFact::Ack { episode, value: (!withdrawn).then(|| "ann".to_owned()) }
            }
            Happening::Resolve { nth } => {
                let Some(episode) = self.open(nth) else { return };
                AlertFact::Resolve { episode, by: "ann".to_owned() }
            }
            Happening::Behind { seconds } => {
                AlertFact::Behind { from: UnixMs(self.now - seconds * 1000), until: UnixMs(self.now) }
            }
            Happening::Receiver { id, refuses } => {
                let value = refuses.then(|| "403".to_owned());
                AlertFact::Receiver { id: RECEIVERS[id].to_owned(), value }
            }
            Happening::Pause { .. }
            | Happening::Sample { .. }
            | Happening::Backfill { .. }
            | Happening::Unreadable { .. }
            | Happening::Reboot { .. }
            | Happening::Again { .. }
            | Happening::Wait { .. }
            | Happening::Skip { .. }
            | Happening::Fall { .. } => return,
        };
        self.decide(fact);
    }
}
