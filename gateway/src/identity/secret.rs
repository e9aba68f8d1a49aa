//! Secrets that we make ourselves: 256 random bits as text, and the hash that is kept in their place.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Bits of a secret, in bytes.
const SECRET_BYTES: usize = 32;
/// Bits of an id that nobody may guess, in bytes.
const ID_BYTES: usize = 16;
/// Bits of an id that people read, in bytes.
const SHORT_ID_BYTES: usize = 10;

/// The machine gave no random numbers; nothing secret can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random numbers")]
pub struct NoRandomness;

/// 256 random bits as 43 characters of base64url. Shown to whom it is for, never kept.
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// Without randomness.
    pub fn new() -> Result<Self, NoRandomness> {
        random::<SECRET_BYTES>().map(|bytes| Self(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// The secret itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.0)
    }
}

/// SHA-256 as base64url, fit for a key of a bucket. Enough for secrets of 256 random bits; never for a password.
#[must_use]
pub fn hash(text: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(text))
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// 128 random bits as base64url: an id that cannot be guessed.
///
/// # Errors
/// Without randomness.
pub fn unguessable_id() -> Result<String, NoRandomness> {
    random::<ID_BYTES>().map(|bytes| BASE64URL_NOPAD.encode(&bytes))
}

/// 80 random bits as 16 lower-case characters: an id that people read.
///
/// # Errors
/// Without randomness.
pub fn readable_id() -> Result<String, NoRandomness> {
    let bytes = random::<SHORT_ID_BYTES>()?;
    Ok(data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// Random bytes.
///
/// # Errors
/// Without randomness.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_never_the_same_and_never_printed() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_eq!(one.text().len(), 43);
        assert_ne!(one.text(), other.text());
        assert!(!format!("{one:?}").contains(one.text()));
        assert!(same(&one.hash(), &hash(one.text())));
        assert!(!same(&one.hash(), &other.hash()));
    }

    #[test]
    fn readable_ids_are_ids() {
        let id = readable_id().unwrap();
        assert!(id.parse::<watchkeeper_schemas::ids::TokenId>().is_ok(), "{id}");
    }
}
