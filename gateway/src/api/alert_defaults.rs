//! Who hears of alerts where a rule names nobody.

use crate::alerting::desk::Desk;
use crate::alerting::form::{check_policy, check_receivers};
use crate::app::App;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::receivers::naming::check_named;
use axum::Json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{Defaults, Step};
use watchkeeper_schemas::audit::Action;

/// Who hears where a rule names nobody.
#[derive(Debug, Serialize, ToSchema)]
pub struct DefaultsView {
    /// Who hears.
    #[schema(value_type = Vec<String>)]
    receivers: BTreeSet<String>,
    /// Who hears next.
    policy: Vec<Step>,
    /// What a change must name.
    revision: u64,
}

/// Who is to hear where a rule names nobody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultsEdit {
    /// Who hears.
    #[schema(value_type = Vec<String>, max_items = 32)]
    receivers: BTreeSet<String>,
    /// Who hears next.
    #[schema(max_items = 5)]
    policy: Vec<Step>,
    /// The revision that the edit was made from; 0 for the first.
    revision: u64,
}

impl Body for DefaultsEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        check_receivers(mistakes, "receivers", &self.receivers);
        check_policy(mistakes, &self.policy);
    }
}

/// Who hears where a rule names nobody.
#[utoipa::path(
    get, path = "/api/v1/alert-defaults", tag = "alerts", operation_id = "get_alert_defaults",
    responses((status = 200, description = "Who hears", body = DefaultsView))
)]
pub async fn get(principal: Principal, app: Arc<App>, _: Nothing) -> Result<Json<DefaultsView>, Problem> {
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team);
    let defaults =
        team.and_then(|team| team.alert_defaults.get(&principal.team)).cloned().unwrap_or_default();
    let revision = team.map_or(0, |team| team.alert_defaults.revision(&principal.team));
    Ok(Json(DefaultsView { receivers: defaults.receivers, policy: defaults.policy, revision }))
}

/// Says who hears where a rule names nobody.
#[utoipa::path(
    put, path = "/api/v1/alert-defaults", tag = "alerts", operation_id = "change_alert_defaults", request_body = DefaultsEdit,
    responses(
        (status = 200, description = "Who hears from now on", body = DefaultsView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A receiver is not there", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: DefaultsEdit,
) -> Result<Json<DefaultsView>, Problem> {
    let DefaultsEdit { receivers, policy, revision } = body;
    let registry = app.identity.registry()?;
    let before =
        registry.team(&principal.team).and_then(|team| team.alert_defaults.recorded(&principal.team));
    let present = before.map_or(0, |before| before.revision);
    if present != revision {
        return Err(Problem::conflict(present));
    }
    let after = Defaults { receivers, policy };
    let mut mistakes = Mistakes::default();
    let known =
        before.and_then(|before| before.value.as_ref()).map(|it| (&it.receivers, it.policy.as_slice()));
    let team = registry.team(&principal.team);
    check_named(&mut mistakes, team, (&after.receivers, &after.policy), known);
    mistakes.into_found()?;
    let revision = Desk::of(&app, &principal).set_defaults(after.clone(), revision).await?;
    let change = (before.and_then(|before| before.value.as_ref()), Some(&after));
    app.audit.tell_change(&principal, Action::AlertDefaultsChange, &principal.team, change).await;
    Ok(Json(DefaultsView { receivers: after.receivers, policy: after.policy, revision }))
}
