//! Back-tests with real parts: they find what was found live, of nobody else's hosts, and end when nobody waits.

use crate::load::{fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, start};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant, SystemTime};
use watchkeeper_schemas::backtest::{BacktestLine, BacktestResult, BacktestSource, TriedOutcome};
use watchkeeper_schemas::quantity::{Pct, UnixMs};
use watchkeeper_schemas::subjects::{Lane, SampleSubject};
use xtask::stack::Program;

/// Between two samples of a host.
const INTERVAL: Duration = Duration::from_millis(250);
/// Samples of each host.
const SAMPLES: u64 = 64;
/// From the end of a connection to the next run.
const CANCELLED_MAX: Duration = Duration::from_secs(8);
/// Until it is known that there is no processor.
const AWAY_MAX: Duration = Duration::from_secs(3);
const HOSTS: [&str; 3] = ["web-1", "web-2", "web-3"];

/// What a host shows in its nth sample: one has two episodes, one has one that stays open, one comes close.
fn usage_pct(host: &str, n: u64) -> u16 {
    match host {
        "web-1" if (8..20).contains(&n) || (32..48).contains(&n) => 96,
        "web-2" if n >= 24 => 99,
        "web-3" if (10..13).contains(&n) => 92,
        _ => 20,
    }
}

fn now() -> UnixMs {
    UnixMs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64)
}

fn add_hosts(running: &Running) {
    for host in HOSTS {
        let (status, made) = running.post("/api/v1/hosts", &json!({"name": host, "interval_ms": 1000}));
        assert_eq!(status, 201, "{made}");
    }
}

/// Publishes samples in real time until all hosts have told theirs.
fn record(running: &Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
        let mut ticks = tokio::time::interval(INTERVAL);
        for n in 0..SAMPLES {
            ticks.tick().await;
            for host in HOSTS {
                let mut sample = sample(host, n + 1);
                sample.interval_ms = 1000;
                sample.cpu.as_mut().unwrap().usage_pct = Pct(usage_pct(host, n) * 10);
                let (subject, frame) = frame(&sample);
                let stored = connected.client.request(subject, frame.into()).await.unwrap();
                let stored: Value = serde_json::from_slice(&stored.payload).unwrap();
                assert!(stored["seq"].is_u64(), "{stored}");
            }
        }
    });
}

/// Publishes one sample every ten seconds of ten minutes that are long gone, as an agent does after an outage.
fn record_the_past(running: &Running, host: &str, begin: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
        for n in 0..60 {
            let mut sample = sample(host, n + 1);
            sample.boot.0[0] ^= 1;
            (sample.time, sample.interval_ms) = (UnixMs(begin + n * 10_000), 10_000);
            sample.cpu.as_mut().unwrap().usage_pct = Pct(if (18..36).contains(&n) { 950 } else { 100 });
            let subject = SampleSubject::live(sample.team.clone(), sample.host.clone()).on(Lane::Backfill);
            let (_, frame) = frame(&sample);
            connected.client.request(subject.to_string(), frame.into()).await.unwrap();
        }
    });
}

/// The lines of a back-test as they come.
fn lines(running: &Running, path: &str, asked: &Value) -> impl Iterator<Item = BacktestLine> + use<> {
    let answer = running.send(path, asked);
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let lines = BufReader::new(answer.into_body().into_reader()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// The last line of a back-test, behind nothing but progress.
fn result(running: &Running, path: &str, asked: &Value) -> BacktestResult {
    let mut lines = lines(running, path, asked);
    loop {
        match lines.next() {
            Some(BacktestLine::Progress(_)) => {}
            Some(BacktestLine::Result(result)) => {
                assert_eq!(lines.next(), None, "a line behind the last");
                return *result;
            }
            other => panic!("{other:?} where a result is expected"),
        }
    }
}

/// Host, first true sample, when it fired and when it was over.
type Times = (String, UnixMs, UnixMs, Option<UnixMs>);

/// The episodes of a rule as they were decided live, and how many notices were.
fn decided(running: &Running, rule: &str) -> (Vec<Times>, u64) {
    let list = running.get(&format!("/api/v1/alerts?rule={rule}"));
    let time = |it: &Value| serde_json::from_value::<UnixMs>(it.clone()).unwrap();
    let (mut times, mut notices) = (Vec::new(), 0);
    for alert in list["items"].as_array().unwrap() {
        let since = time(&alert["since"]);
        let over =
            (alert["state"] == "resolved").then(|| UnixMs(since.0 + alert["duration_ms"].as_u64().unwrap()));
        times.push((alert["host"].as_str().unwrap().to_owned(), since, time(&alert["opened"]), over));
        let detail = running.get(&format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap()));
        notices += detail["notices"].as_array().unwrap().len() as u64;
    }
    times.sort();
    (times, notices)
}

fn times(outcome: &TriedOutcome) -> Vec<Times> {
    let episodes = outcome.episodes.iter();
    let mut times: Vec<Times> = episodes.map(|it| (it.host.clone(), it.since, it.fired, it.until)).collect();
    times.sort();
    times
}

#[test]
fn what_was_decided_live_is_found_again_and_nothing_of_other_teams() {
    let running = start(&WITHOUT_AGENT);
    add_hosts(&running);
    running.receiver("ops");
    let defaults = json!({"receivers": ["ops"], "policy": [], "revision": 0});
    assert_eq!(running.put("/api/v1/alert-defaults", &defaults).0, 200);
    let text = "cpu.usage_pct > 90 for 1s";
    let (status, saved) = running.post("/api/v1/rules", &json!({"name": "Busy", "id": "busy", "text": text}));
    assert_eq!(status, 201, "{saved}");
    let from = now();
    record(&running);
    let live = running.wait("the episodes", 30, |running| {
        let (times, notices) = decided(running, "busy");
        let over = times.iter().filter(|(.., over)| over.is_some()).count();
        if times.len() == 3 && over == 2 { Ok(Some((times, notices))) } else { Err(format!("{times:?}")) }
    });
    let asked = json!({"text": text, "from": from.to_string()});
    let path = "/api/v1/rules/backtest";
    let found = result(&running, path, &asked);
    assert_eq!((times(&found.rule), found.rule.notice_count), live);
    assert_eq!((found.rule.hosts, found.rule.hosts_with_episodes), (3, 2));
    let near = &found.rule.nearest[0];
    assert_eq!((near.host.as_str(), near.value, near.threshold), ("web-3", Some(92.0), Some(90.0)));
    assert!((250..1000).contains(&near.held_ms), "{near:?}");
    let [part] = found.parts.as_slice() else { panic!("{:?}", found.parts) };
    assert_eq!((part.source, part.samples), (BacktestSource::Samples, SAMPLES * HOSTS.len() as u64));

    let edit = json!({"text": "cpu.usage_pct > 98", "edit_of": "busy", "from": from.to_string()});
    let edited = result(&running, path, &edit);
    assert_eq!(times(edited.before.as_ref().unwrap()), live.0);
    let difference = edited.difference.unwrap();
    assert_eq!((difference.added, difference.removed, difference.kept), (0, 2, 1));

    let (status, made) = running.post("/api/v1/teams", &json!({"name": "Night watch"}));
    assert_eq!(status, 201, "{made}");
    let team = made["team"].as_str().unwrap();
    let of_team = |path: &str| format!("{path}?team={team}");
    let (status, host) = running.post(&of_team("/api/v1/hosts"), &json!({"name": "web-1"}));
    assert_eq!((status, &host["host"]["host"]), (201, &json!("web-1")), "{host}");
    let theirs = result(&running, &of_team(path), &asked);
    assert_eq!((theirs.rule.hosts, theirs.rule.episode_count, theirs.parts[0].samples), (1, 0, 0));
    let (status, foreign) = running.post(&of_team(path), &edit);
    assert_eq!(status, 404, "a rule of another team was compared with: {foreign}");
    // Where there are several teams the log is read behind a filter.
    assert_eq!(times(&result(&running, path, &asked).rule), live.0);
}

#[test]
fn what_left_the_log_is_tried_by_the_minute_and_it_is_said() {
    let running = start(&WITHOUT_AGENT);
    add_hosts(&running);
    let begin = (now().0 - 2 * 3_600_000) / 60_000 * 60_000;
    record_the_past(&running, "web-1", begin);
    running.wait("history of the past", 30, |running| {
        let stored = running.stored()?;
        let rows = stored.get("web-1").map_or(0, |stored| stored.rows);
        if rows == 60 { Ok(Some(())) } else { Err(format!("{rows} rows")) }
    });
    let asked = json!({"text": "cpu.usage_pct > 90 for 1m", "from": "-3h"});
    let found = result(&running, "/api/v1/rules/backtest", &asked);
    let second = |second: u64| UnixMs(begin + second * 1000);
    let expected = ("web-1".to_owned(), second(240), second(300), Some(second(420)));
    assert_eq!(times(&found.rule), [expected], "{found:?}");
    assert_eq!((found.parts[0].source, found.parts[0].samples), (BacktestSource::Minutes, 10));
    let said = found.left_out.join(" ");
    assert!(said.contains("mean of its minute") && said.contains("inexact"), "{said}");
}

#[test]
fn a_back_test_ends_with_whoever_waits_and_without_processors_there_is_none() {
    let mut running = start(&WITHOUT_AGENT);
    add_hosts(&running);
    let path = "/api/v1/rules/backtest";
    let (status, refused) = running.post(path, &json!({"text": "cpu.usag_pct > 1", "from": "-1h"}));
    let error = &refused["errors"][0];
    assert_eq!((status, &error["field"]), (400, &json!("text")), "{refused}");
    assert!(error["expected"].as_str().unwrap().contains("column 1"), "{refused}");

    let long = json!({"text": "cpu.usage_pct > 90", "from": "-30d"});
    let waits = |line: Option<BacktestLine>| match line {
        Some(BacktestLine::Progress(progress)) => progress.waits,
        other => panic!("{other:?} where progress is expected"),
    };
    let mut first = lines(&running, path, &long);
    assert!(!waits(first.next()));
    let mut second = lines(&running, path, &long);
    assert!(waits(second.next()));
    let busy = running.send(path, &long);
    assert_eq!(busy.status().as_u16(), 503);
    assert!(busy.headers().contains_key("retry-after"), "{:?}", busy.headers());
    drop(first);
    let begun = Instant::now();
    while waits(second.next()) {
        assert!(begun.elapsed() < CANCELLED_MAX, "a run that nobody waits for goes on");
    }
    drop(second);
    let short = json!({"text": "cpu.usage_pct > 90", "from": "-1m"});
    running.wait("a place", 10, |running| {
        let answer = running.send(path, &short);
        if answer.status() == 200 { Ok(Some(())) } else { Err(answer.status().to_string()) }
    });

    running.kill9(Program::Processors).unwrap();
    let begun = Instant::now();
    let (status, away) = running.post(path, &short);
    assert_eq!((status, begun.elapsed() < AWAY_MAX), (503, true), "{away}");
    assert!(away["detail"].as_str().unwrap().contains("no processor answers"), "{away}");
    running.start(Program::Processors).unwrap();
}
