//! The ONE table of routes. A route of the API cannot be added without its description or without saying what is
//! needed of whoever asks: [`route`] takes neither a handler that does not begin with one who was checked, nor one that
//! is not described.

use crate::api::{
    alert_defaults, alerts, audit, auth, backtest, bulk, description, docs, enrol, health, history, hosting,
    hosts, invitations, joining, live, maintenance, me, members, metrics, page, readers, receiver_deeds,
    receivers, rule_history, rules, silences, system, team, telegram, tokens,
};
use crate::app::App;
use crate::http::ask::{self, Ask};
use crate::http::body::{self, Body};
use crate::http::guard::guard;
use crate::http::principal::{TEAM, Who};
use crate::http::problem::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{HttpMethod, Operation};
use watchkeeper_schemas::journal::Role;

/// Needed of whoever is signed in and asks about no team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    /// Nothing more; a token that is for one team only reads.
    Any,
    /// A session: what concerns the account itself is not for tokens.
    Session,
}

/// Nothing is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open;

/// What a route needs of whoever asks, as tests and the description read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it shows nothing of any team.
    Open,
    /// To be signed in.
    SignedIn(SignedIn),
    /// To have this role in the team at least.
    Role(Role),
}

impl From<Open> for Access {
    fn from(_: Open) -> Self {
        Self::Open
    }
}

impl From<SignedIn> for Access {
    fn from(need: SignedIn) -> Self {
        Self::SignedIn(need)
    }
}

impl From<Role> for Access {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

impl Access {
    /// What every query of such a route may hold.
    #[must_use]
    pub fn common(self) -> &'static [&'static str] {
        match self {
            Self::Open | Self::SignedIn(_) => &[],
            Self::Role(_) => &[TEAM],
        }
    }
}

/// One route: where it stands, how it is described, who answers whom.
pub struct Route {
    /// The path with its `{parameters}`.
    pub path: String,
    /// Its methods.
    pub methods: Vec<HttpMethod>,
    /// What whoever asks needs.
    pub access: Access,
    /// The names that its query may hold.
    pub query: Vec<&'static str>,
    /// Whether it takes a body.
    pub body: bool,
    /// How it is described.
    pub(crate) operation: Operation,
    /// What the description refers to.
    pub(crate) schemas: Vec<Schema>,
    handler: MethodRouter<Arc<App>>,
}

/// A schema and its name.
type Schema = (String, RefOr<utoipa::openapi::schema::Schema>);

/// Everything that is offered, but for the page and the page to browse this.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = of_alerts();
    table.extend(of_receivers());
    table.extend(of_teams());
    table.extend(of_people());
    table
}

/// What is alerted, what was, and who hears.
fn of_alerts() -> Vec<Route> {
    vec![
        route::<rules::__path_list, _, _>(Role::Viewer, rules::list),
        route::<rules::__path_create, _, _>(Role::Admin, rules::create),
        route::<rules::__path_check, _, _>(Role::Viewer, rules::check),
        route::<backtest::__path_run, _, _>(Role::Admin, backtest::run),
        route::<rules::__path_get, _, _>(Role::Viewer, rules::get),
        route::<rules::__path_change, _, _>(Role::Admin, rules::change),
        route::<rules::__path_switch, _, _>(Role::Admin, rules::switch),
        route::<rules::__path_remove, _, _>(Role::Admin, rules::remove),
        route::<rule_history::__path_list, _, _>(Role::Viewer, rule_history::list),
        route::<alert_defaults::__path_get, _, _>(Role::Viewer, alert_defaults::get),
        route::<alert_defaults::__path_change, _, _>(Role::Admin, alert_defaults::change),
        route::<alerts::__path_list, _, _>(Role::Viewer, alerts::list),
        route::<bulk::__path_deed, _, _>(Role::Admin, bulk::deed),
        route::<alerts::__path_get, _, _>(Role::Viewer, alerts::get),
        route::<alerts::__path_acknowledge, _, _>(Role::Admin, alerts::acknowledge),
        route::<alerts::__path_withdraw, _, _>(Role::Admin, alerts::withdraw),
        route::<alerts::__path_resolve, _, _>(Role::Admin, alerts::resolve),
        route::<silences::__path_list, _, _>(Role::Viewer, silences::list),
        route::<silences::__path_create, _, _>(Role::Admin, silences::create),
        route::<silences::__path_change, _, _>(Role::Admin, silences::change),
        route::<silences::__path_remove, _, _>(Role::Admin, silences::remove),
        route::<maintenance::__path_list, _, _>(Role::Viewer, maintenance::list),
        route::<maintenance::__path_create, _, _>(Role::Admin, maintenance::create),
        route::<maintenance::__path_change, _, _>(Role::Admin, maintenance::change),
        route::<maintenance::__path_remove, _, _>(Role::Admin, maintenance::remove),
    ]
}

/// Who is told of alerts.
fn of_receivers() -> Vec<Route> {
    vec![
        route::<receivers::__path_list, _, _>(Role::Viewer, receivers::list),
        route::<receivers::__path_create, _, _>(Role::Admin, receivers::create),
        route::<receivers::__path_get, _, _>(Role::Viewer, receivers::get),
        route::<receivers::__path_change, _, _>(Role::Admin, receivers::change),
        route::<receivers::__path_remove, _, _>(Role::Admin, receivers::remove),
        route::<receivers::__path_deliveries, _, _>(Role::Viewer, receivers::deliveries),
        route::<receiver_deeds::__path_test, _, _>(Role::Admin, receiver_deeds::test),
        route::<receiver_deeds::__path_link, _, _>(Role::Admin, receiver_deeds::link),
        route::<receiver_deeds::__path_unlink, _, _>(Role::Admin, receiver_deeds::unlink),
        route::<telegram::__path_get, _, _>(Role::Viewer, telegram::get),
        route::<telegram::__path_change, _, _>(Role::Admin, telegram::change),
        route::<telegram::__path_remove, _, _>(Role::Admin, telegram::remove),
    ]
}

/// What else belongs to a team.
fn of_teams() -> Vec<Route> {
    vec![
        route::<hosts::__path_list, _, _>(Role::Viewer, hosts::list),
        route::<hosts::__path_get, _, _>(Role::Viewer, hosts::get),
        route::<hosting::__path_create, _, _>(Role::Admin, hosting::create),
        route::<hosting::__path_change, _, _>(Role::Admin, hosting::change),
        route::<hosting::__path_enrol_anew, _, _>(Role::Admin, hosting::enrol_anew),
        route::<hosting::__path_remove, _, _>(Role::Admin, hosting::remove),
        route::<history::__path_of_host, _, _>(Role::Viewer, history::of_host),
        route::<history::__path_of_fleet, _, _>(Role::Viewer, history::of_fleet),
        route::<metrics::__path_list, _, _>(Role::Viewer, metrics::list),
        route::<live::__path_stream, _, _>(Role::Viewer, live::stream),
        route::<system::__path_get, _, _>(Role::Viewer, system::get),
        route::<team::__path_get, _, _>(Role::Viewer, team::get),
        route::<team::__path_create, _, _>(SignedIn::Any, team::create),
        route::<team::__path_change, _, _>(Role::Owner, team::change),
        route::<team::__path_remove, _, _>(Role::Owner, team::remove),
        route::<members::__path_list, _, _>(Role::Viewer, members::list),
        route::<members::__path_change, _, _>(Role::Owner, members::change),
        route::<members::__path_remove, _, _>(Role::Viewer, members::remove),
        route::<invitations::__path_list, _, _>(Role::Admin, invitations::list),
        route::<invitations::__path_create, _, _>(Role::Admin, invitations::create),
        route::<invitations::__path_remove, _, _>(Role::Admin, invitations::remove),
        route::<readers::__path_list, _, _>(Role::Viewer, readers::list),
        route::<readers::__path_create, _, _>(Role::Admin, readers::create),
        route::<readers::__path_remove, _, _>(Role::Admin, readers::remove),
        route::<audit::__path_list, _, _>(Role::Owner, audit::list),
        route::<audit::__path_export, _, _>(Role::Owner, audit::export),
    ]
}

/// What agents and people are before they are anybody's, and the gateway itself.
fn of_people() -> Vec<Route> {
    vec![
        route::<enrol::__path_enrol, _, _>(Open, enrol::enrol),
        route::<enrol::__path_renew, _, _>(Open, enrol::renew),
        route::<auth::__path_state, _, _>(Open, auth::state),
        route::<joining::__path_set_up, _, _>(Open, joining::set_up),
        route::<auth::__path_login, _, _>(Open, auth::login),
        route::<auth::__path_refresh, _, _>(Open, auth::refresh),
        route::<auth::__path_logout, _, _>(Open, auth::logout),
        route::<joining::__path_register, _, _>(Open, joining::register),
        route::<joining::__path_invitation, _, _>(Open, joining::invitation),
        route::<joining::__path_accept, _, _>(Open, joining::accept),
        route::<me::__path_get, _, _>(SignedIn::Any, me::get),
        route::<me::__path_rename, _, _>(SignedIn::Session, me::rename),
        route::<me::__path_password, _, _>(SignedIn::Session, me::password),
        route::<me::__path_sessions, _, _>(SignedIn::Session, me::sessions),
        route::<me::__path_end_session, _, _>(SignedIn::Session, me::end_session),
        route::<me::__path_end_others, _, _>(SignedIn::Session, me::end_others),
        route::<tokens::__path_list, _, _>(SignedIn::Session, tokens::list),
        route::<tokens::__path_make, _, _>(SignedIn::Session, tokens::make),
        route::<tokens::__path_revoke, _, _>(SignedIn::Session, tokens::revoke),
        route::<health::__path_healthz, _, _>(Open, health::healthz),
        route::<health::__path_readyz, _, _>(Open, health::readyz),
        route::<docs::__path_openapi, _, _>(Open, docs::openapi),
    ]
}

/// What answers: a function of who asks, the app, what is asked, and the body where there is one.
pub trait Answer<Taken>: Clone + Send + Sync + 'static {
    /// Who asks.
    type Who: Who;
    /// What is asked.
    type Asked: Ask + Send + 'static;
    /// Whether there is a body.
    const BODY: bool;

    /// Reads what the function takes, and calls it.
    fn answer(
        self,
        need: <Self::Who as Who>::Need,
        common: &'static [&'static str],
        app: Arc<App>,
        request: Request,
    ) -> impl Future<Output = Result<Response, Problem>> + Send;
}

impl<F, W, A, Fut, R> Answer<(W, A)> for F
where
    F: Fn(W, Arc<App>, A) -> Fut + Clone + Send + Sync + 'static,
    W: Who,
    A: Ask + Send + 'static,
    Fut: Future<Output = Result<R, Problem>> + Send,
    R: IntoResponse,
{
    type Who = W;
    type Asked = A;
    const BODY: bool = false;

    async fn answer(
        self,
        need: W::Need,
        common: &'static [&'static str],
        app: Arc<App>,
        request: Request,
    ) -> Result<Response, Problem> {
        let (mut parts, _) = request.into_parts();
        let who = W::of(&app, &parts, need)?;
        let asked = ask::read::<A>(&mut parts, common).await?;
        Ok(self(who, app, asked).await?.into_response())
    }
}

impl<F, W, A, B, Fut, R> Answer<(W, A, B)> for F
where
    F: Fn(W, Arc<App>, A, B) -> Fut + Clone + Send + Sync + 'static,
    W: Who,
    A: Ask + Send + 'static,
    B: Body,
    Fut: Future<Output = Result<R, Problem>> + Send,
    R: IntoResponse,
{
    type Who = W;
    type Asked = A;
    const BODY: bool = true;

    async fn answer(
        self,
        need: W::Need,
        common: &'static [&'static str],
        app: Arc<App>,
        request: Request,
    ) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        let who = W::of(&app, &parts, need)?;
        let asked = ask::read::<A>(&mut parts, common).await?;
        let body: B = body::read(&parts.headers, body).await?;
        Ok(self(who, app, asked, body).await?.into_response())
    }
}

/// A route of the API: described by `D`, answered to whoever has what is needed.
fn route<D, F, Taken>(need: <F::Who as Who>::Need, answer: F) -> Route
where
    // What utoipa's own `routes!` collects schemas by; they would have to be listed by hand otherwise.
    D: utoipa::Path + utoipa::__dev::SchemaReferences,
    F: Answer<Taken>,
    Access: From<<F::Who as Who>::Need>,
{
    let (path, methods, access) = (D::path(), D::methods(), Access::from(need));
    let common = access.common();
    let handler = move |State(app): State<Arc<App>>, request: Request| {
        answer.clone().answer(need, common, app, request)
    };
    let query = F::Asked::QUERY.iter().chain(common).copied().collect();
    let operation = description::complete(D::operation(), &methods, access, F::BODY);
    let mut schemas = Vec::new();
    D::schemas(&mut schemas);
    Route {
        handler: on(filter(&methods), handler),
        path,
        methods,
        access,
        query,
        body: F::BODY,
        operation,
        schemas,
    }
}

fn filter(methods: &[HttpMethod]) -> MethodFilter {
    let of = |method: &HttpMethod| match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    };
    methods.iter().map(of).reduce(MethodFilter::or).unwrap_or(MethodFilter::GET)
}

/// Everything that answers.
pub fn router(app: Arc<App>) -> Router {
    let routes =
        table().into_iter().fold(Router::new(), |router, route| router.route(&route.path, route.handler));
    routes
        .route("/api/docs", get(docs::entrance))
        .route("/api/docs/", get(docs::file))
        .route("/api/docs/{*file}", get(docs::file))
        .method_not_allowed_fallback(wrong_method)
        .fallback(page::fallback)
        .layer(from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

async fn wrong_method(uri: Uri) -> Problem {
    let detail = format!("{} has no such method: /api/docs lists those there are", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests;
