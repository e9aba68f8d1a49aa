//! The local agent comes as any other: a token for its host, made at the machine, and `watchkeeper-agent enroll`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::Program;
use super::builder::Settings;
use super::setup::Creds;
use crate::ports::address;

/// Enrols the local agent, unless it has a credential; the gateway must run.
pub(super) fn ensure(settings: &Settings, creds: &Creds) -> Result<()> {
    if creds.agent.is_file() {
        return Ok(());
    }
    let token = token(settings, creds)?;
    let program = settings.profile.binary(crate::shipped_agent::AGENT);
    let mut command = Command::new(&program);
    command
        .args(["enroll", &format!("http://{}", address(settings.ports.gateway)), "-", "--no-start", "--dir"])
        .arg(folder(settings))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let told = || format!("running {} enroll", program.display());
    let mut child = command.spawn().with_context(told)?;
    // Through a pipe: arguments can be read by everybody on the machine.
    child.stdin.take().with_context(told)?.write_all(token.as_bytes()).with_context(told)?;
    succeeded("watchkeeper-agent enroll", child.wait_with_output().with_context(told)?)?;
    Ok(())
}

/// Where the local agent keeps its credential and settings.
pub(super) fn folder(settings: &Settings) -> PathBuf {
    settings.data.join("agent")
}

/// A new enrolment token for this machine.
fn token(settings: &Settings, creds: &Creds) -> Result<String> {
    let gateway = settings.profile.binary("watchkeeper-gateway");
    let output = Command::new(&gateway)
        .args(["host", "add", &settings.agent_host, "--team", &settings.team])
        .envs(super::launch::of_gateway(settings, creds))
        .output()
        .with_context(|| format!("running {} host add", gateway.display()))?;
    succeeded("watchkeeper-gateway host add", output)
}

/// What it printed.
fn succeeded(what: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("`{what}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{what}` printed no text"))
}

/// Whether the local agent can be enrolled: it needs a gateway, which needs NATS.
pub(super) fn is_possible(settings: &Settings) -> bool {
    settings.runs(Program::Agent) && settings.runs(Program::Gateway)
}
