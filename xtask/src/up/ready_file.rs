//! The ready file: what scripts and outside tests need to know of a running system.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::stack::{Program, Stack};

#[derive(Debug, Serialize)]
struct Ready<'a> {
    /// `http://127.0.0.1:PORT`, likewise the next two.
    http: String,
    nats: String,
    questdb_http: String,
    /// `127.0.0.1:PORT`.
    questdb_pg: String,
    /// The gateway's Prometheus metrics, a complete URL.
    metrics: String,
    /// Makes the first owner; null once there is one.
    bootstrap_code: Option<String>,
    data: &'a Path,
    /// Credential files by role.
    creds: BTreeMap<&'static str, &'a Path>,
    /// Files with QuestDB's passwords by user.
    questdb_passwords: BTreeMap<&'static str, &'a Path>,
    pids: BTreeMap<&'static str, u32>,
    team: &'a str,
    /// The host which the local agent speaks for; null without one.
    host: Option<&'a str>,
}

/// Writes the same object to each file: whoever sees a file sees all of it.
pub(super) fn write(files: &[PathBuf], stack: &Stack) -> Result<()> {
    let text = serde_json::to_string_pretty(&ready(stack)).context("writing the ready file's JSON")?;
    for file in files {
        let told = || format!("writing the ready file {}", file.display());
        let file = std::path::absolute(file).with_context(told)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let mut whole = tempfile::NamedTempFile::new_in(folder).with_context(told)?;
        writeln!(whole, "{text}").with_context(told)?;
        whole.persist(&file).with_context(told)?;
    }
    Ok(())
}

fn ready(stack: &Stack) -> Ready<'_> {
    let creds = stack.creds();
    Ready {
        http: stack.http_url(),
        nats: stack.nats_url(),
        questdb_http: stack.questdb_http_url(),
        questdb_pg: stack.questdb_pg_address(),
        metrics: stack.metrics_url(),
        bootstrap_code: stack.bootstrap_code(),
        data: stack.data(),
        creds: creds.by_role().into(),
        questdb_passwords: [
            ("admin", creds.questdb_admin_password_file.as_path()),
            ("reader", creds.questdb_reader_password_file.as_path()),
        ]
        .into(),
        pids: Program::ALL.into_iter().filter_map(|one| Some((one.name(), stack.pid(one)?))).collect(),
        team: stack.team(),
        host: stack.programs().contains(&Program::Agent).then(|| stack.agent_host()),
    }
}
