//! Credentials: made for programs, agents, readers and simulated fleets, and replaced by `rotate`.

use crate::accounts::{AccountName, Program, Role};
use crate::claims::{Account, Claims, ClaimsError, User};
use crate::creds::{self, Creds};
use crate::files::{self, Outcome, SetupError};
use crate::keys::{self, AccountKeys};
use crate::layout::Layout;
use crate::setup::{now, read_account};
use nkeys::{KeyPair, KeyPairType};
use std::path::{Path, PathBuf};
use watchkeeper_schemas::ids::{HostId, ProcessorName, Shard, TeamId};

const CREDS_REMEDY: &str = "Remove the file and type the command again: a new credential is made";

/// A credential that stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The file, in NATS' `.creds` format.
    pub creds: PathBuf,
    /// The user's name, as the server's connection list shows it.
    pub name: String,
    /// Whether it was made now.
    pub outcome: Outcome,
}

/// A program's new credential and the end of its old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The new credential.
    pub creds: PathBuf,
    /// The public nkey that is refused from now on; `None` when there was no credential.
    pub revoked: Option<String>,
    /// The JWT of the account with the revocation, already in the resolver's folder. A server reads it when it
    /// starts; to cut the old credential off at once, send this text as a request to
    /// [`SYS_PUSH_CLAIMS`](watchkeeper_schemas::subjects::SYS_PUSH_CLAIMS) with the credential of
    /// [`Program::Sys`].
    pub account_jwt: String,
}

/// The credential of a host's agent: it may publish its own two subjects, hear its commands and its replies.
/// Issuing it again keeps it. It does not expire: a revocation ends it.
///
/// # Errors
/// When the team is not set up, or a file cannot be read or written.
pub fn issue_agent(layout: &Layout, team: &TeamId, host: &HostId) -> Result<Issued, SetupError> {
    let user = Identity {
        name: format!("agent.{team}.{host}"),
        tags: vec![format!("team:{team}"), format!("shard:{}", Shard::of(host)), format!("host:{host}")],
    };
    let file = layout.agent_creds(team, host);
    issue_into(layout, &AccountName::Agents(team.clone()), Role::Agent, user, file)
}

/// The credential of a program that hears the public feed of one team and can publish nothing.
///
/// # Errors
/// When the team is not set up, or a file cannot be read or written.
pub fn issue_reader(layout: &Layout, team: &TeamId, name: &ProcessorName) -> Result<Issued, SetupError> {
    AccountKeys::read(layout, &AccountName::Agents(team.clone()))?;
    let user = Identity { name: format!("reader.{team}.{name}"), tags: vec![format!("team:{team}")] };
    issue_into(layout, &AccountName::Readers, Role::Reader, user, layout.reader_creds(team, name))
}

/// The development credential of a team's simulated hosts: it may publish for every host of the team.
///
/// # Errors
/// When the team is not set up, or a file cannot be read or written.
pub fn issue_fleet(layout: &Layout, team: &TeamId) -> Result<Issued, SetupError> {
    let user = Identity { name: format!("fleet.{team}"), tags: vec![format!("team:{team}")] };
    issue_into(layout, &AccountName::Agents(team.clone()), Role::Fleet, user, layout.fleet_creds(team))
}

/// Gives a program a new key and credential and revokes the old one.
///
/// # Errors
/// When the folder is not set up, or a file cannot be read or written. After an error the old credential may be
/// revoked already; setup then makes a new one.
pub fn rotate(layout: &Layout, program: Program) -> Result<Rotation, SetupError> {
    let path = layout.operator_signing_key();
    let operator = keys::read_key(&path, &KeyPairType::Operator)?.ok_or_else(|| SetupError::Missing {
        path,
        remedy: "Nothing is set up here: type `watchkeeper-gateway nats setup`".into(),
    })?;
    let keys = AccountKeys::read(layout, &program.account())?;
    let _lock = files::lock(&layout.dir)?;
    let path = layout.account_jwt(&keys.id());
    let (mut account_jwt, mut account) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    let file = layout.program_creds(program);
    let old = read_creds(&file)?;
    if let Some(old) = &old {
        account.body.revocations.insert(old.claims.subject.clone(), now());
        account_jwt = account.sign(&operator, now()).map_err(|source| corrupt(&path, source))?;
        files::write(&path, &account_jwt)?;
    }
    issue(&Issuer::of(&keys, &account.body), program.role(), program_user(program), &file)?;
    Ok(Rotation { creds: file, revoked: old.map(|old| old.claims.subject), account_jwt })
}

/// The credential of one of our programs, as setup makes it.
pub(crate) fn issue_program(
    layout: &Layout,
    program: Program,
    keys: &AccountKeys,
    account: &Account,
) -> Result<Issued, SetupError> {
    let file = layout.program_creds(program);
    issue(&Issuer::of(keys, account), program.role(), program_user(program), &file)
}

/// Who a credential speaks for.
struct Identity {
    name: String,
    tags: Vec<String>,
}

/// The account that answers for a credential.
struct Issuer<'a> {
    keys: &'a AccountKeys,
    account: &'a Account,
}

impl<'a> Issuer<'a> {
    fn of(keys: &'a AccountKeys, account: &'a Account) -> Self {
        Self { keys, account }
    }
}

fn program_user(program: Program) -> Identity {
    Identity { name: program.to_string(), tags: Vec::new() }
}

fn issue_into(
    layout: &Layout,
    account: &AccountName,
    role: Role,
    user: Identity,
    file: PathBuf,
) -> Result<Issued, SetupError> {
    let keys = AccountKeys::read(layout, account)?;
    let _lock = files::lock(&layout.dir)?;
    let path = layout.account_jwt(&keys.id());
    let (_, claims) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    issue(&Issuer::of(&keys, &claims.body), role, user, &file)
}

/// Makes or completes the credential in `file`: the key in it stays unless it is revoked, the JWT stays when it says
/// what it should.
fn issue(issuer: &Issuer<'_>, role: Role, user: Identity, file: &Path) -> Result<Issued, SetupError> {
    let found = read_creds(file)?;
    if let Some(other) = found.as_ref().filter(|found| found.claims.name != user.name) {
        return Err(SetupError::Taken { path: file.to_owned(), owner: other.claims.name.clone() });
    }
    let found = found.filter(|old| !issuer.account.revokes(&old.claims.subject, old.claims.issued_at));
    let signer = issuer
        .keys
        .signer(role)
        .ok_or_else(|| corrupt(file, ClaimsError::Form("users of this account cannot have this role")))?;
    let fresh = KeyPair::new_user();
    let key = found.as_ref().map_or(&fresh, |found| &found.key);
    let body = User { issuer_account: issuer.keys.id(), tags: user.tags, ..User::default() };
    let wanted = Claims::new(key.public_key(), user.name.clone(), body);
    let outcome = match &found {
        Some(found) if found.claims.states_the_same(&wanted, signer) => Outcome::Kept,
        Some(_) | None => {
            let jwt = wanted.sign(signer, now()).map_err(|source| corrupt(file, source))?;
            files::write(file, &creds::render(&jwt, key).map_err(|source| corrupt(file, source))?)?
        }
    };
    Ok(Issued { creds: file.to_owned(), name: user.name, outcome })
}

fn read_creds(file: &Path) -> Result<Option<Creds>, SetupError> {
    let Some(text) = files::read_secret(file)? else { return Ok(None) };
    creds::parse(&text).map(Some).map_err(|source| corrupt(file, source))
}

fn corrupt(path: &Path, source: ClaimsError) -> SetupError {
    SetupError::Corrupt { path: path.to_owned(), remedy: CREDS_REMEDY, source }
}

fn missing_account(path: &Path) -> SetupError {
    let remedy = "Type `watchkeeper-gateway nats setup`, which makes it again".to_owned();
    SetupError::Missing { path: path.to_owned(), remedy }
}
