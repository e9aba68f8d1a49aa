//! The page: built files, embedded. Names of files in `assets/` hold a hash of their content, so they never change.

use crate::http::problem::Problem;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;
use std::borrow::Cow;

/// What the page may do: its own files, its own gateway, nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Watchkeeper</title>\
    <h1>The page was not built</h1><p>This gateway was compiled without <code>gateway/web/dist</code>. \
    <code>cargo xtask up</code> builds the page and the gateway; by hand: <code>npm ci && npm run build</code> in \
    <code>gateway/web</code>, then compile the gateway again. The API works: <a href=\"/api/docs/\">/api/docs</a>.</p></html>";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

/// Whatever is not the API: a file of the page, or the page itself, which knows its own addresses.
pub async fn fallback(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    if path.starts_with("/api") {
        return Problem::not_found("no such route: /api/docs lists those there are").into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the page can only be read").into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = Built::get(name) {
        let cache = if name.starts_with("assets/") { FOR_EVER } else { ASK_AGAIN };
        return answer(file.data, content_type(name), cache);
    }
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains('.') {
        return Problem::not_found("no such file").into_response();
    }
    match Built::get("index.html") {
        Some(index) => answer(index.data, "text/html; charset=utf-8", ASK_AGAIN),
        None => answer(Cow::Borrowed(NOT_BUILT.as_bytes()), "text/html; charset=utf-8", ASK_AGAIN),
    }
}

fn answer(bytes: Cow<'static, [u8]>, kind: &'static str, cache: HeaderValue) -> Response {
    let body = match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// The kinds of file that a build of the page holds.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
