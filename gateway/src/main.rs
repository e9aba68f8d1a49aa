//! watchkeeper-gateway: the page, the HTTP API, the live stream, and the NATS server's folder.

use std::process::ExitCode;
use watchkeeper_gateway::config::{Cli, Command, RunArgs};
use watchkeeper_gateway::{command, health, machine, nats_folder, run};
use watchkeeper_streams::program;

/// Small pieces come and go with every sample; the system's allocator takes a tenth of the time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match program::configure::<Cli>(std::env::args_os()) {
        Ok(cli) => cli,
        Err(told) => told.exit(),
    };
    let done = match cli.command {
        Command::Run(args) => match args.check() {
            Err(mistakes) => return refuse(&mistakes),
            Ok(_) if args.check_config => return ExitCode::SUCCESS,
            Ok(config) => serve(&args, &config),
        },
        Command::Bootstrap(args) => machine::bootstrap(&args.secrets_dir, &mut std::io::stdout()),
        Command::RotateSigningKey(args) => machine::rotate(&args.secrets_dir, &mut std::io::stdout()),
        Command::Host(asked) => block_on(command::host::host(asked, &mut std::io::stdout())),
        Command::Account(asked) => {
            let (input, out) = (&mut std::io::stdin().lock(), &mut std::io::stdout());
            block_on(command::account::account(asked, input, out))
        }
        Command::Audit(asked) => block_on(command::audit::audit(asked, &mut std::io::stdout())),
        Command::Nats(command) => block_on(nats_folder::command(command, &mut std::io::stdout())),
        Command::Health(args) => health::ask(args.metrics_listen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn serve(args: &RunArgs, config: &watchkeeper_gateway::config::Config) -> anyhow::Result<()> {
    program::log(args.log_format, &args.log).map_err(|error| anyhow::anyhow!("--log: {error}"))?;
    block_on(async {
        let shutdown = program::shutdown_signal()?;
        run::start(config, shutdown).await?.wait().await
    })
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

#[expect(clippy::print_stderr, reason = "a configuration is told to a person before there is a log")]
fn refuse(mistakes: &[String]) -> ExitCode {
    eprintln!("The configuration cannot be used:");
    for mistake in mistakes {
        eprintln!("  {mistake}");
    }
    ExitCode::from(program::EXIT_CONFIG)
}

#[expect(clippy::print_stderr, reason = "what ended a command is told to the person who typed it")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("watchkeeper-gateway: {error:#}");
    ExitCode::FAILURE
}
