//! Keeps the accounts of the NATS server as JOURNAL has them: teams come and go, credentials that are no longer their
//! holder's are cut off within a second.

pub mod projection;

use crate::config::Config;
use crate::system::{System, SystemError, hand_claims};
use anyhow::Context as _;
use async_nats::Client;
use projection::Wanted;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use watchkeeper_nats::{AccountName, Layout, Outcome, SetupError, ensure_account, remove_team, team_removal};
use watchkeeper_schemas::ids::{PublicKey, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{SYS_DELETE_CLAIMS, SYS_PUSH_CLAIMS};
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::journal::Facts;

/// Waits before what failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Without any change the accounts are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Why the accounts are not yet as they are to be.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Folder(#[from] SetupError),
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Keeps the accounts until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential cannot be read, or the address is none.
pub async fn run(config: &Config, dir: &Path, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let sys_creds = config.sys_creds().context("there is no credential of the system account")?;
    let system = System::connect(config, &sys_creds, "accounts").await?;
    let (mut facts, mut connects) = (system.core.facts.clone(), system.sys.events.connects());
    let mut keeper = Keeper::new(Layout::new(dir), system.sys.client.clone());
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    let mut failing = false;
    loop {
        let kept = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            kept = keeper.keep(&mut facts, now()) => kept,
        };
        let wait = match kept {
            Ok(wait) => {
                backoff.reset();
                if std::mem::take(&mut failing) {
                    tracing::info!("the accounts of the NATS server are as they are to be again");
                }
                wait
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        error = format!("{:#}", anyhow::Error::from(error)),
                        "the accounts of the NATS server are not yet as they are to be, trying again"
                    );
                }
                backoff.next_wait()
            }
        };
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            changed = facts.changed() => changed.context("nobody follows JOURNAL any more")?,
            // A server that was started again may have lost what it was handed.
            Ok(()) = connects.changed() => keeper.all_again(),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An account that was looked after.
struct Kept {
    refused: BTreeSet<PublicKey>,
    jwt: String,
    /// Whether the server has taken this JWT.
    taken: bool,
}

/// What was done so far.
struct Keeper {
    layout: Layout,
    sys: Client,
    accounts: BTreeMap<AccountName, Kept>,
    removed: BTreeSet<TeamId>,
}

impl Keeper {
    fn new(layout: Layout, sys: Client) -> Self {
        Self { layout, sys, accounts: BTreeMap::new(), removed: BTreeSet::new() }
    }

    /// Every account is handed to the server once more.
    fn all_again(&mut self) {
        self.accounts.values_mut().for_each(|kept| kept.taken = false);
    }

    /// Brings folder and server to what the newest facts want; how long nothing changes by itself.
    async fn keep(&mut self, facts: &mut watch::Receiver<Facts>, now: UnixMs) -> Result<Duration, KeepError> {
        let Some(registry) = facts.borrow_and_update().clone() else { return Ok(LOOK_AGAIN) };
        let wanted = Wanted::at(&registry, now);
        // What is cut off comes first: after a reconnect every account waits for its turn.
        for account in self.write_changed(&wanted)? {
            self.push(&account).await?;
        }
        for team in &wanted.removed {
            self.remove(team).await?;
        }
        self.removed.retain(|team| wanted.removed.contains(team));
        let waiting: Vec<_> =
            self.accounts.iter().filter(|(_, kept)| !kept.taken).map(|(name, _)| name.clone()).collect();
        for account in waiting {
            if facts.has_changed().unwrap_or(false) {
                return Ok(Duration::ZERO);
            }
            self.push(&account).await?;
        }
        Ok(wanted
            .until
            .map_or(LOOK_AGAIN, |until| Duration::from_millis(until.0.saturating_sub(now.0)).min(LOOK_AGAIN)))
    }

    /// Writes what is not as wanted into the folder; the accounts that the server must hear of at once.
    fn write_changed(&mut self, wanted: &Wanted) -> Result<Vec<AccountName>, SetupError> {
        let mut changed = Vec::new();
        for (account, refused) in &wanted.accounts {
            if self.accounts.get(account).is_some_and(|kept| kept.refused == *refused) {
                continue;
            }
            let state = ensure_account(&self.layout, account, refused)?;
            if state.outcome != Outcome::Kept {
                tracing::info!(%account, refused = refused.len(), outcome = ?state.outcome, "account written");
                changed.push(account.clone());
            }
            let kept = Kept { refused: refused.clone(), jwt: state.jwt, taken: false };
            self.accounts.insert(account.clone(), kept);
        }
        Ok(changed)
    }

    async fn push(&mut self, account: &AccountName) -> Result<(), SystemError> {
        if let Some(kept) = self.accounts.get_mut(account) {
            hand_claims(&self.sys, SYS_PUSH_CLAIMS, kept.jwt.clone()).await?;
            kept.taken = true;
        }
        Ok(())
    }

    /// Has the server forget a team, then the folder: a lost answer is made up for.
    async fn remove(&mut self, team: &TeamId) -> Result<(), KeepError> {
        if self.removed.contains(team) {
            return Ok(());
        }
        if let Some(removal) = team_removal(&self.layout, team)? {
            hand_claims(&self.sys, SYS_DELETE_CLAIMS, removal).await?;
            remove_team(&self.layout, team)?;
            tracing::info!(%team, "the team's account was removed");
        }
        self.accounts.remove(&AccountName::Agents(team.clone()));
        self.removed.insert(team.clone());
        Ok(())
    }
}
