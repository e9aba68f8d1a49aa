//! `host add` and `audit verify`: for the person at the machine, who holds the gateway's credential and folder.

use crate::audit::{Audit, By, shown};
use crate::first_team;
use crate::fleet::watched::ConfigView;
use crate::hosting::form::{Form, check};
use crate::hosting::{Desk, Placed};
use crate::http::body::Mistakes;
use crate::http::problem::Problem;
use crate::http::site::Site;
use crate::identity::vault::Bucket;
use crate::identity::{Identity, Settings, known};
use anyhow::{Context as _, Result, bail};
use async_nats::jetstream;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::subjects::{GATEWAY_INBOX, JournalScope};
use watchkeeper_streams::audit::verify;
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::journal;

/// Longest wait for NATS and for a processor that has made the streams.
const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether they are there.
const LOOK: Duration = Duration::from_millis(50);

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

/// The gateway's own means.
#[derive(Debug, Clone, Args)]
pub struct At {
    /// The NATS server.
    #[arg(long, env = "WATCHKEEPER_NATS", value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// The gateway's credential for it.
    #[arg(
        long,
        env = "WATCHKEEPER_NATS_CREDS",
        value_name = "FILE",
        default_value = "data/nats/gateway/gateway.creds"
    )]
    nats_creds: PathBuf,
    /// The NATS server's folder.
    #[arg(long, env = "WATCHKEEPER_NATS_DIR", value_name = "DIR", default_value = "data/nats")]
    nats_dir: PathBuf,
    /// The gateway's own folder.
    #[arg(long, env = "WATCHKEEPER_SECRETS_DIR", value_name = "DIR", default_value = "data/gateway")]
    secrets_dir: PathBuf,
}

/// Facts and secrets, followed for as long as this lives.
struct Office {
    identity: Arc<Identity>,
    context: jetstream::Context,
    audit: Audit,
    _followers: JoinSet<()>,
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

async fn open(at: &At) -> Result<Office> {
    let settings = Connect {
        url: at.nats.clone(),
        creds: at.nats_creds.clone(),
        name: "watchkeeper-gateway-command",
        inbox: GATEWAY_INBOX.trim_end_matches(".>").to_owned(),
    };
    let connection = connect(&settings).await?;
    let context = jetstream::new(connection.client.clone());
    let connects = connection.events.connects();
    let (facts, facts_seen) = watch::channel(None);
    let ((known, known_seen), (rights, rights_seen)) = (watch::channel(None), watch::channel(0));
    let site = Site::new("http://127.0.0.1", false).map_err(anyhow::Error::msg)?;
    let settings = Settings {
        site,
        secrets_dir: at.secrets_dir.clone(),
        nats_dir: at.nats_dir.clone(),
        nats_public_url: at.nats.clone(),
        open_registration: false,
    };
    let identity = Arc::new(Identity::open(settings, context.clone(), known_seen, rights_seen)?);
    let (audit, writer) = Audit::new(context.clone());
    let mut followers = JoinSet::new();
    followers.spawn(journal::follow(context.clone(), connects.clone(), facts));
    followers.spawn(known::keep(facts_seen, known, rights));
    followers.spawn(writer.write());
    for bucket in [Bucket::Sessions, Bucket::Secrets] {
        followers.spawn(Arc::clone(&identity.vault).follow(bucket, connects.clone()));
    }
    let ready = async {
        while identity.known().is_err() {
            tokio::time::sleep(LOOK).await;
        }
        first_team::ensure(&identity).await;
    };
    let waited = || format!("{} does not answer, or no processor has made its streams yet", at.nats);
    tokio::time::timeout(READY_MAX, ready).await.with_context(waited)?;
    Ok(Office { identity, context, audit, _followers: followers })
}

fn told(problem: Problem) -> anyhow::Error {
    anyhow::anyhow!("{}", problem.detail())
}
