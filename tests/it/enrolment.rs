//! An agent's life with the real gateway and broker: enrolled once, renewed, set anew, and cut off for good.

use crate::running::{Running, WITHOUT_AGENT, start};
use nkeys::KeyPair;
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use watchkeeper_nats::{Layout, UserKey, sign_agent};
use xtask::stack::Program;
use xtask::wait::wait_until;
use xtask::workspace::Profile;

/// Exit code of an agent that was cut off, as `--help` promises.
pub(crate) const CUT_OFF: i32 = 4;
/// A new team has its account within a second; until then its hosts are asked to come again.
const ACCOUNT_MAX: Duration = Duration::from_secs(20);
/// A credential that lives so long is renewed within the test, and long enough for the agent's first samples.
const SHORT_LIFE_S: u64 = 30;

#[test]
fn an_agent_is_enrolled_once_lives_on_a_renewed_credential_and_ends_when_it_is_cut_off() {
    let mut running = start(&WITHOUT_AGENT);
    let watched = Watched::new(&running, "By hand", "default");
    let (folder, path) = (&watched.folder, watched.path.as_str());
    let again = enroll(&watched.command, &tempfile::tempdir().unwrap());
    assert!(again.status.code() == Some(1) && said(&again).contains("make a new one"), "{}", said(&again));

    let mut agent = Agent::run(folder);
    goes_on(&running, path, "its first samples");
    assert_eq!(running.get(path)["status"], "active");

    let creds = || std::fs::read_to_string(folder.path().join("agent.creds")).unwrap();
    let before = creds();
    // Seconds are what a JWT's time has; a second one of the same second would be the same.
    let renewed = wait_until("a renewed credential that differs", Duration::from_secs(10), || {
        let output = agent_command(&["renew", "--dir"]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        Ok((creds() != before).then(creds))
    });
    assert!(renewed.is_ok_and(|renewed| seed(&renewed) == seed(&before)), "the key was changed");
    goes_on(&running, path, "samples after the renewal");
    running.restart(Program::Nats).unwrap();
    goes_on(&running, path, "samples after a restart of the broker");

    let revision = running.get(path)["revision"].as_u64().unwrap();
    let (status, answer) = running.delete(&format!("{path}&revision={revision}"));
    assert_eq!(status, 204, "{answer}");
    let code = agent.ends(Duration::from_secs(45));
    assert_eq!(code, Some(CUT_OFF), "{}", agent.log());
    assert!(agent.log().contains("watchkeeper-agent enroll"), "{}", agent.log());
}

#[test]
fn what_is_set_on_the_page_reaches_a_running_agent_with_its_next_renewal() {
    let running = start(&WITHOUT_AGENT);
    let watched = Watched::new(&running, "Set anew", "default");
    let creds = watched.creds();
    let short = short_lived(&running, &watched, &std::fs::read_to_string(&creds).unwrap());
    std::fs::write(&creds, short).unwrap();
    let agent = Agent::run(&watched.folder);
    goes_on(&running, &watched.path, "its first samples");
    let before = running.get(&watched.path);
    assert_eq!(
        (&before["interval_ms"], before["memory"]["used_pct"].is_number()),
        (&json!(1000), true),
        "{before}"
    );

    let edit = json!({"name": "Set anew", "tags": [], "interval_ms": 2000, "mounts": ["/proc"], "without": ["memory"],
        "paused": false, "revision": before["revision"]});
    let (status, answer) = running.put(&watched.path, &edit);
    assert_eq!(status, 200, "{answer}");
    let after = running.wait("the agent to watch as it was set", 60, |running| {
        let view = running.get(&watched.path);
        let told = format!("{} ms, {}\n{}", view["interval_ms"], view["memory"]["used_pct"], agent.log());
        if view["interval_ms"] == 2000 && view["memory"]["used_pct"].is_null() {
            Ok(Some(view))
        } else {
            Err(told)
        }
    });
    assert_eq!((&after["boot"], &after["lost_samples"]), (&before["boot"], &json!(0)), "it was started anew");
    assert_eq!(after["disks"][0]["mount"], "/proc", "{after}");
    goes_on(&running, &watched.path, "samples as it was set");
    let stored = running.wait("all of them in history", 30, |running| {
        let stored = running.stored()?.remove(&watched.host).ok_or("nothing")?;
        if stored.last >= after["seq"].as_u64().unwrap() {
            Ok(Some(stored))
        } else {
            Err(format!("{stored:?}"))
        }
    });
    assert_eq!((stored.first, stored.distinct), (1, stored.last), "a sample was lost: {stored:?}");
}

/// The credential with a JWT that ends so soon that the agent renews it within the test.
fn short_lived(running: &Running, watched: &Watched, creds: &str) -> String {
    let key = KeyPair::from_seed(seed(creds).unwrap()).unwrap();
    let user = UserKey::read(&key.public_key().parse().unwrap()).unwrap();
    let (team, host) = ("default".parse().unwrap(), watched.host.parse().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let layout = Layout::new(running.data().join("nats"));
    let jwt = sign_agent(&layout, &team, &host, &user, now + SHORT_LIFE_S).unwrap();
    let old = creds.lines().nth(1).unwrap();
    creds.replace(old, &jwt)
}

/// A host that was made through the API, and enrolled by the command that the answer shows.
pub(crate) struct Watched {
    pub(crate) host: String,
    /// Of its view, with its team.
    pub(crate) path: String,
    /// Of its agent.
    pub(crate) folder: TempDir,
    command: Vec<String>,
}

impl Watched {
    /// Samples come each second once an agent runs.
    pub(crate) fn new(running: &Running, name: &str, team: &str) -> Self {
        let asked = json!({"name": name, "interval_ms": 1000});
        let (status, made) = running.post(&format!("/api/v1/hosts?team={team}"), &asked);
        assert_eq!(status, 201, "{made}");
        let host = made["host"]["host"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/hosts/{host}?team={team}");
        let shown = made["enrolment"]["command"].as_str().unwrap();
        let words = shown.trim_start_matches("sudo ").split_whitespace().map(str::to_owned);
        let command: Vec<String> = words.collect();
        assert_eq!(&command[..2], ["watchkeeper-agent", "enroll"], "{shown}");
        let folder = tempfile::tempdir().unwrap();
        wait_until("the host to be enrolled", ACCOUNT_MAX, || match enroll(&command, &folder) {
            output if output.status.success() => Ok(Some(())),
            output if said(&output).contains("(503)") => Err(said(&output)),
            output => panic!("{}", said(&output)),
        })
        .unwrap_or_else(|error| panic!("{error}"));
        Self { host, path, folder, command }
    }

    /// The credential of its agent.
    pub(crate) fn creds(&self) -> PathBuf {
        self.folder.path().join("agent.creds")
    }
}

/// Waits for two more samples in the view.
pub(crate) fn goes_on(running: &Running, path: &str, what: &str) {
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

pub(crate) fn agent_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Profile::of_this_program().binary("watchkeeper-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Does what the command that is shown says, but for the start.
fn enroll(command: &[String], folder: &TempDir) -> Output {
    let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    agent_command(&words).arg("--no-start").arg("--dir").arg(folder.path()).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    pub(crate) fn run(folder: &TempDir) -> Self {
        let log = folder.path().join("agent.log");
        let child = agent_command(&["run", "--dir"])
            .arg(folder.path())
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn ends(&mut self, within: Duration) -> Option<i32> {
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
