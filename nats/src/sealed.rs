//! Secrets of channels, sealed by whoever has the public key for the one who has the private key: the gateway takes
//! bot tokens and passwords from people and can never read them again, the notifier opens them.
//!
//! What is sealed names its place, so that it cannot be moved to another.

use crate::files::{self, Outcome, SetupError};
use data_encoding::BASE64;
use nkeys::XKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use watchkeeper_schemas::receiver::ChannelSecret;

/// Seals for the one who has the other half of the key.
pub struct SealingKey(XKey);

/// Opens what was sealed.
pub struct OpeningKey(XKey);

/// A secret as it lies in the bucket.
#[derive(Serialize, Deserialize)]
struct Sealed {
    v: u8,
    /// The public half of the key that was made for this one.
    from: String,
    sealed: String,
}

/// What is inside.
#[derive(Serialize, Deserialize)]
struct Placed {
    place: String,
    secret: ChannelSecret,
}

/// A secret cannot be sealed, or was not sealed for this key and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealing failed.
    #[error("the secret cannot be sealed")]
    Seal,
    /// Opening failed.
    #[error("the secret was not sealed for this key and this place")]
    Open,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(…)")
    }
}

impl SealingKey {
    /// The public key in a file.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> Result<Self, SetupError> {
        let text = files::read(path)?.ok_or_else(|| missing(path))?;
        Ok(Self(XKey::from_public_key(text.trim()).map_err(|error| corrupt(path, error))?))
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// Hardly ever: when it cannot be written as JSON.
    pub fn seal(&self, place: &str, secret: &ChannelSecret) -> Result<Vec<u8>, SealError> {
        let own = XKey::new();
        let placed = Placed { place: place.to_owned(), secret: secret.clone() };
        let placed = serde_json::to_vec(&placed).map_err(|_| SealError::Seal)?;
        let sealed = own.seal(&placed, &self.0).map_err(|_| SealError::Seal)?;
        let sealed = Sealed { v: 1, from: own.public_key(), sealed: BASE64.encode(&sealed) };
        serde_json::to_vec(&sealed).map_err(|_| SealError::Seal)
    }
}

impl OpeningKey {
    /// The key in a file that only its owner can read.
    ///
    /// # Errors
    /// When there is none, or others can read it.
    pub fn read(path: &Path) -> Result<Self, SetupError> {
        let text = files::read_secret(path)?.ok_or_else(|| missing(path))?;
        Ok(Self(XKey::from_seed(text.trim()).map_err(|error| corrupt(path, error))?))
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// When it was sealed for another key or place, or was changed since.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<ChannelSecret, SealError> {
        let open = || {
            let Sealed { v: _, from, sealed } = serde_json::from_slice(sealed).ok()?;
            let from = XKey::from_public_key(&from).ok()?;
            let placed = self.0.open(&BASE64.decode(sealed.as_bytes()).ok()?, &from).ok()?;
            let placed: Placed = serde_json::from_slice(&placed).ok()?;
            (placed.place == place).then_some(placed.secret)
        };
        open().ok_or(SealError::Open)
    }
}

/// Makes both halves where there are none; what became of each.
pub(crate) fn ensure(private: &Path, public: &Path) -> Result<[Outcome; 2], SetupError> {
    let (key, made) = match files::read_secret(private)? {
        Some(text) => (XKey::from_seed(text.trim()).map_err(|error| corrupt(private, error))?, Outcome::Kept),
        None => {
            let key = XKey::new();
            let seed = key.seed().map_err(|error| corrupt(private, error))?;
            (key, files::write(private, &format!("{seed}\n"))?)
        }
    };
    Ok([made, files::write(public, &format!("{}\n", key.public_key()))?])
}

fn missing(path: &Path) -> SetupError {
    let remedy = "Type `watchkeeper-gateway nats setup`: it makes what is missing".to_owned();
    SetupError::Missing { path: path.to_owned(), remedy }
}

fn corrupt(path: &Path, error: nkeys::error::Error) -> SetupError {
    let remedy = "It cannot be made again: put the file back from a backup, or remove it, type `watchkeeper-gateway \
                  nats setup`, and set every secret of a receiver anew";
    SetupError::Corrupt { path: path.to_owned(), remedy, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_other_half_opens_it_at_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        ensure(&file("a.xk"), &file("a.pub")).unwrap();
        assert_eq!(ensure(&file("a.xk"), &file("a.pub")).unwrap(), [Outcome::Kept; 2]);
        ensure(&file("b.xk"), &file("b.pub")).unwrap();
        let secret = ChannelSecret::Bot { token: "1:x".to_owned() };
        let sealed = SealingKey::read(&file("a.pub")).unwrap().seal("bot.default", &secret).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("1:x"));
        let (own, other) =
            (OpeningKey::read(&file("a.xk")).unwrap(), OpeningKey::read(&file("b.xk")).unwrap());
        assert_eq!(own.open("bot.default", &sealed).unwrap(), secret);
        assert_eq!(own.open("bot.other", &sealed).unwrap_err(), SealError::Open);
        assert_eq!(other.open("bot.default", &sealed).unwrap_err(), SealError::Open);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            if let Ok(opened) = own.open("bot.default", &changed) {
                // The version is not sealed, and says nothing yet.
                assert_eq!(opened, secret, "byte {index}");
            }
        }
        assert!(SealingKey::read(&file("none")).unwrap_err().to_string().contains("nats setup"));
    }
}
