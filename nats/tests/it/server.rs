//! A real nats-server on a free port, with a folder made by setup and removed afterwards.

use crate::client::Client;
use nkeys::KeyPair;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};
use watchkeeper_nats::claims::{Claims, Permission, Permissions, UNLIMITED, User, UserLimits};
use watchkeeper_nats::{Layout, Program, SetupOptions, Tls, issue_agent, issue_fleet, issue_reader, setup};
use watchkeeper_schemas::ids::{HostId, TeamId};

const START_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A running server; dropped, it ends.
pub(crate) struct Server {
    pub(crate) layout: Layout,
    /// `127.0.0.1:port`
    pub(crate) address: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Server {
    /// A server with these teams.
    pub(crate) fn start(teams: &[&str]) -> Self {
        Self::start_with(teams, Tls::Off)
    }

    pub(crate) fn start_with(teams: &[&str], tls: Tls) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let report = setup(&SetupOptions { tls, ..options(dir.path(), teams) }).unwrap();
        let (child, address) = run(&report.layout, "-1");
        Self { layout: report.layout, address, child, _dir: dir }
    }

    /// A raw connection of our user of the system account. After its start a server with a resolver folder takes a
    /// second to read that account.
    pub(crate) fn sys(&self) -> Client {
        let deadline = Instant::now() + START_MAX;
        loop {
            match Client::connect(&self.address, &self.program(Program::Sys)) {
                Ok(client) => return client,
                Err(why) => assert!(Instant::now() < deadline, "the system account is not there: {why}"),
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Ends the server and starts it again on the same folder and port.
    pub(crate) fn restart(&mut self) {
        self.end();
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        (self.child, self.address) = run(&self.layout, &port);
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn program(&self, program: Program) -> String {
        fs::read_to_string(self.layout.program_creds(program)).unwrap()
    }

    pub(crate) fn agent(&self, team: &str, host: &str) -> String {
        let issued = issue_agent(&self.layout, &team.parse().unwrap(), &host.parse().unwrap()).unwrap();
        fs::read_to_string(issued.creds).unwrap()
    }

    pub(crate) fn reader(&self, team: &str, name: &str) -> String {
        let issued = issue_reader(&self.layout, &team.parse().unwrap(), &name.parse().unwrap()).unwrap();
        fs::read_to_string(issued.creds).unwrap()
    }

    pub(crate) fn fleet(&self, team: &str) -> String {
        fs::read_to_string(issue_fleet(&self.layout, &team.parse().unwrap()).unwrap().creds).unwrap()
    }

    /// A key of this server.
    pub(crate) fn key(&self, file: &str) -> KeyPair {
        let dirs = [self.layout.operator(), self.layout.gateway()];
        let text = dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
        KeyPair::from_seed(text.unwrap_or_else(|| panic!("there is no {file}")).trim()).unwrap()
    }

    /// A user of CORE who may publish these subjects: what a program of ours with more rights would be.
    pub(crate) fn core_user(&self, publish: &[&str]) -> Client {
        let (core, user) = (self.key("core.nk"), KeyPair::new_user());
        let allow = publish.iter().map(|subject| (*subject).to_owned()).collect();
        let permissions =
            Permissions { publish: Permission { allow, ..Permission::default() }, ..Permissions::default() };
        let limits = UserLimits { subs: UNLIMITED, data: UNLIMITED, payload: UNLIMITED };
        let body = User { permissions, limits, ..User::default() };
        let jwt = Claims::new(user.public_key(), "test".into(), body).sign(&core, 1).unwrap();
        Client::connect_as(&self.address, &jwt, &user).unwrap()
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) fn options(dir: &Path, teams: &[&str]) -> SetupOptions {
    SetupOptions {
        dir: dir.to_owned(),
        listen: "127.0.0.1:4222".parse().unwrap(),
        tls: Tls::Off,
        teams: teams.iter().map(|team| team.parse::<TeamId>().unwrap()).collect(),
    }
}

pub(crate) fn host(id: &str) -> HostId {
    id.parse().unwrap()
}

/// Starts the server on a port, `-1` for a free one, and waits until it has written which.
fn run(layout: &Layout, port: &str) -> (Child, String) {
    let log = layout.dir.join("server.log");
    let mut child = Command::new(binary())
        .args([OsStr::new("-c"), layout.conf().as_os_str(), OsStr::new("-p"), OsStr::new(port)])
        .args([OsStr::new("--ports_file_dir"), layout.dir.as_os_str()])
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let ports = layout.dir.join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + START_MAX;
    loop {
        if let Some(address) = fs::read_to_string(&ports).ok().as_deref().and_then(address_in) {
            return (child, address);
        }
        let ended = child.try_wait().unwrap();
        if ended.is_some() || Instant::now() > deadline {
            drop(child.kill());
            panic!("nats-server is not up ({ended:?}):\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        thread::park_timeout(LOOK_AGAIN);
    }
}

fn address_in(ports: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(ports).ok()?;
    Some(ports["nats"][0].as_str()?.split_once("://")?.1.to_owned())
}

/// The server to test with; a test without one has failed.
fn binary() -> PathBuf {
    let given = env::var_os("WATCHKEEPER_NATS_SERVER").map(PathBuf::from);
    given.expect("WATCHKEEPER_NATS_SERVER names no nats-server: run `cargo xtask test`, which brings one")
}
