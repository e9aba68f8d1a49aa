//! Third-party tools that hear the public feed of a team, each with a credential of its own.

use crate::api::List;
use crate::app::App;
use crate::audit::By;
use crate::hosting::enrolment::blocking;
use crate::http::ask::{Ask, Nothing, Reader as Asking, revision};
use crate::http::body::Body;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::Change;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_nats::{Layout, make_reader};
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::{ReaderName, UserId};
use watchkeeper_schemas::journal::{Credential, Fact, Reader};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{JournalScope, public_feed};

/// Readers of a team at most.
const READERS_MAX: usize = 100;

/// A tool that may hear the public feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReaderView {
    /// Its name.
    name: ReaderName,
    /// Who made it.
    by: UserId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created: UnixMs,
    /// What its removal must name.
    revision: u64,
}

/// A tool to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReader {
    /// A name for it.
    name: ReaderName,
}

impl Body for NewReader {}

/// A new tool's credential.
#[derive(Serialize, ToSchema)]
pub struct ReaderMade {
    /// Its name.
    name: ReaderName,
    /// The text of its `.creds` file; shown here only and kept nowhere.
    creds: String,
    /// What it may hear.
    subject: String,
    /// Where.
    nats_url: String,
    /// What its removal must name.
    revision: u64,
}

/// A tool by the `{name}` in the path, and its revision.
#[derive(Debug)]
pub struct RemoveAsk {
    name: Option<ReaderName>,
    revision: u64,
}

impl Ask for RemoveAsk {
    const QUERY: &'static [&'static str] = &["revision"];
    fn read(request: &mut Asking<'_>) -> Option<Self> {
        let name = request.path("name").parse().ok();
        let revision = request.required("revision", "the revision of the reader", revision)?;
        Some(Self { name, revision })
    }
}

fn no_such_reader() -> Problem {
    Problem::not_found("no such reader: /api/v1/readers lists those there are")
}

/// Every tool that may hear the public feed.
#[utoipa::path(
    get, path = "/api/v1/readers", tag = "team", operation_id = "list_readers",
    responses((status = 200, description = "The readers", body = List<ReaderView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
) -> Result<Json<List<ReaderView>>, Problem> {
    let registry = app.identity.registry()?;
    let readers = registry.team(&principal.team).into_iter().flat_map(|team| team.readers.all());
    let views = readers.filter_map(|(name, recorded)| {
        let reader = recorded.value.as_ref()?;
        let (created, revision) = (recorded.since, recorded.revision);
        Some(ReaderView { name: name.clone(), by: reader.by.clone(), created, revision })
    });
    Ok(Json(List { items: views.collect(), next_page: None }))
}

/// Makes a credential for a tool that may hear the public feed of the team, and nothing else.
#[utoipa::path(
    post, path = "/api/v1/readers", tag = "team", operation_id = "create_reader", request_body = NewReader,
    responses(
        (status = 201, description = "The credential", body = ReaderMade),
        (status = 409, description = "The name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewReader,
) -> Result<(StatusCode, Json<ReaderMade>), Problem> {
    let NewReader { name } = body;
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team).ok_or_else(|| Problem::not_found("no such team"))?;
    if team.readers.get(&name).is_some() {
        return Err(Problem::conflict(team.readers.revision(&name)));
    }
    if team.readers.iter().count() >= READERS_MAX {
        return Err(Problem::new(StatusCode::CONFLICT, format!("a team has at most {READERS_MAX} readers")));
    }
    let layout = Layout::new(&app.identity.settings.nats_dir);
    let (of, named) = (principal.team.clone(), name.clone());
    let made = blocking(move || make_reader(&layout, &of, &named)).await?;
    let scope = JournalScope::Team(principal.team.clone());
    let change = |fact, expected| Change {
        author: principal.user.as_str(),
        cause: "made",
        scope: scope.clone(),
        fact,
        expected,
    };
    let value = Some(Reader { key: made.key.clone(), by: principal.user.clone() });
    let fact = Fact::Reader { id: name.clone(), value };
    let revision = app.identity.record(change(fact, team.readers.revision(&name))).await?;
    let value = Some(Credential::Reader { reader: name.clone() });
    app.identity.record(change(Fact::Credential { id: made.key.clone(), value }, 0)).await?;
    let after = Some(serde_json::json!({ "key": made.key }));
    let deed = Deed { after, ..By::from(&principal).did(Action::ReaderCreate, &name) };
    app.audit.tell(scope.clone(), deed).await;
    let nats_url = app.identity.settings.nats_public_url.clone();
    let subject = public_feed(&principal.team);
    Ok((StatusCode::CREATED, Json(ReaderMade { name, creds: made.creds, subject, nats_url, revision })))
}

/// Takes the credential of a tool back; it is cut off at once.
#[utoipa::path(
    delete, path = "/api/v1/readers/{name}", tag = "team", operation_id = "remove_reader",
    params(
        ("name" = ReaderName, Path, description = "The reader"),
        ("revision" = u64, Query, description = "Its revision"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(principal: Principal, app: Arc<App>, asked: RemoveAsk) -> Result<StatusCode, Problem> {
    let registry = app.identity.registry()?;
    let name = asked.name.ok_or_else(no_such_reader)?;
    let recorded = registry.team(&principal.team).and_then(|team| team.readers.recorded(&name));
    let recorded = recorded.filter(|it| it.value.is_some()).ok_or_else(no_such_reader)?;
    if recorded.revision != asked.revision {
        return Err(Problem::conflict(recorded.revision));
    }
    let scope = JournalScope::Team(principal.team.clone());
    let fact = Fact::Reader { id: name.clone(), value: None };
    let (author, expected) = (principal.user.as_str(), asked.revision);
    app.identity.record(Change { author, cause: "removed", scope: scope.clone(), fact, expected }).await?;
    let before =
        recorded.value.as_ref().map(|reader| serde_json::json!({ "key": reader.key, "by": reader.by }));
    app.audit.tell(scope, Deed { before, ..By::from(&principal).did(Action::ReaderDelete, &name) }).await;
    Ok(StatusCode::NO_CONTENT)
}
