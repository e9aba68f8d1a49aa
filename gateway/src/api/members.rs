//! Who belongs to a team, and as what.
//!
//! A team is never left without an owner. Two owners may demote each other at the same moment: the journal puts the
//! two facts in an order, the registry passes over the one that would leave no owner, and its author is told so.

use crate::api::List;
use crate::app::App;
use crate::audit::By;
use crate::http::ask::{Ask, Nothing, Reader, revision};
use crate::http::body::Body;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::Change;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::{Action, Deed, Outcome};
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::journal::{Fact, Member, Role};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Recorded, Registry};
use watchkeeper_schemas::subjects::JournalScope;

/// Somebody who belongs to the team.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// The name that they log in with.
    user: UserId,
    /// The name that people read.
    display_name: String,
    /// What they may do.
    role: Role,
    /// Since when they belong to it.
    #[schema(value_type = String, format = DateTime)]
    since: UnixMs,
    /// What an edit must name.
    revision: u64,
}

impl MemberView {
    fn new(registry: &Registry, user: &UserId, recorded: &Recorded<Member>) -> Option<Self> {
        let role = recorded.value.as_ref()?.role;
        let display_name = registry.users.get(user).map_or(user.as_str(), |it| &it.display_name).to_owned();
        let (since, revision) = (recorded.since, recorded.revision);
        Some(Self { user: user.clone(), display_name, role, since, revision })
    }
}

/// What a member is to be from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberEdit {
    /// What they may do.
    role: Role,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for MemberEdit {}

/// A member by the `{user}` in the path.
#[derive(Debug)]
pub struct MemberAsk(Option<UserId>);

impl Ask for MemberAsk {
    const QUERY: &'static [&'static str] = &[];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        Some(Self(request.path("user").parse().ok()))
    }
}

/// A member to be removed, and their revision.
#[derive(Debug)]
pub struct RemoveAsk {
    user: Option<UserId>,
    revision: u64,
}

impl Ask for RemoveAsk {
    const QUERY: &'static [&'static str] = &["revision"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let user = request.path("user").parse().ok();
        let revision = request.required("revision", "the revision of the member", revision)?;
        Some(Self { user, revision })
    }
}

fn no_such_member() -> Problem {
    Problem::not_found("no such member: /api/v1/members lists those there are")
}

fn last_owner() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "this is the last owner of the team: make somebody else an owner first",
    )
}

/// Everybody who belongs to the team.
#[utoipa::path(
    get, path = "/api/v1/members", tag = "team", operation_id = "list_members",
    responses((status = 200, description = "The members", body = List<MemberView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
) -> Result<Json<List<MemberView>>, Problem> {
    let registry = app.identity.registry()?;
    let members = registry.team(&principal.team).into_iter().flat_map(|team| team.members.all());
    let views = members.filter_map(|(user, recorded)| MemberView::new(&registry, user, recorded));
    Ok(Json(List { items: views.collect(), next_page: None }))
}

/// Changes what a member may do.
#[utoipa::path(
    put, path = "/api/v1/members/{user}", tag = "team", operation_id = "change_member", request_body = MemberEdit,
    params(("user" = UserId, Path, description = "The member")),
    responses(
        (status = 200, description = "The member as they are now", body = MemberView),
        (status = 409, description = "They were changed meanwhile, or are the last owner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: MemberAsk,
    body: MemberEdit,
) -> Result<Json<MemberView>, Problem> {
    let user = asked.0.ok_or_else(no_such_member)?;
    let before = put(&app, &principal, &user, Some(Member { role: body.role }), body.revision).await?;
    let by = By::from(&principal).did(Action::MemberChange, &user);
    let deed =
        Deed { before: Some(json!({ "role": before })), after: Some(json!({ "role": body.role })), ..by };
    app.audit.tell(JournalScope::Team(principal.team.clone()), deed).await;
    let registry = app.identity.registry()?;
    let recorded = registry.team(&principal.team).and_then(|team| team.members.recorded(&user));
    recorded.and_then(|it| MemberView::new(&registry, &user, it)).map(Json).ok_or_else(no_such_member)
}

/// Removes a member; whoever is not an owner may remove themselves only, which is leaving.
#[utoipa::path(
    delete, path = "/api/v1/members/{user}", tag = "team", operation_id = "remove_member",
    params(
        ("user" = UserId, Path, description = "The member"),
        ("revision" = u64, Query, description = "Their revision"),
    ),
    responses(
        (status = 204, description = "They belong to the team no more"),
        (status = 409, description = "They were changed meanwhile, or are the last owner", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(principal: Principal, app: Arc<App>, asked: RemoveAsk) -> Result<StatusCode, Problem> {
    let by = By::from(&principal);
    let scope = JournalScope::Team(principal.team.clone());
    if principal.role < Role::Owner && asked.user.as_ref() != Some(&principal.user) {
        let object = asked.user.as_ref().map_or("", UserId::as_str);
        app.audit
            .tell(scope, Deed { outcome: Outcome::Refused, ..by.did(Action::MemberDelete, object) })
            .await;
        return Err(Problem::forbidden("only an owner removes others; everybody may leave"));
    }
    let user = asked.user.ok_or_else(no_such_member)?;
    let before = put(&app, &principal, &user, None, asked.revision).await?;
    let deed = Deed { before: Some(json!({ "role": before })), ..by.did(Action::MemberDelete, &user) };
    app.audit.tell(scope, deed).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Records what a member is from now on; tells what they were.
async fn put(
    app: &App,
    principal: &Principal,
    user: &UserId,
    value: Option<Member>,
    expected: u64,
) -> Result<Role, Problem> {
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team).ok_or_else(no_such_member)?;
    let before = team.members.get(user).ok_or_else(no_such_member)?.role;
    let present = team.members.revision(user);
    if present != expected {
        return Err(Problem::conflict(present));
    }
    let stays_owner = value.as_ref().is_some_and(|member| member.role == Role::Owner);
    if team.is_last_owner(user) && !stays_owner {
        return Err(last_owner());
    }
    let (scope, wanted) = (JournalScope::Team(principal.team.clone()), value.clone());
    let fact = Fact::Member { id: user.clone(), value };
    let cause = if wanted.is_some() { "role changed" } else { "removed" };
    app.identity.record(Change { author: principal.user.as_str(), cause, scope, fact, expected }).await?;
    let registry = app.identity.registry()?;
    let present = registry.team(&principal.team).and_then(|team| team.members.get(user));
    // Nobody may change it back so soon unless the registry passed over it.
    if present == wanted.as_ref() || present.is_none_or(|member| member.role != Role::Owner) {
        Ok(before)
    } else {
        Err(last_owner())
    }
}
