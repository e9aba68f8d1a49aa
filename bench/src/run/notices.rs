//! From publishing what is to be told until its receiver is called, what waits for a receiver that is down, and what the
//! notifier costs while nothing happens.
//!
//! Receivers are signed webhooks on this machine. Tests of receivers are not gathered: they show the way itself; alerts
//! wait for others to come with them, and only what is beyond that time is held against the limit.

use super::report::{Bound, Row};
use super::spread::Spread;
use super::system::{System, as_processors, settings_of_processors};
use super::usage::{cpu_s, memory_mib};
use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::jetstream::context::Context;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use watchkeeper_nats::{Layout, SealingKey};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::journal::{Fact, JournalEvent, Team};
use watchkeeper_schemas::notice::{Intent, NoticeWord, TestNotice, intent_id};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{Channel, ChannelSecret, Receiver};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{self, JournalScope};
use watchkeeper_streams::connect::Connect;
use watchkeeper_streams::journal::record;
use watchkeeper_streams::once::publish_once;
use watchkeeper_streams::topology::{CHANNELS, Limits, ensure as ensure_streams};
use xtask::stack::Program;
use xtask::wait::wait_until;

/// Each hears one alert and some tests.
const RECEIVERS: u32 = 100;
const TESTS: u32 = 400;
/// Between two tests.
const EVERY: Duration = Duration::from_millis(20);
/// How long a critical alert waits for others, as `processors/src/notifier/plan.rs` has it.
const GATHER: Duration = Duration::from_secs(5);
const WAITING: u32 = 10_000;
/// They are spread over so many receivers that cannot be reached.
const UNREACHABLE: u32 = 20;
const IDLE: Duration = Duration::from_secs(20);
const ARRIVE_DEADLINE: Duration = Duration::from_secs(30);
const FIRST_CALL_MS_MAX: f64 = 50.0;
const WAITING_MIB_MAX: f64 = 64.0;
const IDLE_CORES_MAX: f64 = 0.001;
/// Nothing here reads a password; without QuestDB the stack names none.
const ARGS: [&str; 6] =
    ["--only", "notifier", "--receiver-networks", "127.0.0.0/8", "--questdb-password-file", "/dev/null"];

pub(super) fn run() -> Result<Vec<Row>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let system = System::start_with(&[Program::Nats, Program::Processors], |stack| {
        stack.args(Program::Processors, ARGS)
    })?;
    let pid = system.stack.pid(Program::Processors).context("the processors run")?;
    let sink = Sink::start()?;
    let team = runtime.block_on(TeamOfBench::make(&system, sink.port))?;
    let tests = runtime.block_on(team.tests())?;
    let tests = sink.took(&tests)?;
    let alerts = runtime.block_on(team.alerts())?;
    let alerts = sink.took(&alerts)?;
    let beyond = Spread::of(alerts.iter().map(|took| took.saturating_sub(GATHER)));
    let soonest = alerts.iter().min().copied().unwrap_or_default();
    ensure!(soonest >= GATHER, "an alert was told after {soonest:?}: it did not wait for others");
    let idle = cores(pid)?;
    let before = memory_mib(pid)?;
    runtime.block_on(team.unreachable())?;
    // Each was tried by now, and will be tried for a day.
    std::thread::sleep(IDLE);
    let waiting = memory_mib(pid)?;
    let tests = Spread::of(tests);
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let call = Bound::AtMost(FIRST_CALL_MS_MAX);
    Ok(vec![
        row("notices: test published → receiver called, p50", tests.p50_ms(), "ms", Bound::None),
        row("notices: test published → receiver called, p99", tests.p99_ms(), "ms", call),
        row("notices: grouping of critical alerts", GATHER.as_secs_f64() * 1e3, "ms", Bound::None),
        row(
            "notices: intent published → called, beyond the grouping, p50",
            beyond.p50_ms(),
            "ms",
            Bound::None,
        ),
        row("notices: intent published → called, beyond the grouping, p99", beyond.p99_ms(), "ms", call),
        row("notices: notifier before, resident", before, "MiB", Bound::None),
        row("notices: 10,000 intents wait, resident", waiting, "MiB", Bound::AtMost(WAITING_MIB_MAX)),
        row("notices: idle notifier", idle, "cores", Bound::AtMost(IDLE_CORES_MAX)),
    ])
}

/// What a process uses while nothing happens, threads that end included; 0.0005 fine.
fn cores(pid: u32) -> Result<f64> {
    let (begun, before) = (Instant::now(), cpu_s(pid)?);
    std::thread::sleep(IDLE);
    Ok((cpu_s(pid)? - before) / begun.elapsed().as_secs_f64())
}

/// A team with receivers, and who may write what about it.
struct TeamOfBench {
    gateway: Context,
    processors: Context,
    team: TeamId,
}

impl TeamOfBench {
    async fn make(system: &System, port: u16) -> Result<Self> {
        let stack = &system.stack;
        let inbox = subjects::program_inbox(&"gateway".parse()?);
        let creds = stack.creds().gateway.clone();
        let gateway = as_processors(Connect { url: stack.nats_url(), creds, name: "bench", inbox }).await?;
        let processors = as_processors(settings_of_processors(stack)?).await?;
        ensure_streams(&processors, &Limits::default()).await?;
        let team = Self { gateway, processors, team: stack.team().parse()? };
        let name = "Bench".to_owned();
        team.record(Fact::Team { id: team.team.clone(), value: Some(Team { name }) }).await?;
        let seal = SealingKey::read(&Layout::new(stack.data().join("nats")).channels_public())?;
        for n in 0..RECEIVERS {
            team.webhook(&seal, &format!("rx-{n}"), port).await?;
        }
        // Nobody listens where nobody can.
        for n in 0..UNREACHABLE {
            team.webhook(&seal, &format!("down-{n}"), 1).await?;
        }
        Ok(team)
    }

    async fn webhook(&self, seal: &SealingKey, name: &str, port: u16) -> Result<()> {
        let id: ReceiverId = name.parse()?;
        let subject = subjects::bucket_key(CHANNELS, &subjects::receiver_secret(&self.team, &id));
        let (url, key) = (format!("http://127.0.0.1:{port}/{name}"), "A".repeat(43));
        let sealed = seal.seal(&subject, &ChannelSecret::Webhook { url, key })?;
        let secret = self.gateway.publish(subject, sealed.into()).await?.await?.sequence;
        let channel = Channel::Webhook { host: format!("127.0.0.1:{port}"), secret };
        let value = Some(Receiver { name: name.to_owned(), channel, hears_from: Severity::Info });
        self.record(Fact::Receiver { id, value }).await
    }

    async fn record(&self, fact: Fact) -> Result<()> {
        let (author, cause) = ("bench".to_owned(), "bench".to_owned());
        let event = JournalEvent { v: 1, author, cause, time: now(), fact };
        record(&self.gateway, JournalScope::Team(self.team.clone()), &event, 0).await?;
        Ok(())
    }

    /// Tests one after the other; when each was published.
    async fn tests(&self) -> Result<Vec<(String, Instant)>> {
        let mut sent = Vec::new();
        for n in 0..TESTS {
            let (id, receiver) = (format!("{n:032x}"), format!("rx-{}", n % RECEIVERS).parse()?);
            let (team, by, time) = (self.team.clone(), "bench".parse()?, now());
            let test = TestNotice { v: 1, id: id.clone(), team, receiver, by, time };
            sent.push((id.clone(), Instant::now()));
            publish_once(&self.gateway, subjects::notice_test(&id), serde_json::to_vec(&test)?.into())
                .await?;
            tokio::time::sleep(EVERY).await;
        }
        Ok(sent)
    }

    /// An alert for each receiver.
    async fn alerts(&self) -> Result<Vec<(String, Instant)>> {
        let mut sent = Vec::new();
        for n in 0..RECEIVERS {
            sent.push(self.intent(n, &format!("rx-{n}")).await?);
            tokio::time::sleep(EVERY).await;
        }
        Ok(sent)
    }

    async fn unreachable(&self) -> Result<()> {
        for n in 0..WAITING {
            self.intent(RECEIVERS + n, &format!("down-{}", n % UNREACHABLE)).await?;
        }
        Ok(())
    }

    async fn intent(&self, n: u32, receiver: &str) -> Result<(String, Instant)> {
        let (rule, host, series) = ("bench".to_owned(), format!("host-{n}"), String::new());
        let episode = EpisodeRef { rule, host, series, episode: u64::from(n) + 1 };
        let id = intent_id(&self.team, &episode, NoticeWord::Firing, 1, receiver);
        let intent = Intent {
            v: 1,
            id: id.clone(),
            team: self.team.clone(),
            episode_id: episode.id().context("an episode has an id")?,
            episode,
            notice: NoticeWord::Firing,
            n: 1,
            receiver: receiver.to_owned(),
            level: Severity::Critical,
            reason: None,
            since: now(),
            value: Some(97.0),
            peak: Some(97.0),
            duration_ms: None,
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: u64::from(n) + 1,
            time: now(),
        };
        let begun = Instant::now();
        publish_once(&self.processors, subjects::intent(&id), serde_json::to_vec(&intent)?.into()).await?;
        Ok((id, begun))
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// When each message was there, by its id.
type Came = Arc<Mutex<HashMap<String, Instant>>>;

/// Takes every message.
struct Sink {
    port: u16,
    came: Came,
}

impl Sink {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let came = Came::default();
        let told = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let came = Arc::clone(&told);
                // Who breaks off shows as a message that never came.
                std::thread::spawn(move || take(stream, &came).ok());
            }
        });
        Ok(Self { port, came })
    }

    /// How long each of these took; waits until all are there.
    fn took(&self, sent: &[(String, Instant)]) -> Result<Vec<Duration>> {
        Ok(wait_until("every message", ARRIVE_DEADLINE, || {
            let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            let took = sent.iter().map(|(id, begun)| came.get(id).map(|at| at.duration_since(*begun)));
            let took: Vec<Duration> = took.flatten().collect();
            if took.len() == sent.len() { Ok(Some(took)) } else { Err(format!("{} came", took.len())) }
        })?)
    }
}

/// Takes the requests of one connection; a message is named by the header of its delivery.
fn take(stream: TcpStream, came: &Came) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut id) = (String::new(), 0, None);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse()?,
                    "watchkeeper-delivery" => id = Some((value.trim().to_owned(), Instant::now())),
                    _ => {}
                }
            }
        }
        let (id, at) = id.ok_or_else(|| anyhow!("a request without the header of its delivery"))?;
        came.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(at);
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")?;
    }
}
