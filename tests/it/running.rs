//! A running system for one test: real servers in a folder of its own, and the questions that tests ask it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use watchkeeper_schemas::subjects::{agent_inbox, program_inbox};
use watchkeeper_streams::connect::{Connect, Connected, connect};
use xtask::stack::{Builder, Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

/// Everything but the agent of this machine.
pub(crate) const WITHOUT_AGENT: [Program; 4] =
    [Program::Nats, Program::Questdb, Program::Processors, Program::Gateway];

/// A running system that is asked as its owner; what it logged as an error fails the test when it ends.
pub(crate) struct Running {
    stack: Stack,
    http: ureq::Agent,
    folder: TempDir,
}

/// Starts these programs and waits until they are ready.
pub(crate) fn start(programs: &[Program]) -> Running {
    start_as(programs, |builder| builder)
}

/// The same with further choices.
pub(crate) fn start_as(programs: &[Program], choose: impl FnOnce(Builder) -> Builder) -> Running {
    let servers = Servers::ensure().expect("the servers that `cargo xtask test` brings");
    let folder = TempDir::with_prefix("watchkeeper-test-").unwrap();
    let builder = choose(Stack::in_dir(folder.path()).programs(programs));
    let stack = builder.start(&servers).expect("a system that starts");
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(15)));
    Running { stack, http: config.build().into(), folder }
}

impl Running {
    /// Status and JSON of a route of the gateway.
    pub(crate) fn try_get(&self, path: &str) -> Result<(u16, Value), String> {
        let mut answer = self.ask(path).call().map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().map_err(|e| e.to_string())?;
        serde_json::from_str(&text).map(|json| (status, json)).map_err(|e| format!("{status} {e}: {text}"))
    }

    /// The JSON of a route that answers 200.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, json) = self.try_get(path).unwrap();
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// The answer itself, for its headers.
    pub(crate) fn answer(&self, path: &str) -> ureq::http::Response<ureq::Body> {
        self.ask(path).call().unwrap()
    }

    fn ask(&self, path: &str) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        let bearer = format!("Bearer {}", self.token());
        self.http.get(format!("{}{path}", self.http_url())).header("authorization", bearer)
    }

    /// Status and JSON of a POST of JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        json(self.send(path, body))
    }

    /// Makes a receiver with this id, so that something may name it; no chat is linked to it.
    pub(crate) fn receiver(&self, id: &str) {
        let asked = serde_json::json!({"name": id, "id": id, "channel": {"type": "telegram"}});
        let (status, made) = self.post("/api/v1/receivers", &asked);
        assert_eq!(status, 201, "{made}");
    }

    /// The answer to a POST of JSON as it comes.
    pub(crate) fn send(&self, path: &str, body: &Value) -> ureq::http::Response<ureq::Body> {
        let request = self.http.post(format!("{}{path}", self.http_url()));
        let bearer = format!("Bearer {}", self.token());
        request.header("authorization", bearer).send_json(body).unwrap()
    }

    /// Status and JSON of a PUT of JSON.
    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.put(format!("{}{path}", self.http_url()));
        let bearer = format!("Bearer {}", self.token());
        json(request.header("authorization", bearer).send_json(body).unwrap())
    }

    /// Status and JSON of a DELETE.
    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        let request = self.http.delete(format!("{}{path}", self.http_url()));
        let bearer = format!("Bearer {}", self.token());
        json(request.header("authorization", bearer).call().unwrap())
    }

    /// The owner's API token.
    pub(crate) fn token(&self) -> &str {
        &self.owner().expect("an owner").token
    }

    /// Rows of a query, as QuestDB answers them.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Vec<Value>>, String> {
        let login = format!("admin:{}", self.questdb_admin_password());
        let login = data_encoding::BASE64.encode(login.as_bytes());
        let mut answer = self
            .http
            .get(format!("{}/exec", self.questdb_http_url()))
            .query("query", sql)
            .header("authorization", format!("Basic {login}"))
            .call()
            .map_err(|e| e.to_string())?;
        let json: Value = answer.body_mut().read_json().map_err(|e| e.to_string())?;
        serde_json::from_value(json["dataset"].clone()).map_err(|_| json.to_string())
    }

    /// Waits for a condition; panics with the last state.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        seconds: u64,
        look: impl FnMut(&Self) -> Result<Option<T>, String>,
    ) -> T {
        let mut look = look;
        wait_until(what, Duration::from_secs(seconds), || look(self))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// For each host: rows, different sequence numbers, first and last of them, in the raw table.
    pub(crate) fn stored(&self) -> Result<BTreeMap<String, Stored>, String> {
        let rows = self.query("SELECT host, count(), count_distinct(seq), min(seq), max(seq) FROM host")?;
        let number = |value: &Value| value.as_u64().ok_or_else(|| value.to_string());
        rows.iter()
            .map(|row| {
                let host = row[0].as_str().ok_or("a host without a name")?.to_owned();
                let stored = Stored {
                    rows: number(&row[1])?,
                    distinct: number(&row[2])?,
                    first: number(&row[3])?,
                    last: number(&row[4])?,
                };
                Ok((host, stored))
            })
            .collect()
    }

    /// Resident memory of a program, in bytes.
    pub(crate) fn memory_bytes(&self, program: Program) -> u64 {
        let pid = self.pid(program).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

/// A connection with a credential of the processors, which see the whole log.
pub(crate) async fn as_processors(running: &Running, creds: &Path) -> Connected {
    let inbox = program_inbox(&"processors".parse().unwrap());
    connect(&Connect { url: running.nats_url(), creds: creds.to_owned(), name: "test", inbox }).await.unwrap()
}

/// A connection with a credential of a team: of an agent or a reader.
pub(crate) async fn as_of_team(running: &Running, creds: &Path, team: &str, name: &str) -> Connected {
    let inbox = agent_inbox(&team.parse().unwrap(), &name.parse().unwrap());
    connect(&Connect { url: running.nats_url(), creds: creds.to_owned(), name: "test", inbox }).await.unwrap()
}

/// Status and JSON; null where the answer is empty.
fn json(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Value) {
    let text = answer.body_mut().read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic_unless_empty(&text));
    (answer.status().as_u16(), body)
}

fn panic_unless_empty(text: &str) -> Value {
    assert!(text.is_empty(), "no JSON: {text}");
    Value::Null
}

/// What the raw table holds of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) rows: u64,
    pub(crate) distinct: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Deref for Running {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The folder stays for whoever looks for the reason.
            let kept = std::mem::replace(&mut self.folder, TempDir::new().unwrap()).keep();
            println!("logs of the failed test: {}", kept.join("logs").display());
            return;
        }
        for program in [Program::Processors, Program::Gateway, Program::Agent] {
            let log = std::fs::read_to_string(self.stack.log(program)).unwrap_or_default();
            let error = log.lines().find(|line| line.contains("\"ERROR\"") || line.contains(" ERROR "));
            assert!(error.is_none(), "{} logged an error: {}", program.name(), error.unwrap_or_default());
        }
    }
}
