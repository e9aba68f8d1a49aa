//! Setting a server's folder up: makes what is missing, keeps every key, changes nothing that is as it should be.

use crate::accounts::{AccountName, Program, Role};
use crate::claims::{Account, Body, Claims, ClaimsError, Operator};
use crate::conf::{self, Tls};
use crate::files::{self, Outcome, SetupError};
use crate::issue::issue_program;
use crate::keys::{self, AccountKeys};
use crate::layout::Layout;
use crate::sealed;
use nkeys::{KeyPair, KeyPairType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use watchkeeper_schemas::ids::TeamId;

/// What to set up.
#[derive(Debug, Clone)]
pub struct SetupOptions {
    /// The server's folder; made when missing.
    pub dir: PathBuf,
    /// Where the server will listen.
    pub listen: SocketAddr,
    /// Who keeps that from eavesdroppers.
    pub tls: Tls,
    /// Teams to have; those set up before stay as well.
    pub teams: Vec<TeamId>,
}

/// What setup found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupReport {
    /// Where everything lies.
    pub layout: Layout,
    /// Every team of the server.
    pub teams: Vec<TeamId>,
    /// Every file in the order it was looked at.
    pub files: Vec<(PathBuf, Outcome)>,
}

/// Makes the folder of a NATS server: keys, accounts, credentials of our programs, configuration. A second run with
/// the same options changes no byte; one after a loss or a new version of ours repairs what is missing or old.
///
/// A running server sees new teams at once, other changes when it is started again.
///
/// # Errors
/// When the folder cannot be written, a secret can be read by others, a file is corrupt, or a key is lost that
/// something was made with. Each says which file and what to do.
pub fn setup(options: &SetupOptions) -> Result<SetupReport, SetupError> {
    if options.tls == Tls::Off && !options.listen.ip().is_loopback() {
        return Err(SetupError::Plain { listen: options.listen });
    }
    let tls = options.tls.whole()?;
    files::ensure_dir(&options.dir)?;
    let layout = Layout::new(files::whole_path(&options.dir)?);
    for dir in [layout.accounts(), layout.jetstream(), layout.operator(), layout.gateway(), layout.creds()] {
        files::ensure_dir(&dir)?;
    }
    let _lock = files::lock(&layout.dir)?;
    move_earlier(&layout)?;
    let teams = all_teams(&layout, &options.teams)?;
    let mut run = Run::over(layout.clone(), known_accounts(&layout)?);
    run.all(options.listen, &tls, &teams)?;
    Ok(SetupReport { layout: run.layout, teams: teams.into_iter().collect(), files: run.files })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// An account's JWT and what it says; `None` when the file does not exist.
pub(crate) fn read_account(path: &Path) -> Result<Option<(String, Claims<Account>)>, SetupError> {
    read_claims(
        path,
        "Remove it and type `watchkeeper-gateway nats setup`: it is made again, without revocations",
    )
}

/// What is known of an account before it is looked after; nothing before it was made.
pub(crate) fn known_account(
    layout: &Layout,
    account: &AccountName,
) -> Result<Option<(String, Claims<Account>)>, SetupError> {
    let name = account.to_string();
    let Some(key) = keys::read_key(&layout.account_key(account), &KeyPairType::Account)? else {
        return Ok(known_accounts(layout)?.remove_entry(&name));
    };
    let found = read_account(&layout.account_jwt(&key.public_key()))?;
    Ok(found.map(|(_, claims)| (name, claims)))
}

/// One run of setup, or of a part of it.
pub(crate) struct Run {
    layout: Layout,
    now: u64,
    /// Accounts made before, by name.
    known: BTreeMap<String, Claims<Account>>,
    files: Vec<(PathBuf, Outcome)>,
}

impl Run {
    pub(crate) fn over(layout: Layout, known: BTreeMap<String, Claims<Account>>) -> Self {
        Self { layout, now: now(), known, files: Vec::new() }
    }

    /// What became of a file.
    pub(crate) fn outcome_of(&self, path: &Path) -> Outcome {
        self.files.iter().find(|(of, _)| of == path).map_or(Outcome::Kept, |(_, outcome)| *outcome)
    }

    fn all(&mut self, listen: SocketAddr, tls: &Tls, teams: &BTreeSet<TeamId>) -> Result<(), SetupError> {
        let operator_used = self.layout.operator_jwt().exists().then_some("operator.jwt");
        let operator = self.key(self.layout.operator_key(), KeyPairType::Operator, operator_used)?;
        let signer = self.key(self.layout.operator_signing_key(), KeyPairType::Operator, operator_used)?;
        let sys = self.account_keys(&AccountName::Sys)?;
        let core = self.account_keys(&AccountName::Core)?;
        self.operator(&operator, &signer, &sys.id())?;

        let sys_body = self.account(&AccountName::Sys, &sys, &core.id(), &signer, |_| {})?;
        let core_body = self.account(&AccountName::Core, &core, &core.id(), &signer, |_| {})?;
        let agents = teams.iter().map(|team| AccountName::Agents(team.clone()));
        for account in std::iter::once(AccountName::Readers).chain(agents) {
            let keys = self.account_keys(&account)?;
            self.account(&account, &keys, &core.id(), &signer, |_| {})?;
        }
        for program in Program::ALL {
            let body = match program {
                Program::Sys => &sys_body,
                Program::Processors | Program::Gateway => &core_body,
            };
            let issued = issue_program(&self.layout, program, body)?;
            self.files.push((issued.creds, issued.outcome));
        }
        let channels = [self.layout.channels_key(), self.layout.channels_public()];
        let made = sealed::ensure(&channels[0], &channels[1])?;
        self.files.extend(channels.into_iter().zip(made));
        let conf = conf::render(&self.layout, listen, tls, &sys.id())
            .map_err(|(path, source)| SetupError::Io { doing: "configure the server with", path, source })?;
        self.write(self.layout.conf(), &conf)
    }

    fn operator(&mut self, own: &KeyPair, signer: &KeyPair, sys: &str) -> Result<(), SetupError> {
        let path = self.layout.operator_jwt();
        let remedy = "Remove it and type the command again: it is made again from its key";
        let body = Operator { signing_keys: vec![signer.public_key()], system_account: sys.to_owned() };
        let wanted = Claims::new(own.public_key(), "watchkeeper".into(), body);
        self.sign(path, remedy, &wanted, own)
    }

    /// Writes the JWT of an account; its revocations are those it had, after `revoke` saw them.
    pub(crate) fn account(
        &mut self,
        account: &AccountName,
        keys: &AccountKeys,
        core: &str,
        signer: &KeyPair,
        revoke: impl FnOnce(&mut BTreeMap<String, u64>),
    ) -> Result<Account, SetupError> {
        let mut body = account.body(core, &keys.signers());
        if let Some(known) = self.known.get(&account.to_string()) {
            body.revocations.clone_from(&known.body.revocations);
        }
        revoke(&mut body.revocations);
        let wanted = Claims::new(keys.id(), account.to_string(), body);
        let path = self.layout.account_jwt(&keys.id());
        self.sign(path, "Remove it and type the command again", &wanted, signer)?;
        Ok(wanted.body)
    }

    pub(crate) fn account_keys(&mut self, account: &AccountName) -> Result<AccountKeys, SetupError> {
        let name = account.to_string();
        let known = self.known.get(&name);
        let used_roles: Vec<String> = known
            .iter()
            .flat_map(|known| known.body.signing_keys.iter().map(|key| key.role.clone()))
            .collect();
        let made_before = known.is_some().then_some(name.as_str());
        let own = self.key(self.layout.account_key(account), KeyPairType::Account, made_before)?;
        let mut roles: Vec<(Role, KeyPair)> = Vec::new();
        for role in account.roles() {
            let used = made_before.filter(|_| used_roles.iter().any(|used| used == role.as_str()));
            roles.push((*role, self.key(self.layout.role_key(account, *role), KeyPairType::Account, used)?));
        }
        self.write(self.layout.account_id(account), &format!("{}\n", own.public_key()))?;
        Ok(AccountKeys { own, roles })
    }

    fn key(
        &mut self,
        path: PathBuf,
        kind: KeyPairType,
        used_in: Option<&str>,
    ) -> Result<KeyPair, SetupError> {
        let (key, outcome) = keys::ensure_key(&path, kind, used_in)?;
        self.files.push((path, outcome));
        Ok(key)
    }

    /// Writes a JWT unless the one that stands there states the same.
    fn sign<T: Body + PartialEq>(
        &mut self,
        path: PathBuf,
        remedy: &'static str,
        wanted: &Claims<T>,
        signer: &KeyPair,
    ) -> Result<(), SetupError> {
        let text = match read_claims::<T>(&path, remedy)? {
            Some((text, found)) if found.states_the_same(wanted, signer) => text,
            Some(_) | None => {
                let signed = wanted.sign(signer, self.now);
                signed.map_err(|source| SetupError::Corrupt { path: path.clone(), remedy, source })?
            }
        };
        self.write(path, &text)
    }

    fn write(&mut self, path: PathBuf, text: &str) -> Result<(), SetupError> {
        let outcome = files::write(&path, text)?;
        self.files.push((path, outcome));
        Ok(())
    }
}

fn read_claims<T: Body>(
    path: &Path,
    remedy: &'static str,
) -> Result<Option<(String, Claims<T>)>, SetupError> {
    let Some(text) = files::read(path)? else { return Ok(None) };
    let claims = Claims::verify(text.trim()).map_err(|source: ClaimsError| SetupError::Corrupt {
        path: path.to_owned(),
        remedy,
        source,
    })?;
    Ok(Some((text, claims)))
}

fn known_accounts(layout: &Layout) -> Result<BTreeMap<String, Claims<Account>>, SetupError> {
    let mut known = BTreeMap::new();
    for name in files::names(&layout.accounts())?.iter().filter(|name| name.ends_with(".jwt")) {
        if let Some((_, claims)) = read_account(&layout.accounts().join(name))? {
            known.insert(claims.name.clone(), claims);
        }
    }
    Ok(known)
}

/// Moves keys and credentials from where an earlier version kept them. The new place may lie in another file system, so
/// each is written there before it goes here; a crash between leaves it in both, which is the same again.
fn move_earlier(layout: &Layout) -> Result<(), SetupError> {
    for dir in ["keys", "creds"] {
        for name in files::names(&layout.dir.join(dir))? {
            let Some(new) = layout.earlier(dir, &name) else { continue };
            let old = layout.dir.join(dir).join(&name);
            let text = files::read_secret(&old)?.unwrap_or_default();
            if files::read_secret(&new)?.is_some_and(|found| found != text) {
                return Err(SetupError::Corrupt {
                    path: old,
                    remedy: "Another one lies where it belongs now: move away the one that is not in use",
                    source: ClaimsError::Form("it was to be moved"),
                });
            }
            files::write(&new, &text)?;
            files::remove(&old)?;
        }
    }
    files::remove_empty_dir(&layout.dir.join("keys"))
}

/// The teams asked for and those whose keys lie here.
fn all_teams(layout: &Layout, asked: &[TeamId]) -> Result<BTreeSet<TeamId>, SetupError> {
    let mut teams: BTreeSet<TeamId> = asked.iter().cloned().collect();
    for name in files::names(&layout.operator())? {
        let team = name.strip_prefix("agents-").and_then(|rest| rest.strip_suffix(".nk"));
        teams.extend(team.and_then(|team| team.parse().ok()));
    }
    Ok(teams)
}
