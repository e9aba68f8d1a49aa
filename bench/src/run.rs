//! The benchmarks, each beside its limit in the same run: what was measured, what is allowed, how far apart they are.
//!
//! A limit that does not hold makes the command fail; a goal only shows.

mod agent;
mod alerts;
mod authorize;
mod backtest;
mod bare_stream;
mod clients;
mod codec;
mod decided;
mod follower;
mod footprint;
mod http;
mod keep_alive;
mod listener;
mod live;
mod many;
mod notices;
mod paced;
mod replay;
mod report;
mod restart;
mod spread;
mod system;
mod usage;

use anyhow::{Context, Result};
pub use bare_stream::serve as serve_bare_stream;
use clap::ValueEnum;
use report::Row;
use std::process::ExitCode;

/// Which benchmarks to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Only this benchmark; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<Benchmark>,
}

/// Every benchmark, by the name it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Benchmark {
    /// Size of a usual host's sample; time to write, read and render it
    Codec,
    /// The alert machine: evaluations, memory, snapshot, at 10,000 hosts × 20 rules
    Alerts,
    /// A rule over 24 h of 1,000 hosts, after the read
    Backtest,
    /// What it costs to know who asks, and of which team (starts a nats-server)
    Authorize,
    /// Decode and fold of a replayed stream beside the bare read of the same stream (starts a nats-server)
    Replay,
    /// Sample published until it stands on a live client's socket, beside bare messages (starts the whole system)
    Live,
    /// Sample published until the transition that it decides is published (starts the whole system)
    Decided,
    /// What is to be told published until its receiver is called; memory of what waits (starts a nats-server and a notifier)
    Notices,
    /// 1,000 clients of the live stream, of ten teams: what they hear, and memory beside axum's own stream (starts the whole system)
    Clients,
    /// One host and the list of 1,000 hosts, beside a bare server (starts the whole system)
    Http,
    /// CPU and memory of processors and gateway at 1,000 hosts (starts the whole system)
    Footprint,
    /// Restart of gateway and processors with 10,000 hosts (starts the whole system)
    Restart,
    /// CPU and memory of an agent in a minute (starts a nats-server and an agent)
    Agent,
}

impl Benchmark {
    fn run(self) -> Result<Vec<Row>> {
        match self {
            Self::Codec => codec::run(),
            Self::Alerts => alerts::run(),
            Self::Backtest => backtest::run(),
            Self::Authorize => authorize::run(),
            Self::Replay => replay::run(),
            Self::Live => live::run(),
            Self::Decided => decided::run(),
            Self::Notices => notices::run(),
            Self::Clients => clients::run(),
            Self::Http => http::run(),
            Self::Footprint => footprint::run(),
            Self::Restart => restart::run(),
            Self::Agent => agent::run(),
        }
    }
}

/// Runs them one after the other and prints the table.
///
/// # Errors
/// When a benchmark cannot be run at all; a limit that does not hold is told by the exit code.
pub fn run(options: &Options) -> Result<ExitCode> {
    let wanted = |name: &Benchmark| options.only.is_empty() || options.only.contains(name);
    let mut rows = Vec::new();
    for benchmark in Benchmark::value_variants().iter().filter(|name| wanted(name)) {
        let found = benchmark.run().with_context(|| format!("benchmark {benchmark:?}"))?;
        found.iter().for_each(report::tell);
        rows.extend(found);
    }
    report::table(&rows);
    Ok(if rows.iter().all(Row::is_allowed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
