//! `audit`: whether the record of who did what is whole.

use super::{At, open, told};
use anyhow::{Result, bail};
use clap::Subcommand;
use std::io::Write;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::audit::verify;

/// Subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Go through the chain of every team, or of one; say its head, or where it was changed.
    Verify {
        /// Only this team.
        #[arg(long, value_name = "TEAM")]
        team: Option<TeamId>,
        /// Where to do it.
        #[command(flatten)]
        at: At,
    },
}

/// Does what is asked and writes to `out` what it found.
///
/// # Errors
/// Where a chain was changed, or what could not be read.
pub async fn audit(command: AuditCommand, out: &mut impl Write) -> Result<()> {
    let AuditCommand::Verify { team, at } = command;
    let office = open(&at).await?;
    let registry = office.identity.registry().map_err(told)?;
    let scopes: Vec<JournalScope> = match team {
        Some(team) => vec![JournalScope::Team(team)],
        None => {
            let teams = registry.all_teams().map(|(team, _)| JournalScope::Team(team.clone()));
            std::iter::once(JournalScope::Everyone).chain(teams).collect()
        }
    };
    let mut broken = 0;
    for scope in scopes {
        match verify(&office.context, &scope, |_| ()).await {
            Ok(head) => writeln!(out, "{scope}: {} entries, whole; head {}", head.number, head.hash)?,
            Err(error) => {
                broken += 1;
                writeln!(out, "{scope}: {:#}", anyhow::Error::from(error))?;
            }
        }
    }
    if broken > 0 { bail!("{broken} of the chains cannot be trusted") } else { Ok(()) }
}
