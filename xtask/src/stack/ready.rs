//! When each program counts as ready: it does what it is for, not merely runs.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::Program;
use super::builder::Settings;
use super::setup::Creds;
use crate::http::{self, Login};
use crate::ports::address;
use crate::process::Process;
use crate::wait::wait_until;

/// Generous, because a machine that compiles at the same time is slow; a program that ended is noticed at once.
const NATS_DEADLINE: Duration = Duration::from_secs(30);
const QUESTDB_DEADLINE: Duration = Duration::from_secs(120);
const GATEWAY_DEADLINE: Duration = Duration::from_secs(60);
const AGENT_DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `program`, running as `process`, is ready; an error if it ends or the deadline passes.
pub(super) fn wait(
    program: Program,
    process: &mut Process,
    settings: &Settings,
    creds: &Creds,
) -> Result<()> {
    let pid = process.pid();
    let (what, deadline, look): (_, _, Box<dyn Fn() -> Look>) = match program {
        Program::Nats => ("nats-server to listen", NATS_DEADLINE, Box::new(|| nats(settings, pid))),
        Program::Questdb => ("QuestDB to answer", QUESTDB_DEADLINE, Box::new(|| questdb(settings, creds))),
        // They listen nowhere; the gateway's readiness speaks for them.
        Program::Processors => return Ok(()),
        Program::Gateway => ("the gateway to be ready", GATEWAY_DEADLINE, Box::new(|| gateway(settings))),
        Program::Agent => ("the local host to appear", AGENT_DEADLINE, Box::new(|| agent(settings, creds))),
    };
    let reached = wait_until(what, deadline, || match process.exited() {
        Some(status) => Ok(Some(Err(anyhow!("it ended ({status})")))),
        None if settings.cancelled.load(Ordering::Relaxed) => Ok(Some(Err(anyhow!("interrupted")))),
        None => Ok(look()?.map(Ok)),
    });
    reached?
}

/// `Ok(None)` and `Err(state)` mean not yet.
type Look = Result<Option<()>, String>;

fn nats(settings: &Settings, pid: u32) -> Look {
    let folder = settings.nats_dir().join("ports");
    let entries = std::fs::read_dir(&folder).map_err(|failure| format!("{}: {failure}", folder.display()))?;
    let suffix = format!("_{pid}.ports");
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.to_string_lossy().ends_with(&suffix) {
            let text =
                std::fs::read_to_string(&path).map_err(|failure| format!("{}: {failure}", path.display()))?;
            return listens(&text, settings.ports.nats);
        }
    }
    Err("it has not written its ports".to_owned())
}

/// Whether the ports that nats-server wrote (`{"nats": ["nats://127.0.0.1:4222"], ...}`) hold the one we gave it.
fn listens(ports_file: &str, port: u16) -> Look {
    let ports: Value =
        serde_json::from_str(ports_file).map_err(|failure| format!("its ports file: {failure}"))?;
    let urls = ports["nats"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let suffix = format!(":{port}");
    let mut listening = urls.filter(|url| url.ends_with(&suffix));
    if listening.next().is_some() { Ok(Some(())) } else { Err(format!("its ports: {ports_file}")) }
}

fn questdb(settings: &Settings, creds: &Creds) -> Look {
    let url = format!("http://{}/exec?query=select%201", address(settings.ports.questdb_http));
    let login = Login { user: "admin", password: &creds.questdb_admin_password };
    expect_ok(&url, Some(login))?;
    let pg = address(settings.ports.questdb_pg);
    TcpStream::connect(pg).map_err(|failure| format!("PostgreSQL wire at {pg}: {failure}"))?;
    Ok(Some(()))
}

fn gateway(settings: &Settings) -> Look {
    let complete =
        [Program::Nats, Program::Questdb, Program::Processors].into_iter().all(|part| settings.runs(part));
    let path = if complete { "readyz" } else { "healthz" };
    expect_ok(&format!("http://{}/{path}", address(settings.ports.gateway)), None)?;
    Ok(Some(()))
}

/// The gateway shows hosts to people who are logged in; that a sample was stored can be asked of QuestDB.
fn agent(settings: &Settings, creds: &Creds) -> Look {
    let complete =
        [Program::Nats, Program::Questdb, Program::Processors].into_iter().all(|part| settings.runs(part));
    if !complete {
        return Ok(Some(()));
    }
    let (host, port) = (settings.agent_host.as_str(), settings.ports.questdb_http);
    let url = format!(
        "http://{}/exec?query=select%20count()%20from%20host%20where%20host%3D%27{host}%27",
        address(port)
    );
    let login = Login { user: "admin", password: &creds.questdb_admin_password };
    let body = expect_ok(&url, Some(login))?;
    let answer: Value = serde_json::from_str(&body).map_err(|failure| format!("{url}: {failure}"))?;
    match answer["dataset"][0][0].as_u64() {
        Some(1..) => Ok(Some(())),
        _ => Err(format!("no sample of `{host}` is stored: {body}")),
    }
}

fn expect_ok(url: &str, login: Option<Login<'_>>) -> Result<String, String> {
    match http::get(url, login)? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("GET {url}: {status} {body}")),
    }
}

/// Whether a program's log says that somebody else listens on its port.
pub(super) fn says_port_in_use(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    ["address already in use", "could not bind"].iter().any(|sign| log.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_file_counts_only_with_our_port_in_it() {
        let written = r#"{"nats":["nats://127.0.0.1:14222"],"monitoring":[]}"#;
        assert_eq!(listens(written, 14222), Ok(Some(())));
        assert!(listens(written, 4222).is_err());
        assert!(listens(r#"{"nats":["nats://127"#, 14222).is_err(), "half written");
    }

    #[test]
    fn a_taken_port_is_told_from_other_failures() {
        let nats = "Error listening on port: 127.0.0.1:4222, \"listen tcp 127.0.0.1:4222: bind: address already in use\"";
        assert!(says_port_in_use(nats));
        assert!(says_port_in_use(
            "io.questdb.network.NetworkError: [98] could not bind socket [who=http-server"
        ));
        assert!(!says_port_in_use("error: cannot read creds"));
    }
}
