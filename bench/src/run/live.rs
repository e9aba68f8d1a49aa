//! From publishing a sample until it stands on a live client's socket, beside the barest way through the same server.
//!
//! **What it is held against.** A sample must be on the disk before anybody sees it: that is what the broker's
//! acknowledgement, and so every view, stands on. The barest publish → subscribe that keeps this promise is a JetStream
//! publish of the same frames, at the same rate, into the same stream, read by the pull consumer that the processor
//! `latest` reads, by a program that does nothing else, with nobody else on the server. Three times that is the limit.
//! A bare core message promises nothing; it is printed beside it, as a goal.
//!
//! **How fast.** 2,000 samples a second from 1,000 hosts. With `sync_interval: always`, as it is shipped, each sample
//! costs an fsync, and many disks do fewer than 2,000 a second: then the rate is what the disk takes without a queue.
//! So everything is measured twice: as shipped, and with `sync_interval: 1s`, the documented choice above 2,000 hosts
//! on one server.

use super::follower::Follower;
use super::listener::Listener;
use super::paced::{Line, Samples, Sent};
use super::report::{Bound, Row};
use super::spread::Spread;
use super::system::{System, WHOLE, caught_up};
use anyhow::{Context as _, Result, ensure};
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use xtask::ports::address;
use xtask::stack::{Program, Stack};

const HOSTS: u32 = 1_000;
const PER_S: f64 = 2_000.0;
/// The part of what the disk takes that leaves no queue.
const DISK_SHARE: f64 = 0.6;
const RAW_MESSAGES: usize = 5_000;
const SECONDS: f64 = 15.0;
/// Until the last samples are on the socket.
const SETTLE: Duration = Duration::from_secs(1);
/// The limit, and the goal beside a bare core message.
const TIMES_BARE: f64 = 3.0;
const GOAL_MS: f64 = 2.0;

/// When nats-server writes what it has acknowledged to the disk.
#[derive(Debug, Clone, Copy)]
enum SyncInterval {
    /// Before each acknowledgement; as it is shipped.
    Always,
    /// Once a second.
    EverySecond,
}

/// The bare messages of the same run, and the samples with their way to the client.
struct Measured {
    sync: SyncInterval,
    raw_per_s: f64,
    raw_followed_per_s: f64,
    per_s: f64,
    core: Spread,
    bare_acknowledged: Spread,
    bare: Spread,
    acknowledged: Spread,
    live: Spread,
    sent: usize,
}

pub(super) fn run() -> Result<Vec<Row>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let mut found = rows(&measure(SyncInterval::Always, &runtime)?);
    found.extend(rows(&measure(SyncInterval::EverySecond, &runtime)?));
    Ok(found)
}

fn measure(sync: SyncInterval, runtime: &Runtime) -> Result<Measured> {
    let mut system = System::start(&WHOLE)?;
    sync.choose(&mut system.stack)?;
    let mut samples = Samples::of(&system.stack, HOSTS)?;
    let mut line = runtime.block_on(Line::stored(&system.stack))?;
    let raw_followed = runtime.block_on(line.send(&mut samples, RAW_MESSAGES, f64::INFINITY))?;
    runtime.block_on(caught_up(&system.stack))?;
    // Bare means that nobody else asks anything of the server.
    system.stack.stop(Program::Gateway)?;
    system.stack.stop(Program::Processors)?;
    let raw = runtime.block_on(line.send(&mut samples, RAW_MESSAGES, f64::INFINITY))?;
    let per_s = PER_S.min(rate(&raw).min(rate(&raw_followed)) * DISK_SHARE);
    let count = (per_s * SECONDS) as usize;
    let follower = runtime.block_on(Follower::start(&system.stack))?;
    let bare = runtime.block_on(line.send(&mut samples, count, per_s))?;
    std::thread::sleep(SETTLE);
    let followed = follower.stop()?;
    let core = runtime
        .block_on(async { Line::passed(&system.stack).await?.send(&mut samples, count, per_s).await })?;
    system.stack.start(Program::Processors)?;
    system.stack.start(Program::Gateway)?;
    runtime.block_on(caught_up(&system.stack))?;
    system.wait_for_hosts(HOSTS)?;
    let listener = Listener::start(address(system.stack.ports().gateway), &system.stack.owner()?.token)?;
    let sent = runtime.block_on(line.send(&mut samples, count, per_s))?;
    std::thread::sleep(SETTLE);
    let came = listener.stop()?;
    Ok(Measured {
        sync,
        raw_per_s: rate(&raw),
        raw_followed_per_s: rate(&raw_followed),
        per_s: rate(&sent),
        core: heard(&core),
        bare_acknowledged: heard(&bare),
        bare: arrived(&bare, followed),
        acknowledged: heard(&sent),
        live: arrived(&sent, came),
        sent: sent.len(),
    })
}

impl SyncInterval {
    /// What nats-server calls it.
    fn setting(self) -> &'static str {
        match self {
            Self::Always => "sync_interval: always",
            Self::EverySecond => "sync_interval: 1s",
        }
    }

    /// Changes the configuration of a running system.
    fn choose(self, stack: &mut Stack) -> Result<()> {
        let path = stack.data().join("nats/nats-server.conf");
        let shipped = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let changed = shipped.replace(Self::Always.setting(), self.setting());
        ensure!(changed.contains(self.setting()), "{} tells no {}", path.display(), Self::Always.setting());
        if changed == shipped {
            return Ok(());
        }
        fs::write(&path, changed).with_context(|| format!("writing {}", path.display()))?;
        let ours = [Program::Nats, Program::Processors, Program::Gateway];
        ours.iter().rev().try_for_each(|program| stack.stop(*program))?;
        ours.iter().try_for_each(|program| stack.start(*program))
    }
}

fn rows(it: &Measured) -> Vec<Row> {
    let setting = it.sync.setting().replace("sync_interval: ", "");
    let row = |what: &str, measured, unit, bound| {
        // A row's name lives as long as the program, which ends soon.
        Row { what: format!("live, sync {setting}: {what}").leak(), measured, unit, bound }
    };
    let time = |what, measured| row(what, measured, "ms", Bound::None);
    let seen = it.live.len() as f64 / it.sent as f64;
    let p99 = it.live.p99_ms();
    let (limit, goal) = (TIMES_BARE * it.bare.p99_ms(), TIMES_BARE * it.core.p99_ms());
    vec![
        row("samples a second, as many as it takes, nobody reads", it.raw_per_s, "/s", Bound::None),
        row("samples a second while the system follows", it.raw_followed_per_s, "/s", Bound::None),
        row("samples sent a second, 1,000 hosts", it.per_s, "/s", Bound::GoalAtLeast(0.99 * PER_S)),
        time("bare core publish → subscribe, p50", it.core.p50_ms()),
        time("bare core publish → subscribe, p99", it.core.p99_ms()),
        time("bare JetStream publish → acknowledged, p99", it.bare_acknowledged.p99_ms()),
        time("bare JetStream publish → subscribe, p50", it.bare.p50_ms()),
        time("bare JetStream publish → subscribe, p99", it.bare.p99_ms()),
        time("acknowledged while the system follows, p99", it.acknowledged.p99_ms()),
        row("share of the samples that the client saw", seen, "", Bound::AtLeast(0.99)),
        time("published → on the client's socket, p50", it.live.p50_ms()),
        row("published → on the client's socket, p99", p99, "ms", Bound::GoalAtMost(GOAL_MS)),
        row("… beside three times bare JetStream, p99", p99, "ms", Bound::AtMost(limit)),
        row("… beside three times bare core, p99", p99, "ms", Bound::GoalAtMost(goal)),
    ]
}

/// From publishing to the answer or the message.
fn heard(sent: &[Sent]) -> Spread {
    Spread::of(sent.iter().filter_map(Sent::took))
}

/// From publishing to when the sample with this number in the stream came.
pub(super) fn arrived(sent: &[Sent], came: Vec<(u64, Instant)>) -> Spread {
    let came: HashMap<u64, Instant> = came.into_iter().collect();
    let took = |sent: &Sent| Some(came.get(&sent.sequence?)?.saturating_duration_since(sent.at));
    Spread::of(sent.iter().filter_map(took))
}

/// Messages a second from the first that left to the last that was heard of.
fn rate(sent: &[Sent]) -> f64 {
    let begin = sent.first().map(|it| it.at);
    let end = sent.iter().filter_map(|it| Some(it.at + it.took()?)).max();
    begin.zip(end).map_or(0.0, |(begin, end)| sent.len() as f64 / (end - begin).as_secs_f64())
}
