//! The team itself.

use crate::app::App;
use crate::audit::By;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::{Caller, Principal};
use crate::http::problem::{FieldError, Problem};
use crate::identity::Change;
use crate::receivers::desk::Desk;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, Role, Team};
use watchkeeper_schemas::registry::TeamFacts;
use watchkeeper_schemas::subjects::JournalScope;

/// Characters of a team's name.
const NAME_CHARS: RangeInclusive<usize> = 1..=128;
/// Teams that one person may own.
const OWNED_MAX: usize = 20;

/// A team, as one of its members sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeamView {
    /// Its id.
    team: TeamId,
    /// The name that people read.
    name: String,
    /// What whoever asks may do in it.
    role: Role,
    /// Who belongs to it.
    members: usize,
    /// Who of them owns it.
    owners: usize,
    /// What an edit must name.
    revision: u64,
}

impl TeamView {
    fn new(id: &TeamId, team: &TeamFacts, role: Role) -> Self {
        Self {
            team: id.clone(),
            name: team.name().to_owned(),
            role,
            members: team.members.iter().count(),
            owners: team.owners(),
            revision: team.revision(),
        }
    }
}

/// A name for a new team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
}

impl Body for NewTeam {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
    }
}

/// What is to be true of a team from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamEdit {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for TeamEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
    }
}

/// That a team is to go, said twice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamEnd {
    /// The revision that this was decided from.
    revision: u64,
    /// The id of the team.
    #[schema(max_length = 32)]
    confirm: String,
}

impl Body for TeamEnd {}

/// The refusal for a team that is not there, or not yours.
pub(crate) fn no_such_team() -> Problem {
    Problem::not_found("no such team: /api/v1/me lists yours")
}

fn view(app: &App, principal: &Principal) -> Result<TeamView, Problem> {
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team).ok_or_else(no_such_team)?;
    Ok(TeamView::new(&principal.team, team, principal.role))
}

/// The team.
#[utoipa::path(
    get, path = "/api/v1/team", tag = "team", operation_id = "get_team",
    responses((status = 200, description = "The team", body = TeamView))
)]
pub async fn get(principal: Principal, app: Arc<App>, _: Nothing) -> Result<Json<TeamView>, Problem> {
    view(&app, &principal).map(Json)
}

/// Makes another team, which belongs to whoever makes it: an owner of one, or anybody where registration is open.
#[utoipa::path(
    post, path = "/api/v1/teams", tag = "team", operation_id = "create_team", request_body = NewTeam,
    responses(
        (status = 201, description = "The team", body = TeamView),
        (status = 409, description = "Whoever asks owns too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    caller: Caller,
    app: Arc<App>,
    _: Nothing,
    body: NewTeam,
) -> Result<(StatusCode, Json<TeamView>), Problem> {
    let registry = app.identity.registry()?;
    let owned = registry.teams_of(&caller.user).filter(|(_, role)| *role == Role::Owner).count();
    if owned == 0 && !app.identity.settings.open_registration {
        return Err(Problem::forbidden("only owners of a team make others on this gateway"));
    }
    if owned >= OWNED_MAX {
        return Err(Problem::new(StatusCode::CONFLICT, format!("one person owns at most {OWNED_MAX} teams")));
    }
    let id = app.identity.found_team(&caller.user, &body.name, "made").await?;
    let after = Some(json!({ "name": body.name }));
    let deed = Deed { after, ..By::from(&caller).did(Action::TeamCreate, &id) };
    app.audit.tell(JournalScope::Team(id.clone()), deed).await;
    let registry = app.identity.registry()?;
    let team = registry.team(&id).ok_or_else(no_such_team)?;
    Ok((StatusCode::CREATED, Json(TeamView::new(&id, team, Role::Owner))))
}

/// Changes the team.
#[utoipa::path(
    put, path = "/api/v1/team", tag = "team", operation_id = "change_team", request_body = TeamEdit,
    responses(
        (status = 200, description = "The team as it is now", body = TeamView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: TeamEdit,
) -> Result<Json<TeamView>, Problem> {
    let before = view(&app, &principal)?;
    record(&app, &principal, &before, Some(Team { name: body.name.clone() }), body.revision).await?;
    let by = By::from(&principal).did(Action::TeamChange, &principal.team);
    let deed = Deed {
        before: Some(json!({ "name": before.name })),
        after: Some(json!({ "name": body.name })),
        ..by
    };
    app.audit.tell(JournalScope::Team(principal.team.clone()), deed).await;
    view(&app, &principal).map(Json)
}

/// Removes the team with everything in it: its agents and readers are cut off, nobody belongs to it any more.
#[utoipa::path(
    delete, path = "/api/v1/team", tag = "team", operation_id = "remove_team", request_body = TeamEnd,
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: TeamEnd,
) -> Result<StatusCode, Problem> {
    let before = view(&app, &principal)?;
    if body.confirm != principal.team.as_str() {
        let expected = format!("the id of the team, {}", principal.team);
        return Err(Problem::fields(vec![FieldError::new("confirm", expected, &body.confirm)]));
    }
    record(&app, &principal, &before, None, body.revision).await?;
    Desk::of(&app, &principal).forget_all().await?;
    let by = By::from(&principal).did(Action::TeamDelete, &principal.team);
    let deed = Deed { before: Some(json!({ "name": before.name, "members": before.members })), ..by };
    app.audit.tell(JournalScope::Team(principal.team.clone()), deed).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn record(
    app: &App,
    principal: &Principal,
    before: &TeamView,
    value: Option<Team>,
    expected: u64,
) -> Result<(), Problem> {
    if before.revision != expected {
        return Err(Problem::conflict(before.revision));
    }
    let cause = if value.is_some() { "changed" } else { "removed" };
    let (scope, fact) =
        (JournalScope::Team(principal.team.clone()), Fact::Team { id: principal.team.clone(), value });
    app.identity
        .record(Change { author: principal.user.as_str(), cause, scope, fact, expected })
        .await
        .map(|_| ())
}
