//! I22: a rule watches so many series and no more, tells so once, and takes new ones when there is room again.

use super::super::{
    Effect, Input, Kind, Machine, MetricKey, NoticeKind, Report, TransitionKind, Value, Values,
};
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{AlertFact, Defaults, SavedRule, Scope};
use watchkeeper_schemas::ids::BootId;

struct Fleet {
    machine: Machine,
    sequence: u64,
    effects: Vec<Effect>,
}

fn rule(id: &str) -> AlertFact {
    let saved = SavedRule {
        text: "disk.used_pct > 90".to_owned(),
        scope: Scope::All,
        receivers: BTreeSet::new(),
        state: Default::default(),
        policy: Vec::new(),
    };
    AlertFact::Rule { id: id.parse().unwrap(), value: Some(saved) }
}

impl Fleet {
    fn new(rules: usize) -> Self {
        let mut machine = Machine::default();
        let receivers = BTreeSet::from(["rx1".to_owned()]);
        let defaults = AlertFact::Defaults { value: Defaults { receivers, policy: Vec::new() } };
        machine.begin((0..rules).map(|it| rule(&format!("r{it}"))).chain([defaults]).collect());
        Self { machine, sequence: 0, effects: Vec::new() }
    }

    fn step(&mut self, kind: Kind) {
        self.sequence += 1;
        let time = 1_000_000 + self.sequence * 1000;
        self.effects.extend(self.machine.step(Input { sequence: self.sequence, time, kind }));
    }

    fn sample(&mut self, host: &str, mounts: usize) {
        self.machine.meet(host);
        let metric = MetricKey::find("disk.used_pct").unwrap();
        let value = |mount: usize| Value {
            metric: metric.clone(),
            label: format!("/m{mount:05}").into(),
            number: 1.0,
        };
        let values = Values::new((0..mounts).map(value).collect());
        self.step(Kind::Live(Box::new(Report {
            host: host.to_owned(),
            boot: BootId([1; 16]),
            seq: self.sequence + 1,
            time: 1_000_000 + (self.sequence + 1) * 1000,
            interval_ms: 5000,
            clock_step_ms: 0,
            values,
        })));
    }

    fn told(&self) -> Vec<String> {
        let notices = self.effects.iter().filter_map(|effect| match effect {
            Effect::Notice(it) if it.key.rule == "rule_broken" => Some(it),
            Effect::Notice(_) | Effect::Transition(_) => None,
        });
        let word = |kind| if kind == NoticeKind::Firing { "firing" } else { "resolved" };
        notices
            .map(|it| {
                format!("{} {} {}", word(it.kind), it.key.series, it.reason.clone().unwrap_or_default())
            })
            .collect()
    }

    fn instances(&self) -> usize {
        self.machine.rules.iter().map(|rule| rule.instances).sum()
    }
}

#[test]
fn a_rule_beyond_its_limit_is_told_once_with_the_number_and_heals() {
    let mut fleet = Fleet::new(1);
    fleet.sample("h1", 9_998);
    fleet.sample("h2", 5);
    assert_eq!(fleet.instances(), 10_000);
    fleet.step(Kind::Tick(Vec::new()));
    fleet.sample("h2", 5);
    fleet.step(Kind::Tick(Vec::new()));
    assert_eq!(fleet.told(), ["firing r0 3 series have no place"]);
    // A host goes: there is room again, and the others find their place.
    fleet.step(Kind::Tick(vec![AlertFact::Host { id: "h1".parse().unwrap(), value: None }]));
    fleet.sample("h2", 5);
    fleet.step(Kind::Tick(Vec::new()));
    assert_eq!(fleet.told()[1..], ["resolved r0 ok"]);
    assert_eq!(fleet.instances(), 5);
}

#[test]
fn a_team_beyond_its_limit_takes_no_new_series_and_goes_on_with_the_others() {
    let mut fleet = Fleet::new(11);
    fleet.sample("h1", 9_500);
    assert_eq!(fleet.instances(), 100_000);
    fleet.step(Kind::Tick(Vec::new()));
    assert_eq!(fleet.told(), ["firing r9 4500 series have no place"]);
    let fired = fleet.effects.iter().filter(|effect| {
        matches!(effect, Effect::Transition(it) if it.kind == TransitionKind::Fired && it.key.rule != "rule_broken")
    });
    assert_eq!(fired.count(), 0);
}
