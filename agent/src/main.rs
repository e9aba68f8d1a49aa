//! The life of the agent: read the configuration, do what was asked, say how it ended.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use watchkeeper_agent::check::check;
use watchkeeper_agent::enrolment::{Kept, enroll};
use watchkeeper_agent::folder::Folder;
use watchkeeper_agent::gateway::GatewayError;
use watchkeeper_agent::renewal::{EXIT_CUT_OFF, RenewError, renew};
use watchkeeper_agent::run::{RunError, run};
use watchkeeper_agent::settings::{
    Arguments, CheckArguments, Command, EnrollArguments, Mistakes, RenewArguments, RunArguments, RunSettings,
};
use watchkeeper_streams::program::{EXIT_CONFIG, configure, log, shutdown_signal};

fn main() -> ExitCode {
    let (arguments, folder) = match arguments() {
        Ok(read) => read,
        Err(code) => return code,
    };
    if let Err(error) = log(arguments.log_format, &arguments.log) {
        return mistaken(&Mistakes(vec![format!(
            "log: {error}: expected such as info or watchkeeper_agent=debug,warn"
        )]));
    }
    match &arguments.command {
        Command::Enroll(arguments) => enroll_command(arguments),
        Command::Run(arguments) => run_command(arguments, folder),
        Command::Renew(arguments) => renew_command(arguments),
        Command::Check(arguments) => check_command(arguments),
    }
}

/// What was typed; for an enrolled host with the settings of its folder below it.
fn arguments() -> Result<(Arguments, Option<Folder>), ExitCode> {
    let arguments = read(None).unwrap_or_else(|told| told.exit());
    let Some(folder) = arguments.folder().map_err(|mistakes| mistaken(&mistakes))? else {
        return Ok((arguments, None));
    };
    Ok((read(Some(&folder)).unwrap_or_else(|told| told.exit()), Some(folder)))
}

/// What was typed, with the settings of a folder below it.
fn read(folder: Option<&Folder>) -> Result<Arguments, clap::Error> {
    let settings = folder.map(|folder| [OsString::from("--config"), folder.settings().into()]);
    configure(std::env::args_os().chain(settings.into_iter().flatten()))
}

/// What `run` was to do if it began now.
fn run_again(folder: Option<&Folder>) -> Result<RunSettings, Mistakes> {
    match read(folder).map_err(|told| Mistakes(vec![told.to_string()]))?.command {
        Command::Run(arguments) => arguments.settings(folder.cloned()),
        Command::Enroll(_) | Command::Renew(_) | Command::Check(_) => {
            Err(Mistakes(vec!["the command line is not that of `run`".to_owned()]))
        }
    }
}

/// Enrolls, then becomes `run` as a new program: the token is no longer among its arguments.
fn enroll_command(arguments: &EnrollArguments) -> ExitCode {
    let Kept { folder, enrolled } = match enroll(arguments) {
        Ok(kept) => kept,
        Err(error) => return failed(&error),
    };
    let told = format!(
        "enrolled as {} in team {}; credential and settings are in {}\n",
        enrolled.host,
        enrolled.team,
        folder.path().display()
    );
    if arguments.no_start {
        return print(&format!(
            "{told}begin with: watchkeeper-agent run --dir {}\n",
            folder.path().display()
        ));
    }
    // The agent that follows says the rest.
    let _unread = print(&told);
    let error = std::process::Command::new("/proc/self/exe")
        .arg0("watchkeeper-agent")
        .args(["run", "--dir"])
        .arg(folder.path())
        .env_remove("WATCHKEEPER_ENROL_TOKEN")
        .exec();
    failed(&error)
}

fn run_command(arguments: &RunArguments, folder: Option<Folder>) -> ExitCode {
    let settings = match arguments.settings(folder.clone()) {
        Ok(settings) => settings,
        Err(mistakes) => return mistaken(&mistakes),
    };
    if arguments.check_config {
        return print(&format!(
            "the configuration can be used: host {}, team {}\n",
            settings.subject.host, settings.subject.team
        ));
    }
    match publish(settings, folder.as_ref()) {
        Err(error) if error.downcast_ref().is_some_and(|why| matches!(why, RunError::CutOff(_))) => {
            tracing::error!("{error}");
            ExitCode::from(EXIT_CUT_OFF)
        }
        ended_otherwise => ended(ended_otherwise),
    }
}

fn renew_command(arguments: &RenewArguments) -> ExitCode {
    let Some(gateway) = &arguments.gateway else {
        return mistaken(&Mistakes(vec!["gateway: its address is missing: give --gateway URL".to_owned()]));
    };
    match renew(&arguments.folder(), gateway, arguments.allow_http) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ RenewError::Gateway(GatewayError::Refused { .. })) => {
            failed(&error);
            ExitCode::from(EXIT_CUT_OFF)
        }
        Err(error) => failed(&error),
    }
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

fn publish(settings: RunSettings, folder: Option<&Folder>) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(run(settings, || run_again(folder), shutdown_signal()?).await?) })
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

#[expect(clippy::print_stderr, reason = "what a command could not do is told to whoever typed it")]
fn failed(error: &dyn Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Prints for people and pipes; a reader that went away is no failure.
fn print(text: &str) -> ExitCode {
    std::io::stdout().write_all(text.as_bytes()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
