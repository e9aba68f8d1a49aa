//! How an agent gets its credential: a token is exchanged once, and what was given is renewed by the key.
//!
//! The agent makes its key; only the public half comes here. The token leads to a host through its hash, and is good
//! while the host still waits until that very moment: a newer token, an enrolled agent or a deletion ends it.

use crate::fleet::watch::now;
use crate::hosting::Desk;
use crate::http::problem::{FieldError, Problem};
use crate::identity::secret::{Secret, hash};
use crate::identity::sessions::no_randomness;
use crate::identity::vault::{Bucket, Kept, VaultError};
use crate::identity::{Change, Identity};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::error::Error;
use watchkeeper_nats::{AgentCredential, Layout, SetupError, UserKey, read_agent, sign_agent};
use watchkeeper_schemas::ids::{HostId, PublicKey, TeamId};
use watchkeeper_schemas::journal::{Credential, Enrolment, Fact, Host};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Registry, TeamFacts};
use watchkeeper_schemas::subjects::JournalScope;

/// How long a token is good, in milliseconds.
pub const TOKEN_LIFE_MS: u64 = 5 * 60 * 1000;
/// How long an agent may take until its first valid sample, in milliseconds.
pub const ACTIVATION_MS: u64 = 5 * 60 * 1000;
/// How long a credential is good, in milliseconds; the agent renews it at half of that.
pub const CREDENTIAL_LIFE_MS: u64 = 30 * 24 * 3600 * 1000;
/// A credential that is younger than this is given again as it is: whoever asks all the time fills no journal.
const RENEWED_MS: u64 = 3600 * 1000;
/// How far the clock of an agent that renews may be off, in milliseconds.
pub const CLOCK_MS_MAX: u64 = 60 * 1000;
/// Tries to record an enrolment while others edit the host.
const TRIES_MAX: u32 = 5;
/// When an agent whose team has no account on the NATS server yet should come again, in seconds.
const ACCOUNT_RETRY_S: u32 = 2;
/// What an agent signs to renew, before its key and the time.
const RENEWAL: &str = "watchkeeper-renew";

/// A token, to be shown once.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// When it ends.
    pub until: UnixMs,
}

/// Where a token leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lead {
    team: TeamId,
    host: HostId,
    until: UnixMs,
}

/// An agent's new credential.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The host's team.
    pub team: TeamId,
    /// The host.
    pub id: HostId,
    /// The host before.
    pub before: Host,
    /// The host as it is now.
    pub host: Host,
    /// The agent's JWT.
    pub jwt: String,
    /// When it ends.
    pub expires: UnixMs,
}

/// A renewed credential.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// Whose it is.
    pub credential: AgentCredential,
    /// The host as it is now.
    pub host: Host,
    /// The agent's new JWT.
    pub jwt: String,
    /// When it ends.
    pub expires: UnixMs,
    /// Whether it was recorded as new.
    pub is_new: bool,
}

fn key_of(token: &str) -> String {
    format!("enrol.{}", hash(token))
}

/// The one refusal of a token, whatever is wrong with it.
fn not_good() -> Problem {
    let detail = "the enrolment token is unknown, was used, or has ended: make another one for the host";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// The one refusal of a credential that can never be renewed.
fn cut_off() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this credential was taken back: enrol the host anew")
}

/// Makes the token for a host that waits until `until`.
pub(crate) async fn make_token(desk: &Desk<'_>, host: &HostId, until: UnixMs) -> Result<Token, Problem> {
    let secret = Secret::new().map_err(no_randomness)?;
    let lead = Lead { team: desk.team.clone(), host: host.clone(), until };
    desk.identity.vault.put(Bucket::Sessions, &key_of(secret.text()), &lead, 0).await?;
    Ok(Token { secret, until })
}

/// The team and the host that wait for the holder of this token, if they still do.
fn waiting<'a>(registry: &'a Registry, lead: &Lead, now: UnixMs) -> Option<(&'a TeamFacts, &'a Host)> {
    let team = registry.team(&lead.team)?;
    let host = team.hosts.get(&lead.host)?;
    let waits = host.enrolment == Enrolment::Waiting { until: Some(lead.until) } && now <= lead.until;
    waits.then_some((team, host))
}

/// Whether a key was ever anybody's.
fn is_used(registry: &Registry, key: &PublicKey) -> bool {
    registry.all_teams().any(|(_, team)| team.credentials.recorded(key).is_some())
}

impl Identity {
    /// Exchanges a token for a credential of this key: of several who try, exactly one succeeds.
    ///
    /// # Errors
    /// 401 for a token that is not good, 400 for a key that was somebody's, 503 where NATS does not answer.
    pub async fn enrol(&self, token: &str, key: &UserKey) -> Result<Enrolled, Problem> {
        let now = now();
        let slot = key_of(token);
        let kept: Option<Kept> = self.vault.get(Bucket::Sessions, &slot);
        let registry = self.registry()?;
        let (lead, revision) =
            kept.and_then(|kept| Some((kept.read::<Lead>()?, kept.revision))).ok_or_else(not_good)?;
        waiting(&registry, &lead, now).ok_or_else(not_good)?;
        if is_used(&registry, key.id()) {
            let expected = "a key that was never used: make a new one";
            return Err(Problem::fields(vec![FieldError::new("public_key", expected, key.id().as_str())]));
        }
        let expires = UnixMs(now.0 + CREDENTIAL_LIFE_MS);
        // Signed before the token is gone, as it may turn out that it cannot be signed.
        let jwt = self.sign(&lead.team, &lead.host, key, expires).await?;
        match self.vault.take(Bucket::Sessions, &slot, revision).await {
            Ok(()) => {}
            Err(VaultError::Conflict) => return Err(not_good()),
            Err(error) => return Err(error.into()),
        }
        let (before, host) = self.begin_activation(&lead, key.id(), now).await?;
        let credential = Credential::Agent { host: lead.host.clone(), expires };
        self.record_credential(&lead.team, key.id(), credential, 0, "enrolled").await?;
        Ok(Enrolled { team: lead.team, id: lead.host, before, host, jwt, expires })
    }

    /// Names the key in the host, which edits of its name must not keep it from.
    async fn begin_activation(
        &self,
        lead: &Lead,
        key: &PublicKey,
        now: UnixMs,
    ) -> Result<(Host, Host), Problem> {
        let mut refused = not_good();
        for _ in 0..TRIES_MAX {
            let registry = self.registry()?;
            let (team, before) = waiting(&registry, lead, now).ok_or_else(not_good)?;
            let enrolment = Enrolment::Activating { key: key.clone(), until: UnixMs(now.0 + ACTIVATION_MS) };
            let host = Host { enrolment, ..before.clone() };
            let change = Change {
                author: "agent",
                cause: "enrolled",
                scope: JournalScope::Team(lead.team.clone()),
                fact: Fact::Host { id: lead.host.clone(), value: Some(host.clone()) },
                expected: team.hosts.revision(&lead.host),
            };
            match self.record(change).await {
                Ok(_) => return Ok((before.clone(), host)),
                Err(problem) if problem.status() == StatusCode::CONFLICT => refused = problem,
                Err(problem) => return Err(problem),
            }
        }
        Err(refused)
    }

    async fn record_credential(
        &self,
        team: &TeamId,
        key: &PublicKey,
        credential: Credential,
        expected: u64,
        cause: &str,
    ) -> Result<u64, Problem> {
        let scope = JournalScope::Team(team.clone());
        let fact = Fact::Credential { id: key.clone(), value: Some(credential) };
        self.record(Change { author: "agent", cause, scope, fact, expected }).await
    }

    /// Gives a newer credential to whoever holds the key of one that is still good. One that has run out is renewed,
    /// too: the key is the proof, and a machine may sleep for long.
    ///
    /// # Errors
    /// 401 for one that was taken back or never was ours, 400 for a clock that is off, 503 where NATS does not answer.
    pub async fn renew(
        &self,
        jwt: String,
        key: &UserKey,
        time: UnixMs,
        signature: &str,
    ) -> Result<Renewed, Problem> {
        let now = now();
        if now.0.abs_diff(time.0) > CLOCK_MS_MAX {
            let expected = "the time now, within a minute: set the clock";
            return Err(Problem::fields(vec![FieldError::new("time", expected, &time.0.to_string())]));
        }
        let signed = format!("{RENEWAL}\n{}\n{}", key.id(), time.0);
        if !key.signed(signed.as_bytes(), signature) {
            return Err(cut_off());
        }
        let layout = Layout::new(&self.settings.nats_dir);
        let read = blocking(move || read_agent(&layout, &jwt)).await?;
        let credential = read.filter(|credential| credential.key == *key.id()).ok_or_else(cut_off)?;
        let registry = self.registry()?;
        let team =
            registry.team(&credential.team).filter(|team| team.is_current(key.id())).ok_or_else(cut_off)?;
        let (recorded, revision) = (team.credentials.get(key.id()), team.credentials.revision(key.id()));
        let newest = match recorded {
            Some(Credential::Agent { host, expires }) if *host == credential.host => *expires,
            Some(Credential::Agent { .. } | Credential::Reader { .. }) | None => return Err(cut_off()),
        };
        let watched = team.hosts.get(&credential.host).cloned().ok_or_else(cut_off)?;
        let is_new = newest.0 + RENEWED_MS < now.0 + CREDENTIAL_LIFE_MS;
        let expires = if is_new { UnixMs(now.0 + CREDENTIAL_LIFE_MS) } else { newest };
        let jwt = self.sign(&credential.team, &credential.host, key, expires).await?;
        if is_new {
            let recorded = Credential::Agent { host: credential.host.clone(), expires };
            self.record_credential(&credential.team, key.id(), recorded, revision, "renewed").await?;
        }
        Ok(Renewed { credential, host: watched, jwt, expires, is_new })
    }

    async fn sign(
        &self,
        team: &TeamId,
        host: &HostId,
        key: &UserKey,
        expires: UnixMs,
    ) -> Result<String, Problem> {
        let layout = Layout::new(&self.settings.nats_dir);
        let (team, host, id) = (team.clone(), host.clone(), key.id().clone());
        blocking(move || match UserKey::read(&id) {
            Some(key) => sign_agent(&layout, &team, &host, &key, expires.0.div_ceil(1000)).map(Some),
            None => Ok(None),
        })
        .await?
        .ok_or_else(cut_off)
    }
}

/// Reads key files away from those who must not wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SetupError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            let detail =
                "the team's keys cannot be read: a new team has them within a second, once a processor runs";
            let told = &error as &dyn Error;
            match &error {
                SetupError::Missing { .. } => {
                    tracing::warn!(error = told, "a credential cannot be signed yet")
                }
                SetupError::Io { .. }
                | SetupError::Exposed { .. }
                | SetupError::Corrupt { .. }
                | SetupError::Plain { .. } => {
                    tracing::error!(error = told, "a credential cannot be signed");
                }
            }
            Err(Problem::unavailable(detail, ACCOUNT_RETRY_S))
        }
        Err(error) => {
            tracing::error!(%error, "signing a credential failed");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the credential cannot be signed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::status::Stage;
    use crate::hosting::form::Form;
    use crate::identity::tests::Alone;
    use watchkeeper_schemas::journal::Team;

    #[tokio::test]
    async fn a_token_that_ran_out_leads_nowhere_and_its_host_waits_on() {
        let alone = Alone::new().await;
        let until = UnixMs(1_000_000 + TOKEN_LIFE_MS);
        let (team, host): (TeamId, HostId) = ("ours".parse().unwrap(), "web-1".parse().unwrap());
        let enrolment = Enrolment::Waiting { until: Some(until) };
        let scope = JournalScope::Team(team.clone());
        alone.say(vec![
            (scope.clone(), Fact::Team { id: team.clone(), value: Some(Team { name: "Ours".to_owned() }) }),
            (
                scope,
                Fact::Host {
                    id: host.clone(),
                    value: Some(Form::named("Web 1".to_owned()).into_host(false, enrolment.clone())),
                },
            ),
        ]);
        let registry = alone.identity.registry().unwrap();
        let lead = Lead { team: team.clone(), host: host.clone(), until };
        assert!(waiting(&registry, &lead, until).is_some(), "its last moment");
        assert!(waiting(&registry, &lead, UnixMs(until.0 + 1)).is_none(), "a token of yesterday was taken");
        assert_eq!(
            Stage::of(&registry.team(&team).unwrap().hosts.get(&host).unwrap().enrolment),
            Stage::Waiting
        );
        let newer = Lead { until: UnixMs(until.0 + 1), ..lead.clone() };
        assert!(waiting(&registry, &newer, until).is_none(), "a token of another time was taken");
        let elsewhere = Lead { team: "theirs".parse().unwrap(), ..lead };
        assert!(waiting(&registry, &elsewhere, until).is_none(), "a token of another team was taken");
    }
}
