//! The API's description: OpenAPI for programs, and a page to browse it that needs no network.

use crate::api::Written;
use crate::app::App;
use crate::http::ask::Nothing;
use crate::http::principal::Visitor;
use crate::http::problem::Problem;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Redirect, Response};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// Where the document stands.
const DOCUMENT: &str = "/api/v1/openapi.json";
/// The browsing page writes styles into its elements; scripts are still files only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(DOCUMENT).validator_url("none").use_base_layout()));

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "system", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub async fn openapi(_: Visitor, app: Arc<App>, _: Nothing) -> Result<Written, Problem> {
    Ok(Written(app.openapi.clone()))
}

/// The page to browse it stands in a folder, so its address ends with a slash.
pub async fn entrance() -> Redirect {
    Redirect::permanent("/api/docs/")
}

/// A file of the page to browse it.
pub async fn file(params: RawPathParams) -> Response {
    let name = params.iter().find(|(name, _)| *name == "file").map_or("", |(_, value)| value);
    match utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => {
            let mut response = Response::new(Body::from(file.bytes.into_owned()));
            let headers = response.headers_mut();
            if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
                headers.insert(CONTENT_TYPE, kind);
            }
            if file.gzpipped {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            response
        }
        Ok(None) => Problem::not_found("no such file").into_response(),
        Err(error) => {
            tracing::error!(%error, "the API's description cannot be shown");
            Problem::not_found("no such file").into_response()
        }
    }
}
