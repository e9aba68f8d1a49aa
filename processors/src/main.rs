//! `watchkeeper-processors`: runs the processors, each on a thread, a runtime and a connection of its own.

use anyhow::Context as _;
use clap::Parser as _;
use std::process::ExitCode;
use std::thread::JoinHandle;
use tokio::sync::watch;
use watchkeeper_processors::alerts::offline::Offline;
use watchkeeper_processors::config::{Config, Name};
use watchkeeper_processors::work;
use watchkeeper_streams::program::{self, EXIT_CONFIG};

/// Small pieces come and go with every sample; the system's allocator takes a tenth of the time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if Offline::is_asked(std::env::args_os().nth(1).as_deref()) {
        return offline();
    }
    let config: Config = match program::configure(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    let mistakes = config.mistakes();
    if !mistakes.is_empty() {
        return say_mistakes(&mistakes);
    }
    if config.check_config {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = program::log(config.log_format, &config.log) {
        return say_mistakes(&[format!("--log {}: {error}", config.log)]);
    }
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "processors ended");
            ExitCode::FAILURE
        }
    }
}

/// Commands for people, which need no server.
fn offline() -> ExitCode {
    match Offline::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => say_mistakes(&[format!("{error:#}")]),
    }
}

#[expect(clippy::print_stderr, reason = "told before there is a log")]
fn say_mistakes(mistakes: &[String]) -> ExitCode {
    for mistake in mistakes {
        eprintln!("error: {mistake}");
    }
    ExitCode::from(EXIT_CONFIG)
}

/// Runs every processor until a signal, or until one of them cannot go on: then all stop, so that it is seen.
fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let (ended, mut any_ended) = tokio::sync::mpsc::channel(1);
    let mut threads = Vec::new();
    let names = config.names();
    if config.only.is_empty() && !names.contains(&Name::Guard) {
        tracing::warn!(
            "without --nats-dir no team's account is kept, no credential is cut off and no flood is seen"
        );
    }
    for name in names {
        threads.push(spawn(name, config.clone(), stopped.clone(), ended.clone())?);
    }
    runtime.block_on(async {
        let mut signal = program::shutdown_signal()?;
        tokio::select! {
            _ = signal.wait_for(|stop| *stop) => {}
            _ = any_ended.recv() => {}
        }
        anyhow::Ok(())
    })?;
    stop.send_replace(true);
    let results: Vec<anyhow::Result<()>> = threads.into_iter().map(join).collect();
    results.into_iter().collect()
}

fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().map_err(|_| anyhow::anyhow!("a processor panicked"))?
}

fn spawn(
    name: Name,
    config: Config,
    shutdown: watch::Receiver<bool>,
    ended: tokio::sync::mpsc::Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let thread = std::thread::Builder::new().name(name.as_str().to_owned()).spawn(move || {
        let _told_at_the_end = Ended(ended);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tracing::info!(processor = name.as_str(), "started");
        runtime.block_on(work(name, &config, shutdown))?;
        tracing::info!(processor = name.as_str(), "stopped");
        Ok(())
    });
    thread.with_context(|| format!("cannot start a thread for {}", name.as_str()))
}

/// Tells the owner that a processor has ended, whether by return or panic.
struct Ended(tokio::sync::mpsc::Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // A full channel says that the owner knows already.
        self.0.try_send(()).ok();
    }
}
