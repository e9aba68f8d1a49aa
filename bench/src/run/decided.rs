//! From publishing a sample until the transition that it decides stands in ALERTS, beside the barest way into the log.
//!
//! The limit is three times the barest publish → subscribe of the same run, as `live` explains it: the same frames at
//! the same rate into the same stream, as shipped (`sync_interval: always`), read by a program that does nothing else.

use super::follower::Follower;
use super::live::arrived;
use super::paced::{Line, Samples};
use super::report::{Bound, Row};
use super::system::{System, WHOLE, as_processors, caught_up, settings_of_processors};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::Context;
use futures_util::StreamExt as _;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_schemas::episode::AlertEvent;
use watchkeeper_streams::topology::ALERTS;
use xtask::stack::Program;

/// Each is enrolled: alerts concern no other hosts.
const HOSTS: u32 = 50;
const PER_S: f64 = 100.0;
const SAMPLES: usize = 2_000;
/// True of every other sample of a simulated host, by chance.
const RULE: &str = "cpu.iowait_pct > 1.2";
/// Fewer would tell nothing of the slowest in a hundred.
const TRANSITIONS_MIN: usize = 300;
const TIMES_BARE: f64 = 3.0;
/// Until the last transitions are there.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run() -> Result<Vec<Row>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let mut system = System::start(&WHOLE)?;
    let mut samples = Samples::of(&system.stack, HOSTS)?;
    for host in 0..HOSTS {
        ask(&system, "/api/v1/hosts", &serde_json::json!({"name": crate::fleet::values::host_id(host)}))?;
    }
    ask(&system, "/api/v1/rules", &serde_json::json!({"name": "bench", "text": RULE}))?;
    let mut line = runtime.block_on(Line::stored(&system.stack))?;
    runtime.block_on(line.send(&mut samples, HOSTS as usize, PER_S))?;
    runtime.block_on(caught_up(&system.stack))?;
    let transitions = Transitions::start(&system)?;
    let sent = runtime.block_on(line.send(&mut samples, SAMPLES, PER_S))?;
    std::thread::sleep(SETTLE);
    let decided = arrived(&sent, transitions.stop()?);
    ensure!(decided.len() >= TRANSITIONS_MIN, "{} transitions of {SAMPLES} samples", decided.len());
    // Bare means that nobody else asks anything of the server.
    system.stack.stop(Program::Gateway)?;
    system.stack.stop(Program::Processors)?;
    let follower = runtime.block_on(Follower::start(&system.stack))?;
    let bare = runtime.block_on(line.send(&mut samples, SAMPLES, PER_S))?;
    std::thread::sleep(SETTLE);
    let bare = arrived(&bare, follower.stop()?);
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let limit = Bound::AtMost(TIMES_BARE * bare.p99_ms());
    Ok(vec![
        row("decided: transitions", decided.len() as f64, "", Bound::None),
        row("decided: bare JetStream publish → subscribe, p50", bare.p50_ms(), "ms", Bound::None),
        row("decided: bare JetStream publish → subscribe, p99", bare.p99_ms(), "ms", Bound::None),
        row("decided: sample published → transition published, p50", decided.p50_ms(), "ms", Bound::None),
        row("decided: sample published → transition published, p99", decided.p99_ms(), "ms", limit),
    ])
}

fn ask(system: &System, path: &str, body: &serde_json::Value) -> Result<()> {
    let url = format!("{}{path}", system.stack.http_url());
    let told = xtask::http::post(&url, body, Some(&system.stack.owner()?.token));
    let (status, told) = told.map_err(|error| anyhow!("POST {path}: {error}"))?;
    ensure!(status == 201, "POST {path}: {status} {told}");
    Ok(())
}

/// The number in SAMPLES of what decided, and when the transition was there.
type Came = (u64, Instant);

/// A reader of ALERTS on a thread of its own.
struct Transitions {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<Vec<Came>>>,
}

impl Transitions {
    /// Starts, and waits until it hears whatever comes.
    fn start(system: &System) -> Result<Self> {
        let settings = settings_of_processors(&system.stack)?;
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting tokio")?;
            runtime.block_on(async { read(&as_processors(settings).await?, ready, stopped).await })
        });
        let transitions = Self { stop, thread };
        match is_ready.recv() {
            Ok(()) => Ok(transitions),
            Err(_) => bail!("nobody reads transitions: {:?}", transitions.stop().map(|came| came.len())),
        }
    }

    fn stop(self) -> Result<Vec<Came>> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow!("a reader of transitions broke down"))?
    }
}

async fn read(
    context: &Context,
    ready: std::sync::mpsc::Sender<()>,
    mut stopped: watch::Receiver<bool>,
) -> Result<Vec<Came>> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::None,
        memory_storage: true,
        ..pull::Config::default()
    };
    let stream = context.get_stream_no_info(ALERTS).await?;
    let consumer = stream.create_consumer(config).await.map_err(|error| anyhow!(error))?;
    let mut messages = consumer.messages().await?;
    ready.send(()).context("nobody waits")?;
    let mut came = Vec::new();
    loop {
        let message = tokio::select! {
            message = messages.next() => message.context("the transitions ended")?,
            _ = stopped.wait_for(|stop| *stop) => return Ok(came),
        };
        let now = Instant::now();
        let message = message.map_err(|error| anyhow!("reading transitions: {error}"))?;
        let event: AlertEvent = serde_json::from_slice(&message.payload).context("a transition")?;
        came.push((event.sequence, now));
    }
}
