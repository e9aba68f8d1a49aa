//! `account`: who may log in, for the person at the machine.

use super::{At, Office, open, told};
use crate::audit::{By, shown};
use crate::http::principal::word;
use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use std::io::{BufRead, Write};
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::journal::{Role, User};
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;

/// What the journal says why.
const CAUSE: &str = "by hand";

/// Subcommands of `account`.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Name every account: whether it is disabled, and its role in each team.
    List(At),
    /// Keep somebody out at once: sessions, tokens and open streams end; memberships stay.
    Disable(OfUser),
    /// Let somebody log in again.
    Enable(OfUser),
    /// Give an account the password that standard input holds, and end its sessions: for whoever forgot theirs.
    SetPassword(OfUser),
}

/// One account.
#[derive(Debug, Args)]
pub struct OfUser {
    /// The name that they log in with.
    user: UserId,
    /// Where to do it.
    #[command(flatten)]
    at: At,
}

/// Does what is asked and writes to `out` what it found.
///
/// # Errors
/// What could not be done.
pub async fn account(command: AccountCommand, input: &mut impl BufRead, out: &mut impl Write) -> Result<()> {
    match command {
        AccountCommand::List(at) => {
            let office = open(&at).await?;
            let registry = office.identity.registry().map_err(told)?;
            list(&registry, out)
        }
        AccountCommand::Disable(OfUser { user, at }) => switch(&open(&at).await?, &user, true, out).await,
        AccountCommand::Enable(OfUser { user, at }) => switch(&open(&at).await?, &user, false, out).await,
        AccountCommand::SetPassword(OfUser { user, at }) => {
            let mut password = String::new();
            input.read_line(&mut password).context("reading the password from standard input")?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            set_password(&open(&at).await?, &user, password, out).await
        }
    }
}

fn list(registry: &Registry, out: &mut impl Write) -> Result<()> {
    for (id, user) in registry.users.iter() {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let roles = registry.teams().filter_map(|(team, facts)| {
            let member = facts.members.get(id)?;
            Some(format!("{} of {team}", word(member.role)))
        });
        let roles = roles.collect::<Vec<_>>().join(", ");
        writeln!(out, "{id}\t{state}\t{}\t{roles}", user.display_name)?;
    }
    Ok(())
}

async fn switch(office: &Office, id: &UserId, disabled: bool, out: &mut impl Write) -> Result<()> {
    let registry = office.identity.registry().map_err(told)?;
    let before = find(&registry, id)?;
    let word = if disabled { "disabled" } else { "enabled" };
    if before.disabled == disabled {
        return Ok(writeln!(out, "{id} was {word} already")?);
    }
    if disabled {
        spare_last_owner(&registry, id)?;
    }
    let after = User { disabled, ..before.clone() };
    office.identity.change_user(id, after.clone(), By::MACHINE.author(), CAUSE).await.map_err(told)?;
    let by = By::MACHINE.did(Action::UserChange, id);
    let deed = Deed { before: shown(before), after: shown(&after), ..by };
    office.audit.tell(JournalScope::Everyone, deed).await;
    Ok(writeln!(out, "{id} is {word}")?)
}

async fn set_password(office: &Office, id: &UserId, password: String, out: &mut impl Write) -> Result<()> {
    let registry = office.identity.registry().map_err(told)?;
    find(&registry, id)?;
    office.identity.set_password(id, password).await.map_err(told)?;
    let ended = office.identity.end_all_but(id, None).await.map_err(told)?;
    office.audit.tell(JournalScope::Everyone, By::MACHINE.did(Action::PasswordChange, id)).await;
    Ok(writeln!(out, "{id} has another password; sessions that ended: {ended}")?)
}

fn find<'a>(registry: &'a Registry, id: &UserId) -> Result<&'a User> {
    registry.users.get(id).with_context(|| format!("there is no account {id}: `account list` names them all"))
}

/// A team without anybody who may change it could not be mended from its page.
fn spare_last_owner(registry: &Registry, id: &UserId) -> Result<()> {
    for (team, facts) in registry.teams() {
        let owns = |user: &UserId| registry.role(user, team) == Some(Role::Owner);
        let others = facts.members.iter().filter(|(user, _)| *user != id && owns(user)).count();
        ensure!(
            !owns(id) || others > 0,
            "{id} is the last owner of team {team}: let another owner in before, or delete the team"
        );
    }
    Ok(())
}
