//! Who may come to a team: open invitations, each by a link that is shown once.

use crate::api::List;
use crate::app::App;
use crate::audit::By;
use crate::fleet::watch::now;
use crate::http::ask::{ById, Nothing};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::Change;
use crate::identity::invites::LIFE_MS;
use crate::identity::secret::readable_id;
use crate::identity::sessions::no_randomness;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::{Action, Deed, Outcome};
use watchkeeper_schemas::ids::{InvitationId, UserId};
use watchkeeper_schemas::journal::{Fact, Invitation, Role};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// Open invitations of a team at most.
const OPEN_MAX: usize = 100;
/// Characters of a note.
const NOTE_CHARS_MAX: usize = 128;

/// An open invitation.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitationView {
    /// Which.
    id: InvitationId,
    /// What the invited one will be.
    role: Role,
    /// For whom, in the inviting one's words.
    note: String,
    /// Who invites.
    by: UserId,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: UnixMs,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    /// Its place in the journal.
    revision: u64,
}

/// Somebody to be invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// What they will be; an admin invites viewers and admins.
    role: Role,
    /// For whom, for those who look at the list.
    #[serde(default)]
    #[schema(max_length = 128)]
    note: String,
}

impl Body for NewInvitation {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("note", &self.note, 0..=NOTE_CHARS_MAX);
    }
}

/// A new invitation and its link.
#[derive(Serialize, ToSchema)]
pub struct InvitationMade {
    /// Which.
    id: InvitationId,
    /// What is sent to them; shown here only. What stands behind `#` never reaches a server's log.
    link: String,
    /// The token in it.
    token: String,
    /// What they will be.
    role: Role,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    /// Its place in the journal.
    revision: u64,
}

/// Every invitation that is open.
#[utoipa::path(
    get, path = "/api/v1/invitations", tag = "team", operation_id = "list_invitations",
    responses((status = 200, description = "The invitations", body = List<InvitationView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
) -> Result<Json<List<InvitationView>>, Problem> {
    let registry = app.identity.registry()?;
    let now = now();
    let all = registry.team(&principal.team).into_iter().flat_map(|team| team.invitations.all());
    let open = all.filter_map(|(id, recorded)| {
        let it = recorded.value.as_ref().filter(|it| it.expires > now)?;
        Some(InvitationView {
            id: id.clone(),
            role: it.role,
            note: it.note.clone(),
            by: it.by.clone(),
            created: recorded.since,
            expires: it.expires,
            revision: recorded.revision,
        })
    });
    Ok(Json(List { items: open.collect(), next_page: None }))
}

/// Invites somebody: whoever opens the link within 24 hours belongs to the team. It works once.
#[utoipa::path(
    post, path = "/api/v1/invitations", tag = "team", operation_id = "create_invitation", request_body = NewInvitation,
    responses(
        (status = 201, description = "The invitation and its link", body = InvitationMade),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewInvitation,
) -> Result<(StatusCode, Json<InvitationMade>), Problem> {
    let NewInvitation { role, note } = body;
    let scope = JournalScope::Team(principal.team.clone());
    let by = By::from(&principal);
    if role > principal.role {
        let after = Some(json!({ "role": role }));
        let deed = Deed { outcome: Outcome::Refused, after, ..by.did(Action::Invite, "") };
        app.audit.tell(scope, deed).await;
        return Err(Problem::forbidden("nobody is invited to more than the inviting one may do"));
    }
    let (registry, now) = (app.identity.registry()?, now());
    let open = registry.team(&principal.team).into_iter().flat_map(|team| team.invitations.iter());
    if open.filter(|(_, it)| it.expires > now).count() >= OPEN_MAX {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("a team has at most {OPEN_MAX} open invitations"),
        ));
    }
    let id = readable_id().map_err(no_randomness)?;
    let id: InvitationId = id.parse().map_err(|_| no_such_invitation())?;
    let expires = UnixMs(now.0 + LIFE_MS);
    let value = Some(Invitation { role, note: note.clone(), by: principal.user.clone(), expires });
    let fact = Fact::Invitation { id: id.clone(), value };
    let (author, cause) = (principal.user.as_str(), "invited");
    let revision =
        app.identity.record(Change { author, cause, scope: scope.clone(), fact, expected: 0 }).await?;
    let token = app.identity.invite(principal.team.clone(), id.clone()).await?;
    let after = Some(json!({ "role": role, "note": note, "expires": expires }));
    app.audit.tell(scope, Deed { after, ..by.did(Action::Invite, &id) }).await;
    let token = token.text().to_owned();
    let link = [app.identity.settings.site.origin(), "/#/join/", &token].concat();
    Ok((StatusCode::CREATED, Json(InvitationMade { id, link, token, role, expires, revision })))
}

fn no_such_invitation() -> Problem {
    Problem::not_found("no such invitation: /api/v1/invitations lists those there are")
}

/// Takes an invitation back; its link is of no use any more.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{id}", tag = "team", operation_id = "remove_invitation",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It was just accepted or taken back", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: ById<InvitationId>,
) -> Result<StatusCode, Problem> {
    let registry = app.identity.registry()?;
    let id = asked.id.ok_or_else(no_such_invitation)?;
    let recorded = registry.team(&principal.team).and_then(|team| team.invitations.recorded(&id));
    let recorded = recorded.filter(|it| it.value.is_some()).ok_or_else(no_such_invitation)?;
    let scope = JournalScope::Team(principal.team.clone());
    let fact = Fact::Invitation { id: id.clone(), value: None };
    let (author, expected) = (principal.user.as_str(), recorded.revision);
    app.identity.record(Change { author, cause: "taken back", scope: scope.clone(), fact, expected }).await?;
    let before = recorded.value.as_ref().map(|it| json!({ "role": it.role, "note": it.note }));
    app.audit.tell(scope, Deed { before, ..By::from(&principal).did(Action::InvitationDelete, &id) }).await;
    Ok(StatusCode::NO_CONTENT)
}
