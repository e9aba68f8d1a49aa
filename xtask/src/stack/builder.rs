//! What a stack is to run, said before it starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::setup::local_host;
use super::{Program, Stack};
use crate::ports::{Ports, address, free_port};
use crate::tools::Servers;
use crate::workspace::Profile;

/// The team that exists before anybody made one.
const DEFAULT_TEAM: &str = "default";

/// Choices for a stack; `start` begins it.
#[derive(Debug)]
pub struct Builder {
    data: PathBuf,
    profile: Profile,
    ports: Option<Ports>,
    team: String,
    programs: Vec<Program>,
    args: BTreeMap<Program, Vec<OsString>>,
    cancelled: Arc<AtomicBool>,
}

impl Builder {
    pub(super) fn new(data: PathBuf) -> Self {
        Self {
            data,
            profile: Profile::of_this_program(),
            ports: None,
            team: DEFAULT_TEAM.to_owned(),
            programs: vec![Program::Nats, Program::Questdb, Program::Processors, Program::Gateway],
            args: BTreeMap::new(),
            cancelled: Arc::default(),
        }
    }

    /// Which of our programs to run; by default those built like the running program.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// These ports and no others; without this call free ones are chosen.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = Some(ports);
        self
    }

    /// The team of the local agent and of the credentials.
    #[must_use]
    pub fn team(mut self, team: &str) -> Self {
        team.clone_into(&mut self.team);
        self
    }

    /// Exactly these programs; they start in the order of `Program::ALL`.
    #[must_use]
    pub fn programs(mut self, programs: &[Program]) -> Self {
        self.programs = programs.to_vec();
        self
    }

    /// More command-line arguments for one program. They win over what the stack sets, which travels in the environment:
    /// so a test can point a program at its own proxy.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, program: Program, args: impl IntoIterator<Item = A>) -> Self {
        self.args.entry(program).or_default().extend(args.into_iter().map(Into::into));
        self
    }

    /// Once this is true, waiting for a program to become ready ends with an error.
    #[must_use]
    pub fn cancelled_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled = flag;
        self
    }

    /// Prepares the data folder, starts the programs one after the other and waits for each until it is ready.
    pub fn start(self, servers: &Servers) -> Result<Stack> {
        std::fs::create_dir_all(&self.data).with_context(|| format!("creating {}", self.data.display()))?;
        let data = self.data.canonicalize().with_context(|| format!("finding {}", self.data.display()))?;
        let mut programs = self.programs;
        programs.sort_unstable();
        programs.dedup();
        let settings = Settings {
            data,
            profile: self.profile,
            fixed_ports: self.ports.is_some(),
            ports: self.ports.map_or_else(Ports::free, Ok)?,
            team: self.team,
            programs,
            args: self.args,
            cancelled: self.cancelled,
            agent_host: local_host(),
        };
        Stack::begin(settings, servers.clone())
    }
}

/// A stack's choices, complete.
#[derive(Debug)]
pub(super) struct Settings {
    /// Absolute.
    pub(super) data: PathBuf,
    pub(super) profile: Profile,
    pub(super) ports: Ports,
    /// Chosen by the caller: a port in use is his to know.
    pub(super) fixed_ports: bool,
    pub(super) team: String,
    pub(super) programs: Vec<Program>,
    pub(super) args: BTreeMap<Program, Vec<OsString>>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) agent_host: String,
}

impl Settings {
    pub(super) fn runs(&self, program: Program) -> bool {
        self.programs.contains(&program)
    }

    pub(super) fn log(&self, program: Program) -> PathBuf {
        self.data.join("logs").join(format!("{}.log", program.name()))
    }

    pub(super) fn nats_dir(&self) -> PathBuf {
        self.data.join("nats")
    }

    /// The gateway's own folder.
    pub(super) fn secrets_dir(&self) -> PathBuf {
        self.data.join("gateway")
    }

    pub(super) fn nats_url(&self) -> String {
        format!("nats://{}", address(self.ports.nats))
    }

    pub(super) fn choose_ports_of(&mut self, program: Program) -> Result<()> {
        match program {
            Program::Nats => self.ports.nats = free_port()?,
            Program::Questdb => {
                self.ports.questdb_http = free_port()?;
                self.ports.questdb_pg = free_port()?;
                self.ports.questdb_min = free_port()?;
            }
            Program::Gateway => {
                self.ports.gateway = free_port()?;
                self.ports.metrics = free_port()?;
            }
            Program::Processors | Program::Agent => {}
        }
        Ok(())
    }
}
