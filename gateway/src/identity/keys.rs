//! The keys that sign access tokens: one file of the gateway's folder, the newest key first, two at a time.

use crate::identity::ed25519;
use crate::identity::files;
use crate::identity::secret::readable_id;
use anyhow::{Context as _, Result};
use data_encoding::BASE64;
use jsonwebtoken::{DecodingKey, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Keys that are good at one time: what the one before signed stays good until it ends by itself.
const KEYS_MAX: usize = 2;
const KEYS_FILE: &str = "access-keys.json";

/// A key as the file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filed {
    kid: String,
    /// PKCS #8 in base64.
    key: String,
}

/// A key at work.
pub struct SigningKey {
    /// Its name in the head of a token.
    pub kid: String,
    /// Signs.
    pub signs: EncodingKey,
    /// Verifies.
    pub verifies: DecodingKey,
}

/// Where the file is.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join(KEYS_FILE)
}

/// The keys of the folder, the newest first; the first one is made at the first start.
///
/// # Errors
/// When the file cannot be made or read, or holds no key.
pub fn open(folder: &Path) -> Result<Vec<SigningKey>> {
    ed25519::install();
    let path = path(folder);
    let text = match files::read(&path)? {
        Some(text) => text,
        None => files::make(&path, &serde_json::to_string_pretty(&[new_key()?])?)?,
    };
    let keys = filed(&path, &text)?.iter().map(key).collect::<Result<Vec<_>>>();
    let keys = keys.with_context(|| format!("{} holds no usable key", path.display()))?;
    anyhow::ensure!(!keys.is_empty(), "{} holds no key", path.display());
    Ok(keys)
}

/// Puts a new key before the newest, and drops those that are not needed any more; the new key's name.
///
/// # Errors
/// When the file cannot be read or written.
pub fn rotate(folder: &Path) -> Result<String> {
    files::folder(folder)?;
    let path = path(folder);
    let mut keys = vec![new_key()?];
    if let Some(text) = files::read(&path)? {
        keys.extend(filed(&path, &text)?);
    }
    keys.truncate(KEYS_MAX);
    files::write(&path, &serde_json::to_string_pretty(&keys)?)?;
    Ok(keys.swap_remove(0).kid)
}

fn filed(path: &Path, text: &str) -> Result<Vec<Filed>> {
    let keys: Vec<Filed> =
        serde_json::from_str(text).with_context(|| format!("{} is no list of keys", path.display()))?;
    Ok(keys.into_iter().take(KEYS_MAX).collect())
}

fn new_key() -> Result<Filed> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("the operating system gave no random numbers"))?;
    Ok(Filed { kid: readable_id()?, key: BASE64.encode(document.as_ref()) })
}

fn key(filed: &Filed) -> Result<SigningKey> {
    let document = BASE64.decode(filed.key.as_bytes()).context("a key is not base64")?;
    let pair = Ed25519KeyPair::from_pkcs8(&document)
        .map_err(|error| anyhow::anyhow!("a key is not PKCS #8: {error}"))?;
    Ok(SigningKey {
        kid: filed.kid.clone(),
        signs: EncodingKey::from_ed_der(&document),
        verifies: DecodingKey::from_ed_der(pair.public_key().as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_are_good_and_the_newest_signs() {
        let folder = tempfile::tempdir().unwrap();
        let names =
            || -> Vec<String> { open(folder.path()).unwrap().into_iter().map(|key| key.kid).collect() };
        let first = names();
        assert_eq!(first.len(), 1);
        assert_eq!(names(), first, "they stay over a restart");
        let second = rotate(folder.path()).unwrap();
        assert_eq!(names(), [second.clone(), first[0].clone()]);
        let third = rotate(folder.path()).unwrap();
        assert_eq!(names(), [third, second]);
    }

    #[test]
    fn a_file_without_keys_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "[]", "[{\"kid\":\"x\",\"key\":\"AAAA\"}]", "{}"] {
            files::write(&path(folder.path()), text).unwrap();
            assert!(open(folder.path()).is_err(), "{text}");
        }
    }
}
