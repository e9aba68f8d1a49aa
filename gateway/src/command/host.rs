//! `host`: hosts that are made at the machine.

use super::{At, open, told};
use crate::audit::{By, shown};
use crate::fleet::watched::ConfigView;
use crate::hosting::form::{Form, check};
use crate::hosting::{Desk, Placed};
use crate::http::body::Mistakes;
use crate::identity::Identity;
use anyhow::{Result, bail};
use clap::Subcommand;
use std::io::Write;
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::subjects::JournalScope;

/// Subcommands of `host`.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// Make a host, or let the agent of one come anew, and print its enrolment token: good for five minutes, once.
    Add {
        /// The name that people read.
        name: String,
        /// Its team.
        #[arg(long, value_name = "TEAM", default_value = "default")]
        team: TeamId,
        /// Where to do it.
        #[command(flatten)]
        at: At,
    },
}

/// Does what is asked and writes to `out` what it found.
///
/// # Errors
/// What could not be done.
pub async fn host(command: HostCommand, out: &mut impl Write) -> Result<()> {
    let HostCommand::Add { name, team, at } = command;
    let mut mistakes = Mistakes::default();
    let form = Form::named(name);
    check(&mut mistakes, &form.name, &form.tags, form.interval_ms, &form.mounts);
    mistakes.into_result().map_err(told)?;
    let office = open(&at).await?;
    let desk = Desk { identity: &office.identity, team: &team, author: "gateway" };
    let (before, after, token) = match find(&office.identity, &team, &form.name)? {
        Some(before) => {
            let (after, token) = desk.enrol_anew(&before).await.map_err(told)?;
            (Some(before), after, token)
        }
        None => {
            let id = form.name.parse().ok();
            let (after, token) = desk.make(form, id, |_| false).await.map_err(told)?;
            (None, after, token)
        }
    };
    let view = |placed: &Placed| shown(&ConfigView::new(&placed.host, None));
    let action = if before.is_some() { Action::EnrolmentCreate } else { Action::HostCreate };
    let by = By::MACHINE.did(action, &after.id);
    let deed = Deed { before: before.as_ref().and_then(view), after: view(&after), ..by };
    office.audit.tell(JournalScope::Team(team), deed).await;
    Ok(writeln!(out, "{}", token.secret.text())?)
}

/// A host of that id or that name.
fn find(identity: &Identity, team: &TeamId, name: &str) -> Result<Option<Placed>> {
    let registry = identity.registry().map_err(told)?;
    let Some(facts) = registry.team(team) else { bail!("there is no team {team}") };
    let by_id = name.parse::<HostId>().ok().filter(|id| facts.hosts.get(id).is_some());
    let by_name = || facts.hosts.iter().find(|(_, host)| host.name == name).map(|(id, _)| id.clone());
    let Some(id) = by_id.or_else(by_name) else { return Ok(None) };
    let found = facts.hosts.get(&id).cloned();
    Ok(found.map(|host| Placed { revision: facts.hosts.revision(&id), id, host }))
}
