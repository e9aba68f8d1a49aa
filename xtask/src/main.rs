//! The developer commands; `cargo xtask --help` teaches them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::check::Reported;
use xtask::{check, console, load, tools, up};

const EXAMPLES: &str = "\
Examples:
  cargo xtask up                        everything on this machine; then open http://127.0.0.1:7171
  cargo xtask up --release              the same with optimised programs
  cargo xtask up --telegram-double      with a double of Telegram, and how to talk to it
  cargo xtask up --ephemeral --ready-file ready.json
                                        for scripts: free ports, temporary data, addresses in a file
  cargo xtask fleet --hosts 1000 --tick 5s
                                        a thousand simulated hosts into the running system
  cargo xtask test                      everything that must be green
  cargo xtask test --only tests --filter restart
                                        only the tests with `restart` in their names
  cargo xtask bench                     the benchmarks, each beside its limit

Servers are fetched once into .tools/. To use your own, set WATCHKEEPER_NATS_SERVER, WATCHKEEPER_JAVA,
WATCHKEEPER_QUESTDB_JAR or WATCHKEEPER_CHROMIUM to a path.";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Watchkeeper's developer commands", after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine until Ctrl-C
    #[command(after_help = EXAMPLES)]
    Up(up::Options),
    /// Run everything that must be green
    Test(check::Options),
    /// Run simulated hosts into a running system
    Fleet(load::FleetOptions),
    /// Run the benchmarks, each beside its limit
    Bench(load::BenchOptions),
    /// Fetch the servers and say where everything is
    #[command(after_help = EXAMPLES)]
    Tools,
}

fn main() -> ExitCode {
    let ended: Result<()> = match Line::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Test(options) => check::run(&options),
        Command::Fleet(options) => load::fleet(&options),
        Command::Bench(options) => load::bench(&options),
        Command::Tools => tools::run(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is::<Reported>() {
                console::error(&failure);
            }
            ExitCode::FAILURE
        }
    }
}
