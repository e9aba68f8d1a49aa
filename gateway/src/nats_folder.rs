//! `nats …`: wires the command line to the making of the NATS server's folder.

use crate::config::NatsCommand;
use anyhow::{Context as _, Result};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use watchkeeper_nats::{
    Issued, Layout, Outcome, Program, Rotation, SetupOptions, Tls, issue_agent, issue_fleet, issue_reader,
    rotate, setup,
};
use watchkeeper_schemas::subjects;
use watchkeeper_streams::connect::{Connect, connect};

/// Longest wait for a server that is told of a rotation.
const PUSH_MAX: Duration = Duration::from_secs(10);

/// Does what is asked and says to `out` what was made and what was kept.
///
/// # Errors
/// What could not be done, with the file and what to do.
pub async fn command(command: NatsCommand, out: &mut impl Write) -> Result<()> {
    match command {
        NatsCommand::Setup { dir, listen, tls_cert, tls_key, behind_proxy, team } => {
            let tls = match tls_cert.zip(tls_key) {
                Some((cert, key)) => Tls::Files { cert, key },
                None if behind_proxy => Tls::Elsewhere,
                None => Tls::Off,
            };
            let report = setup(&SetupOptions { dir, listen, tls, teams: team })?;
            for (path, outcome) in &report.files {
                writeln!(out, "{:7} {}", word(*outcome), path.display())?;
            }
            writeln!(out, "\nStart the server: nats-server -c {}", report.layout.conf().display())?;
        }
        NatsCommand::Rotate { user, dir, push } => {
            let layout = Layout::new(dir);
            let rotation = rotate(&layout, user)?;
            writeln!(out, "made    {}", rotation.creds.display())?;
            if let Some(revoked) = &rotation.revoked {
                writeln!(out, "revoked {revoked}")?;
            }
            match push {
                Some(url) => push_claims(&layout, &url, rotation).await?,
                None => writeln!(
                    out,
                    "A running server refuses the old one once it is started again, or at once with --push URL"
                )?,
            }
        }
        NatsCommand::Agent { dir, team, host } => tell(out, &issue_agent(&Layout::new(dir), &team, &host)?)?,
        NatsCommand::Reader { dir, team, name } => {
            tell(out, &issue_reader(&Layout::new(dir), &team, &name)?)?
        }
        NatsCommand::Fleet { dir, team } => tell(out, &issue_fleet(&Layout::new(dir), &team)?)?,
    }
    Ok(())
}

/// Only the path, so that a script can read it.
fn tell(out: &mut impl Write, issued: &Issued) -> Result<()> {
    Ok(writeln!(out, "{}", Path::display(&issued.creds))?)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "made",
        Outcome::Kept => "kept",
        Outcome::Updated => "changed",
    }
}

/// Hands the server the account's new claims, which cut the old credential off.
async fn push_claims(layout: &Layout, url: &str, rotation: Rotation) -> Result<()> {
    let settings = Connect {
        url: url.to_owned(),
        creds: layout.program_creds(Program::Sys),
        name: "watchkeeper-rotate",
        inbox: subjects::SYS_INBOX.trim_end_matches(".>").to_owned(),
    };
    let connection = connect(&settings).await?;
    let push = connection.client.request(subjects::SYS_PUSH_CLAIMS, rotation.account_jwt.into());
    let answer = tokio::time::timeout(PUSH_MAX, push)
        .await
        .with_context(|| format!("{url} did not take the new claims; the new credential is in place, the old one not yet cut off"))?
        .context("the server did not take the new claims")?;
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.payload).context("the server's answer is no JSON")?;
    match answer.get("error") {
        None => Ok(()),
        Some(error) => anyhow::bail!("the server refused the new claims: {error}"),
    }
}
