//! Who asks: the ONE place where a request is given its user, team and role. Every route of the API takes what it shows
//! through one of three: a [`Principal`] of a team, a [`Caller`] without one, a [`Visitor`] who may be anybody.

use crate::api::table::{Open, SignedIn};
use crate::app::App;
use crate::audit::By;
use crate::http::cookies::Cookie;
use crate::http::problem::Problem;
use crate::http::site::{From, Site};
use axum::extract::MatchedPath;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use std::net::IpAddr;
use watchkeeper_schemas::audit::{Action, Deed, Outcome};
use watchkeeper_schemas::ids::{TeamId, TokenId, UserId};
use watchkeeper_schemas::journal::{Role, Scope};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// The query parameter that chooses the team.
pub const TEAM: &str = "team";

/// By what somebody is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A session: its id.
    Session(String),
    /// A personal token.
    Token(TokenId),
}

/// Whoever asks about things of a team, which they belong to with this role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// By what they are known.
    pub via: Via,
    /// How far that reaches.
    pub scope: Scope,
    /// Nothing of another team is ever shown.
    pub team: TeamId,
    /// What they may do there.
    pub role: Role,
    /// From where they ask.
    pub address: IpAddr,
}

/// Whoever is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// By what they are known.
    pub via: Via,
    /// How far that reaches.
    pub scope: Scope,
    /// The only team that their token works for.
    pub only: Option<TeamId>,
    /// When what they show for it ends.
    pub expires: UnixMs,
    /// From where they ask.
    pub address: IpAddr,
}

/// Anybody.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// From where they ask.
    pub address: IpAddr,
    /// The program, as it calls itself.
    pub agent: String,
    /// The refresh cookie.
    pub refresh: Option<String>,
    /// Who is signed in, if anybody is.
    pub caller: Option<Caller>,
    /// Whether the request comes from a page of ours.
    pub own_page: bool,
}

/// Whoever a handler wants to be asked by; the table says what they need for it.
pub trait Who: Sized + Send + 'static {
    /// What the table has to say.
    type Need: Copy + Send + Sync + 'static;

    /// Reads it from a request.
    ///
    /// # Errors
    /// The refusal.
    fn of(app: &App, parts: &Parts, need: Self::Need) -> Result<Self, Problem>;
}

impl Who for Principal {
    type Need = Role;

    fn of(app: &App, parts: &Parts, role: Role) -> Result<Self, Problem> {
        let caller = signed_in(app, parts)?;
        let asked = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let asked = asked.into_iter().find(|(name, _)| name == TEAM).map(|(_, team)| team);
        let principal = app.identity.of_team(caller, asked.as_deref())?;
        if principal.role < role {
            let object = parts.extensions.get::<MatchedPath>().map_or(parts.uri.path(), MatchedPath::as_str);
            let object = format!("{} {object}", parts.method);
            let by = By::from(&principal);
            let deed = Deed { outcome: Outcome::Refused, ..by.did(Action::Refused, object) };
            app.audit.note(JournalScope::Team(principal.team.clone()), deed);
            let detail = format!(
                "this needs the role {} in the team, and yours is {}",
                word(role),
                word(principal.role)
            );
            return Err(Problem::forbidden(detail));
        }
        Ok(principal)
    }
}

impl Who for Caller {
    type Need = SignedIn;

    fn of(app: &App, parts: &Parts, need: SignedIn) -> Result<Self, Problem> {
        let caller = signed_in(app, parts)?;
        let enough = match (need, &caller.via) {
            (SignedIn::Any, Via::Session(_)) | (SignedIn::Session, Via::Session(_)) => true,
            // A token for one team changes nothing beyond it.
            (SignedIn::Any, Via::Token(_)) => is_safe(&parts.method) || caller.only.is_none(),
            (SignedIn::Session, Via::Token(_)) => false,
        };
        let detail = "a token is not enough for this: sign in with a password";
        if enough { Ok(caller) } else { Err(Problem::forbidden(detail)) }
    }
}

impl Who for Visitor {
    type Need = Open;

    fn of(app: &App, parts: &Parts, _: Open) -> Result<Self, Problem> {
        let site = &app.identity.settings.site;
        let from = site.from(&parts.headers);
        if !is_safe(&parts.method) && from == From::ForeignPage {
            return Err(foreign_page());
        }
        let caller = match credential(site, &parts.headers)? {
            None => None,
            Some(_) => signed_in(app, parts).ok(),
        };
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            address: site.client(&parts.headers, &parts.extensions),
            agent: agent.unwrap_or_default().to_owned(),
            refresh: Cookie::Refresh.read(site, &parts.headers).map(str::to_owned),
            caller,
            own_page: from == From::OwnPage,
        })
    }
}

/// What a request shows of its sender.
enum Credential<'a> {
    Cookie(&'a str),
    Bearer(&'a str),
}

fn credential<'a>(site: &Site, headers: &'a HeaderMap) -> Result<Option<Credential<'a>>, Problem> {
    let header = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    match (Cookie::Access.read(site, headers), header) {
        (Some(_), Some(_)) => {
            let detail = "the request has a session cookie and a bearer token: send one of them";
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
        (Some(cookie), None) => Ok(Some(Credential::Cookie(cookie))),
        (None, Some(header)) => {
            let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
            // Another scheme is a credential, too: one that is never good.
            let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
            Ok(Some(Credential::Bearer(token)))
        }
        (None, None) => Ok(None),
    }
}

/// Whoever is signed in, with a scope that is enough for the method.
fn signed_in(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    let site = &app.identity.settings.site;
    let address = site.client(&parts.headers, &parts.extensions);
    let caller = match credential(site, &parts.headers)?.ok_or_else(Problem::unauthorized)? {
        Credential::Bearer(token) => app.identity.bearer(token, address)?,
        Credential::Cookie(token) => {
            let caller = app.identity.session(token, address)?;
            // A browser sends cookies along whoever's page it shows.
            if !is_safe(&parts.method) && site.from(&parts.headers) != From::OwnPage {
                return Err(foreign_page());
            }
            caller
        }
    };
    if !is_safe(&parts.method) && caller.scope < Scope::Write {
        return Err(Problem::forbidden("this token may read only"));
    }
    Ok(caller)
}

fn is_safe(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn foreign_page() -> Problem {
    Problem::forbidden("this did not come from a page of this gateway (Sec-Fetch-Site, Origin)")
}

pub(crate) fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}
