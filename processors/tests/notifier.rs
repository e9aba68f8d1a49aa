//! The notifier as a program of its own, with a real NATS server and a small receiver of webhooks: killed at each point,
//! two at once, NATS away, a channel down. `NOTIFIER_KILLS` sets how often it is killed at each point.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in tests a failed expectation is the message"
)]

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use watchkeeper_nats::{Layout, SealingKey};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::journal::{Fact, JournalEvent, Team};
use watchkeeper_schemas::notice::{Intent, NoticeResult, NoticeWord, ResultWord, TestNotice, intent_id};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{Channel, ChannelSecret, Receiver};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{self, JournalScope};
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::once::publish_once;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{CHANNELS, JOURNAL, Limits, NOTICES, ensure};
use watchkeeper_streams::{journal, snapshots};
use xtask::stack::{Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

type Context = async_nats::jetstream::Context;

const DEADLINE: Duration = Duration::from_secs(60);

/// What a receiver got: at which path, and the event.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    event: Value,
}

/// How a receiver answers.
#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    after: Duration,
}

/// A receiver of webhooks.
#[derive(Debug, Clone, Default)]
struct Hooks {
    got: Arc<Mutex<Vec<Got>>>,
    /// The next answers, then the lasting one.
    next: Arc<Mutex<VecDeque<Answer>>>,
    down: Arc<Mutex<bool>>,
}

impl Hooks {
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (hooks, address) = (Self::default(), listener.local_addr().unwrap());
        let serving = hooks.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hooks = serving.clone();
                std::thread::spawn(move || hooks.answer(stream));
            }
        });
        (hooks, format!("http://{address}"))
    }

    /// Takes one request; a connection that breaks is the caller's own.
    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(found) = line.strip_prefix("content-length:") {
                length = found.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_down = *self.down.lock().unwrap();
        let usual = Answer { status: if is_down { 503 } else { 204 }, after: Duration::ZERO };
        let Answer { status, after } = self.next.lock().unwrap().pop_front().unwrap_or(usual);
        if status < 300 {
            let event = serde_json::from_slice(&body).unwrap();
            self.got.lock().unwrap().push(Got { path, event });
        }
        // The receiver takes its time.
        std::thread::park_timeout(after);
        let mut stream = stream;
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        drop(stream.write_all(answer.as_bytes()));
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// The notifier, killed when it is dropped.
#[derive(Debug)]
struct Notifier(Child);

impl Drop for Notifier {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Notifier {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

/// A NATS server with a team, and who publishes there.
struct House {
    stack: Stack,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
    processors: Context,
    gateway: Context,
    hooks: Hooks,
    url: String,
    started: std::cell::Cell<u32>,
}

fn team() -> TeamId {
    "default".parse().unwrap()
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMs(u64::try_from(since.as_millis()).unwrap())
}

impl House {
    fn build(receivers: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let servers = Servers::ensure().unwrap();
        let stack =
            Stack::in_dir(dir.path().join("data")).programs(&[Program::Nats]).start(&servers).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let contexts = runtime.block_on(async {
            let mut contexts = Vec::new();
            let all = [("processors", &stack.creds().processors), ("gateway", &stack.creds().gateway)];
            for (name, creds) in all {
                let inbox = subjects::program_inbox(&name.parse().unwrap());
                let (url, creds) = (stack.nats_url(), creds.clone());
                contexts.push(jetstream(connect(&Connect { url, creds, name, inbox }).await.unwrap().client));
            }
            contexts
        });
        let [processors, gateway]: [Context; 2] = contexts.try_into().unwrap();
        let (hooks, url) = Hooks::start();
        let started = std::cell::Cell::new(0);
        let house = Self { stack, dir, runtime, processors, gateway, hooks, url, started };
        house.runtime.block_on(async {
            let made = async { while ensure(&house.processors, &Limits::default()).await.is_err() {} };
            tokio::time::timeout(DEADLINE, made).await.unwrap();
            house.record(Fact::Team { id: team(), value: Some(Team { name: "Default".to_owned() }) }).await;
            for name in receivers {
                house.receiver(name).await;
            }
        });
        house
    }

    async fn record(&self, fact: Fact) {
        let (author, cause) = ("ann".to_owned(), "test".to_owned());
        let event = JournalEvent { v: 1, author, cause, time: now(), fact };
        let subject = subjects::JournalSubject::of(JournalScope::Team(team()), &event.fact).unwrap();
        let stream = self.gateway.get_stream_no_info(JOURNAL).await.unwrap();
        let last = stream.get_last_raw_message_by_subject(&subject.to_string()).await;
        let expected = last.map_or(0, |message| message.sequence);
        journal::record(&self.gateway, JournalScope::Team(team()), &event, expected).await.unwrap();
    }

    /// A webhook whose path is its name.
    async fn receiver(&self, name: &str) {
        let id: ReceiverId = name.parse().unwrap();
        let key = SealingKey::read(&Layout::new(self.stack.data().join("nats")).channels_public()).unwrap();
        let subject = subjects::bucket_key(CHANNELS, &subjects::receiver_secret(&team(), &id));
        let (url, sign) =
            (format!("{}/{name}", self.url), "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY".to_owned());
        let sealed = key.seal(&subject, &ChannelSecret::Webhook { url, key: sign }).unwrap();
        let stored = self.gateway.publish(subject, sealed.into()).await.unwrap().await.unwrap();
        let channel = Channel::Webhook { host: "127.0.0.1".to_owned(), secret: stored.sequence };
        self.record(Fact::Receiver {
            id,
            value: Some(Receiver { name: name.to_owned(), channel, hears_from: Severity::Info }),
        })
        .await;
    }

    /// Starts the notifier; `kill_at` ends it there.
    fn start(&self, kill_at: Option<&str>) -> Notifier {
        self.started.set(self.started.get() + 1);
        let log = self.dir.path().join(format!("notifier-{}.log", self.started.get()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchkeeper-processors"));
        command
            .args([
                "--only",
                "notifier",
                "--nats",
                &self.stack.nats_url(),
                "--log",
                "info,watchkeeper_processors=debug",
            ])
            .args(["--log-format", "text", "--receiver-networks", "127.0.0.1", "--nats-creds"])
            .arg(&self.stack.creds().processors)
            .env_remove("WATCHKEEPER_KILL_AT")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap());
        if let Some(kill_at) = kill_at {
            command.env("WATCHKEEPER_KILL_AT", kill_at);
        }
        Notifier(command.spawn().unwrap())
    }

    /// The logs of all that were started.
    fn logs(&self) -> String {
        let read = |n| std::fs::read_to_string(self.dir.path().join(format!("notifier-{n}.log"))).unwrap();
        (1..=self.started.get()).map(|n| format!("--- {n}\n{}", read(n))).collect()
    }

    fn publish(&self, id: &str, subject: String, value: &impl serde::Serialize) -> String {
        let payload = serde_json::to_vec(value).unwrap();
        self.runtime.block_on(publish_once(&self.processors, subject, payload.into())).unwrap();
        id.to_owned()
    }

    fn intent(&self, host: &str, notice: NoticeWord, receiver: &str) -> String {
        self.nth(host, notice, 1, receiver)
    }

    fn nth(&self, host: &str, notice: NoticeWord, n: u32, receiver: &str) -> String {
        let (rule, host, series) = ("busy".to_owned(), host.to_owned(), String::new());
        let episode = EpisodeRef { rule, host, series, episode: 1 };
        let id = intent_id(&team(), &episode, notice, n, receiver);
        let intent = Intent {
            v: 1,
            id: id.clone(),
            team: team(),
            episode_id: episode.id().unwrap(),
            episode,
            notice,
            n,
            receiver: receiver.to_owned(),
            level: Severity::Critical,
            reason: None,
            since: now(),
            value: None,
            peak: None,
            duration_ms: (notice == NoticeWord::Resolved).then_some(1),
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: 1,
            time: now(),
        };
        self.publish(&id, subjects::intent(&id), &intent)
    }

    fn test(&self, id: &str, receiver: &str) -> String {
        let (receiver, by) = (receiver.parse().unwrap(), "ann".parse().unwrap());
        let test = TestNotice { v: 1, id: id.to_owned(), team: team(), receiver, by, time: now() };
        self.publish(id, subjects::notice_test(id), &test)
    }

    fn results(&self) -> BTreeMap<String, NoticeResult> {
        let mut results = BTreeMap::new();
        self.runtime.block_on(async {
            let read = rebuild::read(&self.processors, NOTICES, &[], Begin::First, |event| {
                if subjects::notice_kind(&event.subject) == Some(subjects::NoticeKind::Result) {
                    let result: NoticeResult = serde_json::from_slice(&event.payload).unwrap();
                    assert!(results.insert(result.id.clone(), result).is_none());
                }
            });
            // NATS may be away; then it is looked again.
            drop(read.await);
        });
        results
    }

    /// Waits until all of these have their result.
    fn ended(&self, ids: &[String], deadline: Duration) -> BTreeMap<String, NoticeResult> {
        let all = wait_until("results of all notices", deadline, || {
            let results = self.results();
            let missing: Vec<_> = ids.iter().filter(|id| !results.contains_key(*id)).collect();
            if missing.is_empty() { Ok(Some(results)) } else { Err(format!("{missing:?} have none")) }
        });
        all.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }
}

fn is_repeat(got: &Got) -> bool {
    got.event["data"]["possible_repeat"] == true
}

/// What became of runs that were killed at one point.
#[derive(Debug, Default)]
struct Table {
    runs: usize,
    lost: usize,
    repeated: usize,
    unmarked: usize,
}

fn kills() -> usize {
    std::env::var("NOTIFIER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(1)
}

/// Each run has a receiver of its own; the one who is killed is followed by one who is not.
fn killed_at(point: &str) -> Table {
    let names: Vec<String> = (0..kills()).map(|run| format!("r{run}")).collect();
    let house = House::build(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut table = Table::default();
    for name in &names {
        let ids = [
            house.intent("web-1", NoticeWord::Firing, name),
            house.intent("web-2", NoticeWord::Firing, name),
        ];
        let mut killed = house.start(Some(&format!("{point}:1")));
        wait_until("the kill", DEADLINE, || Ok(killed.has_ended().then_some(())))
            .unwrap_or_else(|error| panic!("{error}\n{}", house.logs()));
        let follower = house.start(None);
        let results = house.ended(&ids, DEADLINE);
        drop(follower);
        assert!(
            ids.iter().all(|id| matches!(results[id].outcome, ResultWord::Delivered | ResultWord::Merged))
        );
        let path = format!("/{name}");
        let got: Vec<Got> = house.hooks.got().into_iter().filter(|got| got.path == path).collect();
        table.runs += 1;
        table.lost += usize::from(got.is_empty());
        table.repeated += got.len().saturating_sub(1);
        table.unmarked += got.iter().skip(1).filter(|got| !is_repeat(got)).count();
        let marked_for_nothing = point == "before_attempt" && got.iter().any(is_repeat);
        assert!(got.len() <= 2 && !marked_for_nothing, "{got:?}\n{}", house.logs());
    }
    println!("killed {point}: {table:?}");
    table
}

#[test]
fn killed_before_the_attempt_nothing_is_lost_or_repeated() {
    let Table { runs, lost, repeated, unmarked } = killed_at("before_attempt");
    assert_eq!((runs, lost, repeated, unmarked), (kills(), 0, 0, 0));
}

#[test]
fn killed_after_the_attempt_nothing_is_lost_or_repeated() {
    let Table { runs, lost, repeated, unmarked } = killed_at("after_attempt");
    assert_eq!((runs, lost, repeated, unmarked), (kills(), 0, 0, 0));
}

#[test]
fn killed_after_the_answer_one_repeat_comes_marked() {
    let Table { runs, lost, repeated, unmarked } = killed_at("after_answer");
    assert_eq!((runs, lost, repeated, unmarked), (kills(), 0, kills(), 0));
}

#[test]
fn of_two_at_once_one_tells_and_the_other_goes_on() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let house = House::build(&names);
    let mut notifiers = vec![house.start(None), house.start(None)];
    let all = |round: &str| -> Vec<String> {
        names.iter().map(|name| house.test(&format!("{round}{name}"), name)).collect()
    };
    let (first, fires): (Vec<String>, Vec<String>) =
        (all("one"), names.iter().map(|name| house.intent("web-1", NoticeWord::Firing, name)).collect());
    house.ended(&first, DEADLINE);
    house.ended(&fires, DEADLINE);
    assert_eq!(house.hooks.got().len(), 12, "{:?}", house.hooks.got());
    // Whichever it was.
    drop(notifiers.remove(0));
    house.ended(&all("two"), DEADLINE);
    notifiers.push(house.start(None));
    drop(notifiers.remove(0));
    house.ended(&all("three"), DEADLINE);
    let got = house.hooks.got();
    assert_eq!((got.len(), got.iter().filter(|got| is_repeat(got)).count()), (24, 0), "{}", house.logs());
}

#[test]
fn what_was_answered_while_nats_was_away_is_written_afterwards_and_not_sent_again() {
    let mut house = House::build(&["ops"]);
    let notifier = house.start(None);
    house.ended(&[house.test("first", "ops")], DEADLINE);
    let slow = Answer { status: 204, after: Duration::from_secs(2) };
    house.hooks.next.lock().unwrap().push_back(slow);
    let id = house.intent("web-1", NoticeWord::Firing, "ops");
    wait_until("the call", DEADLINE, || Ok((house.hooks.got().len() == 2).then_some(())))
        .unwrap_or_else(|error| panic!("{error}\n{}", house.logs()));
    house.stack.kill9(Program::Nats).unwrap();
    // The channel answers while nobody is there to write it down.
    wait_until("the answer", DEADLINE, || {
        Ok((house.logs().matches("answer=Delivered").count() == 2).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", house.logs()));
    house.stack.start(Program::Nats).unwrap();
    let results = house.ended(std::slice::from_ref(&id), DEADLINE);
    assert_eq!(results[&id].outcome, ResultWord::Delivered);
    house.ended(&[house.test("last", "ops")], DEADLINE);
    let got = house.hooks.got();
    assert!(got.len() == 3 && !got.iter().any(is_repeat), "{got:?}\n{}", house.logs());
    drop(notifier);
}

#[test]
fn notices_of_a_removed_receiver_fail_and_say_so() {
    let house = House::build(&["ops", "night"]);
    let ids = [
        house.intent("web-1", NoticeWord::Firing, "ops"),
        house.intent("web-1", NoticeWord::Firing, "night"),
    ];
    let _notifier = house.start(None);
    house.runtime.block_on(house.record(Fact::Receiver { id: "ops".parse().unwrap(), value: None }));
    let results = house.ended(&ids, DEADLINE);
    assert_eq!(results[&ids[0]].outcome, ResultWord::Failed);
    assert_eq!(results[&ids[0]].detail.as_deref(), Some("the receiver was removed"));
    assert_eq!(results[&ids[1]].outcome, ResultWord::Delivered);
    assert!(house.hooks.got().iter().all(|got| got.path == "/night"));
}

#[test]
fn after_an_outage_of_the_channel_few_messages_tell_all() {
    let house = House::build(&["ops"]);
    *house.hooks.down.lock().unwrap() = true;
    let _notifier = house.start(None);
    let mut ids = Vec::new();
    for host in 0..40 {
        let name = format!("h{host}");
        ids.push(house.intent(&name, NoticeWord::Firing, "ops"));
        let more = [NoticeWord::LevelUp, NoticeWord::Escalated];
        let more = (1..=5).flat_map(|n| more.map(|notice| house.nth(&name, notice, n, "ops")));
        ids.extend(more);
        ids.push(house.intent(&name, NoticeWord::Flapping, "ops"));
        if host % 2 == 0 {
            ids.push(house.intent(&name, NoticeWord::Resolved, "ops"));
        }
    }
    assert_eq!(ids.len(), 500);
    wait_until("some refusals", DEADLINE, || {
        let refusals = house.logs().matches("answer=NotNow").count();
        if refusals >= 4 { Ok(Some(())) } else { Err(format!("{refusals} so far")) }
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", house.logs()));
    *house.hooks.down.lock().unwrap() = false;
    let results = house.ended(&ids, Duration::from_secs(120));
    let told = |id: &String| matches!(results[id].outcome, ResultWord::Delivered | ResultWord::Merged);
    assert!(ids.iter().all(told), "{results:?}");
    let got = house.hooks.got();
    let lines: usize =
        got.iter().map(|got| got.event["data"]["notices"].as_array().map_or(0, Vec::len)).sum();
    println!("{} notices of 40 episodes: {} messages, {lines} lines", ids.len(), got.len());
    assert!(got.len() <= 20 && (40..=80).contains(&lines), "{} messages, {lines} lines", got.len());
}

#[test]
fn a_start_reads_on_from_where_everything_was_done() {
    let house = House::build(&["ops"]);
    let mut notifier = house.start(None);
    house.ended(&[house.test("first", "ops")], DEADLINE);
    let pid = i32::try_from(notifier.0.id()).unwrap();
    assert!(Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap().success());
    wait_until("its end", DEADLINE, || Ok(notifier.has_ended().then_some(())))
        .unwrap_or_else(|error| panic!("{error}\n{}", house.logs()));
    let kept = house.runtime.block_on(async {
        let snapshots = snapshots::Snapshots::open(&house.processors).await.unwrap();
        snapshots.load::<()>("notifier").await.unwrap()
    });
    assert!(kept.is_some_and(|kept| kept.sequence > 0), "{}", house.logs());
    let _next = house.start(None);
    house.ended(&[house.test("second", "ops")], DEADLINE);
    assert_eq!(house.hooks.got().len(), 2);
}
