//! Building our programs with cargo.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shipped_agent::{self, AGENT};
use crate::workspace::{Profile, root};

/// What `up` runs.
pub const PROGRAMS: &[&str] = &["watchkeeper-gateway", "watchkeeper-processors", AGENT];

/// Builds these packages; cargo shows its own progress.
pub fn packages(profile: Profile, packages: &[&str]) -> Result<()> {
    let (shipped, ours): (Vec<&str>, Vec<&str>) =
        packages.iter().partition(|package| profile.runs_the_shipped_agent() && **package == AGENT);
    if !ours.is_empty() {
        let mut command = cargo();
        command.arg("build").args(profile.cargo_args());
        for package in ours {
            command.args(["--package", package]);
        }
        run(&mut command, "building")?;
    }
    if shipped.is_empty() { Ok(()) } else { shipped_agent::build() }
}

/// The cargo that runs us, in the workspace's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a build tool on the terminal; its own output says what is wrong.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{what}: running {shown}"))?;
    if status.success() { Ok(()) } else { bail!("{what} failed ({status}); see above") }
}
