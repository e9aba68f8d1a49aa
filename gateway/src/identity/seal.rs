//! The seal on what lies in buckets: whoever holds NATS' files without the key file reads and forges nothing.
//!
//! XChaCha20-Poly1305; the place of a value (bucket and key) is authenticated with it, so that a sealed value cannot
//! be moved to another key.

use crate::identity::files;
use crate::identity::secret::{NoRandomness, random};
use anyhow::{Context as _, Result};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use std::fmt;
use std::path::Path;

/// The first byte of a sealed value.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const KEY_FILE: &str = "seal.key";

/// Seals and opens.
pub struct Seal(XChaCha20Poly1305);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// A value was not sealed by this key for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value was not sealed with this gateway's key for this place")]
pub struct BrokenSeal;

impl Seal {
    /// The key of the folder, which is made at the first start.
    ///
    /// # Errors
    /// When the file cannot be made or read, or holds no key.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(KEY_FILE);
        let text = files::make(&path, &BASE64.encode(&random::<KEY_BYTES>()?))?;
        let bytes = BASE64.decode(text.trim().as_bytes()).ok();
        let key: Option<[u8; KEY_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let key = key.with_context(|| format!("{} holds no key: 32 bytes as base64", path.display()))?;
        Ok(Self(XChaCha20Poly1305::new(&key.into())))
    }

    /// Seals a value for a place.
    ///
    /// # Errors
    /// Without randomness.
    pub fn seal(&self, place: &str, value: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: value, aad: place.as_bytes() };
        // Fails for more than 256 GiB only.
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| NoRandomness)?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// When it was sealed elsewhere, for another place, or changed since.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(BrokenSeal)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(BrokenSeal)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| BrokenSeal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_changed_or_sealed_elsewhere_does_not_open() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (seal, other) = (Seal::open(here.path()).unwrap(), Seal::open(there.path()).unwrap());
        let sealed = seal.seal("SECRETS/password.olga", b"hash").unwrap();
        assert_eq!(seal.unseal("SECRETS/password.olga", &sealed).unwrap(), b"hash");
        assert_eq!(seal.unseal("SECRETS/password.ivan", &sealed), Err(BrokenSeal));
        assert_eq!(other.unseal("SECRETS/password.olga", &sealed), Err(BrokenSeal));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(seal.unseal("SECRETS/password.olga", &changed), Err(BrokenSeal), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.unseal("SECRETS/password.olga", &sealed[..length]), Err(BrokenSeal), "{length}");
        }
    }

    #[test]
    fn a_second_gateway_of_the_same_folder_opens_what_the_first_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = Seal::open(folder.path()).unwrap().seal("x", b"v").unwrap();
        assert_eq!(Seal::open(folder.path()).unwrap().unseal("x", &sealed).unwrap(), b"v");
        files::write(&folder.path().join(KEY_FILE), "short").unwrap();
        assert!(Seal::open(folder.path()).unwrap_err().to_string().contains("holds no key"));
    }
}
