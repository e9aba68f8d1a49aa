//! Alert rules: listed, checked as they are typed, made, changed, removed.

use crate::alerting::desk::{Desk, PlacedRule, no_such_rule, rules};
use crate::alerting::form::{NAME_CHARS, check_policy, check_receivers, check_scope, check_text};
use crate::api::List;
use crate::app::App;
use crate::http::ask::{ById, Nothing, Removal};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::receivers::naming::{check_named, tells_nobody};
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{RuleState, SavedRule, Scope, Step};
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::RuleId;
use watchkeeper_schemas::journal;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::TeamFacts;
use watchkeeper_schemas::rule::{Rule, RuleError, Severity};

/// A rule as saved.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleView {
    /// The rule.
    id: RuleId,
    /// The name that people read.
    name: String,
    /// What it watches, in a sentence; only of a built-in one.
    #[schema(required)]
    description: Option<&'static str>,
    /// In the rule language, as it would be written; empty where it is built in.
    text: String,
    /// The same as a tree; nothing where it is built in.
    #[schema(value_type = Option<Object>, required)]
    tree: Option<Rule>,
    /// Which hosts it watches.
    scope: Scope,
    /// Who hears; empty: the team's default.
    #[schema(value_type = Vec<String>)]
    receivers: BTreeSet<String>,
    /// Who hears next; empty: the team's policy.
    policy: Vec<Step>,
    /// Whether it runs and tells.
    state: RuleState,
    /// How bad its episodes are at least.
    severity: Severity,
    /// Every team has it: only state, receivers and policy can be changed.
    built_in: bool,
    /// Neither it nor the team names anybody who is there and would hear.
    tells_nobody: bool,
    /// What a change must name; 0 for a built-in one that nobody changed.
    revision: u64,
    /// Who changed it last.
    #[schema(required)]
    author: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    changed: Option<UnixMs>,
}

impl RuleView {
    /// A rule as its team sees it.
    #[must_use]
    pub fn new(placed: PlacedRule, team: Option<&TeamFacts>) -> Self {
        let PlacedRule { id, rule: journal::Rule { name, rule: saved }, revision, changed, built_in } =
            placed;
        let tree = saved.text.parse::<Rule>().ok();
        let severity = tree.as_ref().map(Rule::severity).or_else(|| built_in.map(|it| it.severity));
        let tells_nobody = tells_nobody(&saved, team);
        let (author, time) = changed.unzip();
        Self {
            id,
            name,
            description: built_in.map(|it| it.description),
            text: saved.text,
            tree,
            scope: saved.scope,
            receivers: saved.receivers,
            policy: saved.policy,
            state: saved.state,
            severity: severity.unwrap_or(Severity::Warning),
            built_in: built_in.is_some(),
            tells_nobody,
            revision,
            author,
            changed: time,
        }
    }
}

/// A rule to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Its id for ever; without it one is made after the name.
    id: Option<RuleId>,
    /// In the rule language.
    #[schema(max_length = 1024)]
    text: String,
    /// Which hosts it watches; all, unless said.
    #[serde(default)]
    scope: Scope,
    /// Who hears; empty: the team's default.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 32)]
    receivers: BTreeSet<String>,
    /// Who hears next; empty: the team's policy.
    #[serde(default)]
    #[schema(max_items = 5)]
    policy: Vec<Step>,
    /// Whether it runs and tells; live, unless said.
    #[serde(default)]
    state: RuleState,
}

impl Body for NewRule {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
        check_text(mistakes, &self.text);
        check_scope(mistakes, &self.scope);
        check_receivers(mistakes, "receivers", &self.receivers);
        check_policy(mistakes, &self.policy);
    }
}

/// What is to be true of a rule from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleEdit {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// In the rule language; empty for a built-in one.
    #[schema(max_length = 1024)]
    text: String,
    /// Which hosts it watches.
    scope: Scope,
    /// Who hears; empty: the team's default.
    #[schema(value_type = Vec<String>, max_items = 32)]
    receivers: BTreeSet<String>,
    /// Who hears next; empty: the team's policy.
    #[schema(max_items = 5)]
    policy: Vec<Step>,
    /// Whether it runs and tells.
    state: RuleState,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for RuleEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
        if !self.text.is_empty() {
            check_text(mistakes, &self.text);
        }
        check_scope(mistakes, &self.scope);
        check_receivers(mistakes, "receivers", &self.receivers);
        check_policy(mistakes, &self.policy);
    }
}

/// Whether a rule is to run and tell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleStateEdit {
    /// Live, shadow (runs and tells nobody) or disabled.
    state: RuleState,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for RuleStateEdit {}

/// A text that may be a rule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// The text.
    text: String,
}

impl Body for RuleText {}

/// What a text says, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleChecked {
    /// Whether it is a rule.
    valid: bool,
    /// As it would be written.
    #[schema(required)]
    text: Option<String>,
    /// The same as a tree.
    #[schema(value_type = Option<Object>, required)]
    tree: Option<Rule>,
    /// How bad its episodes are at least.
    #[schema(required)]
    severity: Option<Severity>,
    /// The first thing that is wrong, and where.
    #[schema(required)]
    error: Option<RuleError>,
}

fn view(app: &App, principal: &Principal, placed: PlacedRule) -> Result<Json<RuleView>, Problem> {
    let registry = app.identity.registry()?;
    Ok(Json(RuleView::new(placed, registry.team(&principal.team))))
}

/// Refuses receivers that are not there; those that the rule named before go on.
fn check_receivers_there(
    app: &App,
    principal: &Principal,
    rule: &SavedRule,
    before: Option<&SavedRule>,
) -> Result<(), Problem> {
    let registry = app.identity.registry()?;
    let mut mistakes = Mistakes::default();
    let before = before.map(|rule| (&rule.receivers, rule.policy.as_slice()));
    let team = registry.team(&principal.team);
    check_named(&mut mistakes, team, (&rule.receivers, &rule.policy), before);
    mistakes.into_found()
}

/// Every rule of the team, the built-in ones first.
#[utoipa::path(
    get, path = "/api/v1/rules", tag = "alerts", operation_id = "list_rules",
    responses((status = 200, description = "The rules", body = List<RuleView>))
)]
pub async fn list(principal: Principal, app: Arc<App>, _: Nothing) -> Result<Json<List<RuleView>>, Problem> {
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team);
    let items = team.map(rules).unwrap_or_default().into_iter().map(|it| RuleView::new(it, team));
    Ok(Json(List { items: items.collect(), next_page: None }))
}

/// One rule.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}", tag = "alerts", operation_id = "get_rule",
    params(("id" = RuleId, Path, description = "The rule")),
    responses((status = 200, description = "The rule", body = RuleView))
)]
pub async fn get(
    principal: Principal,
    app: Arc<App>,
    asked: ById<RuleId>,
) -> Result<Json<RuleView>, Problem> {
    let placed = Desk::of(&app, &principal).rule(asked.id.as_ref().ok_or_else(no_such_rule)?)?;
    view(&app, &principal, placed)
}

/// Reads a text as a rule: its canonical form and its tree, or what is wrong and where. Nothing is saved.
#[utoipa::path(
    post, path = "/api/v1/rules/check", tag = "alerts", operation_id = "check_rule", request_body = RuleText,
    responses((status = 200, description = "What the text says, or what is wrong with it", body = RuleChecked))
)]
pub async fn check(
    _: Principal,
    _: Arc<App>,
    _: Nothing,
    body: RuleText,
) -> Result<Json<RuleChecked>, Problem> {
    let read = body.text.parse::<Rule>();
    let error = read.as_ref().err().cloned();
    let rule = read.ok();
    let (text, severity) = (rule.as_ref().map(ToString::to_string), rule.as_ref().map(Rule::severity));
    Ok(Json(RuleChecked { valid: rule.is_some(), text, tree: rule, severity, error }))
}

/// The text as it would be written; what does not read was refused before.
fn canonical(text: &str) -> String {
    text.parse::<Rule>().map_or_else(|_| text.to_owned(), |rule| rule.to_string())
}

/// Makes a rule. Where it is true already and says no `for`, it fires within a second.
#[utoipa::path(
    post, path = "/api/v1/rules", tag = "alerts", operation_id = "create_rule", request_body = NewRule,
    responses(
        (status = 201, description = "The rule", body = RuleView),
        (status = 409, description = "The id is taken, or there are too many rules", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A receiver is not there", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewRule,
) -> Result<(StatusCode, Json<RuleView>), Problem> {
    let NewRule { name, id, text, scope, receivers, policy, state } = body;
    let rule = SavedRule { text: canonical(&text), scope, receivers, state, policy };
    check_receivers_there(&app, &principal, &rule, None)?;
    let placed = Desk::of(&app, &principal).make_rule(id, journal::Rule { name, rule }).await?;
    let change = (None, Some(&placed.rule));
    app.audit.tell_change(&principal, Action::RuleCreate, &placed.id, change).await;
    Ok((StatusCode::CREATED, view(&app, &principal, placed)?))
}

/// Changes a rule. Of a built-in one only state, receivers and policy.
#[utoipa::path(
    put, path = "/api/v1/rules/{id}", tag = "alerts", operation_id = "change_rule", request_body = RuleEdit,
    params(("id" = RuleId, Path, description = "The rule")),
    responses(
        (status = 200, description = "The rule as it is now", body = RuleView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A receiver is not there", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: ById<RuleId>,
    body: RuleEdit,
) -> Result<Json<RuleView>, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.rule_at(asked.id.as_ref().ok_or_else(no_such_rule)?, body.revision)?;
    let RuleEdit { name, text, scope, receivers, policy, state, revision: _ } = body;
    let mut mistakes = Mistakes::default();
    if before.built_in.is_some() && !text.is_empty() {
        mistakes.note("text", "nothing: a built-in rule has no text", &text);
    } else if before.built_in.is_none() && text.is_empty() {
        mistakes.note("text", "a rule", "nothing");
    }
    mistakes.into_result()?;
    let (name, scope) = match before.built_in {
        Some(it) => (it.name.to_owned(), Scope::All),
        None => (name, scope),
    };
    let rule =
        journal::Rule { name, rule: SavedRule { text: canonical(&text), scope, receivers, state, policy } };
    check_receivers_there(&app, &principal, &rule.rule, Some(&before.rule.rule))?;
    let after = desk.save_rule(PlacedRule { rule, ..before.clone() }, "changed").await?;
    let change = (Some(&before.rule), Some(&after.rule));
    app.audit.tell_change(&principal, Action::RuleChange, &after.id, change).await;
    view(&app, &principal, after)
}

/// Switches a rule on, off, or to shadow: then it runs, is recorded, and tells nobody.
#[utoipa::path(
    post, path = "/api/v1/rules/{id}/state", tag = "alerts", operation_id = "switch_rule", request_body = RuleStateEdit,
    params(("id" = RuleId, Path, description = "The rule")),
    responses(
        (status = 200, description = "The rule as it is now", body = RuleView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn switch(
    principal: Principal,
    app: Arc<App>,
    asked: ById<RuleId>,
    body: RuleStateEdit,
) -> Result<Json<RuleView>, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.rule_at(asked.id.as_ref().ok_or_else(no_such_rule)?, body.revision)?;
    let mut after = before.clone();
    after.rule.rule.state = body.state;
    let after = desk.save_rule(after, "switched").await?;
    let change = (Some(&before.rule), Some(&after.rule));
    app.audit.tell_change(&principal, Action::RuleChange, &after.id, change).await;
    view(&app, &principal, after)
}

/// Removes a rule; its open episodes end. A built-in one is as it comes from now on.
#[utoipa::path(
    delete, path = "/api/v1/rules/{id}", tag = "alerts", operation_id = "remove_rule",
    params(
        ("id" = RuleId, Path, description = "The rule"),
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
    asked: Removal<RuleId>,
) -> Result<StatusCode, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.rule_at(asked.id.as_ref().ok_or_else(no_such_rule)?, asked.revision)?;
    desk.remove_rule(&before).await?;
    let change = (Some(&before.rule), None);
    app.audit.tell_change(&principal, Action::RuleDelete, &before.id, change).await;
    Ok(StatusCode::NO_CONTENT)
}
