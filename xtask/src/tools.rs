//! The servers, browser and build tools: found in the environment or on PATH, or fetched once into `.tools/`.

mod browser;
mod cargo_deny;
mod fetch;
mod java;
mod nats_server;
mod node;
mod node_reader;
mod promtool;
mod python_reader;
mod questdb;
mod smtp_server;
mod version;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use browser::chromium;
pub use cargo_deny::cargo_deny;
pub use java::Java;
pub use node::{npm, require_node};
pub use node_reader::node_reader;
pub use promtool::promtool;
pub use python_reader::python_reader;
pub use smtp_server::smtp_server;

use crate::console;

/// Environment variables that name a program instead of a search; `cargo xtask test` sets them for the tests.
pub const NATS_SERVER_ENV: &str = "WATCHKEEPER_NATS_SERVER";
pub const JAVA_ENV: &str = "WATCHKEEPER_JAVA";
pub const QUESTDB_JAR_ENV: &str = "WATCHKEEPER_QUESTDB_JAR";
pub const CHROMIUM_ENV: &str = "WATCHKEEPER_CHROMIUM";
pub const PROMTOOL_ENV: &str = "WATCHKEEPER_PROMTOOL";

/// What a stack needs to run real servers.
#[derive(Debug, Clone)]
pub struct Servers {
    pub nats_server: PathBuf,
    pub java: Java,
    pub questdb_jar: PathBuf,
}

impl Servers {
    /// Finds the servers; fetches what is missing. Needs no network once it has succeeded.
    pub fn ensure() -> Result<Self> {
        Ok(Self {
            nats_server: nats_server::ensure()?,
            java: java::ensure()?,
            questdb_jar: questdb::ensure()?,
        })
    }

    /// The environment with which tests find the same servers.
    pub fn env(&self) -> [(&'static str, &Path); 3] {
        [
            (NATS_SERVER_ENV, &self.nats_server),
            (JAVA_ENV, &self.java.program),
            (QUESTDB_JAR_ENV, &self.questdb_jar),
        ]
    }
}

/// `cargo xtask tools`: everything that `up` and `test` need, and where it was found.
pub fn run() -> Result<()> {
    let servers = Servers::ensure()?;
    require_node()?;
    let chromium = chromium()?;
    let (_, reader) = python_reader()?;
    let node_reader = node_reader()?;
    let (_, smtp_server) = smtp_server()?;
    console::line(format!("nats-server   {}", servers.nats_server.display()));
    console::line(format!("java {:<8} {}", servers.java.major, servers.java.program.display()));
    console::line(format!("questdb       {}", servers.questdb_jar.display()));
    console::line(format!("chromium      {}", chromium.display()));
    console::line(format!("nats-py       {}", reader.display()));
    console::line(format!("nats.js       {}", node_reader.display()));
    console::line(format!("aiosmtpd      {}", smtp_server.display()));
    console::line(format!("promtool      {}", promtool()?.display()));
    console::line(format!("cargo-deny    {}", cargo_deny()?.display()));
    Ok(())
}

/// The first of these programs on PATH.
fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
    })
}

/// The program that an environment variable names; an empty variable counts as unset.
fn from_env(variable: &str) -> Result<Option<PathBuf>> {
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => {
            let program = PathBuf::from(value);
            anyhow::ensure!(program.is_file(), "{variable} names {}, which is no file", program.display());
            Ok(Some(program))
        }
        None => Ok(None),
    }
}
