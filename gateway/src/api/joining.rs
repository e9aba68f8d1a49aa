//! Coming for the first time: the first owner, those who are invited, those who register.

use crate::api::auth::{Session, TOKEN_CHARS_MAX, Told, answer, seen, short};
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::{Via, Visitor};
use crate::http::problem::Problem;
use crate::identity::people::{Newcomer, check_password};
use crate::identity::throttle::Who;
use crate::identity::{Change, invites::Opened};
use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::{Fact, Role};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// What the team of the first owner is called if they do not say.
const FIRST_TEAM_NAME: &str = "Default";
/// Characters of a name that people read.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// The code and the first owner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// What the gateway printed at its start; `watchkeeper-gateway bootstrap` prints it again.
    #[schema(example = "ABCD-EFGH-IJKL-MNOP")]
    code: String,
    /// The name to log in with.
    user: UserId,
    /// 10 to 128 characters.
    password: String,
    /// What the team is called.
    #[serde(default)]
    team_name: Option<String>,
    /// Answer with tokens instead of cookies.
    #[serde(default)]
    bearer: bool,
}

impl Body for SetUp {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "code", &self.code, TOKEN_CHARS_MAX);
        if let Some(name) = &self.team_name {
            mistakes.text("team_name", name, 1..=NAME_CHARS_MAX);
        }
    }
}

/// Makes the first owner and the team `default`, once.
#[utoipa::path(
    post, path = "/api/v1/auth/setup", tag = "auth", operation_id = "set_up", request_body = SetUp,
    responses(
        (status = 201, description = "The first owner is here", body = Session),
        (status = 401, description = "This is not the present code", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else sets it up at this moment", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "There is an owner", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tries; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn set_up(visitor: Visitor, app: Arc<App>, _: Nothing, body: SetUp) -> Result<Response, Problem> {
    let (identity, now) = (&app.identity, now());
    let guessers = [Who::at(visitor.address)];
    identity.slow_down(&guessers, now)?;
    check_password(&body.password, &body.user)?;
    let newcomer =
        Newcomer { display_name: body.user.to_string(), user: body.user.clone(), password: body.password };
    let name = body.team_name.as_deref().unwrap_or(FIRST_TEAM_NAME);
    let team = match identity.set_up(&body.code, newcomer, name, now).await {
        Ok(team) => team,
        Err(problem) => {
            if problem.status() == StatusCode::UNAUTHORIZED {
                identity.guessed_wrong(&guessers, now);
                let told = Told { app: &app, scope: JournalScope::Everyone, from: visitor.address };
                told.of("setup.refused", body.user.as_str()).await;
            }
            return Err(problem);
        }
    };
    let told = Told { app: &app, scope: JournalScope::Team(team.clone()), from: visitor.address };
    told.about("setup", body.user.as_str(), team.as_str(), json!({"name": name, "role": Role::Owner})).await;
    come_in(&visitor, &app, &body.user, body.bearer).await
}

/// Somebody who makes an account and a team of their own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The name to log in with.
    user: UserId,
    /// 10 to 128 characters.
    password: String,
    /// What the team is called.
    team_name: String,
    /// Answer with tokens instead of cookies.
    #[serde(default)]
    bearer: bool,
}

impl Body for Register {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("team_name", &self.team_name, 1..=NAME_CHARS_MAX);
    }
}

/// Makes an account and a team, where the installation lets whoever comes do so.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", operation_id = "register", request_body = Register,
    responses(
        (status = 201, description = "The account and the team are there", body = Session),
        (status = 404, description = "Registration is not open", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The user name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many from this address; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    visitor: Visitor,
    app: Arc<App>,
    _: Nothing,
    body: Register,
) -> Result<Response, Problem> {
    let (identity, now) = (&app.identity, now());
    let known = identity.known()?;
    // The first one to come is the one with the code.
    if !identity.settings.open_registration || known.needs_setup() {
        return Err(Problem::not_found("registration is not open: ask for an invitation"));
    }
    let guessers = [Who::at(visitor.address)];
    identity.slow_down(&guessers, now)?;
    // Each registration counts, so that one address neither fills the registry nor tries out names.
    identity.guessed_wrong(&guessers, now);
    let newcomer =
        Newcomer { display_name: body.user.to_string(), user: body.user.clone(), password: body.password };
    identity.new_user(newcomer, "register").await?;
    let team = identity.found_team(&body.user, &body.team_name, "register").await?;
    let told = Told { app: &app, scope: JournalScope::Team(team.clone()), from: visitor.address };
    told.about(
        "register",
        body.user.as_str(),
        team.as_str(),
        json!({"name": body.team_name, "role": Role::Owner}),
    )
    .await;
    come_in(&visitor, &app, &body.user, body.bearer).await
}

/// The token of an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationToken {
    /// What the link ends with.
    token: String,
}

impl Body for InvitationToken {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "token", &self.token, TOKEN_CHARS_MAX);
    }
}

/// To what somebody is invited.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenedInvitation {
    /// The team.
    team: TeamId,
    /// What it is called.
    team_name: String,
    /// What they will be.
    #[schema(value_type = String, example = "viewer")]
    role: Role,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
}

/// To what a token invites.
#[utoipa::path(
    post, path = "/api/v1/auth/invitation", tag = "auth", operation_id = "show_invitation", request_body = InvitationToken,
    responses(
        (status = 200, description = "The invitation", body = OpenedInvitation),
        (status = 404, description = "Unknown, used, withdrawn or over", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tries; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn invitation(
    visitor: Visitor,
    app: Arc<App>,
    _: Nothing,
    body: InvitationToken,
) -> Result<Json<OpenedInvitation>, Problem> {
    let opened = open(&visitor, &app, &body.token)?;
    let team_name =
        app.identity.registry()?.team(&opened.team).map_or(String::new(), |team| team.name().to_owned());
    let (role, expires) = (opened.invitation.role, opened.invitation.expires);
    Ok(Json(OpenedInvitation { team: opened.team, team_name, role, expires }))
}

/// An invitation and whoever accepts it: somebody new, or without name and password whoever is signed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// What the link ends with.
    token: String,
    /// The name to log in with, for somebody new.
    #[serde(default)]
    user: Option<UserId>,
    /// 10 to 128 characters, for somebody new.
    #[serde(default)]
    password: Option<String>,
    /// Answer with tokens instead of cookies.
    #[serde(default)]
    bearer: bool,
}

impl Body for Accept {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "token", &self.token, TOKEN_CHARS_MAX);
        if self.user.is_some() != self.password.is_some() {
            mistakes.note(
                "user",
                "a user name and a password, or neither for whoever is signed in",
                "one of them",
            );
        }
    }
}

/// Accepts an invitation. A token is good once.
#[utoipa::path(
    post, path = "/api/v1/auth/accept", tag = "auth", operation_id = "accept_invitation", request_body = Accept,
    responses(
        (status = 201, description = "They belong to the team", body = Session),
        (status = 401, description = "Nobody is signed in, and nobody new was named", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown, used, withdrawn or over", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The user name is taken, they belong to the team, or the token was just used", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tries; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not now; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn accept(visitor: Visitor, app: Arc<App>, _: Nothing, body: Accept) -> Result<Response, Problem> {
    let identity = &app.identity;
    let opened = open(&visitor, &app, &body.token)?;
    let user = match (body.user, body.password) {
        (Some(user), Some(password)) => {
            let newcomer = Newcomer { display_name: user.to_string(), user: user.clone(), password };
            identity.new_user(newcomer, "invited").await?;
            if let Err(problem) = identity.use_invitation(&opened).await {
                identity.remove_user(&user, "the invitation was used meanwhile").await?;
                return Err(problem);
            }
            user
        }
        (_, _) => {
            let session = visitor.caller.as_ref().filter(|caller| matches!(caller.via, Via::Session(_)));
            let user = session.map(|caller| caller.user.clone()).ok_or_else(Problem::unauthorized)?;
            if identity.registry()?.role(&user, &opened.team).is_some() {
                return Err(Problem::new(StatusCode::CONFLICT, "you belong to the team already"));
            }
            identity.use_invitation(&opened).await?;
            user
        }
    };
    join(&app, &opened, &user).await?;
    let told = Told { app: &app, scope: JournalScope::Team(opened.team.clone()), from: visitor.address };
    let after = json!({"role": opened.invitation.role, "invited_by": opened.invitation.by});
    told.about("invitation.accepted", user.as_str(), opened.id.as_str(), after).await;
    come_in(&visitor, &app, &user, body.bearer).await
}

/// The invitation was used: its fact goes, and the user belongs to the team.
async fn join(app: &App, opened: &Opened, user: &UserId) -> Result<(), Problem> {
    let (identity, scope) = (&app.identity, JournalScope::Team(opened.team.clone()));
    let expected =
        identity.registry()?.any_team(&opened.team).map_or(0, |team| team.invitations.revision(&opened.id));
    let fact = Fact::Invitation { id: opened.id.clone(), value: None };
    let author = user.as_str();
    identity.record(Change { author, cause: "accepted", scope, fact, expected }).await?;
    identity
        .make_member(user, &opened.team, opened.invitation.role, (opened.invitation.by.as_str(), "invited"))
        .await
}

fn open(visitor: &Visitor, app: &App, token: &str) -> Result<Opened, Problem> {
    let (guessers, now) = ([Who::at(visitor.address)], now());
    app.identity.slow_down(&guessers, now)?;
    let opened = app.identity.invitation(token);
    if opened.as_ref().is_err_and(|problem| problem.status() == StatusCode::NOT_FOUND) {
        app.identity.guessed_wrong(&guessers, now);
    }
    opened
}

async fn come_in(visitor: &Visitor, app: &App, user: &UserId, bearer: bool) -> Result<Response, Problem> {
    let granted = app.identity.begin(user, seen(visitor, &visitor.address.to_string(), now())).await?;
    answer(&app.identity, granted, StatusCode::CREATED, bearer)
}
