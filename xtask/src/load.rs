//! `cargo xtask fleet` and `cargo xtask bench`: build watchkeeper-bench and run it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shipped_agent::AGENT;
use crate::tools::Servers;
use crate::up::ready_file_in;
use crate::workspace::Profile;
use crate::{compile, page};

const BENCH: &str = "watchkeeper-bench";
/// Its name among the benchmarks.
const AGENT_BENCHMARK: &str = "agent";

/// Simulated hosts for a running system.
#[derive(Debug, clap::Args)]
pub struct FleetOptions {
    /// How many hosts
    #[arg(long, default_value_t = 100)]
    hosts: u32,
    /// Time between two samples of a host, such as 1s or 500ms
    #[arg(long, default_value = "5s")]
    tick: String,
    /// The data folder of the running `cargo xtask up`
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The ready file of the running system, instead of --data
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    ready_file: Option<PathBuf>,
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
    /// Another seed makes other values, the same seed always the same
    #[arg(long)]
    seed: Option<u64>,
    /// More for `watchkeeper-bench fleet`, as it stands
    #[arg(last = true, value_name = "MORE")]
    more: Vec<OsString>,
}

/// Runs simulated hosts into a running system.
pub fn fleet(options: &FleetOptions) -> Result<()> {
    let ready_file = options.ready_file.clone().map_or_else(|| ready_file_in(&options.data), Ok)?;
    compile::packages(Profile::Quick, &[BENCH])?;
    let mut command = Command::new(Profile::Quick.binary(BENCH));
    command.args(["fleet", "--hosts", &options.hosts.to_string(), "--tick", &options.tick]);
    command.arg("--ready-file").arg(ready_file);
    if let Some(seconds) = options.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command.args(&options.more);
    become_program(command)
}

/// Benchmarks, each beside its limit.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// Only these benchmarks
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Programs as they are shipped: slower to build, for numbers that are quoted
    #[arg(long)]
    release: bool,
    /// More for `watchkeeper-bench run`, as it stands
    #[arg(last = true, value_name = "MORE")]
    more: Vec<OsString>,
}

impl BenchOptions {
    fn wants(&self, benchmark: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == benchmark)
    }
}

/// Runs the benchmarks with real servers.
pub fn bench(options: &BenchOptions) -> Result<()> {
    let profile = if options.release { Profile::Release } else { Profile::Quick };
    let servers = Servers::ensure()?;
    page::build()?;
    let mut packages = [compile::PROGRAMS, &[BENCH]].concat();
    // It takes minutes to build, and only one benchmark runs it.
    packages.retain(|package| *package != AGENT || options.wants(AGENT_BENCHMARK));
    compile::packages(profile, &packages)?;
    let mut command = Command::new(profile.binary(BENCH));
    command.arg("run").envs(servers.env());
    for name in &options.names {
        command.args(["--only", name]);
    }
    command.args(&options.more);
    become_program(command)
}

/// Hands our process over, so that a signal meant for us reaches the program. Returns only if it cannot start.
fn become_program(mut command: Command) -> Result<()> {
    let failure = command.exec();
    Err(failure).with_context(|| format!("running {}", command.get_program().display()))
}
