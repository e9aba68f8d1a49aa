//! An agent's life with the real gateway and broker: enrolled once, renewed, restarted beside, and cut off for good.

use crate::running::{Running, WITHOUT_AGENT, start};
use serde_json::json;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::stack::Program;
use xtask::wait::wait_until;
use xtask::workspace::Profile;

/// Exit code of an agent that was cut off, as `--help` promises.
const CUT_OFF: i32 = 4;

#[test]
fn an_agent_is_enrolled_once_lives_on_a_renewed_credential_and_ends_when_it_is_cut_off() {
    let mut running = start(&WITHOUT_AGENT);
    let (status, made) = running.post("/api/v1/hosts", &json!({"name": "By hand", "interval_ms": 1000}));
    assert_eq!(status, 201, "{made}");
    let host = made["host"]["host"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();

    // The command that the page shows is the one that works.
    let shown = made["enrolment"]["command"].as_str().unwrap();
    let words: Vec<&str> = shown.trim_start_matches("sudo ").split_whitespace().collect();
    assert_eq!(&words[..2], ["watchkeeper-agent", "enroll"], "{shown}");
    let enrolled = enroll(&words[1..], &folder);
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let again = enroll(&words[1..], &tempfile::tempdir().unwrap());
    assert!(again.status.code() == Some(1) && said(&again).contains("make a new one"), "{}", said(&again));

    let mut agent = Agent::run(&folder);
    let path = format!("/api/v1/hosts/{host}");
    goes_on(&running, &path, "its first samples");
    assert_eq!(running.get(&path)["status"], "active");

    let creds = || std::fs::read_to_string(folder.path().join("agent.creds")).unwrap();
    let before = creds();
    // Seconds are what a JWT's time has; a second one of the same second would be the same.
    let renewed = wait_until("a renewed credential that differs", Duration::from_secs(10), || {
        let output = agent_command(&["renew", "--dir"]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        Ok((creds() != before).then(creds))
    });
    assert!(renewed.is_ok_and(|renewed| seed(&renewed) == seed(&before)), "the key was changed");
    goes_on(&running, &path, "samples after the renewal");
    running.restart(Program::Nats).unwrap();
    goes_on(&running, &path, "samples after a restart of the broker");

    let revision = running.get(&path)["revision"].as_u64().unwrap();
    let (status, answer) = running.delete(&format!("{path}?revision={revision}"));
    assert_eq!(status, 204, "{answer}");
    let code = agent.ends(Duration::from_secs(45));
    assert_eq!(code, Some(CUT_OFF), "{}", agent.log());
    assert!(agent.log().contains("watchkeeper-agent enroll"), "{}", agent.log());
}

/// Waits for two more samples in the view.
fn goes_on(running: &Running, path: &str, what: &str) {
    let mut first = None;
    running.wait(what, 45, |running| {
        let (status, view) = running.try_get(path)?;
        let seq = view["seq"].as_u64().unwrap_or_default();
        let first = *first.get_or_insert(seq);
        if seq > first + 1 { Ok(Some(())) } else { Err(format!("{status} {seq} after {first}: {view}")) }
    });
}

fn seed(creds: &str) -> Option<&str> {
    creds.lines().find(|line| line.starts_with("SU"))
}

fn agent_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Profile::of_this_program().binary("watchkeeper-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn enroll(words: &[&str], folder: &TempDir) -> Output {
    agent_command(words).arg("--no-start").arg("--dir").arg(folder.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running agent; killed when dropped.
struct Agent {
    child: Child,
    log: std::path::PathBuf,
}

impl Agent {
    fn run(folder: &TempDir) -> Self {
        let log = folder.path().join("agent.log");
        let child = agent_command(&["run", "--dir"])
            .arg(folder.path())
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn ends(&mut self, within: Duration) -> Option<i32> {
        let begin = Instant::now();
        let ended = wait_until("the agent to end", within, || match self.child.try_wait().unwrap() {
            Some(status) => Ok(Some(status.code())),
            None => Err(format!("it runs after {:?}", begin.elapsed())),
        });
        ended.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
