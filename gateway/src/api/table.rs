//! The ONE table of routes. A route of the API cannot be added without its description or without its principal:
//! [`route`] takes neither a handler that does not begin with one, nor one that is not described.

use crate::api::health::Readiness;
use crate::api::host_schema::HostView;
use crate::api::metrics::MetricView;
use crate::api::{List, docs, health, history, hosts, live, metrics, page, system};
use crate::app::App;
use crate::fleet::summary::HostSummary;
use crate::history::answer::{FleetHistoryView, HistoryView};
use crate::http::ask::{Ask, Asked};
use crate::http::guard::guard;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::system::{LagView, SystemView};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, get, on};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, Operation};

/// One route: where it stands, how it is described, who answers.
pub struct Route {
    /// The path with its `{parameters}`.
    pub path: String,
    /// Its methods.
    pub methods: Vec<HttpMethod>,
    /// Whether it is answered to a principal only.
    pub guarded: bool,
    /// The names that its query may hold.
    pub query: &'static [&'static str],
    operation: Operation,
    handler: MethodRouter<Arc<App>>,
}

/// Everything that is offered, but for the page and the page to browse this.
#[must_use]
pub fn table() -> Vec<Route> {
    vec![
        route::<hosts::__path_list, _, _, _, _>(hosts::list),
        route::<hosts::__path_get, _, _, _, _>(hosts::get),
        route::<history::__path_of_host, _, _, _, _>(history::of_host),
        route::<history::__path_of_fleet, _, _, _, _>(history::of_fleet),
        route::<metrics::__path_list, _, _, _, _>(metrics::list),
        route::<live::__path_stream, _, _, _, _>(live::stream),
        route::<system::__path_get, _, _, _, _>(system::get),
        open::<health::__path_healthz, _, _, _, _>(health::healthz),
        open::<health::__path_readyz, _, _, _, _>(health::readyz),
        open::<docs::__path_openapi, _, _, _, _>(docs::openapi),
    ]
}

/// A route of the API: described by `D`, answered to a principal.
fn route<D, A, F, Answer, R>(handler: F) -> Route
where
    D: utoipa::Path,
    A: Ask + Send + 'static,
    F: Fn(Principal, Arc<App>, A) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Result<R, Problem>> + Send + 'static,
    R: IntoResponse,
{
    let answer = move |principal: Principal, State(app): State<Arc<App>>, Asked(asked): Asked<A>| {
        handler(principal, app, asked)
    };
    Route { handler: on(filter(&D::methods()), answer), ..described::<D, A>(true) }
}

/// A route that shows nothing of any team, and so needs no principal.
fn open<D, A, F, Answer, R>(handler: F) -> Route
where
    D: utoipa::Path,
    A: Ask + Send + 'static,
    F: Fn(Arc<App>, A) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = R> + Send + 'static,
    R: IntoResponse,
{
    let answer = move |State(app): State<Arc<App>>, Asked(asked): Asked<A>| handler(app, asked);
    Route { handler: on(filter(&D::methods()), answer), ..described::<D, A>(false) }
}

fn described<D: utoipa::Path, A: Ask>(guarded: bool) -> Route {
    let (path, methods, operation) = (D::path(), D::methods(), D::operation());
    Route { path, methods, guarded, query: A::QUERY, operation, handler: MethodRouter::new() }
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

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Watchkeeper",
        description = "What the watch has seen. Lists are {items, next_page}; times are RFC 3339 in UTC; a number's \
                       unit is the end of its name; unknown query parameters are refused; errors are problem+json.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    tags(
        (name = "hosts", description = "The fleet as it is now"),
        (name = "history", description = "The fleet as it was"),
        (name = "system", description = "The watch itself"),
    ),
    components(schemas(
        FleetHistoryView, HistoryView, HostView, LagView, List<HostSummary>, List<MetricView>, Problem, Readiness,
        SystemView,
    ))
)]
struct Description;

/// The OpenAPI document of the table.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Description::openapi();
    for route in table() {
        document.paths.add_path_operation(route.path, route.methods, route.operation);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::request::Parts;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    #[test]
    fn every_route_is_described_with_exactly_what_its_query_may_hold() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        for route in table() {
            let operation = &document["paths"][&route.path]["get"];
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{}", route.path);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of = |place: &str| -> BTreeSet<String> {
                let here = parameters.iter().filter(|it| it["in"] == place);
                here.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(of("query"), route.query.iter().map(ToString::to_string).collect(), "{}", route.path);
            let in_path = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(of("path"), in_path.map(str::to_owned).collect(), "{}", route.path);
        }
        assert_eq!(document["paths"].as_object().unwrap().len(), table().len());
    }

    #[test]
    fn only_what_shows_nothing_of_a_team_is_open() {
        let open: Vec<String> =
            table().into_iter().filter(|route| !route.guarded).map(|route| route.path).collect();
        assert_eq!(open, ["/healthz", "/readyz", "/api/v1/openapi.json"]);
    }

    /// Asks the whole gateway for a path, with everything in it that a route could want.
    async fn status(app: &Arc<App>, path: &str) -> u16 {
        let path = path.replace("{id}", "web-1");
        let request = axum::extract::Request::get(path).header("host", "localhost");
        let service = TowerToHyperService::new(router(Arc::clone(app)));
        service.call(request.body(axum::body::Body::empty()).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn whoever_has_no_principal_gets_nothing_but_what_is_open() {
        fn nobody(_: &Parts) -> Result<Principal, Problem> {
            Err(Problem::new(StatusCode::UNAUTHORIZED, "nobody"))
        }
        let app = App::alone(nobody);
        for route in table() {
            let status = status(&app, &route.path).await;
            assert_eq!(status == 401, route.guarded, "{} answered {status}", route.path);
        }
    }

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        let mut count = 0;
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
            count += 1;
        }
        assert!(count > 10, "{count}");
    }
}
