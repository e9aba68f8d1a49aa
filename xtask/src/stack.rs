//! The whole system on this machine, each program a process of its own: for `up`, for tests and for benchmarks.

mod builder;
mod enrolment;
mod launch;
mod owner;
mod questdb;
mod ready;
mod setup;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

pub use builder::Builder;
pub use owner::Owner;
pub use setup::Creds;

use crate::ports::{Ports, address};
use crate::process::{Process, log_tail};
use crate::reaper::Reaper;
use crate::tools::Servers;
use builder::Settings;

/// Everything a stack may run, in the order in which it starts; it stops in reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Nats,
    Questdb,
    Processors,
    Gateway,
    Agent,
}

impl Program {
    pub const ALL: [Self; 5] = [Self::Nats, Self::Questdb, Self::Processors, Self::Gateway, Self::Agent];

    /// The name in logs, in the ready file and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Questdb => "questdb",
            Self::Processors => "processors",
            Self::Gateway => "gateway",
            Self::Agent => "agent",
        }
    }
}

/// A program that ended though nobody stopped it.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub program: Program,
    pub status: ExitStatus,
}

/// Running programs with their addresses and credentials. Dropping it stops them; a killed owner takes them along.
#[derive(Debug)]
pub struct Stack {
    settings: Settings,
    servers: Servers,
    creds: Creds,
    running: BTreeMap<Program, Process>,
    reaper: Reaper,
    /// Once somebody asked for them.
    owner: OnceLock<Owner>,
}

impl Stack {
    /// A stack with its data in this folder, on free ports and with every program but the agent, unless told otherwise.
    pub fn in_dir(data: impl Into<PathBuf>) -> Builder {
        Builder::new(data.into())
    }

    fn begin(mut settings: Settings, servers: Servers) -> Result<Self> {
        let creds = setup::prepare(&mut settings)?;
        let mut stack = Self {
            settings,
            servers,
            creds,
            running: BTreeMap::new(),
            reaper: Reaper::start()?,
            owner: OnceLock::new(),
        };
        for program in stack.settings.programs.clone() {
            stack.start_on_a_free_port(program)?;
        }
        Ok(stack)
    }

    /// Another process may take a port between our choosing it and the program's listening on it.
    fn start_on_a_free_port(&mut self, program: Program) -> Result<()> {
        const PORT_CHOICES_MAX: u32 = 5;
        for _ in 1..PORT_CHOICES_MAX {
            let failure = match self.start(program) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if self.settings.fixed_ports || !ready::says_port_in_use(&log_tail(&self.log(program))) {
                return Err(failure);
            }
            std::fs::remove_file(self.log(program)).context("removing the log of a failed start")?;
            self.settings.choose_ports_of(program)?;
        }
        self.start(program)
    }

    /// Starts a program and waits until it is ready. An error holds the last state and the end of its log.
    pub fn start(&mut self, program: Program) -> Result<()> {
        self.launch(program)?;
        let ready = self.wait_ready(program);
        if ready.is_err() {
            self.kill9(program)?;
        }
        ready
    }

    /// Starts a program and does not wait; its ports and data are those of its last run.
    pub fn launch(&mut self, program: Program) -> Result<()> {
        if let Some(process) = self.running.get(&program) {
            bail!("{} runs already, as pid {}", program.name(), process.pid());
        }
        if program == Program::Agent && enrolment::is_possible(&self.settings) {
            enrolment::ensure(&self.settings, &self.creds).context("enrolling the local agent")?;
        }
        let launch = launch::of(program, &self.settings, &self.servers, &self.creds)?;
        let process = Process::start(&launch, &mut self.reaper)
            .with_context(|| format!("starting {}", program.name()))?;
        self.running.insert(program, process);
        Ok(())
    }

    /// Waits until a running program does what it is for.
    pub fn wait_ready(&mut self, program: Program) -> Result<()> {
        let log = self.log(program);
        let process =
            self.running.get_mut(&program).with_context(|| format!("{} does not run", program.name()))?;
        ready::wait(program, process, &self.settings, &self.creds)
            .with_context(|| format!("{} did not become ready; {}", program.name(), log_tail(&log)))
    }

    /// Ends a program with SIGTERM (SIGKILL after 10 s). Nothing happens if it does not run.
    pub fn stop(&mut self, program: Program) -> Result<()> {
        if let Some(process) = self.running.remove(&program) {
            process.stop(&mut self.reaper).with_context(|| format!("stopping {}", program.name()))?;
        }
        Ok(())
    }

    /// Ends a program as a crash would.
    pub fn kill9(&mut self, program: Program) -> Result<()> {
        if let Some(process) = self.running.remove(&program) {
            process.kill9(&mut self.reaper).with_context(|| format!("killing {}", program.name()))?;
        }
        Ok(())
    }

    /// Stops, starts and waits until ready; same ports, same data.
    pub fn restart(&mut self, program: Program) -> Result<()> {
        self.stop(program)?;
        self.start(program)
    }

    /// Ends everything, the last started first.
    pub fn stop_all(&mut self) -> Result<()> {
        Program::ALL.into_iter().rev().try_for_each(|program| self.stop(program))
    }

    /// Programs that ended by themselves since the last call; they can be started again.
    pub fn deaths(&mut self) -> Result<Vec<Death>> {
        let dead: Vec<Death> = self
            .running
            .iter_mut()
            .filter_map(|(program, process)| Some(Death { program: *program, status: process.exited()? }))
            .collect();
        for death in &dead {
            self.stop(death.program)?;
        }
        Ok(dead)
    }

    /// The pid of a running program.
    pub fn pid(&self, program: Program) -> Option<u32> {
        self.running.get(&program).map(Process::pid)
    }

    /// What this stack was made of: the programs named when it was built.
    pub fn programs(&self) -> &[Program] {
        &self.settings.programs
    }

    pub fn ports(&self) -> Ports {
        self.settings.ports
    }

    /// `http://127.0.0.1:PORT` of the page and the API.
    pub fn http_url(&self) -> String {
        format!("http://{}", address(self.settings.ports.gateway))
    }

    /// `http://127.0.0.1:PORT/metrics` of the gateway.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", address(self.settings.ports.metrics))
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn nats_url(&self) -> String {
        self.settings.nats_url()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn questdb_http_url(&self) -> String {
        format!("http://{}", address(self.settings.ports.questdb_http))
    }

    /// `127.0.0.1:PORT`.
    pub fn questdb_pg_address(&self) -> String {
        address(self.settings.ports.questdb_pg).to_string()
    }

    /// The password of QuestDB's user `admin`, who may write.
    pub fn questdb_admin_password(&self) -> &str {
        &self.creds.questdb_admin_password
    }

    /// The password of QuestDB's user `reader`, who may not.
    pub fn questdb_reader_password(&self) -> &str {
        &self.creds.questdb_reader_password
    }

    pub fn creds(&self) -> &Creds {
        &self.creds
    }

    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    pub fn team(&self) -> &str {
        &self.settings.team
    }

    /// The host which the local agent speaks for.
    pub fn agent_host(&self) -> &str {
        &self.settings.agent_host
    }

    pub fn log(&self, program: Program) -> PathBuf {
        self.settings.log(program)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // A drop cannot report; what does not stop here is killed by the reaper.
        self.stop_all().ok();
    }
}
