//! The audit of a team, for its owners.

use crate::api::List;
use crate::app::App;
use crate::http::ask::{Ask, Nothing, Reader};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::{Action, AuditEntry};
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::audit::{AuditError, Placed, page};

/// Entries of a page at most, and where none is asked for.
const LIMIT_MAX: usize = 500;
const LIMIT_USUAL: usize = 100;
/// When whoever could not be answered should come again, in seconds.
const AWAY_RETRY_S: u32 = 2;

/// An entry and its place.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditItem {
    /// Its place: the next page ends before it.
    sequence: u64,
    /// The entry.
    #[serde(flatten)]
    entry: AuditEntry,
}

/// Which entries.
#[derive(Debug)]
pub struct AuditAsk {
    before: Option<u64>,
    limit: usize,
    kind: Option<Action>,
}

impl Ask for AuditAsk {
    const QUERY: &'static [&'static str] = &["before", "limit", "kind"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let before = request.optional("before", |text| {
            crate::http::ask::revision(text).map_err(|_| "the next_page of the page before".into())
        });
        let limit = request.optional("limit", limit).unwrap_or(LIMIT_USUAL);
        let kind = request.optional("kind", |text| text.parse().map_err(|()| kinds()));
        Some(Self { before, limit, kind })
    }
}

fn limit(text: &str) -> Result<usize, Cow<'static, str>> {
    let number = text.parse().ok().filter(|number| (1..=LIMIT_MAX).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {LIMIT_MAX}").into())
}

fn kinds() -> Cow<'static, str> {
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    format!("one of {}", names.join(", ")).into()
}

fn away(error: AuditError) -> Problem {
    tracing::warn!(error = &error as &dyn Error, "the audit cannot be read");
    Problem::unavailable("the audit cannot be read now: NATS does not answer", AWAY_RETRY_S)
}

/// What was done in the team, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "team", operation_id = "list_audit",
    params(
        ("before" = Option<u64>, Query, description = "Entries behind this place only: the `next_page` of the page before"),
        ("limit" = Option<usize>, Query, description = "Entries of a page", minimum = 1, maximum = 500),
        ("kind" = Option<Action>, Query, description = "Entries of this action only"),
    ),
    responses((status = 200, description = "The entries; `next_page` is for `before`", body = List<AuditItem>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    asked: AuditAsk,
) -> Result<Json<List<AuditItem>>, Problem> {
    let AuditAsk { before, limit, kind } = asked;
    let scope = JournalScope::Team(principal.team);
    let wanted = |entry: &AuditEntry| kind.is_none_or(|kind| entry.deed.action == kind);
    let found = page(app.audit.context(), &scope, before, limit, wanted).await.map_err(away)?;
    let last = found.last().filter(|_| found.len() == limit).map(|last| last.sequence);
    let next_page = last.and_then(|last| usize::try_from(last).ok());
    let items = found.into_iter().map(|Placed { sequence, entry }| AuditItem { sequence, entry });
    Ok(Json(List { items: items.collect(), next_page }))
}

/// Everything that was done in the team, newest first, an entry a line: each holds the SHA-256 of the line below it.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "team", operation_id = "export_audit",
    responses((status = 200, description = "The entries", body = String, content_type = "application/x-ndjson"))
)]
pub async fn export(principal: Principal, app: Arc<App>, _: Nothing) -> Result<Response, Problem> {
    let scope = JournalScope::Team(principal.team);
    // What cannot be read at all is told by a status; what breaks off later breaks the answer off.
    let first = page(app.audit.context(), &scope, None, LIMIT_MAX, |_| true).await.map_err(away)?;
    let pages = unfold(Next::Known(first), move |next| {
        let (app, scope) = (Arc::clone(&app), scope.clone());
        async move {
            let entries = match next {
                Next::Known(entries) => Ok(entries),
                Next::Before(place) => {
                    page(app.audit.context(), &scope, Some(place), LIMIT_MAX, |_| true).await
                }
                Next::End => return None,
            };
            Some(match entries {
                Ok(entries) => (lines(&entries), Next::behind(&entries)),
                Err(error) => (Err(error.into()), Next::End),
            })
        }
    });
    let mut response = Response::new(Body::from_stream(pages));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.ndjson\""));
    Ok(response)
}

/// What an export goes on with.
enum Next {
    Known(Vec<Placed>),
    Before(u64),
    End,
}

impl Next {
    fn behind(entries: &[Placed]) -> Self {
        let last = entries.last().filter(|_| entries.len() == LIMIT_MAX);
        last.map_or(Self::End, |last| Self::Before(last.sequence))
    }
}

fn lines(entries: &[Placed]) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut lines = Vec::new();
    for Placed { entry, .. } in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}
