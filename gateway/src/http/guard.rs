//! Around every route: what no answer may lack and no request may exceed.

use crate::app::App;
use crate::http::problem::Problem;
use crate::metrics::Request as Counted;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes of path and query: 200 host ids of a live stream's filter fit.
const URL_BYTES_MAX: usize = 16 * 1024;
/// What an answer of the API may do in a browser: nothing.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
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
    let mut response = match refusal(request.uri(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(API_POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    app.metrics.requests.get_or_create(&Counted { route, status: response.status().as_u16() }).inc();
    response
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    let length = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if length > URL_BYTES_MAX {
        let detail = format!("the address has {length} bytes, at most {URL_BYTES_MAX} are read");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, detail));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_this_machine(host) {
        // A page elsewhere could let its own name point here and read everything: there is no log-in yet.
        let detail = "until there is a log-in this gateway answers to localhost, 127.0.0.1 and [::1] only";
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    None
}

/// Whether a `Host` header names this machine by an address or name that nobody else can own.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_own_are_answered() {
        for good in
            ["127.0.0.1:7171", "127.9.9.9", "[::1]:7171", "localhost", "LOCALHOST:1", "wk.localhost:7171"]
        {
            assert!(is_this_machine(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "10.0.0.1:7171",
            "[::2]",
            "notlocalhost",
        ] {
            assert!(!is_this_machine(bad), "{bad}");
        }
    }
}
