//! Alerts with real parts: decided in time, and once for ever, whoever is killed, stopped or damaged meanwhile.

use crate::load::{fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, as_processors, start_as};
use async_nats::jetstream::stream::Config;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::notice::{Intent, NoticeWord};
use watchkeeper_schemas::quantity::Pct;
use watchkeeper_schemas::subjects::{NOTICE_INTENTS, TICK};
use watchkeeper_schemas::tick::Tick;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{ALERTS, NOTICES, SAMPLES, SNAPSHOTS};
use xtask::stack::Program;
use xtask::workspace::Profile;

/// Between two samples of a host.
const INTERVAL: Duration = Duration::from_millis(500);
/// From a decision of a person to what follows from it.
const DECIDED_MAX: Duration = Duration::from_secs(2);
/// Longer than a lease, so that another program goes on.
const STOPPED: Duration = Duration::from_secs(8);
/// Longest time without a tick while a holder of the lease is replaced.
const TICKLESS_MAX_MS: u64 = 6500;

/// A host that reports one number.
pub(crate) struct Host {
    usage: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub(crate) fn start(running: &Running, id: &'static str, usage_pct: u16) -> Self {
        let (usage, stop) = (Arc::new(AtomicU16::new(usage_pct)), Arc::new(AtomicBool::new(false)));
        let (told, ends) = (Arc::clone(&usage), Arc::clone(&stop));
        let (url, creds) = (running.nats_url(), running.creds().fleet.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let connected = fleet_connection(&url, &creds).await;
                let mut ticks = tokio::time::interval(INTERVAL);
                let mut seq = 0;
                while !ends.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    seq += 1;
                    let mut sample = sample(id, seq);
                    sample.interval_ms = 1000;
                    sample.cpu.as_mut().unwrap().usage_pct = Pct(told.load(Ordering::Relaxed) * 10);
                    let (subject, frame) = frame(&sample);
                    // What the server does not take while it is away, nobody misses here.
                    drop(
                        tokio::time::timeout(INTERVAL, connected.client.request(subject, frame.into())).await,
                    );
                }
            });
        });
        Self { usage, stop, thread: Some(thread) }
    }

    pub(crate) fn report(&self, usage_pct: u16) {
        self.usage.store(usage_pct, Ordering::Relaxed);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the host ended by itself");
    }
}

/// A system with one host that is known to it.
fn system(usage_pct: u16) -> (Running, Host) {
    system_with(usage_pct, &[])
}

/// The same, with what the processors are told.
fn system_with(usage_pct: u16, args: &[&str]) -> (Running, Host) {
    let running = start_as(&WITHOUT_AGENT, |stack| stack.args(Program::Processors, args));
    let (status, made) = running.post("/api/v1/hosts", &json!({"name": "web-1", "interval_ms": 1000}));
    assert_eq!((status, made["host"]["host"].as_str()), (201, Some("web-1")), "{made}");
    let host = Host::start(&running, "web-1", usage_pct);
    running.wait("a sample of the host", 30, |running| {
        let (_, view) = running.try_get("/api/v1/hosts/web-1")?;
        if view["seq"].as_u64() >= Some(2) { Ok(Some(())) } else { Err(view.to_string()) }
    });
    running.receiver("ops");
    let defaults = json!({"receivers": ["ops"], "policy": [], "revision": 0});
    assert_eq!(running.put("/api/v1/alert-defaults", &defaults).0, 200);
    (running, host)
}

pub(crate) fn save_rule(running: &Running, id: &str, text: &str) -> Value {
    let (status, rule) = running.post("/api/v1/rules", &json!({"name": id, "id": id, "text": text}));
    assert_eq!(status, 201, "{rule}");
    rule
}

pub(crate) fn until(running: &Running, rule: &str, state: &str) -> Value {
    running.wait(&format!("an alert of {rule} that is {state}"), 30, |running| {
        let (_, list) = running.try_get(&format!("/api/v1/alerts?rule={rule}&limit=1"))?;
        let newest = &list["items"][0];
        if newest["state"] == state { Ok(Some(newest.clone())) } else { Err(list.to_string()) }
    })
}

/// What became of the episodes of one rule, and who was told what, each with the number of the episode.
type OfRule = (Vec<(u64, TransitionWord)>, Vec<(u64, NoticeWord)>);

/// Everything that was decided.
struct Decided {
    transitions: Vec<AlertEvent>,
    intents: Vec<Intent>,
}

impl Decided {
    fn read(running: &Running) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = jetstream(as_processors(running, &running.creds().processors).await.client);
            let (mut transitions, mut intents) = (Vec::new(), Vec::new());
            let alerts = rebuild::read(&context, ALERTS, &[], Begin::First, |event| {
                transitions.push(serde_json::from_slice(&event.payload).unwrap());
            });
            alerts.await.unwrap();
            let notices = rebuild::read(&context, NOTICES, &[NOTICE_INTENTS], Begin::First, |event| {
                intents.push(serde_json::from_slice(&event.payload).unwrap());
            });
            notices.await.unwrap();
            Self { transitions, intents }
        })
    }

    fn of(&self, rule: &str) -> OfRule {
        let transitions = self.transitions.iter().filter(|it| it.episode.rule == rule);
        let intents = self.intents.iter().filter(|it| it.episode.rule == rule);
        (
            transitions.map(|it| (it.episode.episode, it.transition)).collect(),
            intents.map(|it| (it.episode.episode, it.notice)).collect(),
        )
    }

    /// One episode that fired and resolved, once each; nobody was called silent.
    fn holds_one_whole_episode(&self, rule: &str) {
        let (transitions, intents) = self.of(rule);
        let number = transitions.first().map(|(number, _)| *number).unwrap_or_default();
        assert_eq!(
            transitions,
            [(number, TransitionWord::Fired), (number, TransitionWord::Resolved)],
            "{rule}: transitions lost, doubled or out of order"
        );
        assert_eq!(
            intents,
            [(number, NoticeWord::Firing), (number, NoticeWord::Resolved)],
            "{rule}: notices lost, doubled or out of order"
        );
        assert_eq!(self.of("host_silent"), (Vec::new(), Vec::new()), "a host that reports was called silent");
    }
}

#[test]
fn a_rule_saved_on_an_exceeded_threshold_fires_within_two_seconds_and_resolves() {
    let (running, host) = system(97);
    let begun = Instant::now();
    let rule = save_rule(&running, "busy", "cpu.usage_pct>90");
    assert_eq!(
        (&rule["text"], &rule["tells_nobody"]),
        (&json!("cpu.usage_pct > 90"), &json!(false)),
        "{rule}"
    );
    let open = until(&running, "busy", "open");
    assert!(begun.elapsed() < DECIDED_MAX, "it took {:?}", begun.elapsed());
    assert_eq!(
        (&open["host"], &open["level"], &open["value"]),
        (&json!("web-1"), &json!("warning"), &json!(97.0))
    );
    let path = format!("/api/v1/alerts/{}", open["id"].as_str().unwrap());
    let (status, said) = running.post(&format!("{path}/acknowledgement"), &json!({"note": "on it"}));
    assert_eq!(status, 204, "{said}");
    running.wait("the acknowledgement", 10, |running| {
        let alert = running.get(&path);
        let by = alert["alert"]["acknowledged_by"].clone();
        if by.is_string() { Ok(Some(())) } else { Err(alert.to_string()) }
    });
    host.report(5);
    let over = until(&running, "busy", "resolved");
    assert_eq!((&over["id"], &over["reason"], &over["peak"]), (&open["id"], &json!("ok"), &json!(97.0)));
    assert!(over["duration_ms"].as_u64() > Some(0), "{over}");
    running.wait("the notices", 10, |running| {
        let alert = running.get(&path);
        let notices: Vec<_> =
            alert["notices"].as_array().unwrap().iter().map(|it| (&it["notice"], &it["receiver"])).collect();
        let expected = [(&json!("firing"), &json!("ops")), (&json!("resolved"), &json!("ops"))];
        if notices == expected { Ok(Some(())) } else { Err(alert.to_string()) }
    });
    let alert = running.get(&path);
    let evidence = &alert["transitions"].as_array().unwrap().last().unwrap()["evidence"]["values"][0];
    assert_eq!((&evidence["metric"], &evidence["value"]), (&json!("cpu.usage_pct"), &json!(5.0)), "{alert}");
    assert_eq!(alert["rule_then"]["text"], "cpu.usage_pct > 90");
    assert_eq!(alert["rule_now"]["revision"], rule["revision"]);
}

#[test]
fn whoever_is_killed_amid_an_episode_nothing_is_lost_or_decided_twice() {
    let (mut running, host) = system(97);
    // Each rule has values of its own: one that is removed lives on until the next tick.
    for (rule, text, usage_pct, victim) in [
        ("first", "cpu.usage_pct > 90 keep 1s", 97, Program::Processors),
        ("second", "cpu.usage_pct > 60 and cpu.usage_pct < 70 keep 1s", 65, Program::Nats),
        ("third", "cpu.usage_pct > 30 and cpu.usage_pct < 40 keep 1s", 35, Program::Processors),
    ] {
        host.report(usage_pct);
        save_rule(&running, rule, text);
        until(&running, rule, "open");
        running.kill9(victim).unwrap();
        if rule == "third" {
            damage_the_snapshot(&running);
        }
        running.start(victim).unwrap();
        host.report(5);
        until(&running, rule, "resolved");
    }
    let decided = Decided::read(&running);
    ["first", "second", "third"].iter().for_each(|rule| decided.holds_one_whole_episode(rule));
}

/// Nobody can read any more what the evaluator knew.
fn damage_the_snapshot(running: &Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream(as_processors(running, &running.creds().processors).await.client);
        let store = context.get_key_value(SNAPSHOTS).await.unwrap();
        for key in ["alerts.0.0", "alerts.1.0"] {
            if let Some(entry) = store.entry(key).await.unwrap() {
                let mut bytes = entry.value.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                store.put(key, bytes.into()).await.unwrap();
            }
        }
    });
}

#[test]
fn an_episode_that_began_before_everything_that_is_left_goes_on_and_ends_once() {
    let (mut running, host) = system(97);
    save_rule(&running, "old", "cpu.usage_pct > 90 clear < 10 keep 1s");
    save_rule(&running, "gone", "cpu.usage_pct > 91 clear < 10 keep 1s");
    let old = until(&running, "old", "open");
    until(&running, "gone", "open");
    running.kill9(Program::Processors).unwrap();
    damage_the_snapshot(&running);
    // Neither true nor over, so that samples alone would not say that it is open.
    host.report(50);
    running.wait("samples after the outage began", 30, |running| {
        let kept = evict_samples(running);
        if kept > 0 { Ok(Some(())) } else { Err(format!("{kept} samples")) }
    });
    let (status, _) = running.delete(&format!("/api/v1/rules/gone?revision={}", revision(&running, "gone")));
    assert_eq!(status, 204);
    running.start(Program::Processors).unwrap();
    until(&running, "gone", "resolved");
    assert_eq!(until(&running, "old", "open")["id"], old["id"]);
    host.report(5);
    until(&running, "old", "resolved");
    let decided = Decided::read(&running);
    decided.holds_one_whole_episode("old");
    decided.holds_one_whole_episode("gone");
}

fn revision(running: &Running, rule: &str) -> u64 {
    running.get(&format!("/api/v1/rules/{rule}"))["revision"].as_u64().unwrap()
}

/// The evaluator alone, which ends by itself at a place; ended with the test otherwise.
struct Evaluator(Child);

impl Evaluator {
    fn start(running: &Running, kill_at: Option<&str>) -> Self {
        let log = running.data().join("logs/evaluator.log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(Profile::of_this_program().binary("watchkeeper-processors"));
        command.args(["--only", "alerts", "--nats", &running.nats_url(), "--nats-creds"]);
        command.arg(&running.creds().processors).stdout(Stdio::null()).stderr(log);
        command.envs(kill_at.map(|at| ("WATCHKEEPER_KILL_AT", at)));
        Self(command.spawn().unwrap())
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // Ended already, perhaps.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn killed_at_each_place_of_a_batch_alerts_decide_everything_once() {
    let (running, host) = system_with(5, &["--only", "latest,history,ticker,notifier,accounts,guard"]);
    save_rule(&running, "flips", "cpu.usage_pct > 90 keep 1s cooldown 0s");
    let mut kills = 0;
    for (point, times) in [("after_effects", 3), ("after_snapshot", 2)] {
        for time in 1..=times {
            let mut evaluator = Evaluator::start(&running, Some(&format!("{point}:{time}")));
            running.wait(&format!("its end {point}, time {time}"), 60, |running| {
                let (_, list) = running.try_get("/api/v1/alerts?rule=flips&limit=1")?;
                host.report(if list["items"][0]["state"] == "open" { 5 } else { 97 });
                let ended = evaluator.0.try_wait().map_err(|error| error.to_string())?;
                if ended.is_some() { Ok(Some(())) } else { Err("it runs".to_owned()) }
            });
            kills += 1;
        }
    }
    let _last = Evaluator::start(&running, None);
    host.report(97);
    until(&running, "flips", "open");
    host.report(5);
    until(&running, "flips", "resolved");
    let (transitions, notices) = Decided::read(&running).of("flips");
    println!("killed {kills} times: {} transitions, {} notices", transitions.len(), notices.len());
    for (place, pair) in transitions.chunks(2).enumerate() {
        let number = pair[0].0;
        let whole = [(number, TransitionWord::Fired), (number, TransitionWord::Resolved)];
        assert_eq!(pair, whole, "transitions lost, doubled or out of order: {transitions:?}");
        assert!(place == 0 || transitions[2 * place - 1].0 < number, "{transitions:?}");
    }
    let told: BTreeSet<_> = notices.iter().map(|(number, notice)| (*number, notice.as_str())).collect();
    assert_eq!(told.len(), notices.len(), "decided twice: {notices:?}");
    let resolved = notices.iter().filter(|(_, notice)| *notice == NoticeWord::Resolved);
    assert!(resolved.clone().all(|(number, _)| told.contains(&(*number, "firing"))), "{notices:?}");
}

/// Leaves only the newest samples in the log; how many.
fn evict_samples(running: &Running) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream(as_processors(running, &running.creds().processors).await.client);
        let mut stream = context.get_stream(SAMPLES).await.unwrap();
        let settings = stream.cached_info().config.clone();
        let small = Config { max_bytes: 4096, ..settings };
        context.update_stream(small).await.unwrap();
        stream.info().await.unwrap().state.messages
    })
}

/// Whoever is called as the outside heartbeat; counts the calls.
struct Outside {
    url: String,
    calls: Arc<AtomicU32>,
}

impl Outside {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut line = String::new();
                let mut stream = BufReader::new(stream.unwrap());
                stream.read_line(&mut line).unwrap();
                assert_eq!(line, "GET /ping HTTP/1.1\r\n");
                counted.fetch_add(1, Ordering::Relaxed);
                stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        });
        Self { url, calls }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// A second program of processors, ended with the test.
struct Second(Child);

impl Second {
    fn start(running: &Running, outside: &Outside) -> Self {
        let file = running.data().join("heartbeat.url");
        std::fs::write(&file, &outside.url).unwrap();
        let log = std::fs::File::create(running.data().join("logs/second.log")).unwrap();
        let mut command = Command::new(Profile::of_this_program().binary("watchkeeper-processors"));
        command.args(["--only", "ticker,alerts", "--nats", &running.nats_url(), "--nats-creds"]);
        command.arg(&running.creds().processors).arg("--heartbeat-url-file").arg(file);
        command.stdout(Stdio::null()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Ended already, perhaps.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn of_two_programs_one_decides_and_the_other_goes_on_when_it_stops() {
    let (running, host) = system(97);
    let outside = Outside::start();
    let second = Second::start(&running, &outside);
    save_rule(&running, "shared", "cpu.usage_pct > 90 keep 1s");
    until(&running, "shared", "open");
    assert_eq!(outside.calls(), 0, "who only waits for the lease keeps up nobody's heartbeat");
    let first = Pid::from_raw(running.pid(Program::Processors).unwrap() as i32).unwrap();
    kill_process(first, Signal::STOP).unwrap();
    std::thread::park_timeout(STOPPED);
    host.report(5);
    until(&running, "shared", "resolved");
    running.wait("the outside heartbeat of who goes on", 30, |_| {
        if outside.calls() > 0 { Ok(Some(())) } else { Ok(None) }
    });
    kill_process(first, Signal::CONT).unwrap();
    host.report(65);
    save_rule(&running, "after", "cpu.usage_pct > 60 and cpu.usage_pct < 70 keep 1s");
    until(&running, "after", "open");
    drop(second);
    host.report(5);
    until(&running, "after", "resolved");
    let decided = Decided::read(&running);
    decided.holds_one_whole_episode("shared");
    decided.holds_one_whole_episode("after");
    ticks_grow_and_never_pause_for_long(&running);
}

/// The one clock went on, whoever was its holder.
fn ticks_grow_and_never_pause_for_long(running: &Running) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ticks = Vec::new();
    runtime.block_on(async {
        let context = jetstream(as_processors(running, &running.creds().processors).await.client);
        let read = rebuild::read(&context, SAMPLES, &[TICK], Begin::First, |event| {
            let tick: Tick = serde_json::from_slice(&event.payload).unwrap();
            ticks.push((event.received.0, tick.journal_seq));
        });
        read.await.unwrap();
    });
    for pair in ticks.windows(2) {
        let [(before, _), (now, _)] = pair else { unreachable!() };
        assert!(now - before < TICKLESS_MAX_MS, "no tick for {} ms", now - before);
    }
    let close =
        ticks.windows(3).filter(|three| three[2].0 - three[0].0 < 900 && three[0].1 == three[2].1).count();
    assert!(close <= 2, "two programs ticked at once: {close} times three ticks in a second without news");
}
