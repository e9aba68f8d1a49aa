//! Hosts as people configure them.

use crate::app::App;
use crate::fleet::watched::{ConfigView, EnrolmentView};
use crate::hosting::enrolment::Token;
use crate::hosting::form::{Form, INTERVAL_MS_USUAL, check};
use crate::hosting::{Desk, Placed, no_such_host};
use crate::http::ask::{ById, Nothing, Removal};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::journal::Collector;
use watchkeeper_schemas::quantity::UnixMs;

/// A host to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHost {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Its id for ever; without it one is made after the name.
    id: Option<HostId>,
    /// Tags for rules and filters.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 32)]
    tags: BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    #[serde(default = "interval_ms_usual")]
    #[schema(minimum = 1000, maximum = 3_600_000)]
    interval_ms: u32,
    /// File systems to tell; empty: every real one.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 64)]
    mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    #[serde(default)]
    #[schema(value_type = Vec<Collector>)]
    without: BTreeSet<Collector>,
}

fn interval_ms_usual() -> u32 {
    INTERVAL_MS_USUAL
}

impl Body for NewHost {
    fn check(&self, mistakes: &mut Mistakes) {
        check(mistakes, &self.name, &self.tags, self.interval_ms, &self.mounts);
    }
}

/// What is to be true of a host from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostEdit {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Tags for rules and filters.
    #[schema(value_type = Vec<String>, max_items = 32)]
    tags: BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    #[schema(minimum = 1000, maximum = 3_600_000)]
    interval_ms: u32,
    /// File systems to tell; empty: every real one.
    #[schema(value_type = Vec<String>, max_items = 64)]
    mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    #[schema(value_type = Vec<Collector>)]
    without: BTreeSet<Collector>,
    /// Held back from watching.
    paused: bool,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for HostEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        check(mistakes, &self.name, &self.tags, self.interval_ms, &self.mounts);
    }
}

/// The revision that a change was made from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AtRevision {
    /// The revision.
    revision: u64,
}

impl Body for AtRevision {}

/// A host as configured.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostConfig {
    /// The host.
    host: HostId,
    /// The name that people read.
    name: String,
    /// Its tags, in order.
    #[schema(value_type = Vec<String>)]
    tags: BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    interval_ms: u32,
    /// File systems to tell; empty: every real one.
    #[schema(value_type = Vec<String>)]
    mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    #[schema(value_type = Vec<Collector>)]
    without: BTreeSet<Collector>,
    /// Held back from watching.
    paused: bool,
    /// How far its agent has come.
    enrolment: EnrolmentView,
    /// What an edit must name.
    revision: u64,
}

impl From<Placed> for HostConfig {
    fn from(placed: Placed) -> Self {
        let Placed { id, host, revision } = placed;
        Self {
            host: id,
            enrolment: EnrolmentView::of(&host.enrolment),
            name: host.name,
            tags: host.tags,
            interval_ms: host.interval_ms,
            mounts: host.mounts,
            without: host.without,
            paused: host.paused,
            revision,
        }
    }
}

/// What is typed on the host, once and within five minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrolmentToken {
    /// The token; shown here only.
    token: String,
    /// The whole command.
    command: String,
    /// When the token ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    /// The revision of the host now.
    revision: u64,
}

impl EnrolmentToken {
    fn new(app: &App, token: &Token, revision: u64) -> Self {
        let (origin, text) = (app.identity.settings.site.origin(), token.secret.text());
        let command = ["watchkeeper-agent enroll ", origin, " ", text].concat();
        Self { token: text.to_owned(), command, expires: token.until, revision }
    }
}

/// A new host and the token for its agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostMade {
    /// The host.
    host: HostConfig,
    /// What is typed on it.
    enrolment: EnrolmentToken,
}

async fn tell(
    app: &App,
    principal: &Principal,
    action: Action,
    before: Option<&Placed>,
    after: Option<&Placed>,
) {
    let Some(id) = after.or(before).map(|placed| &placed.id) else { return };
    let [before, after] = [before, after].map(|it| it.map(|placed| ConfigView::new(&placed.host, None)));
    app.audit.tell_change(principal, action, id, (before, after)).await;
}

/// Makes a host; its agent is to come within five minutes, with the token.
#[utoipa::path(
    post, path = "/api/v1/hosts", tag = "hosts", operation_id = "create_host", request_body = NewHost,
    responses(
        (status = 201, description = "The host and the token for its agent", body = HostMade),
        (status = 409, description = "The id is taken, or there are too many hosts", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewHost,
) -> Result<(StatusCode, Json<HostMade>), Problem> {
    let NewHost { name, id, tags, interval_ms, mounts, without } = body;
    let form = Form { name, tags, interval_ms, mounts, without };
    let is_heard = |id: &HostId| {
        let fleet = app.live.fleet();
        fleet.team(&principal.team).is_some_and(|team| team.hosts().contains_key(id))
    };
    let (placed, token) = Desk::of(&app, &principal).make(form, id, is_heard).await?;
    tell(&app, &principal, Action::HostCreate, None, Some(&placed)).await;
    let enrolment = EnrolmentToken::new(&app, &token, placed.revision);
    Ok((StatusCode::CREATED, Json(HostMade { host: placed.into(), enrolment })))
}

/// Changes how a host is configured.
#[utoipa::path(
    put, path = "/api/v1/hosts/{id}", tag = "hosts", operation_id = "change_host", request_body = HostEdit,
    params(("id" = HostId, Path, description = "The host")),
    responses(
        (status = 200, description = "The host as it is now", body = HostConfig),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: ById<HostId>,
    body: HostEdit,
) -> Result<Json<HostConfig>, Problem> {
    let HostEdit { name, tags, interval_ms, mounts, without, paused, revision } = body;
    let desk = Desk::of(&app, &principal);
    let before = desk.host_at(asked.id.as_ref().ok_or_else(no_such_host)?, revision)?;
    let form = Form { name, tags, interval_ms, mounts, without };
    let after = desk.change(&before, form, paused).await?;
    tell(&app, &principal, Action::HostChange, Some(&before), Some(&after)).await;
    Ok(Json(after.into()))
}

/// Makes a new token for a host. An agent that was there before is cut off at once.
#[utoipa::path(
    post, path = "/api/v1/hosts/{id}/enrolment", tag = "hosts", operation_id = "enrol_host_anew", request_body = AtRevision,
    params(("id" = HostId, Path, description = "The host")),
    responses(
        (status = 201, description = "The token for its agent", body = EnrolmentToken),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn enrol_anew(
    principal: Principal,
    app: Arc<App>,
    asked: ById<HostId>,
    body: AtRevision,
) -> Result<(StatusCode, Json<EnrolmentToken>), Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.host_at(asked.id.as_ref().ok_or_else(no_such_host)?, body.revision)?;
    let (after, token) = desk.enrol_anew(&before).await?;
    tell(&app, &principal, Action::EnrolmentCreate, Some(&before), Some(&after)).await;
    Ok((StatusCode::CREATED, Json(EnrolmentToken::new(&app, &token, after.revision))))
}

/// Removes a host. Its agent is cut off at once; its history stays for as long as history is kept.
#[utoipa::path(
    delete, path = "/api/v1/hosts/{id}", tag = "hosts", operation_id = "remove_host",
    params(
        ("id" = HostId, Path, description = "The host"),
        ("revision" = u64, Query, description = "Its revision"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: Removal<HostId>,
) -> Result<StatusCode, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.host_at(asked.id.as_ref().ok_or_else(no_such_host)?, asked.revision)?;
    desk.remove(&before).await?;
    tell(&app, &principal, Action::HostDelete, Some(&before), None).await;
    Ok(StatusCode::NO_CONTENT)
}
