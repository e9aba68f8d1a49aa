//! How a session begins, goes on and ends: families of refresh tokens in SESSIONS, access tokens for ten minutes.

use crate::http::problem::Problem;
use crate::identity::authorize::family_key;
use crate::identity::families::{Family, Seen, Turn};
use crate::identity::secret::{NoRandomness, Secret, hash, unguessable_id};
use crate::identity::vault::{Bucket, VaultError};
use crate::identity::{AWAY_RETRY_S, Identity};
use axum::http::StatusCode;
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::quantity::UnixMs;

/// What a refresh token begins with, so that a leaked one is found by its look.
const REFRESH_PREFIX: &str = "wkr_";
/// Longest refresh token that is looked at.
const REFRESH_BYTES_MAX: usize = 200;
/// Sessions of one user; the one that was silent longest ends for another.
const SESSIONS_MAX: usize = 50;
/// How often a change of a family is tried again after somebody else was faster.
const TRIES_MAX: usize = 5;

/// What a client gets.
#[derive(Debug)]
pub struct Granted {
    /// Whose session it is.
    pub user: UserId,
    /// Its id.
    pub sid: String,
    /// For every request.
    pub access: String,
    /// When that ends.
    pub access_expires: UnixMs,
    /// For the next access token; none where the one that was shown stays good.
    pub refresh: Option<String>,
}

/// What came of showing a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// The session goes on.
    Granted(Granted),
    /// The token was used before: whoever has the other one is a thief, or this is one. The session has ended.
    Reused(UserId),
}

/// A refresh token taken apart.
struct Shown {
    user: UserId,
    sid: String,
    hash: String,
}

fn read_refresh(token: &str) -> Option<Shown> {
    let bounded = Some(token).filter(|token| token.len() <= REFRESH_BYTES_MAX)?;
    let mut parts = bounded.strip_prefix(REFRESH_PREFIX)?.splitn(3, '.');
    let (user, sid, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = sid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    Some(Shown { user: user.parse().ok()?, sid: sid.to_owned(), hash: hash(secret) })
        .filter(|_| is_id && !sid.is_empty())
}

fn write_refresh(user: &UserId, sid: &str, secret: &Secret) -> String {
    format!("{REFRESH_PREFIX}{user}.{sid}.{}", secret.text())
}

impl Identity {
    /// Begins a session of a user who has shown who they are.
    ///
    /// # Errors
    /// 503 where NATS does not answer.
    pub async fn begin(&self, user: &UserId, seen: Seen<'_>) -> Result<Granted, Problem> {
        let mut sessions = self.sessions(user);
        if sessions.len() >= SESSIONS_MAX {
            sessions.sort_by_key(|(_, family)| family.used);
            for (sid, _) in sessions.iter().take(sessions.len() + 1 - SESSIONS_MAX) {
                self.end(user, sid).await?;
            }
        }
        let secret = Secret::new().map_err(no_randomness)?;
        let sid = unguessable_id().map_err(no_randomness)?;
        let family = Family::begin(user.clone(), secret.hash(), seen);
        self.vault.put(Bucket::Sessions, &family_key(user, &sid), &family, 0).await?;
        self.grant(&family, sid.clone(), Some(write_refresh(user, &sid, &secret)), seen.now)
    }

    /// Goes on with a session.
    ///
    /// # Errors
    /// 401 for a token that is not good, 503 where NATS does not answer.
    pub async fn refresh(&self, token: &str, seen: Seen<'_>) -> Result<Refreshed, Problem> {
        let known = self.known()?;
        let shown = read_refresh(token).ok_or_else(Problem::unauthorized)?;
        let key = family_key(&shown.user, &shown.sid);
        for _ in 0..TRIES_MAX {
            let kept = self.vault.get(Bucket::Sessions, &key).ok_or_else(Problem::unauthorized)?;
            let family: Family = kept.read().ok_or_else(Problem::unauthorized)?;
            let user = known.registry.users.get(&family.user).filter(|user| !user.disabled);
            if user.is_none() || family.user != shown.user {
                return Err(Problem::unauthorized());
            }
            let secret = Secret::new().map_err(no_randomness)?;
            match family.turn(&shown.hash, secret.hash(), seen) {
                Turn::Next(next) => {
                    match self.vault.put(Bucket::Sessions, &key, &next, kept.revision).await {
                        Ok(_) => {
                            let refresh = write_refresh(&shown.user, &shown.sid, &secret);
                            return self
                                .grant(&next, shown.sid, Some(refresh), seen.now)
                                .map(Refreshed::Granted);
                        }
                        // The other tab was faster: its family is looked at, in which this token is the one before.
                        Err(VaultError::Conflict) => {
                            self.vault.newer(Bucket::Sessions, &key, kept.revision).await;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Turn::AccessOnly => {
                    return self.grant(&family, shown.sid, None, seen.now).map(Refreshed::Granted);
                }
                Turn::Reused => {
                    self.end(&shown.user, &shown.sid).await?;
                    return Ok(Refreshed::Reused(shown.user));
                }
                Turn::Over => return Err(Problem::unauthorized()),
            }
        }
        Err(Problem::unavailable("the session changes too quickly", AWAY_RETRY_S))
    }

    fn grant(
        &self,
        family: &Family,
        sid: String,
        refresh: Option<String>,
        now: UnixMs,
    ) -> Result<Granted, Problem> {
        let (access, access_expires) = self.tokens.sign(family, &sid, now).map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "an access token cannot be signed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be signed")
        })?;
        Ok(Granted { user: family.user.clone(), sid, access, access_expires, refresh })
    }

    /// The session that a refresh token belongs to, if it is one of the two newest.
    #[must_use]
    pub fn session_of(&self, token: &str, now: UnixMs) -> Option<(UserId, String)> {
        let shown = read_refresh(token)?;
        let kept = self.vault.get(Bucket::Sessions, &family_key(&shown.user, &shown.sid))?;
        let family: Family = kept.read()?;
        family.knows(&shown.hash, now).then_some((shown.user, shown.sid))
    }

    /// Every session of a user, with its id.
    #[must_use]
    pub fn sessions(&self, user: &UserId) -> Vec<(String, Family)> {
        let found = self.vault.below(Bucket::Sessions, &family_key(user, ""));
        found.into_iter().filter_map(|(sid, kept)| Some((sid, kept.read()?))).collect()
    }

    /// Ends a session; whether it was there.
    ///
    /// # Errors
    /// 503 where NATS does not answer: then it lives on.
    pub async fn end(&self, user: &UserId, sid: &str) -> Result<bool, Problem> {
        let key = family_key(user, sid);
        for _ in 0..TRIES_MAX {
            let Some(kept) = self.vault.get(Bucket::Sessions, &key) else { return Ok(false) };
            match self.vault.take(Bucket::Sessions, &key, kept.revision).await {
                Ok(()) => return Ok(true),
                Err(VaultError::Conflict) => {
                    self.vault.newer(Bucket::Sessions, &key, kept.revision).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable("the session changes too quickly", AWAY_RETRY_S))
    }

    /// Ends every session of a user but one; how many there were.
    ///
    /// # Errors
    /// 503 where NATS does not answer: then some live on.
    pub async fn end_all_but(&self, user: &UserId, kept: Option<&str>) -> Result<usize, Problem> {
        let mut ended = 0;
        for (sid, _) in self.sessions(user) {
            if Some(sid.as_str()) != kept && self.end(user, &sid).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }
}

pub(crate) fn no_randomness(error: NoRandomness) -> Problem {
    tracing::error!(%error, "no secret can be made");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no secret can be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_reads_back_and_nothing_else_does() {
        let (user, secret) = ("olga".parse().unwrap(), Secret::new().unwrap());
        let token = write_refresh(&user, "s-1_x", &secret);
        let shown = read_refresh(&token).unwrap();
        assert_eq!((shown.user, shown.sid.as_str(), shown.hash), (user, "s-1_x", secret.hash()));
        let long = format!("wkr_olga.s.{}", "x".repeat(REFRESH_BYTES_MAX));
        for bad in [
            "",
            "wkr_",
            "wkr_olga",
            "wkr_olga.s",
            "wkr_olga..x",
            "wkr_OLGA.s.x",
            "wkr_olga.*.x",
            "wkr_olga.>.x",
            &long,
        ] {
            assert!(read_refresh(bad).is_none(), "{bad}");
        }
    }
}
