//! Coming and going: log in, go on, log out.

use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::cookies::{self, Cookie};
use crate::http::principal::{Caller, Via, Visitor};
use crate::http::problem::Problem;
use crate::identity::Identity;
use crate::identity::families::{IDLE_MAX_MS, Seen};
use crate::identity::known::Known;
use crate::identity::password::CHARS_MAX;
use crate::identity::report::{Report, report};
use crate::identity::sessions::{Granted, Refreshed};
use crate::identity::throttle::Who;
use crate::identity::tokens::LIFE_S;
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::Role;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// Characters of a user name that are looked at.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a token that are looked at.
pub(crate) const TOKEN_CHARS_MAX: usize = 256;

/// A team that somebody belongs to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Membership {
    /// The team.
    pub team: TeamId,
    /// What it is called.
    pub name: String,
    /// What they may do there.
    #[schema(value_type = String, example = "owner")]
    pub role: Role,
}

/// The teams of a user in the order of their names.
#[must_use]
pub fn memberships(known: &Known, user: &UserId) -> Vec<Membership> {
    let of = |id: &TeamId| {
        let (name, role) = (known.registry.team(id)?.name().to_owned(), known.registry.role(user, id)?);
        Some(Membership { team: id.clone(), name, role })
    };
    known.teams_of(user).iter().filter_map(of).collect()
}

/// A session that began or goes on. Browsers get it as cookies; the tokens stand here for tools that asked for them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// The name that people read.
    pub display_name: String,
    /// Their teams.
    pub teams: Vec<Membership>,
    /// When the access token ends; `POST /api/v1/auth/refresh` before gives another.
    #[schema(value_type = String, format = DateTime)]
    pub access_expires: UnixMs,
    /// Where asked for: goes into `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// Where asked for: good for one refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// Who is here, for a page that has just been opened.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthState {
    /// Nobody owns this gateway yet: `POST /api/v1/auth/setup` with the code makes the first owner.
    needs_setup: bool,
    /// Whoever comes may register.
    open_registration: bool,
    /// Whether the request had a good session or token.
    signed_in: bool,
    /// Whether there is a refresh cookie: without one, `POST /api/v1/auth/refresh` cannot help a browser.
    refreshable: bool,
    /// When the access token, or the personal one, that the request had ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    access_expires: Option<UnixMs>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<SignedInUser>,
    /// Their teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    teams: Option<Vec<Membership>>,
    /// The version of this gateway.
    version: &'static str,
}

/// Whoever is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedInUser {
    /// The name to log in with.
    name: UserId,
    /// The name that people read.
    display_name: String,
}

/// Who is here, and whether anybody owns this gateway yet.
#[utoipa::path(
    get, path = "/api/v1/auth/state", tag = "auth", operation_id = "auth_state",
    responses(
        (status = 200, description = "Who is here", body = AuthState),
        (status = 503, description = "It cannot be known yet", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn state(visitor: Visitor, app: Arc<App>, _: Nothing) -> Result<Json<AuthState>, Problem> {
    let known = app.identity.known()?;
    let user = visitor.caller.as_ref().map(|caller| SignedInUser {
        name: caller.user.clone(),
        display_name: display_name(&known, &caller.user),
    });
    Ok(Json(AuthState {
        needs_setup: known.needs_setup(),
        open_registration: app.identity.settings.open_registration,
        signed_in: user.is_some(),
        refreshable: visitor.refresh.is_some(),
        access_expires: visitor.caller.as_ref().map(|caller| caller.expires),
        user,
        teams: visitor.caller.as_ref().map(|caller| memberships(&known, &caller.user)),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// A user name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user name.
    user: String,
    /// The password.
    password: String,
    /// Answer with tokens instead of cookies.
    #[serde(default)]
    bearer: bool,
}

impl Body for Login {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "user", &self.user, NAME_CHARS_MAX);
        short(mistakes, "password", &self.password, CHARS_MAX);
    }
}

/// Longer texts are refused before anything is done with them; they are not repeated.
pub(crate) fn short(mistakes: &mut Mistakes, field: &str, text: &str, chars_max: usize) {
    if text.chars().count() > chars_max {
        mistakes.note(field, format!("at most {chars_max} characters"), "more");
    }
}

/// Logs in. A wrong password and an unknown user read the same and take as long; who fails too often waits. An answer
/// with a field `next` is none yet: it names the step that is missing.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login", request_body = Login,
    responses(
        (status = 200, description = "The session", body = Session),
        (status = 401, description = "User name or password is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tries; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many log in at once; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn login(visitor: Visitor, app: Arc<App>, _: Nothing, body: Login) -> Result<Response, Problem> {
    let (identity, now) = (&app.identity, now());
    let known = identity.known()?;
    // Who still has a session of this account is not kept out by those who guess at it.
    let present = visitor.refresh.as_ref().and_then(|token| identity.session_of(token, now));
    let present = present.filter(|(user, _)| user.as_str() == body.user);
    let guesser = match &present {
        Some((_, sid)) => Who::Session(sid.clone()),
        None => Who::Account(body.user.clone()),
    };
    let guessers = [guesser, Who::at(visitor.address)];
    let told = Told { app: &app, scope: JournalScope::Everyone, from: visitor.address };
    let Some(user) = identity.is_password(&known, &body.user, body.password, &guessers, now).await? else {
        told.of("login.refused", &body.user).await;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong"));
    };
    if let Some((user, sid)) = present {
        identity.end(&user, &sid).await?;
    }
    let granted = identity.begin(&user, seen(&visitor, &visitor.address.to_string(), now)).await?;
    told.of("login", user.as_str()).await;
    answer(identity, granted, StatusCode::OK, body.bearer)
}

/// A refresh token, where there is no cookie.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The token; without it the cookie is taken.
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Body for Refresh {
    fn check(&self, mistakes: &mut Mistakes) {
        short(mistakes, "refresh_token", self.refresh_token.as_deref().unwrap_or_default(), TOKEN_CHARS_MAX);
    }
}

/// Gives another access token, and another refresh token in place of the one that was shown. One that was used before
/// ends the session, as somebody else must have it; for ten seconds the other tab of a browser may be late.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh", request_body = Refresh,
    responses(
        (status = 200, description = "The session goes on", body = Session),
        (status = 401, description = "The session has ended", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "NATS does not answer; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn refresh(
    visitor: Visitor,
    app: Arc<App>,
    _: Nothing,
    body: Refresh,
) -> Result<Response, Problem> {
    let (identity, now) = (&app.identity, now());
    let by_cookie = body.refresh_token.is_none();
    let token = body.refresh_token.or_else(|| visitor.refresh.clone()).ok_or_else(Problem::unauthorized)?;
    if by_cookie && !visitor.own_page {
        return Err(Problem::forbidden(
            "this did not come from a page of this gateway (Sec-Fetch-Site, Origin)",
        ));
    }
    let address = visitor.address.to_string();
    let refreshed = identity.refresh(&token, seen(&visitor, &address, now)).await;
    match refreshed {
        Ok(Refreshed::Granted(granted)) => answer(identity, granted, StatusCode::OK, !by_cookie),
        Ok(Refreshed::Reused(user)) => {
            let told = Told { app: &app, scope: JournalScope::Everyone, from: visitor.address };
            told.of("session.token_reused", user.as_str()).await;
            let detail = "this session was ended: one of its tokens was used twice, so somebody may have copied it. Log \
                          in again, and look at your other sessions";
            Ok(refuse_and_clear(identity, Problem::new(StatusCode::UNAUTHORIZED, detail)))
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            Ok(refuse_and_clear(identity, problem))
        }
        Err(problem) => Err(problem),
    }
}

/// Nothing more is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Logout {}

impl Body for Logout {}

/// Ends this session, if there is one. Its access token is good no more, on any gateway, and its live streams end.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout", request_body = Logout,
    responses(
        (status = 204, description = "There is no session any more"),
        (status = 503, description = "NATS does not answer; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn logout(visitor: Visitor, app: Arc<App>, _: Nothing, _: Logout) -> Result<Response, Problem> {
    let identity = &app.identity;
    // The access token may be over while the session is not.
    let by_cookie = visitor.refresh.as_ref().filter(|_| visitor.own_page);
    let session = match visitor.caller {
        Some(Caller { user, via: Via::Session(sid), .. }) => Some((user, sid)),
        Some(Caller { via: Via::Token(_), .. }) | None => {
            by_cookie.and_then(|token| identity.session_of(token, now()))
        }
    };
    if let Some((user, sid)) = session {
        identity.end(&user, &sid).await?;
        let told = Told { app: &app, scope: JournalScope::Everyone, from: visitor.address };
        told.of("logout", user.as_str()).await;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookies::clear(&identity.settings.site, response.headers_mut());
    Ok(response)
}

/// What is told to the audit of one request.
pub(crate) struct Told<'a> {
    pub(crate) app: &'a App,
    pub(crate) scope: JournalScope,
    pub(crate) from: IpAddr,
}

impl Told<'_> {
    /// Somebody did something about themselves.
    pub(crate) async fn of(&self, kind: &'static str, who: &str) {
        self.about(kind, who, who, serde_json::Value::Null).await;
    }

    /// Somebody did something.
    pub(crate) async fn about(&self, kind: &'static str, who: &str, about: &str, after: serde_json::Value) {
        let (who, about) = (who.to_owned(), about.to_owned());
        let scope = self.scope.clone();
        let before = serde_json::Value::Null;
        report(self.app, Report { scope, kind, who, from: self.from, about, before, after }).await;
    }
}

/// From where a session is used.
pub(crate) fn seen<'a>(visitor: &'a Visitor, address: &'a str, now: UnixMs) -> Seen<'a> {
    Seen { address, agent: &visitor.agent, now }
}

pub(crate) fn display_name(known: &Known, user: &UserId) -> String {
    known.registry.users.get(user).map_or_else(|| user.to_string(), |user| user.display_name.clone())
}

/// The answer to whoever began a session or goes on with one: cookies, or tokens where asked for.
pub(crate) fn answer(
    identity: &Identity,
    granted: Granted,
    status: StatusCode,
    bearer: bool,
) -> Result<Response, Problem> {
    let known = identity.known()?;
    let mut headers = HeaderMap::new();
    if !bearer {
        let site = &identity.settings.site;
        Cookie::Access.write(site, &granted.access, LIFE_S, &mut headers);
        if let Some(refresh) = &granted.refresh {
            Cookie::Refresh.write(site, refresh, IDLE_MAX_MS / 1000, &mut headers);
        }
    }
    let session = Session {
        display_name: display_name(&known, &granted.user),
        teams: memberships(&known, &granted.user),
        user: granted.user,
        access_expires: granted.access_expires,
        access_token: Some(granted.access).filter(|_| bearer),
        refresh_token: granted.refresh.filter(|_| bearer),
    };
    Ok((status, headers, Json(session)).into_response())
}

/// A session that has ended leaves no cookies behind.
fn refuse_and_clear(identity: &Identity, problem: Problem) -> Response {
    let mut response = problem.into_response();
    cookies::clear(&identity.settings.site, response.headers_mut());
    response
}
