//! `watchkeeper-bench`: simulated hosts into a running system, and benchmarks beside their limits.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use watchkeeper_bench::{fleet, run};

#[derive(Debug, Parser)]
#[command(version, about = "Simulated hosts and benchmarks for Watchkeeper")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send the samples of many simulated hosts into a running system
    Fleet(fleet::Options),
    /// Run the benchmarks, each beside its limit in the same run
    Run(run::Options),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Cli::parse().command {
        Command::Fleet(options) => fleet::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Run(options) => run::run(&options),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stderr, reason = "a command for people says why it ended")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
