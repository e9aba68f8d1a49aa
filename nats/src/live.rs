//! Accounts of a server that runs: made, kept newest with their revocations, and removed.

use crate::accounts::AccountName;
use crate::claims::{Body, Claims, Kind, WHENEVER};
use crate::files::{self, Outcome, SetupError};
use crate::issue::missing_account;
use crate::keys;
use crate::layout::Layout;
use crate::setup::{Run, known_account, now, read_account};
use nkeys::KeyPairType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use watchkeeper_schemas::ids::{PublicKey, TeamId};

/// An account as it stands in the folder now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// Its JWT: what a running server is to be handed at
    /// [`SYS_PUSH_CLAIMS`](watchkeeper_schemas::subjects::SYS_PUSH_CLAIMS).
    pub jwt: String,
    /// Whether it was made or changed now.
    pub outcome: Outcome,
}

/// Makes an account exist in which exactly the keys in `revoked` are refused, whenever their JWTs were issued: keys
/// that are no longer in it are released. What was revoked up to a date (by [`rotate`](crate::rotate) or by hand)
/// stays so. Doing it again changes nothing.
///
/// # Errors
/// When nothing is set up, a file cannot be read or written, or a key is lost that the account was made with.
pub fn ensure_account(
    layout: &Layout,
    account: &AccountName,
    revoked: &BTreeSet<PublicKey>,
) -> Result<AccountState, SetupError> {
    let operator = keys::read_operator(layout)?;
    let _lock = files::lock(&layout.dir)?;
    let core = keys::read_id(layout, &AccountName::Core)?;
    let known = known_account(layout, account)?;
    let mut run = Run::over(layout.clone(), known.into_iter().collect());
    let keys = run.account_keys(account)?;
    run.account(account, &keys, &core, &operator, |revocations| {
        revocations.retain(|_, until| *until != WHENEVER);
        revocations.extend(revoked.iter().map(|key| (key.to_string(), WHENEVER)));
    })?;
    let path = layout.account_jwt(&keys.id());
    let (jwt, _) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    Ok(AccountState { jwt, outcome: run.outcome_of(&path) })
}

/// What a running server is to be handed at
/// [`SYS_DELETE_CLAIMS`](watchkeeper_schemas::subjects::SYS_DELETE_CLAIMS) so that it forgets a team and cuts its
/// agents off; `None` when nothing of the team is here. [`remove_team`] comes after, so that a lost answer can be
/// made up for.
///
/// # Errors
/// When nothing is set up or a file cannot be read.
pub fn team_removal(layout: &Layout, team: &TeamId) -> Result<Option<String>, SetupError> {
    let path = layout.account_key(&AccountName::Agents(team.clone()));
    let Some(key) = keys::read_key(&path, &KeyPairType::Account)? else { return Ok(None) };
    let operator = keys::read_operator(layout)?;
    let body = Removal { accounts: vec![key.public_key()] };
    // The server wants this statement to be the signer's about itself.
    let claims = Claims::new(operator.public_key(), format!("removal of {team}"), body);
    let signed = claims.sign(&operator, now());
    signed.map(Some).map_err(|source| SetupError::Corrupt {
        path: layout.operator_signing_key(),
        remedy: "Put the file back from a backup",
        source,
    })
}

/// Removes the account, the keys and the credentials of a team. A team of the same name is another one then.
///
/// # Errors
/// When a file cannot be read or removed.
pub fn remove_team(layout: &Layout, team: &TeamId) -> Result<(), SetupError> {
    let _lock = files::lock(&layout.dir)?;
    let account = AccountName::Agents(team.clone());
    let own = layout.account_key(&account);
    if let Some(key) = keys::read_key(&own, &KeyPairType::Account)? {
        files::remove(&layout.account_jwt(&key.public_key()))?;
    }
    for name in files::names(&layout.creds())? {
        let holder = name.strip_suffix(".creds").and_then(|holder| holder.parse::<crate::Holder>().ok());
        if holder.is_some_and(|holder| holder.team() == Some(team)) {
            files::remove(&layout.creds().join(name))?;
        }
    }
    for role in account.roles() {
        files::remove(&layout.role_key(&account, *role))?;
    }
    files::remove(&layout.account_id(&account))?;
    // Last, because it says that there is something to remove.
    files::remove(&own)
}

/// Accounts that the server is to forget.
#[derive(Debug, Serialize, Deserialize)]
struct Removal {
    accounts: Vec<String>,
}

impl Body for Removal {
    const KIND: Kind = Kind::Generic;
}
