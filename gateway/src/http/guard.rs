//! Around every route: what no answer may lack and no request may exceed.

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::site::Site;
use crate::metrics::Request as Counted;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// Bytes of path and query: 200 host ids of a live stream's filter fit.
const URL_BYTES_MAX: usize = 16 * 1024;
/// What an answer of the API may do in a browser: nothing.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Browsers that came by TLS once come by nothing else for a year.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Headers of every answer.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Refuses what exceeds the limits, puts the security headers on every answer, counts it.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or(String::new(), |path| path.as_str().to_owned());
    let site = &app.identity.settings.site;
    let mut response = match refusal(site, request.uri(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    if site.is_secure() {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(API_POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    app.metrics.requests.get_or_create(&Counted { route, status: response.status().as_u16() }).inc();
    response
}

fn refusal(site: &Site, uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    let length = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if length > URL_BYTES_MAX {
        let detail = format!("the address has {length} bytes, at most {URL_BYTES_MAX} are read");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, detail));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !site.answers_to(host) {
        // A page elsewhere could let its own name point here.
        let detail = format!(
            "this gateway answers to {} and to this machine's own names (see --public-url)",
            site.origin()
        );
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    None
}
