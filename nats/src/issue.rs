//! Credentials in files: made for programs and by hand, and replaced by `rotate`.

use crate::accounts::{AccountName, Program};
use crate::claims::{Account, Claims, ClaimsError, User};
use crate::creds::{self, Creds};
use crate::files::{self, Outcome, SetupError};
use crate::holder::Holder;
use crate::keys::{self, Signer};
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
    keys::read_id(layout, &AccountName::Agents(team.clone()))?;
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
    let holder = Holder::Program(program);
    let signer = Signer::read(layout, &holder)?;
    let _lock = files::lock(&layout.dir)?;
    let path = layout.account_jwt(&signer.account);
    let (mut account_jwt, mut account) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    let file = layout.program_creds(program);
    let old = read_creds(&file)?;
    if let Some(old) = &old {
        account.body.revocations.insert(old.claims.subject.clone(), now());
        account_jwt = account.sign(&operator, now()).map_err(|source| corrupt(&path, source))?;
        files::write(&path, &account_jwt)?;
    }
    issue(layout, &signer, &account.body, &holder)?;
    Ok(Rotation { creds: file, revoked: old.map(|old| old.claims.subject), account_jwt })
}

/// The credential of one of our programs, as setup makes it.
pub(crate) fn issue_program(
    layout: &Layout,
    program: Program,
    account: &Account,
) -> Result<Issued, SetupError> {
    let holder = Holder::Program(program);
    issue(layout, &Signer::read(layout, &holder)?, account, &holder)
}

fn issue_to(layout: &Layout, holder: &Holder) -> Result<Issued, SetupError> {
    let signer = Signer::read(layout, holder)?;
    let _lock = files::lock(&layout.dir)?;
    let path = layout.account_jwt(&signer.account);
    let (_, claims) = read_account(&path)?.ok_or_else(|| missing_account(&path))?;
    issue(layout, &signer, &claims.body, holder)
}

/// Makes or completes the credential in the holder's file: the key in it stays unless it is revoked, the JWT stays
/// when it says what it should.
fn issue(layout: &Layout, signer: &Signer, account: &Account, holder: &Holder) -> Result<Issued, SetupError> {
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
    let found = found.filter(|old| !account.revokes(&old.claims.subject, old.claims.issued_at));
    let fresh = KeyPair::new_user();
    let key = found.as_ref().map_or(&fresh, |found| &found.key);
    let wanted = user_claims(signer, holder, key.public_key(), None);
    let outcome = match &found {
        Some(found) if found.claims.states_the_same(&wanted, &signer.key) => Outcome::Kept,
        Some(_) | None => {
            let jwt = wanted.sign(&signer.key, now()).map_err(|source| corrupt(&file, source))?;
            files::write(&file, &creds::render(&jwt, key).map_err(|source| corrupt(&file, source))?)?
        }
    };
    Ok(Issued { creds: file, name, outcome })
}

/// What a holder's JWT says.
pub(crate) fn user_claims(
    signer: &Signer,
    holder: &Holder,
    key: String,
    expires: Option<u64>,
) -> Claims<User> {
    let body = User { issuer_account: signer.account.clone(), tags: holder.tags(), ..User::default() };
    Claims { expires, ..Claims::new(key, holder.to_string(), body) }
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
