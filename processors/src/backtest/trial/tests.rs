//! Rules over made-up pasts.

use super::*;
use crate::alerts::machine::{Kind, MetricKey, Report, Value, Values};
use watchkeeper_schemas::alerting::Scope;
use watchkeeper_schemas::backtest::BacktestDifference;
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::notice::NoticeWord;
use watchkeeper_schemas::rule::Severity;

/// Event and broker time of the first input.
const BEGIN_MS: u64 = 1_790_000_000_000;

/// The usage of a host by the second.
type Usage = fn(u64) -> f64;

fn tried(text: &str) -> TriedRule {
    TriedRule { text: text.to_owned(), scope: Scope::All }
}

fn question(rule: &str, before: Option<&str>, hosts: &[&str]) -> Question {
    let hosts = hosts.iter().map(|id| (id.parse().unwrap(), WatchedHost::default()));
    Question { rule: tried(rule), before: before.map(tried), hosts: hosts.collect() }
}

fn sample(second: u64, host: &str, usage_pct: f64) -> Input {
    let metric = MetricKey::find("cpu.usage_pct").unwrap();
    let time = BEGIN_MS + second * 1000;
    let report = Report {
        host: host.to_owned(),
        boot: BootId([1; 16]),
        seq: second + 1,
        time,
        interval_ms: 5000,
        clock_step_ms: 0,
        values: Values::new(vec![Value { metric, label: "".into(), number: usage_pct }]),
    };
    Input { sequence: second + 1, time, kind: Kind::Live(Box::new(report)) }
}

/// One tick a second, and each five a sample of each host.
fn log(seconds: u64, hosts: &[(&str, Usage)]) -> Vec<Input> {
    let mut log = Vec::new();
    for second in 0..seconds {
        if second % 5 == 0 {
            log.extend(hosts.iter().map(|(host, usage)| sample(second, host, usage(second))));
        }
        let time = BEGIN_MS + second * 1000;
        log.push(Input { sequence: second + 1, time, kind: Kind::Tick(Vec::new()) });
    }
    log
}

fn busy(second: u64) -> f64 {
    if (60..180).contains(&second) { 95.0 } else { 10.0 }
}

fn nearly(second: u64) -> f64 {
    if (60..100).contains(&second) { 91.0 } else { 10.0 }
}

fn calm(_: u64) -> f64 {
    50.0
}

const HOSTS: [(&str, Usage); 3] = [("busy", busy), ("calm", calm), ("nearly", nearly)];
const IDS: [&str; 3] = ["busy", "calm", "nearly"];

#[test]
fn an_episode_has_its_times_its_notices_and_its_worst_value() {
    let question = question("cpu.usage_pct>90 for 1m severity critical", None, &IDS);
    let findings = run(question, log(600, &HOSTS)).unwrap();
    let outcome = &findings.rule;
    assert_eq!(outcome.text, "cpu.usage_pct > 90 for 1m severity critical");
    assert_eq!((outcome.hosts, outcome.hosts_with_episodes, outcome.episode_count), (3, 1, 1));
    let episode = &outcome.episodes[0];
    let at = |second: u64| UnixMs(BEGIN_MS + second * 1000);
    assert_eq!((episode.host.as_str(), episode.level), ("busy", Severity::Critical));
    assert_eq!((episode.since, episode.fired, episode.until), (at(60), at(120), Some(at(180))));
    assert_eq!((episode.reason.as_deref(), episode.peak), (Some("ok"), Some(95.0)));
    let notices: Vec<_> = episode.notices.iter().map(|it| (it.time, it.notice)).collect();
    assert_eq!(notices, [(at(120), NoticeWord::Firing), (at(180), NoticeWord::Resolved)]);
    assert_eq!((outcome.notice_count, episode.notice_count), (2, 2));
    assert_eq!((findings.before, findings.difference, findings.left_out), (None, None, Vec::new()));
}

#[test]
fn who_nearly_had_one_is_told_the_closest_first() {
    let question = question("cpu.usage_pct > 90 for 1m", None, &IDS);
    let nearest = run(question, log(600, &HOSTS)).unwrap().rule.nearest;
    let hosts: Vec<_> = nearest.iter().map(|it| it.host.as_str()).collect();
    assert_eq!(hosts, ["nearly", "calm"]);
    assert_eq!((nearest[0].held_ms, nearest[0].for_ms), (35_000, 60_000));
    assert_eq!((nearest[0].value, nearest[0].threshold), (Some(91.0), Some(90.0)));
    assert_eq!((nearest[1].held_ms, nearest[1].value), (0, Some(50.0)));
    assert_eq!(nearest[1].at, Some(UnixMs(BEGIN_MS)));
}

#[test]
fn an_edit_is_compared_with_what_is_saved() {
    let question = question("cpu.usage_pct > 90 for 30s", Some("cpu.usage_pct > 90 for 1m"), &IDS);
    let findings = run(question, log(600, &HOSTS)).unwrap();
    let marks = |outcome: &TriedOutcome| {
        let mark = |it: &TriedEpisode| (it.host.clone(), it.in_both);
        outcome.episodes.iter().map(mark).collect::<Vec<_>>()
    };
    assert_eq!(marks(&findings.rule), [("busy".to_owned(), true), ("nearly".to_owned(), false)]);
    assert_eq!(marks(findings.before.as_ref().unwrap()), [("busy".to_owned(), true)]);
    let expected = BacktestDifference { added: 1, removed: 0, kept: 1, notices: 2 };
    assert_eq!(findings.difference, Some(expected));
}

#[test]
fn only_hosts_of_the_scope_are_judged_and_an_open_episode_has_no_end() {
    let mut question = question("cpu.usage_pct > 40", None, &IDS);
    question.rule.scope = Scope::Hosts(["calm".parse().unwrap()].into());
    let findings = run(question, log(60, &HOSTS)).unwrap();
    assert_eq!((findings.rule.hosts, findings.rule.episode_count), (1, 1));
    let episode = &findings.rule.episodes[0];
    assert_eq!((episode.host.as_str(), episode.until, episode.peak), ("calm", None, Some(50.0)));
    assert_eq!(findings.rule.nearest, []);
}

#[test]
fn a_silent_host_is_found_by_ticks() {
    let mut inputs = log(60, &[("calm", calm)]);
    inputs.extend(log(300, &[]).into_iter().skip(60));
    let question = question("host silent for 2m", None, &["calm"]);
    let outcome = run(question, inputs).unwrap().rule;
    assert_eq!((outcome.episode_count, outcome.notice_count, outcome.nearest), (1, 1, Vec::new()));
    assert_eq!(outcome.episodes[0].since, UnixMs(BEGIN_MS + 55_000));
}

#[test]
fn what_is_too_much_is_counted_and_said() {
    let flaps = |second: u64| if second.is_multiple_of(10) { 95.0 } else { 10.0 };
    let question = question("cpu.usage_pct > 90", None, &["flaps"]);
    let findings = run(question, log(11_000, &[("flaps", flaps)])).unwrap();
    assert_eq!((findings.rule.episodes.len(), findings.rule.episode_count), (EPISODES_MAX, 1100));
    assert_eq!(findings.left_out, ["100 later episodes are counted, but not listed."]);
    let by_kind: u64 = findings.rule.notices.iter().map(|it| it.count).sum();
    assert_eq!(by_kind, findings.rule.notice_count);
    assert!(findings.rule.notice_count < 20, "flapping is held back: {}", findings.rule.notice_count);
}

#[test]
fn what_is_no_rule_is_refused() {
    assert_eq!(run(question("cpu.usag_pct > 1", None, &[]), []).unwrap_err().column, 1);
}
