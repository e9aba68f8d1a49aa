//! `watchkeeper-bench`: simulated hosts into a running system, and benchmarks beside their limits.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use watchkeeper_bench::{fleet, run};
use watchkeeper_streams::program::{self, LogFormat};

/// Small pieces come and go with every sample; the system's allocator takes a tenth of the time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// A server with nothing but axum's own event stream, which `run` starts to hold the gateway against
    #[command(hide = true)]
    BareStream,
}

fn main() -> ExitCode {
    if let Err(error) = program::log(Some(LogFormat::Text), "warn") {
        complain(&anyhow::anyhow!("RUST_LOG: {error}"));
        return ExitCode::FAILURE;
    }
    let done = match Cli::parse().command {
        Command::Fleet(options) => fleet::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Run(options) => run::run(&options),
        Command::BareStream => run::serve_bare_stream().map(|()| ExitCode::SUCCESS),
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
