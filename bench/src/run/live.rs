//! From publishing a sample until it stands on a live client's socket, beside bare messages through the same server.

use super::listener::Listener;
use super::paced::{Line, Samples, Sent};
use super::report::{Bound, Row};
use super::spread::Spread;
use super::system::{System, WHOLE, caught_up};
use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use xtask::ports::address;
use xtask::stack::Program;

const HOSTS: u32 = 1_000;
const PER_S: f64 = 2_000.0;
/// Every message is synced: on a slow disk the rate is this part of what the disk takes while the whole system works,
/// so that no queue grows.
const DISK_SHARE: f64 = 0.6;
const RAW_MESSAGES: usize = 5_000;
const SECONDS: f64 = 15.0;
/// Until the last samples are on the socket.
const SETTLE: Duration = Duration::from_secs(1);

/// The bare messages of the same run, and the samples with their way to the client.
struct Measured {
    raw_per_s: f64,
    raw_followed_per_s: f64,
    per_s: f64,
    core: Spread,
    stored: Spread,
    acknowledged: Spread,
    live: Spread,
    sent: usize,
}

pub(super) fn run() -> Result<Vec<Row>> {
    let mut system = System::start(&WHOLE)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
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
    let stored = runtime.block_on(line.send(&mut samples, count, per_s))?;
    let core = runtime
        .block_on(async { Line::passed(&system.stack).await?.send(&mut samples, count, per_s).await })?;
    system.stack.start(Program::Processors)?;
    system.stack.start(Program::Gateway)?;
    runtime.block_on(caught_up(&system.stack))?;
    system.wait_for_hosts(HOSTS)?;
    let listener = Listener::start(address(system.stack.ports().gateway))?;
    let sent = runtime.block_on(line.send(&mut samples, count, per_s))?;
    std::thread::sleep(SETTLE);
    let came: HashMap<u64, Instant> = listener.stop()?.into_iter().collect();
    let to_socket = |sent: &Sent| Some(came.get(&sent.sequence?)?.saturating_duration_since(sent.at));
    Ok(rows(&Measured {
        raw_per_s: rate(&raw),
        raw_followed_per_s: rate(&raw_followed),
        per_s: rate(&sent),
        core: spread(&core),
        stored: spread(&stored),
        acknowledged: spread(&sent),
        live: Spread::of(sent.iter().filter_map(to_socket)),
        sent: sent.len(),
    }))
}

fn rows(it: &Measured) -> Vec<Row> {
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let times = |what, spread: &Spread| row(what, spread.p99_ms(), "ms", Bound::None);
    let seen = it.live.len() as f64 / it.sent as f64;
    let (p99, beside_stored, beside_core) =
        (it.live.p99_ms(), 3.0 * it.stored.p99_ms(), 3.0 * it.core.p99_ms());
    vec![
        row("live: samples a second this disk takes, synced one by one", it.raw_per_s, "/s", Bound::None),
        row("live: the same while the system follows", it.raw_followed_per_s, "/s", Bound::None),
        row("live: samples sent a second, 1,000 hosts", it.per_s, "/s", Bound::GoalAtLeast(0.99 * PER_S)),
        row("live: bare core publish → subscribe, p50", it.core.p50_ms(), "ms", Bound::None),
        times("live: bare core publish → subscribe, p99", &it.core),
        row("live: bare JetStream publish → acknowledged, p50", it.stored.p50_ms(), "ms", Bound::None),
        times("live: bare JetStream publish → acknowledged, p99", &it.stored),
        times("live: acknowledged while the system follows, p99", &it.acknowledged),
        row("live: share of the samples that the client saw", seen, "", Bound::AtLeast(0.99)),
        row("live: published → on the client's socket, p50", it.live.p50_ms(), "ms", Bound::None),
        row("live: published → on the client's socket, p99", p99, "ms", Bound::GoalAtMost(2.0)),
        row("live: beside three times bare JetStream, p99", p99, "ms", Bound::AtMost(beside_stored)),
        row("live: beside three times bare core, p99", p99, "ms", Bound::GoalAtMost(beside_core)),
    ]
}

fn spread(sent: &[Sent]) -> Spread {
    Spread::of(sent.iter().filter_map(Sent::took))
}

/// Messages a second from the first that left to the last that was heard of.
fn rate(sent: &[Sent]) -> f64 {
    let begin = sent.first().map(|it| it.at);
    let end = sent.iter().filter_map(|it| Some(it.at + it.took()?)).max();
    begin.zip(end).map_or(0.0, |(begin, end)| sent.len() as f64 / (end - begin).as_secs_f64())
}
