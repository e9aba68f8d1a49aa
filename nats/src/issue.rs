//! Credentials in files: made for programs and by hand, and replaced by `rotate`.

use crate::accounts::{AccountName, Program};
use crate::claims::{Account, Claims, ClaimsError, User};
use crate::creds::{self, Creds};
use crate::files::{self, Outcome, SetupError};
use crate::holder::Holder;
use crate::keys::{self, AccountKeys};
use crate::layout::Layout;
use crate::setup::{now, read_account};
use nkeys::KeyPair;
use std::path::{Path, PathBuf};
use watchkeeper_schemas::ids::{HostId, ReaderName, TeamId};

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
    issue_to(layout, &Holder::Agent { team: team.clone(), host: host.clone() })
}

/// The credential of a program that hears the public feed of one team and can publish nothing.
///
/// # Errors
/// When the team is not set up, or a file cannot be read or written.
pub fn issue_reader(layout: &Layout, team: &TeamId, name: &ReaderName) -> Result<Issued, SetupError> {
    AccountKeys::read(layout, &AccountName::Agents(team.clone()))?;
    issue_to(layout, &Holder::Reader { team: team.clone(), name: name.clone() })
}

/// The development credential of a team's simulated hosts: it may publish for every host of the team.
///
/// # Errors
/// When the team is not set up, or a file cannot be read or written.
pub fn issue_fleet(layout: &Layout, team: &TeamId) -> Result<Issued, SetupError> {
    issue_to(layout, &Holder::Fleet { team: team.clone() })
}

/// Gives a program a new key and credential and revokes the old one.
///
/// # Errors
/// When the folder is not set up, or a file cannot be read or written. After an error the old credential may be
/// revoked already; setup then makes a new one.
pub fn rotate(layout: &Layout, program: Program) -> Result<Rotation, SetupError> {
    let operator = keys::read_operator(layout)?;
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
    issue(layout, &Issuer { keys: &keys, account: &account.body }, &Holder::Program(program))?;
    Ok(Rotation { creds: file, revoked: old.map(|old| old.claims.subject), account_jwt })
}

/// The credential of one of our programs, as setup makes it.
pub(crate) fn issue_program(
    layout: &Layout,
    program: Program,
    keys: &AccountKeys,
    account: &Account,
) -> Result<Issued, SetupError> {
    issue(layout, &Issuer { keys, account }, &Holder::Program(program))
}

fn issue_to(layout: &Layout, holder: &Holder) -> Result<Issued, SetupError> {
    let keys = AccountKeys::read(layout, &holder.account())?;
    let _lock = files::lock(&layout.dir)?;
    let path = layout.account_jwt(&keys.id());
    let (_, claims) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    issue(layout, &Issuer { keys: &keys, account: &claims.body }, holder)
}

/// The account that answers for a credential.
struct Issuer<'a> {
    keys: &'a AccountKeys,
    account: &'a Account,
}

/// Makes or completes the credential in the holder's file: the key in it stays unless it is revoked, the JWT stays
/// when it says what it should.
fn issue(layout: &Layout, issuer: &Issuer<'_>, holder: &Holder) -> Result<Issued, SetupError> {
    let (file, name) = (layout.creds_of(holder), holder.to_string());
    let found = read_creds(&file)?;
    if found.as_ref().is_some_and(|found| found.claims.name != name) {
        let source = ClaimsError::Form("it is the credential of another user");
        return Err(SetupError::Corrupt {
            path: file,
            remedy: "Move it away to issue another one there",
            source,
        });
    }
    let found = found.filter(|old| !issuer.account.revokes(&old.claims.subject, old.claims.issued_at));
    let fresh = KeyPair::new_user();
    let key = found.as_ref().map_or(&fresh, |found| &found.key);
    let (wanted, signer) =
        user_claims(issuer.keys, holder, key.public_key(), None).map_err(|e| corrupt(&file, e))?;
    let outcome = match &found {
        Some(found) if found.claims.states_the_same(&wanted, signer) => Outcome::Kept,
        Some(_) | None => {
            let jwt = wanted.sign(signer, now()).map_err(|source| corrupt(&file, source))?;
            files::write(&file, &creds::render(&jwt, key).map_err(|source| corrupt(&file, source))?)?
        }
    };
    Ok(Issued { creds: file, name, outcome })
}

/// What a holder's JWT says, and the key that signs it.
pub(crate) fn user_claims<'a>(
    keys: &'a AccountKeys,
    holder: &Holder,
    key: String,
    expires: Option<u64>,
) -> Result<(Claims<User>, &'a KeyPair), ClaimsError> {
    let signer =
        keys.signer(holder.role()).ok_or(ClaimsError::Form("users of this account cannot have this role"))?;
    let body = User { issuer_account: keys.id(), tags: holder.tags(), ..User::default() };
    Ok((Claims { expires, ..Claims::new(key, holder.to_string(), body) }, signer))
}

fn read_creds(file: &Path) -> Result<Option<Creds>, SetupError> {
    let Some(text) = files::read_secret(file)? else { return Ok(None) };
    creds::parse(&text).map(Some).map_err(|source| corrupt(file, source))
}

fn corrupt(path: &Path, source: ClaimsError) -> SetupError {
    SetupError::Corrupt { path: path.to_owned(), remedy: CREDS_REMEDY, source }
}

pub(crate) fn missing_account(path: &Path) -> SetupError {
    let remedy = "Type `watchkeeper-gateway nats setup`, which makes it again".to_owned();
    SetupError::Missing { path: path.to_owned(), remedy }
}
