//! Access tokens: JWTs that live ten minutes, signed with Ed25519 and nothing else.
//!
//! The key is chosen by `kid` from our own file; `jku`, `jwk`, `x5u` and `x5c` are never looked at. A token that was
//! verified is known again by its hash, so that a request costs a look-up and not a signature.

use crate::identity::families::Family;
use crate::identity::keys::{self, SigningKey};
use anyhow::Result;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::quantity::UnixMs;

/// How long a token is good.
pub const LIFE_S: u64 = 600;
/// How far clocks may differ.
const LEEWAY_S: u64 = 5;
/// Longest token that is looked at; ours have some 350 bytes.
const TOKEN_BYTES_MAX: usize = 1024;
/// Verified tokens that are known again.
const KNOWN_MAX: usize = 16_384;
/// Bytes of a user name and of a session's id at most.
const NAME_BYTES_MAX: usize = 64;
/// The file of keys is looked at again no more often.
const LOOK_MS: u64 = 1000;
const TYPE: &str = "at+jwt";
const ISSUER: &str = "watchkeeper";
const AUDIENCE: &str = "watchkeeper-api";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    exp: u64,
    iat: u64,
}

/// Whose token it is, for as long as it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The session's id.
    pub sid: String,
    /// The last moment, in seconds.
    expires_s: u64,
}

impl Bearer {
    /// When the token ends, as it says itself.
    #[must_use]
    pub fn expires(&self) -> UnixMs {
        UnixMs(self.expires_s.saturating_sub(LEEWAY_S) * 1000)
    }
}

/// The token is none of ours, or is not good any more: nobody is told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not good")]
pub struct NotGood;

/// Signs and verifies.
pub struct AccessTokens {
    folder: PathBuf,
    ring: RwLock<Arc<Ring>>,
    looked_ms: AtomicU64,
}

/// The keys of one state of the file, and what they verified.
struct Ring {
    keys: Vec<SigningKey>,
    changed: Option<SystemTime>,
    known: RwLock<HashMap<[u8; 32], Bearer>>,
}

impl Ring {
    fn open(folder: &Path) -> Result<Arc<Self>> {
        let changed = changed(folder);
        Ok(Arc::new(Self { keys: keys::open(folder)?, changed, known: RwLock::default() }))
    }
}

fn changed(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(keys::path(folder)).and_then(|it| it.modified()).ok()
}

impl AccessTokens {
    /// With the keys of the folder.
    ///
    /// # Errors
    /// When they cannot be made or read.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            ring: RwLock::new(Ring::open(folder)?),
            folder: folder.to_owned(),
            looked_ms: AtomicU64::new(0),
        })
    }

    /// A token for a session, and when it ends.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, family: &Family, sid: &str, now: UnixMs) -> Result<(String, UnixMs)> {
        let ring = self.ring(now);
        let newest = ring.keys.first().ok_or(NotGood)?;
        let iat = now.0 / 1000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: family.user.to_string(),
            sid: sid.to_owned(),
            exp: iat + LIFE_S,
            iat,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(newest.kid.clone());
        Ok((encode(&header, &claims, &newest.signs)?, UnixMs(claims.exp * 1000)))
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// When it is not good.
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<Bearer, NotGood> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(NotGood);
        }
        let ring = self.ring(now);
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = ring.known.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let bearer = match known {
            Some(bearer) => bearer,
            None => {
                let bearer = verified(&ring, token, now)?;
                remember(&ring, hash, bearer.clone(), now);
                bearer
            }
        };
        if now.0 / 1000 > bearer.expires_s { Err(NotGood) } else { Ok(bearer) }
    }

    /// The keys as the file has them now, or had them when it could be read last.
    fn ring(&self, now: UnixMs) -> Arc<Ring> {
        let ring = || Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner));
        let looked = self.looked_ms.load(Ordering::Relaxed);
        if now.0.abs_diff(looked) < LOOK_MS {
            return ring();
        }
        self.looked_ms.store(now.0, Ordering::Relaxed);
        if changed(&self.folder) == ring().changed {
            return ring();
        }
        match Ring::open(&self.folder) {
            Ok(newer) => *self.ring.write().unwrap_or_else(PoisonError::into_inner) = newer,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the keys of access tokens stay as they were")
            }
        }
        ring()
    }
}

fn verified(ring: &Ring, token: &str, now: UnixMs) -> Result<Bearer, NotGood> {
    let header = decode_header(token).map_err(|_| NotGood)?;
    let is_ours =
        header.alg == Algorithm::EdDSA && header.typ.as_deref() == Some(TYPE) && header.crit.is_none();
    let kid = header.kid.filter(|_| is_ours).ok_or(NotGood)?;
    let key = ring.keys.iter().find(|key| key.kid == kid).ok_or(NotGood)?;
    let mut wanted = Validation::new(Algorithm::EdDSA);
    wanted.leeway = LEEWAY_S;
    wanted.validate_nbf = true;
    wanted.set_audience(&[AUDIENCE]);
    wanted.set_issuer(&[ISSUER]);
    wanted.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims: Claims = decode(token, &key.verifies, &wanted).map_err(|_| NotGood)?.claims;
    let now_s = now.0 / 1000;
    let in_time =
        claims.iat <= now_s + LEEWAY_S && claims.exp >= claims.iat && claims.exp - claims.iat <= LIFE_S;
    let bounded = claims.sid.len() <= NAME_BYTES_MAX;
    let user = claims.sub.parse().ok().filter(|_| in_time && bounded).ok_or(NotGood)?;
    Ok(Bearer { user, sid: claims.sid, expires_s: claims.exp + LEEWAY_S })
}

fn remember(ring: &Ring, hash: [u8; 32], bearer: Bearer, now: UnixMs) {
    let mut known = ring.known.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KNOWN_MAX {
        known.retain(|_, bearer| bearer.expires_s >= now.0 / 1000);
    }
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.insert(hash, bearer);
}

#[cfg(test)]
mod tests;
