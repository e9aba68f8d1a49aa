//! `cargo xtask up`: the whole system on this machine until Ctrl-C.

mod ready_file;
mod supervise;
mod telegram;

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::ports::Ports;
use crate::stack::{Program, Stack};
use crate::tools::Servers;
use crate::workspace::{Profile, root};
use crate::{compile, console, page};
use supervise::Supervisor;
use telegram::TelegramDouble;

/// How often the programs are looked at, to notice one that ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The file in every data folder that says what runs there.
pub const READY_FILE: &str = "ready.json";

/// What `up` was asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where everything is kept: streams, history, keys, logs
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// A temporary data folder, removed at the end, and free ports
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
    /// Do not watch this machine itself
    #[arg(long)]
    no_agent: bool,
    /// Optimised programs, as they are shipped; the first build takes longer
    #[arg(long)]
    release: bool,
    /// Also run a double of Telegram: a bot to link chats to and to be told by, without Telegram
    #[arg(long)]
    telegram_double: bool,
    /// Also write the ready file here: one JSON object with addresses, credential files and pids, once all is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    ports: PortOptions,
}

/// Another port for each listener; with `--ephemeral` those not given are free ones.
#[derive(Debug, clap::Args)]
struct PortOptions {
    /// The page and the API (default 7171)
    #[arg(long = "port", value_name = "PORT")]
    gateway: Option<u16>,
    /// The gateway's Prometheus metrics (default 7172)
    #[arg(long = "metrics-port", value_name = "PORT")]
    metrics: Option<u16>,
    /// NATS (default 4222)
    #[arg(long = "nats-port", value_name = "PORT")]
    nats: Option<u16>,
    /// QuestDB over HTTP (default 9000)
    #[arg(long, value_name = "PORT")]
    questdb_http_port: Option<u16>,
    /// QuestDB over the PostgreSQL wire (default 8812)
    #[arg(long, value_name = "PORT")]
    questdb_pg_port: Option<u16>,
    /// QuestDB's health checks (default 9003)
    #[arg(long, value_name = "PORT")]
    questdb_min_port: Option<u16>,
}

impl PortOptions {
    fn over(&self, ports: Ports) -> Ports {
        Ports {
            gateway: self.gateway.unwrap_or(ports.gateway),
            metrics: self.metrics.unwrap_or(ports.metrics),
            nats: self.nats.unwrap_or(ports.nats),
            questdb_http: self.questdb_http_port.unwrap_or(ports.questdb_http),
            questdb_pg: self.questdb_pg_port.unwrap_or(ports.questdb_pg),
            questdb_min: self.questdb_min_port.unwrap_or(ports.questdb_min),
        }
    }
}

/// Builds, starts, waits until all is ready, and keeps it running until Ctrl-C or SIGTERM.
pub fn run(options: &Options) -> Result<()> {
    // Before the stack, so that it is dropped after it.
    let data = DataFolder::take(options)?;
    let free = if options.ephemeral { Ports::free()? } else { Ports::default() };
    let ports = options.ports.over(free);
    ports.check_unused()?;

    let profile = if options.release { Profile::Release } else { Profile::Dev };
    console::heading("Servers");
    let servers = Servers::ensure()?;
    console::heading("Page");
    page::build()?;
    console::heading("Programs");
    compile::packages(profile, compile::PROGRAMS)?;
    if options.telegram_double {
        compile::packages(profile, &[telegram::PACKAGE])?;
    }

    console::heading("Start");
    console::line("nats-server, QuestDB, processors, gateway, agent: some seconds ...");
    let interrupted = interrupted()?;
    let mut programs = Program::ALL.to_vec();
    programs.retain(|program| *program != Program::Agent || !options.no_agent);
    let mut builder = Stack::in_dir(data.path()).profile(profile).ports(ports).programs(&programs);
    let double = options.telegram_double.then(|| TelegramDouble::start(profile, data.path())).transpose()?;
    if let Some(double) = &double {
        builder = builder.args(Program::Processors, double.args());
    }
    let mut stack = match builder.cancelled_by(Arc::clone(&interrupted)).start(&servers) {
        Err(_) if interrupted.load(Ordering::Relaxed) => return Ok(()),
        started => started?,
    };
    let ready_files = data.ready_files(options);
    let code = stack.wait_for_bootstrap_code()?;
    ready_file::write(&ready_files, &stack)?;
    console::line(summary(&stack, options, code.as_deref()));
    console::line(double.as_ref().map_or_else(String::new, TelegramDouble::summary));
    let ended = keep_running(&mut stack, &interrupted, &ready_files);
    console::line("\nstopping ...");
    for file in &ready_files {
        fs::remove_file(file).ok();
    }
    stack.stop_all()?;
    console::line("stopped");
    ended
}

fn keep_running(stack: &mut Stack, interrupted: &AtomicBool, ready_files: &[PathBuf]) -> Result<()> {
    let mut supervisor = Supervisor::default();
    let mut code = stack.bootstrap_code();
    while !interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
        let started = supervisor.look(stack)?;
        let before = std::mem::replace(&mut code, stack.bootstrap_code());
        if started || code != before {
            ready_file::write(ready_files, stack)?;
        }
    }
    Ok(())
}

/// True from the first Ctrl-C, SIGTERM or closed terminal on. The third one does not wait: the reaper kills what is left.
fn interrupted() -> Result<Arc<AtomicBool>> {
    const PATIENCE: u32 = 3;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let mut count = 0;
    ctrlc::set_handler(move || {
        count += 1;
        if count >= PATIENCE {
            std::process::exit(130);
        }
        flag.store(true, Ordering::Relaxed);
    })
    .context("installing the handler for Ctrl-C")?;
    Ok(interrupted)
}

fn summary(stack: &Stack, options: &Options, code: Option<&str>) -> String {
    let data = stack.data().display();
    let first = code.map_or_else(String::new, |code| {
        format!("\n\n  Nobody owns it yet: open the page within 15 minutes and use this code: {code}")
    });
    let kept = if options.ephemeral { " (removed at the end)" } else { "" };
    format!(
        "\nWatchkeeper runs.\n\n  page      {http}\n  API       {http}/api/docs\n  metrics   {metrics}\n  NATS      {nats}\n  \
         QuestDB   {questdb} and PostgreSQL wire {pg}\n  data      {data}{kept}\n  logs      {data}/logs{first}\n\n  \
         More hosts:  cargo xtask fleet --hosts 100 --data {data}\n  Ctrl-C stops everything.",
        http = stack.http_url(),
        metrics = stack.metrics_url(),
        nats = stack.nats_url(),
        questdb = stack.questdb_http_url(),
        pg = stack.questdb_pg_address(),
    )
}

/// The data folder, ours alone while we run.
#[derive(Debug)]
struct DataFolder {
    path: PathBuf,
    _lock: File,
    /// Removed when dropped.
    _temporary: Option<TempDir>,
}

impl DataFolder {
    fn take(options: &Options) -> Result<Self> {
        if options.ephemeral {
            let temporary = tempfile::Builder::new().prefix("watchkeeper-").tempdir()?;
            let path = temporary.path().to_owned();
            return Ok(Self { _lock: lock(&path, options)?, path, _temporary: Some(temporary) });
        }
        let path = std::path::absolute(&options.data).context("the data folder's path")?;
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { _lock: lock(&path, options)?, path, _temporary: None })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn ready_files(&self, options: &Options) -> Vec<PathBuf> {
        std::iter::once(self.path.join(READY_FILE)).chain(options.ready_file.clone()).collect()
    }
}

/// The lock goes with the process, however it ends; what the file says is only for people.
fn lock(data: &Path, options: &Options) -> Result<File> {
    let path = data.join("up.lock");
    let told = || format!("locking {}", path.display());
    let mut file = File::options().create(true).append(true).open(&path).with_context(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "{} is in use by another `cargo xtask up` ({}): stop that one, or give this one --data DIR or --ephemeral",
                data.display(),
                holder.trim()
            );
        }
        Err(TryLockError::Error(failure)) => return Err(failure).with_context(told),
    }
    file.set_len(0).with_context(told)?;
    writeln!(file, "pid {}", std::process::id()).with_context(told)?;
    // A ready file of a killed predecessor would lie.
    for stale in std::iter::once(data.join(READY_FILE)).chain(options.ready_file.clone()) {
        if stale.exists() {
            fs::remove_file(&stale).with_context(|| format!("removing the old {}", stale.display()))?;
        }
    }
    Ok(file)
}

/// The ready file of the system that runs in `data`, or an error that says how to start one.
pub fn ready_file_in(data: &Path) -> Result<PathBuf> {
    let file = std::path::absolute(data).context("the data folder's path")?.join(READY_FILE);
    if file.is_file() {
        return Ok(file);
    }
    bail!(
        "nothing runs in {} (no {READY_FILE}): start `cargo xtask up` first, in {}, or name its --data or --ready-file",
        data.display(),
        root().display()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(args: &[&str]) -> Options {
        Line::try_parse_from([&["up"], args].concat()).unwrap().options
    }

    #[test]
    fn one_up_for_one_data_folder() {
        let dir = tempfile::tempdir().unwrap();
        let given = options(&["--data", dir.path().to_str().unwrap()]);
        let first = DataFolder::take(&given).unwrap();
        let message = DataFolder::take(&given).unwrap_err().to_string();
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
        assert!(message.contains("--data"), "{message}");
        drop(first);
        DataFolder::take(&given).unwrap();
    }

    #[test]
    fn a_ready_file_of_a_killed_predecessor_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let stale = dir.path().join(READY_FILE);
        fs::write(&stale, "{}").unwrap();
        DataFolder::take(&options(&["--data", dir.path().to_str().unwrap()])).unwrap();
        assert!(!stale.exists());
        assert!(ready_file_in(dir.path()).unwrap_err().to_string().contains("cargo xtask up"));
    }

    #[test]
    fn given_ports_win_and_the_others_stay() {
        let given = options(&["--port", "8080", "--nats-port", "14222"]);
        let expected = Ports { gateway: 8080, nats: 14222, ..Ports::default() };
        assert_eq!(given.ports.over(Ports::default()), expected);
    }
}
