//! How agents come: a token for a credential, and a credential for a newer one. Open: token and key are the proof.

use crate::app::App;
use crate::audit::{By, shown};
use crate::fleet::watched::ConfigView;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Visitor;
use crate::http::problem::{FieldError, Problem};
use axum::Json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_nats::UserKey;
use watchkeeper_schemas::audit::{Action, Deed, Via};
use watchkeeper_schemas::ids::{HostId, PublicKey, Shard, TeamId};
use watchkeeper_schemas::journal::{Collector, Host};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// Characters of a token that are looked at.
const TOKEN_CHARS_MAX: usize = 128;
/// Characters of what a host tells of itself.
const FACT_CHARS_MAX: usize = 128;
/// Characters of a JWT.
const JWT_CHARS_MAX: usize = 4096;
/// Characters of a signature.
const SIGNATURE_CHARS_MAX: usize = 128;

/// An agent that wants its credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolling {
    /// The token that was shown for the host.
    #[schema(max_length = 128)]
    token: String,
    /// The public half of the key that the agent made.
    public_key: PublicKey,
    /// What the host is.
    facts: HostFacts,
}

/// What a host tells of itself when it comes; it stands in the audit.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// Its name for itself.
    #[schema(max_length = 128)]
    hostname: Option<String>,
    /// Its operating system.
    #[schema(max_length = 128)]
    os: Option<String>,
    /// Its processor architecture.
    #[schema(max_length = 128)]
    arch: Option<String>,
    /// The version of the agent.
    #[schema(max_length = 128)]
    agent_version: Option<String>,
}

impl Body for Enrolling {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "token", &self.token, TOKEN_CHARS_MAX);
        let facts = [
            ("facts.hostname", &self.facts.hostname),
            ("facts.os", &self.facts.os),
            ("facts.arch", &self.facts.arch),
            ("facts.agent_version", &self.facts.agent_version),
        ];
        for (field, fact) in facts {
            mistakes.text(field, fact.as_deref().unwrap_or_default().trim(), 0..=FACT_CHARS_MAX);
        }
    }
}

/// Notes a secret that is too long, without repeating it.
fn short(mistakes: &mut Mistakes, field: &str, text: &str, chars_max: usize) {
    if text.len() > chars_max {
        mistakes.note(field, format!("at most {chars_max} characters"), &text.len().to_string());
    }
}

/// What an agent starts with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Welcome {
    /// The host's team.
    team: TeamId,
    /// The host's id.
    host: HostId,
    /// Two digits of its subjects.
    #[schema(value_type = String, example = "07")]
    shard: Shard,
    /// The name that people gave it.
    name: String,
    /// Where its samples go.
    nats_url: String,
    /// Its credential, which belongs to its key.
    jwt: String,
    /// When the credential ends unless it is renewed.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    #[serde(flatten)]
    watch: Watching,
}

/// How an agent is to watch its host, as people have set it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Watching {
    /// Interval between samples, in milliseconds.
    interval_ms: u32,
    /// File systems to tell; empty: every real one.
    #[schema(value_type = Vec<String>)]
    mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    #[schema(value_type = Vec<Collector>)]
    without: BTreeSet<Collector>,
}

impl From<Host> for Watching {
    fn from(Host { interval_ms, mounts, without, .. }: Host) -> Self {
        Self { interval_ms, mounts, without }
    }
}

/// Exchanges an enrolment token for a credential of the key that the agent made. It is taken back unless a valid sample
/// comes within five minutes.
#[utoipa::path(
    post, path = "/api/v1/enrol", tag = "agents", operation_id = "enrol", request_body = Enrolling,
    responses(
        (status = 200, description = "The credential, and how to watch", body = Welcome),
        (status = 401, description = "The token is unknown, was used, or has ended", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The host was edited all the time", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be given now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn enrol(
    visitor: Visitor,
    app: Arc<App>,
    _: Nothing,
    body: Enrolling,
) -> Result<Json<Welcome>, Problem> {
    let key = read_key(&body.public_key)?;
    let enrolled = app.identity.enrol(&body.token, &key).await?;
    let by = By { actor: None, via: Via::Credential, from: Some(visitor.address) };
    let deed = Deed {
        before: shown(&ConfigView::new(&enrolled.before, None)),
        after: shown(
            &serde_json::json!({ "key": body.public_key, "facts": body.facts, "expires": enrolled.expires }),
        ),
        ..by.did(Action::Enrol, &enrolled.id)
    };
    app.audit.tell(JournalScope::Team(enrolled.team.clone()), deed).await;
    Ok(Json(Welcome {
        team: enrolled.team,
        shard: Shard::of(&enrolled.id),
        host: enrolled.id,
        name: enrolled.host.name.clone(),
        nats_url: app.identity.settings.nats_public_url.clone(),
        jwt: enrolled.jwt,
        expires: enrolled.expires,
        watch: enrolled.host.into(),
    }))
}

/// An agent that wants a newer credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewing {
    /// Its credential, be it run out.
    #[schema(max_length = 4096)]
    jwt: String,
    /// The public half of its key.
    public_key: PublicKey,
    /// Its time, in milliseconds since 1970.
    time: u64,
    /// Its key's signature over `watchkeeper-renew`, the public key and the time, a line each, as base64url without padding.
    #[schema(max_length = 128)]
    signature: String,
}

impl Body for Renewing {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "jwt", &self.jwt, JWT_CHARS_MAX);
        short(mistakes, "signature", &self.signature, SIGNATURE_CHARS_MAX);
    }
}

/// A newer credential, and how the host is to be watched from now on.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewerCredential {
    /// It.
    jwt: String,
    /// When it ends unless it is renewed.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    #[serde(flatten)]
    watch: Watching,
}

/// Gives an agent a newer credential for its key, as long as nobody has taken the old one back.
#[utoipa::path(
    post, path = "/api/v1/enrol/renew", tag = "agents", operation_id = "renew_credential", request_body = Renewing,
    responses(
        (status = 200, description = "The newer credential", body = NewerCredential),
        (status = 401, description = "The credential was taken back, or never was one", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was renewed at the same time", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be given now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn renew(
    visitor: Visitor,
    app: Arc<App>,
    _: Nothing,
    body: Renewing,
) -> Result<Json<NewerCredential>, Problem> {
    let key = read_key(&body.public_key)?;
    let renewed = app.identity.renew(body.jwt, &key, UnixMs(body.time), &body.signature).await?;
    if renewed.is_new {
        let by = By { actor: None, via: Via::Credential, from: Some(visitor.address) };
        let after = shown(&serde_json::json!({ "key": body.public_key, "expires": renewed.expires }));
        let deed = Deed { after, ..by.did(Action::CredentialRenew, &renewed.credential.host) };
        app.audit.tell(JournalScope::Team(renewed.credential.team), deed).await;
    }
    Ok(Json(NewerCredential { jwt: renewed.jwt, expires: renewed.expires, watch: renewed.host.into() }))
}

fn read_key(id: &PublicKey) -> Result<UserKey, Problem> {
    UserKey::read(id).ok_or_else(|| {
        Problem::fields(vec![FieldError::new("public_key", "the public nkey of a user", id.as_str())])
    })
}
