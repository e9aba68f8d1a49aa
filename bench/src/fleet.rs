//! Simulated hosts for a running system: every value a pure function of (host, sequence), every answer counted.
//!
//! `values` says what a host reports (FLEET.md is the same in words), `ledger` what was acknowledged, `lane` speaks
//! to NATS for a part of the hosts, `target` finds the running system.

mod lane;
mod ledger;
mod target;
pub mod values;

use anyhow::{Context, Result};
use lane::{Lane, Pace};
use ledger::Ledger;
pub use ledger::Totals;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use values::Fleet;
use watchkeeper_schemas::ids::TeamId;

/// Connections that share the hosts.
const CONNECTIONS: u32 = 4;
/// How often the progress line is printed and the acknowledgement log written out.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Simulated hosts into a running system.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many hosts
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub hosts: u32,
    /// Time between two samples of a host, such as 1s or 500ms
    #[arg(long, default_value = "5s", value_parser = target::parse_tick)]
    pub tick: Duration,
    /// The ready file of the running system: tells its address, credential and team
    #[arg(long, value_name = "FILE", required_unless_present_all = ["nats", "creds"])]
    pub ready_file: Option<PathBuf>,
    /// Address of NATS, instead of the ready file's
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// A credential for fleets, instead of the ready file's
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// The team that owns the hosts, instead of the ready file's
    #[arg(long)]
    pub team: Option<TeamId>,
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Another seed makes other values, the same seed always the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of the first host: sim-<number>
    #[arg(long, default_value_t = 0)]
    pub start_index: u32,
    /// Writes a line `<host> <seq> <event time, ms since 1970>` for every acknowledged sample
    #[arg(long, value_name = "FILE")]
    pub ack_log: Option<PathBuf>,
    /// No progress lines
    #[arg(long)]
    pub quiet: bool,
}

/// What a run of the fleet did; printed as one line of JSON at its end.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Seed, team, start and tick: with a host and a sequence they give every value.
    #[serde(flatten)]
    pub fleet: Fleet,
    /// Hosts from `start_index` on.
    pub hosts: u32,
    /// Number of the first host.
    pub start_index: u32,
    /// Messages by what became of them.
    #[serde(flatten)]
    pub totals: Totals,
    /// Acknowledged sequences of each host, as ranges `[first, last]`.
    pub acknowledged_ranges: BTreeMap<String, Vec<[u64; 2]>>,
}

/// Runs the fleet until its time is over or a signal comes, then prints the summary.
///
/// # Errors
/// When the running system cannot be found or the log cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let summary = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(stop_at_signal(stop));
        play(options, stopped).await
    })?;
    tell(&serde_json::to_string(&summary).context("writing the summary")?);
    Ok(())
}

async fn stop_at_signal(stop: watch::Sender<bool>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.send_replace(true);
    stop.closed().await;
}

/// Plays the hosts until `stopped` says true or `options.seconds` are over; tests call this beside a stack.
///
/// # Errors
/// When the running system cannot be found or the log cannot be written.
pub async fn play(options: &Options, mut stopped: watch::Receiver<bool>) -> Result<Summary> {
    let target = target::find(options)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let fleet = Fleet {
        team: target.team.clone(),
        seed: options.seed,
        start_ms: u64::try_from(now.as_millis()).context("the clock stands too far ahead")?,
        tick_ms: u32::try_from(options.tick.as_millis()).context("the tick is too long")?,
    };
    let ledger = Arc::new(Mutex::new(Ledger::new(&fleet, options.ack_log.as_deref())?));
    let pace = Pace::starting_now(&fleet, options.hosts, options.start_index);
    let (end, ended) = watch::channel(false);
    let mut lanes = JoinSet::new();
    for number in 0..CONNECTIONS.min(options.hosts) {
        let lane = Lane::connect(&target, &fleet, number, Arc::clone(&ledger)).await?;
        lanes.spawn(lane.play(pace.clone().part(number, CONNECTIONS.min(options.hosts)), ended.clone()));
    }
    let over = tokio::time::sleep(options.seconds.map_or(Duration::MAX, Duration::from_secs));
    tokio::pin!(over);
    let mut report = tokio::time::interval(REPORT_EVERY);
    loop {
        tokio::select! {
            () = &mut over => break,
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = report.tick() => report_progress(&ledger, &pace, options.quiet)?,
        }
    }
    end.send_replace(true);
    while let Some(lane) = lanes.join_next().await {
        lane.context("a connection of the fleet broke down")??;
    }
    report_progress(&ledger, &pace, options.quiet)?;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Summary {
        fleet,
        hosts: options.hosts,
        start_index: options.start_index,
        totals: ledger.totals(),
        acknowledged_ranges: ledger.ranges(),
    })
}

fn report_progress(ledger: &Mutex<Ledger>, pace: &Pace, quiet: bool) -> Result<()> {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.flush()?;
    if !quiet {
        let totals = ledger.totals();
        progress(&format!(
            "published {}  acknowledged {}  refused {}  unanswered {}  behind {}",
            totals.published,
            totals.acknowledged,
            totals.refused,
            totals.unanswered,
            pace.due().saturating_sub(totals.published)
        ));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the summary is the output of the command")]
fn tell(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress of a command for people")]
fn progress(line: &str) {
    eprintln!("{line}");
}
