//! From a token to whoever shows it, and from them to a team: from memory alone, for every request.

use crate::fleet::watch::now;
use crate::http::principal::{Caller, Principal, Via};
use crate::http::problem::Problem;
use crate::identity::Identity;
use crate::identity::families::Family;
use crate::identity::secret::{hash, same};
use crate::identity::vault::Bucket;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use tokio::sync::watch;
use watchkeeper_schemas::ids::{TeamId, TokenId, UserId};
use watchkeeper_schemas::journal::Scope;
use watchkeeper_schemas::quantity::UnixMs;

/// What a personal token begins with, so that a leaked one is found by its look.
pub const TOKEN_PREFIX: &str = "wkt_";

/// What is kept of a personal token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSecret {
    /// The hash of its secret half.
    pub hash: String,
}

/// The key of a session in SESSIONS.
#[must_use]
pub fn family_key(user: &UserId, sid: &str) -> String {
    format!("family.{user}.{sid}")
}

/// The key of a personal token in SECRETS.
#[must_use]
pub fn token_key(id: &TokenId) -> String {
    format!("token.{id}")
}

/// Why an open stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The session or the token is gone.
    SignedOut,
    /// They may do less or more in the team than when it began, or nothing at all.
    RoleChanged,
}

impl End {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::RoleChanged => "role_changed",
        }
    }
}

/// Rings when somebody may do more or less than before.
#[derive(Debug, Clone)]
pub struct Bell {
    rights: watch::Receiver<u64>,
    ended: watch::Receiver<u64>,
}

impl Bell {
    /// Whether it has rung since it was hushed.
    #[must_use]
    pub fn rang(&self) -> bool {
        self.rights.has_changed().unwrap_or(false) || self.ended.has_changed().unwrap_or(false)
    }

    /// What rang until now was heard.
    pub fn hush(&mut self) {
        self.rights.mark_unchanged();
        self.ended.mark_unchanged();
    }

    /// Returns when it rings; never again once the gateway ends.
    pub async fn rung(&mut self) {
        let rung = tokio::select! {
            rung = self.rights.changed() => rung,
            rung = self.ended.changed() => rung,
        };
        if rung.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Identity {
    /// Whoever shows this as a bearer token: an access token or a personal one.
    ///
    /// # Errors
    /// 401 for whatever reason.
    pub fn bearer(&self, token: &str, address: IpAddr) -> Result<Caller, Problem> {
        match token.strip_prefix(TOKEN_PREFIX) {
            Some(personal) => self.personal(personal, address),
            None => self.session(token, address),
        }
    }

    /// Whoever shows this access token.
    ///
    /// # Errors
    /// 401 for whatever reason.
    pub fn session(&self, token: &str, address: IpAddr) -> Result<Caller, Problem> {
        let now = now();
        let bearer = self.tokens.verify(token, now).map_err(|_| Problem::unauthorized())?;
        let known = self.known()?;
        let user = known.registry.users.get(&bearer.user).filter(|user| !user.disabled);
        if user.is_none() || !self.lives(&bearer.user, &bearer.sid, now) {
            return Err(Problem::unauthorized());
        }
        let expires = bearer.expires();
        let (user, via) = (bearer.user, Via::Session(bearer.sid));
        Ok(Caller { user, via, scope: Scope::Write, only: None, expires, address })
    }

    fn lives(&self, user: &UserId, sid: &str, now: UnixMs) -> bool {
        let family: Option<Family> =
            self.vault.get(Bucket::Sessions, &family_key(user, sid)).and_then(|it| it.read());
        family.is_some_and(|family| family.user == *user && family.ends() >= now)
    }

    fn personal(&self, token: &str, address: IpAddr) -> Result<Caller, Problem> {
        let known = self.known()?;
        let (id, secret) = token.split_once('_').ok_or_else(Problem::unauthorized)?;
        let id: TokenId = id.parse().map_err(|_| Problem::unauthorized())?;
        let kept: Option<TokenSecret> =
            self.vault.get(Bucket::Secrets, &token_key(&id)).and_then(|it| it.read());
        let right = kept.is_some_and(|kept| same(&kept.hash, &hash(secret)));
        let fact = known.registry.tokens.get(&id).filter(|it| right && it.expires > now());
        let fact = fact.ok_or_else(Problem::unauthorized)?;
        if known.registry.users.get(&fact.user).is_none_or(|user| user.disabled) {
            return Err(Problem::unauthorized());
        }
        let (user, only) = (fact.user.clone(), fact.team.clone());
        Ok(Caller { user, via: Via::Token(id), scope: fact.scope, only, expires: fact.expires, address })
    }

    /// A caller in a team: the one that is asked for, or their first by name.
    ///
    /// # Errors
    /// 404 for a team that they do not belong to, which reads like one that is not there.
    pub fn of_team(&self, caller: Caller, asked: Option<&str>) -> Result<Principal, Problem> {
        let known = self.known()?;
        let team: Option<TeamId> = match asked {
            Some(asked) => asked.parse().ok(),
            None => caller.only.clone().or_else(|| known.teams_of(&caller.user).first().cloned()),
        };
        let team = team.filter(|team| caller.only.as_ref().is_none_or(|only| only == team));
        let role = team.as_ref().and_then(|team| known.registry.role(&caller.user, team));
        let (team, role) =
            team.zip(role).ok_or_else(|| Problem::not_found("no such team: /api/v1/me lists yours"))?;
        let Caller { user, via, scope, address, only: _, expires: _ } = caller;
        Ok(Principal { user, via, scope, team, role, address })
    }

    /// Rings whenever [`Self::still`] may have changed its mind.
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell { rights: self.rights.clone(), ended: self.vault.ended() }
    }

    /// Whether a principal still is who they were.
    ///
    /// # Errors
    /// Why not.
    pub fn still(&self, principal: &Principal) -> Result<(), End> {
        let Ok(known) = self.known() else { return Ok(()) };
        let now = now();
        let signed_in = match &principal.via {
            Via::Session(sid) => self.lives(&principal.user, sid, now),
            Via::Token(id) => known.registry.tokens.get(id).is_some_and(|token| token.expires > now),
        };
        let user = known.registry.users.get(&principal.user).filter(|user| !user.disabled);
        if !signed_in || user.is_none() {
            return Err(End::SignedOut);
        }
        if known.registry.role(&principal.user, &principal.team) == Some(principal.role) {
            return Ok(());
        }
        Err(End::RoleChanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::Alone;
    use watchkeeper_schemas::journal::{Fact, Member, Role, Team, Token, User};
    use watchkeeper_schemas::subjects::JournalScope;

    /// One user in one team, with a token that ends then.
    fn facts(expires: UnixMs) -> Vec<(JournalScope, Fact)> {
        let (ours, ci): (TeamId, TokenId) = ("ours".parse().unwrap(), "ci".parse().unwrap());
        let user: UserId = "olga".parse().unwrap();
        let team = JournalScope::Team(ours.clone());
        let token = Token { user: user.clone(), name: "ci".into(), scope: Scope::Read, team: None, expires };
        let person = User { display_name: "Olga".into(), disabled: false };
        vec![
            (team.clone(), Fact::Team { id: ours, value: Some(Team { name: "Ours".into() }) }),
            (JournalScope::Everyone, Fact::User { id: user.clone(), value: Some(person) }),
            (team, Fact::Member { id: user, value: Some(Member { role: Role::Viewer }) }),
            (JournalScope::Everyone, Fact::Token { id: ci, value: Some(token) }),
        ]
    }

    #[tokio::test]
    async fn a_personal_token_ends_by_itself_and_so_does_what_was_opened_with_it() {
        let (alone, address) = (Alone::new().await, IpAddr::from([127, 0, 0, 1]));
        let shown = alone.token("ci");
        let later = UnixMs(now().0 + 60_000);
        alone.say(facts(later));
        let caller = alone.identity.bearer(&shown, address).unwrap();
        assert_eq!(caller.expires, later);
        let principal = alone.identity.of_team(caller, None).unwrap();
        assert_eq!(alone.identity.still(&principal), Ok(()));

        alone.say(facts(UnixMs(now().0)));
        let problem = alone.identity.bearer(&shown, address).unwrap_err();
        assert_eq!(problem.status(), axum::http::StatusCode::UNAUTHORIZED);
        assert_eq!(alone.identity.still(&principal), Err(End::SignedOut));
    }
}
