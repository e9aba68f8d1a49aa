//! Key files: one seed each, made once and never replaced behind anybody's back.

use crate::accounts::{AccountName, Role};
use crate::claims::ClaimsError;
use crate::files::{self, Outcome, SetupError};
use crate::holder::Holder;
use crate::layout::Layout;
use nkeys::{KeyPair, KeyPairType};
use std::path::{Path, PathBuf};

/// The keys of one account.
pub(crate) struct AccountKeys {
    /// Its identity.
    pub(crate) own: KeyPair,
    /// The scoped signing key of each role.
    pub(crate) roles: Vec<(Role, KeyPair)>,
}

impl AccountKeys {
    /// The account's public nkey.
    pub(crate) fn id(&self) -> String {
        self.own.public_key()
    }

    /// Public nkeys of the roles' signing keys.
    pub(crate) fn signers(&self) -> Vec<(Role, String)> {
        self.roles.iter().map(|(role, key)| (*role, key.public_key())).collect()
    }
}

/// The key that signs the users of one role, and the account that answers for them.
pub(crate) struct Signer {
    /// The account's public nkey.
    pub(crate) account: String,
    /// The key.
    pub(crate) key: KeyPair,
}

impl Signer {
    /// The one that signs `holder`, whose account exists.
    pub(crate) fn read(layout: &Layout, holder: &Holder) -> Result<Self, SetupError> {
        let name = holder.account();
        let account = read_id(layout, &name)?;
        let path = layout.role_key(&name, holder.role());
        let key = read_key(&path, &KeyPairType::Account)?.ok_or_else(|| not_set_up(path, &name))?;
        Ok(Self { account, key })
    }
}

/// The public nkey of an account that exists.
pub(crate) fn read_id(layout: &Layout, account: &AccountName) -> Result<String, SetupError> {
    let path = layout.account_id(account);
    let id = files::read(&path)?.ok_or_else(|| not_set_up(path.clone(), account))?;
    let corrupt = |source| SetupError::Corrupt {
        path: path.clone(),
        remedy: "Remove it and type `watchkeeper-gateway nats setup`: it is made again",
        source,
    };
    let key = KeyPair::from_public_key(id.trim()).map_err(|source| corrupt(source.into()))?;
    if matches!(key.key_pair_type(), KeyPairType::Account) {
        Ok(key.public_key())
    } else {
        Err(corrupt(ClaimsError::Form("a key of another kind")))
    }
}

fn not_set_up(path: PathBuf, account: &AccountName) -> SetupError {
    let remedy = format!(
        "The account {account} is not set up: type `watchkeeper-gateway nats setup` (with --team for a new team)"
    );
    SetupError::Missing { path, remedy }
}

/// Reads a key file; `None` when it does not exist.
pub(crate) fn read_key(path: &Path, kind: &KeyPairType) -> Result<Option<KeyPair>, SetupError> {
    let Some(text) = files::read_secret(path)? else { return Ok(None) };
    let corrupt = |source| SetupError::Corrupt {
        path: path.to_owned(),
        remedy: "It is a key that cannot be made again: put the file back from a backup",
        source,
    };
    let key = KeyPair::from_seed(text.trim()).map_err(|source| corrupt(source.into()))?;
    if key.key_pair_type() == *kind {
        Ok(Some(key))
    } else {
        Err(corrupt(ClaimsError::Form("a key of another kind")))
    }
}

/// The key that signs accounts.
pub(crate) fn read_operator(layout: &Layout) -> Result<KeyPair, SetupError> {
    let path = layout.operator_signing_key();
    read_key(&path, &KeyPairType::Operator)?.ok_or_else(|| SetupError::Missing {
        path,
        remedy: "Nothing is set up here: type `watchkeeper-gateway nats setup`".into(),
    })
}

/// Reads a key file or makes a new key. When claims in `used_in` already name a key of this purpose, a new one would
/// cut off whatever depends on the old one, so a missing file is an error then.
pub(crate) fn ensure_key(
    path: &Path,
    kind: KeyPairType,
    used_in: Option<&str>,
) -> Result<(KeyPair, Outcome), SetupError> {
    if let Some(key) = read_key(path, &kind)? {
        return Ok((key, Outcome::Kept));
    }
    if let Some(used_in) = used_in {
        let remedy = format!(
            "{used_in} was made with this key, and a new one would cut off what depends on it: put the file back \
             from a backup"
        );
        return Err(SetupError::Missing { path: path.to_owned(), remedy });
    }
    let key = KeyPair::new(kind);
    let seed = key.seed().map_err(|source| SetupError::Corrupt {
        path: path.to_owned(),
        remedy: "Try again",
        source: source.into(),
    })?;
    Ok((key, files::write(path, &format!("{seed}\n"))?))
}
