//! One's own account: name, password, sessions, personal tokens.

use crate::api::List;
use crate::api::auth::{Membership, Told, display_name, memberships, short};
use crate::api::joining::NAME_CHARS_MAX;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::{Ask, Nothing, Reader};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::{Caller, Via};
use crate::http::problem::{FieldError, Problem};
use crate::identity::Change;
use crate::identity::password::CHARS_MAX;
use crate::identity::people::check_password;
use crate::identity::throttle::Who;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::journal::{Fact, User};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// Whoever is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// The name to log in with.
    user: UserId,
    /// The name that people read.
    display_name: String,
    /// The teams they belong to, in the order of their names.
    teams: Vec<Membership>,
    /// The session by which they are known; none for a token.
    #[schema(required)]
    session: Option<String>,
    /// What a change of the name has to say.
    revision: u64,
}

/// Who one is, and which teams one belongs to.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "me", operation_id = "get_me",
    responses((status = 200, description = "Oneself", body = Me))
)]
pub async fn get(caller: Caller, app: Arc<App>, _: Nothing) -> Result<Json<Me>, Problem> {
    let known = app.identity.known()?;
    let teams = memberships(&known, &caller.user);
    let seen = |it: &Membership| caller.only.as_ref().is_none_or(|only| *only == it.team);
    Ok(Json(Me {
        display_name: display_name(&known, &caller.user),
        teams: teams.into_iter().filter(seen).collect(),
        session: session(&caller).map(str::to_owned),
        revision: known.registry.users.revision(&caller.user),
        user: caller.user,
    }))
}

fn session(caller: &Caller) -> Option<&str> {
    match &caller.via {
        Via::Session(sid) => Some(sid),
        Via::Token(_) => None,
    }
}

/// Another name for people to read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The new name.
    display_name: String,
    /// The revision that was read.
    revision: u64,
}

impl Body for Rename {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("display_name", &self.display_name, 1..=NAME_CHARS_MAX);
    }
}

/// Changes the name that people read.
#[utoipa::path(
    put, path = "/api/v1/me", tag = "me", operation_id = "rename_me", request_body = Rename,
    responses(
        (status = 200, description = "Oneself", body = Me),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn rename(
    caller: Caller,
    app: Arc<App>,
    asked: Nothing,
    body: Rename,
) -> Result<Json<Me>, Problem> {
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    let after = serde_json::json!({"display_name": body.display_name});
    let value = Some(User { display_name: body.display_name, disabled: false });
    let fact = Fact::User { id: caller.user.clone(), value };
    let (author, scope) = (caller.user.as_str(), JournalScope::Everyone);
    app.identity.record(Change { author, cause: "renamed", scope, fact, expected: body.revision }).await?;
    told.about("user.changed", author, author, after).await;
    get(caller, app, asked).await
}

/// The password as it is and as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password as it is.
    current: String,
    /// 10 to 128 characters.
    new: String,
}

impl Body for NewPassword {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "current", &self.current, CHARS_MAX);
    }
}

/// Changes the password and ends every other session.
#[utoipa::path(
    post, path = "/api/v1/me/password", tag = "me", operation_id = "change_password", request_body = NewPassword,
    responses(
        (status = 204, description = "It is changed, and every other session has ended"),
        (status = 429, description = "Too many wrong tries; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn password(
    caller: Caller,
    app: Arc<App>,
    _: Nothing,
    body: NewPassword,
) -> Result<StatusCode, Problem> {
    let (identity, now) = (&app.identity, now());
    check_password(&body.new, &caller.user)?;
    let guessers = [Who::Session(session(&caller).unwrap_or_default().to_owned()), Who::at(caller.address)];
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    let known = identity.known()?;
    let user = caller.user.as_str();
    if identity.is_password(&known, user, body.current, &guessers, now).await?.is_none() {
        told.of("password.refused", user).await;
        return Err(Problem::fields(vec![FieldError::new("current", "the password as it is", "another")]));
    }
    identity.set_password(&caller.user, body.new).await?;
    let ended = identity.end_all_but(&caller.user, session(&caller)).await?;
    told.about("password.changed", user, user, serde_json::json!({"sessions_ended": ended})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    id: String,
    /// Whether it is the one by which this was asked.
    current: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created: UnixMs,
    /// The last sign of life, up to ten minutes old.
    #[schema(value_type = String, format = DateTime)]
    used: UnixMs,
    /// When it ends without another.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    /// Where it was last seen.
    address: String,
    /// The program, as it calls itself.
    agent: String,
}

/// One's sessions, the one that was seen last first.
#[utoipa::path(
    get, path = "/api/v1/me/sessions", tag = "me", operation_id = "list_sessions",
    responses((status = 200, description = "The sessions", body = List<SessionView>))
)]
pub async fn sessions(caller: Caller, app: Arc<App>, _: Nothing) -> Result<Json<List<SessionView>>, Problem> {
    let mut found = app.identity.sessions(&caller.user);
    found.sort_by_key(|(id, family)| (std::cmp::Reverse(family.used), id.clone()));
    let view = |(id, family): (String, crate::identity::families::Family)| SessionView {
        current: session(&caller) == Some(id.as_str()),
        created: family.created,
        used: family.used,
        expires: family.ends(),
        address: family.address,
        agent: family.agent,
        id,
    };
    let items = found.into_iter().filter(|(_, family)| family.ends() >= now()).map(view).collect();
    Ok(Json(List { items, next_page: None }))
}

/// One of one's sessions by the `{id}` in the path.
#[derive(Debug)]
pub struct SessionAsk(String);

impl Ask for SessionAsk {
    const QUERY: &'static [&'static str] = &[];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        Some(Self(request.path("id").to_owned()))
    }
}

/// Ends one of one's sessions, on every gateway within a second.
#[utoipa::path(
    delete, path = "/api/v1/me/sessions/{id}", tag = "me", operation_id = "end_session",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session of yours", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn end_session(caller: Caller, app: Arc<App>, asked: SessionAsk) -> Result<StatusCode, Problem> {
    if !app.identity.end(&caller.user, &asked.0).await? {
        return Err(Problem::not_found("no such session: /api/v1/me/sessions lists yours"));
    }
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    told.of("session.ended", caller.user.as_str()).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session of one's own but this one.
#[utoipa::path(
    delete, path = "/api/v1/me/sessions", tag = "me", operation_id = "end_other_sessions",
    responses((status = 204, description = "They have ended"))
)]
pub async fn end_others(caller: Caller, app: Arc<App>, _: Nothing) -> Result<StatusCode, Problem> {
    let ended = app.identity.end_all_but(&caller.user, session(&caller)).await?;
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    let user = caller.user.as_str();
    told.about("sessions.ended", user, user, serde_json::json!({"sessions_ended": ended})).await;
    Ok(StatusCode::NO_CONTENT)
}
