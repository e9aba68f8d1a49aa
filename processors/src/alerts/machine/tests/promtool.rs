//! I10: where clear = not fire and no holes, the machine equals Prometheus, asked through `promtool test rules`.

use super::super::{Input, Key, Kind, Machine, Report, Values};
use crate::alerts::line;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use watchkeeper_schemas::alerting::{AlertFact, SavedRule};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::rule::Rule;

/// Hosts, each with numbers of its own; each is judged by each rule.
const HOSTS: usize = 60;
/// Samples of each host.
const SAMPLES: u64 = 60;
const INTERVAL_S: u64 = 5;
const HOLDS_S: [u64; 4] = [0, 5, 12, 40];
const EXPRESSIONS: [&str; 3] = [
    "cpu.usage_pct > 50",
    "cpu.usage_pct > 30 and memory.used_pct <= 60",
    "not (cpu.usage_pct < 70 or memory.used_pct > 90)",
];

/// Rules: each expression with each `for` and each `keep`.
fn rules() -> Vec<String> {
    let mut rules = Vec::new();
    for expression in EXPRESSIONS {
        for for_s in HOLDS_S {
            rules.extend(HOLDS_S.map(|keep_s| format!("{expression} for {for_s}s keep {keep_s}s")));
        }
    }
    rules
}

/// The same numbers each time: long stretches and short ones.
fn number(host: usize, sample: u64, salt: u64) -> u64 {
    let stretch = 1 + (host as u64 % 7) * 2;
    let mut state = (host as u64) << 32 ^ (sample / stretch) << 8 ^ salt;
    for _ in 0..3 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^= state >> 29;
    }
    state % 101
}

fn machine(rules: &[String]) -> Machine {
    let mut machine = Machine::default();
    let fact = |(index, text): (usize, &String)| AlertFact::Rule {
        id: format!("case{index}").parse().unwrap(),
        value: Some(SavedRule {
            text: text.clone(),
            scope: Default::default(),
            receivers: Default::default(),
            state: Default::default(),
            policy: Vec::new(),
        }),
    };
    machine.begin(rules.iter().enumerate().map(fact).collect());
    (0..HOSTS).for_each(|host| machine.meet(&format!("h{host}")));
    machine
}

/// Which hosts fire, by sample and rule.
fn firing(rules: &[String]) -> Vec<Vec<BTreeSet<String>>> {
    let (mut machine, mut sequence, mut found) = (machine(rules), 0, Vec::new());
    for sample in 0..SAMPLES {
        let time = (1_000_000 + sample * INTERVAL_S) * 1000;
        for host in 0..HOSTS {
            let read = |name, salt| line::value(name, Some(number(host, sample, salt) as f64)).unwrap();
            let report = Report {
                host: format!("h{host}"),
                boot: BootId([1; 16]),
                seq: sample + 1,
                time,
                interval_ms: 5000,
                clock_step_ms: 0,
                values: Values::new(vec![read("cpu.usage_pct", 1), read("memory.used_pct", 2)]),
            };
            sequence += 1;
            machine.step(Input { sequence, time, kind: Kind::Live(Box::new(report)) });
        }
        sequence += 1;
        machine.step(Input { sequence, time, kind: Kind::Tick(Vec::new()) });
        let open = |rule: usize, host: usize| {
            let (rule, host) = (format!("case{rule}"), format!("h{host}"));
            machine.open_episode(&Key::new(&rule, &host, "")).map(|_| host)
        };
        found.push(
            (0..rules.len()).map(|rule| (0..HOSTS).filter_map(|host| open(rule, host)).collect()).collect(),
        );
    }
    found
}

/// The rules as Prometheus reads them.
fn rules_file(rules: &[String]) -> String {
    let mut file = "groups:\n- name: cases\n  rules:\n".to_owned();
    for (index, text) in rules.iter().enumerate() {
        let said = text.parse::<Rule>().unwrap().prometheus().unwrap();
        let (expr, for_, keep) = (said.expr, said.for_, said.keep_firing_for);
        writeln!(file, "  - {{alert: case{index}, expr: '{expr}', for: {for_}, keep_firing_for: {keep}}}")
            .unwrap();
    }
    file
}

/// The samples, and what the machine says of them, as a test that promtool runs.
fn tests_file(found: &[Vec<BTreeSet<String>>]) -> String {
    let mut file = format!(
        "rule_files: [rules.yml]\nevaluation_interval: {INTERVAL_S}s\ntests:\n- interval: {INTERVAL_S}s\n  input_series:\n"
    );
    for host in 0..HOSTS {
        for (name, salt) in [("cpu_usage_pct", 1), ("memory_used_pct", 2)] {
            let values: Vec<_> = (0..SAMPLES).map(|sample| number(host, sample, salt).to_string()).collect();
            let values = values.join(" ");
            writeln!(file, "  - {{series: 'watchkeeper_{name}{{host=\"h{host}\"}}', values: '{values}'}}")
                .unwrap();
        }
    }
    file += "  alert_rule_test:\n";
    for (sample, rules) in found.iter().enumerate() {
        for (rule, hosts) in rules.iter().enumerate() {
            let alerts: Vec<_> =
                hosts.iter().map(|host| format!("{{exp_labels: {{host: {host}}}}}")).collect();
            let (at, alerts) = (sample as u64 * INTERVAL_S, alerts.join(", "));
            writeln!(file, "  - {{eval_time: {at}s, alertname: case{rule}, exp_alerts: [{alerts}]}}")
                .unwrap();
        }
    }
    file
}

#[test]
fn prometheus_says_the_same() {
    let rules = rules();
    let found = firing(&rules);
    let cases = rules.len() * HOSTS;
    assert!(cases >= 500, "{cases} cases");
    let fired = found.iter().flatten().filter(|hosts| !hosts.is_empty()).count();
    assert!(fired * 4 > found.len() * rules.len(), "the cases hardly ever fire: {fired}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules_file(&rules)).unwrap();
    std::fs::write(folder.path().join("tests.yml"), tests_file(&found)).unwrap();
    let promtool = xtask::tools::promtool().unwrap();
    let output =
        Command::new(promtool).args(["test", "rules", "tests.yml"]).current_dir(folder.path()).output();
    let output = output.unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let first: Vec<_> = said.lines().take(40).collect();
    assert!(output.status.success(), "{cases} cases, {}", first.join("\n"));
}
