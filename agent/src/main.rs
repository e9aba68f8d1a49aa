//! The life of the agent: read the configuration, do what was asked, say how it ended.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use watchkeeper_agent::check::check;
use watchkeeper_agent::run::run;
use watchkeeper_agent::settings::{Arguments, CheckArguments, Command, Mistakes, RunArguments, RunSettings};
use watchkeeper_streams::program::{EXIT_CONFIG, configure, log, shutdown_signal};

fn main() -> ExitCode {
    let arguments: Arguments = match configure(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(told) => told.exit(),
    };
    if let Err(error) = log(arguments.log_format, &arguments.log) {
        return mistaken(&Mistakes(vec![format!(
            "log: {error}: expected such as info or watchkeeper_agent=debug,warn"
        )]));
    }
    match &arguments.command {
        Command::Run(arguments) => run_command(arguments),
        Command::Check(arguments) => check_command(arguments),
    }
}

fn run_command(arguments: &RunArguments) -> ExitCode {
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(mistakes) => return mistaken(&mistakes),
    };
    if arguments.check_config {
        return print(&format!(
            "the configuration can be used: host {}, team {}\n",
            settings.subject.host, settings.subject.team
        ));
    }
    ended(publish(settings))
}

fn check_command(arguments: &CheckArguments) -> ExitCode {
    let observe = match arguments.observe() {
        Ok(observe) => observe,
        Err(mistakes) => return mistaken(&mistakes),
    };
    match check(&observe, arguments.human) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => ended(Err(error.into())),
    }
}

fn publish(settings: RunSettings) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(run(settings, shutdown_signal()?).await?) })
}

fn ended(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = error.source().map(ToString::to_string);
            tracing::error!(%error, source, "the agent cannot go on");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "mistakes in the configuration are told to whoever typed it")]
fn mistaken(mistakes: &Mistakes) -> ExitCode {
    eprintln!("{mistakes}");
    ExitCode::from(EXIT_CONFIG)
}

/// Prints for people and pipes; a reader that went away is no failure.
fn print(text: &str) -> ExitCode {
    std::io::stdout().write_all(text.as_bytes()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
