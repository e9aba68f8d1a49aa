//! What became of a rule: each of its revisions, who made it, and when; JOURNAL is the source.

use crate::alerting::desk::no_such_rule;
use crate::api::List;
use crate::app::App;
use crate::http::ask::{Ask, PageAsk, Reader};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{RuleState, SavedRule, Scope, Step};
use watchkeeper_schemas::built_in::built_in;
use watchkeeper_schemas::ids::RuleId;
use watchkeeper_schemas::journal::{Fact, JournalEvent, Rule};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};
use watchkeeper_streams::rebuild::{Begin, read};
use watchkeeper_streams::topology::JOURNAL;

/// Revisions of a rule that are shown at most, the newest.
const REVISIONS_MAX: usize = 1000;
/// When whoever could not be answered should come again, in seconds.
const AWAY_RETRY_S: u32 = 2;

/// Which rule, and which page of its history.
#[derive(Debug)]
pub struct RuleHistoryAsk {
    id: Option<RuleId>,
    page: PageAsk,
}

impl Ask for RuleHistoryAsk {
    const QUERY: &'static [&'static str] = PageAsk::QUERY;
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        Some(Self { id: request.path("id").parse().ok(), page: PageAsk::read(request)? })
    }
}

/// A change of a rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleRevision {
    /// The revision that it made.
    revision: u64,
    /// Who made it.
    author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: UnixMs,
    /// What was done: made, changed, switched, removed.
    cause: String,
    /// The rule before; nothing where it was not there, or was as it comes.
    #[schema(required)]
    before: Option<RuleThenView>,
    /// The rule from then on; nothing once removed.
    #[schema(required)]
    after: Option<RuleThenView>,
}

/// A rule as it was saved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RuleThenView {
    /// The name that people read.
    name: String,
    /// In the rule language; empty where it is built in.
    text: String,
    /// Which hosts it watched.
    scope: Scope,
    /// Who heard; empty: the team's default.
    #[schema(value_type = Vec<String>)]
    receivers: BTreeSet<String>,
    /// Who heard next; empty: the team's policy.
    policy: Vec<Step>,
    /// Whether it ran and told.
    state: RuleState,
}

impl From<Rule> for RuleThenView {
    fn from(rule: Rule) -> Self {
        let Rule { name, rule: SavedRule { text, scope, receivers, state, policy } } = rule;
        Self { name, text, scope, receivers, policy, state }
    }
}

/// What became of a rule, the newest change first; of a rule that was changed very often only the newest ones.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}/history", tag = "alerts", operation_id = "get_rule_history",
    params(
        ("id" = RuleId, Path, description = "The rule"),
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Changes of a page", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The changes", body = List<RuleRevision>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    asked: RuleHistoryAsk,
) -> Result<Json<List<RuleRevision>>, Problem> {
    let id = asked.id.ok_or_else(no_such_rule)?;
    let registry = app.identity.registry()?;
    let recorded = registry.team(&principal.team).is_some_and(|team| team.rules.recorded(&id).is_some());
    if !recorded && built_in(id.as_str()).is_none() {
        return Err(no_such_rule());
    }
    let about = Fact::Rule { id, value: None };
    let subject = JournalSubject::of(JournalScope::Team(principal.team.clone()), &about);
    let subject = subject.ok_or_else(no_such_rule)?.to_string();
    let subjects = [subject.as_str()];
    let mut changes: VecDeque<RuleRevision> = VecDeque::new();
    let told = read(app.identity.context(), JOURNAL, &subjects, Begin::First, |event| {
        let Ok(JournalEvent { author, cause, time, fact, .. }) = serde_json::from_slice(&event.payload)
        else {
            return;
        };
        let Fact::Rule { value, .. } = fact else { return };
        let before = changes.front().and_then(|last| last.after.clone());
        let (revision, after) = (event.sequence, value.map(RuleThenView::from));
        changes.push_front(RuleRevision { revision, author, time, cause, before, after });
        changes.truncate(REVISIONS_MAX);
    });
    told.await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "JOURNAL cannot be read");
        Problem::unavailable("the history cannot be read now: NATS does not answer", AWAY_RETRY_S)
    })?;
    Ok(Json(List::page(changes.into_iter(), asked.page)))
}
