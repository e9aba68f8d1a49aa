//! Hosts as people configure them: made, enrolled, changed, removed. Facts go to JOURNAL, tokens to SESSIONS.
//!
//! Read `form.rs` (what may be said), `enrolment.rs` (how an agent gets its credential), `activation.rs` (how it keeps
//! it).

pub mod activation;
pub mod enrolment;
pub mod form;

use crate::app::App;
use crate::fleet::watch::now;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::{Change, Identity};
use axum::http::StatusCode;
use enrolment::{TOKEN_LIFE_MS, Token};
use form::Form;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::journal::{Enrolment, Fact, Host};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// Hosts of a team at most.
const HOSTS_MAX: usize = 10_000;
/// Tries to find an id that nobody takes meanwhile.
const TRIES_MAX: u32 = 8;

/// A host with its place in the journal.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Which.
    pub id: HostId,
    /// As configured.
    pub host: Host,
    /// What an edit must name.
    pub revision: u64,
}

/// The refusal for a host that is not there, or not yours: both read the same.
#[must_use]
pub fn no_such_host() -> Problem {
    Problem::not_found("no such host: /api/v1/hosts lists those there are")
}

/// What of a host belongs to nobody else: its team and who changes it.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Facts and tokens.
    pub identity: &'a Identity,
    /// Whose hosts.
    pub team: &'a TeamId,
    /// Who changes them.
    pub author: &'a str,
}

impl<'a> Desk<'a> {
    /// That of whoever asks.
    #[must_use]
    pub fn of(app: &'a App, principal: &'a Principal) -> Self {
        Self { identity: &app.identity, team: &principal.team, author: principal.user.as_str() }
    }

    /// A host as it is configured now.
    ///
    /// # Errors
    /// 404 where it is not.
    pub fn host(&self, id: &HostId) -> Result<Placed, Problem> {
        let registry = self.identity.registry()?;
        let recorded = registry.team(self.team).and_then(|team| team.hosts.recorded(id));
        let recorded = recorded.ok_or_else(no_such_host)?;
        let host = recorded.value.clone().ok_or_else(no_such_host)?;
        Ok(Placed { id: id.clone(), host, revision: recorded.revision })
    }

    /// A host as it is configured now, if that is what the editor saw.
    ///
    /// # Errors
    /// 404 where it is not, 409 where it was changed meanwhile.
    pub fn host_at(&self, id: &HostId, revision: u64) -> Result<Placed, Problem> {
        let placed = self.host(id)?;
        if placed.revision == revision { Ok(placed) } else { Err(Problem::conflict(placed.revision)) }
    }

    /// Makes a host whose agent is to come, and the token for it. Without an id it gets one after its name.
    ///
    /// # Errors
    /// 409 where the id is taken or there are too many hosts, 503 where NATS does not answer.
    pub async fn make(
        &self,
        form: Form,
        id: Option<HostId>,
        is_taken: impl Fn(&HostId) -> bool,
    ) -> Result<(Placed, Token), Problem> {
        for _ in 0..TRIES_MAX {
            let registry = self.identity.registry()?;
            let team = registry.team(self.team).ok_or_else(|| Problem::not_found("no such team"))?;
            if team.hosts.iter().count() >= HOSTS_MAX {
                let detail = format!("a team has at most {HOSTS_MAX} hosts");
                return Err(Problem::new(StatusCode::CONFLICT, detail));
            }
            let is_used = |id: &HostId| team.hosts.get(id).is_some() || is_taken(id);
            let Some(chosen) = id.clone().or_else(|| form::id_after(&form.name, is_used)) else { break };
            if team.hosts.get(&chosen).is_some() {
                return Err(Problem::conflict(team.hosts.revision(&chosen)));
            }
            let until = UnixMs(now().0 + TOKEN_LIFE_MS);
            let host = form.clone().into_host(false, Enrolment::Waiting { until: Some(until) });
            let expected = team.hosts.revision(&chosen);
            match self.record(&chosen, Some(host.clone()), expected, "made").await {
                Ok(revision) => {
                    let token = enrolment::make_token(self, &chosen, until).await?;
                    return Ok((Placed { id: chosen, host, revision }, token));
                }
                Err(problem) if problem.status() == StatusCode::CONFLICT && id.is_none() => {}
                Err(problem) => return Err(problem),
            }
        }
        Err(Problem::new(StatusCode::CONFLICT, "others take the same ids all the time: say one"))
    }

    /// Changes what is configured; how far the agent has come stays.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn change(&self, before: &Placed, form: Form, paused: bool) -> Result<Placed, Problem> {
        let host = form.into_host(paused, before.host.enrolment.clone());
        let revision = self.record(&before.id, Some(host.clone()), before.revision, "changed").await?;
        Ok(Placed { id: before.id.clone(), host, revision })
    }

    /// Makes a new token; an agent that was there before is cut off, and so is whoever has an older token.
    ///
    /// # Errors
    /// 409 where the host was changed meanwhile, 503 where NATS does not answer.
    pub async fn enrol_anew(&self, before: &Placed) -> Result<(Placed, Token), Problem> {
        // Each token ends at another moment: that tells it from those before.
        let earlier = match before.host.enrolment {
            Enrolment::Waiting { until: Some(until) } => until.0 + 1,
            Enrolment::Waiting { until: None } | Enrolment::Activating { .. } | Enrolment::Active { .. } => 0,
        };
        let until = UnixMs((now().0 + TOKEN_LIFE_MS).max(earlier));
        let host = Host { enrolment: Enrolment::Waiting { until: Some(until) }, ..before.host.clone() };
        let revision = self.record(&before.id, Some(host.clone()), before.revision, "enrolment anew").await?;
        let token = enrolment::make_token(self, &before.id, until).await?;
        Ok((Placed { id: before.id.clone(), host, revision }, token))
    }

    /// Removes a host; its agent is cut off.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn remove(&self, before: &Placed) -> Result<(), Problem> {
        self.record(&before.id, None, before.revision, "removed").await.map(|_| ())
    }

    async fn record(
        &self,
        id: &HostId,
        value: Option<Host>,
        expected: u64,
        cause: &str,
    ) -> Result<u64, Problem> {
        let (scope, fact) = (JournalScope::Team(self.team.clone()), Fact::Host { id: id.clone(), value });
        self.identity.record(Change { author: self.author, cause, scope, fact, expected }).await
    }
}
