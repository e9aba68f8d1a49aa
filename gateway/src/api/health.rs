//! Whether this gateway lives and can be used; for supervisors, without a log-in.

use crate::app::App;
use crate::http::ask::Nothing;
use crate::http::principal::Visitor;
use crate::http::problem::Problem;
use crate::system::Part;
use crate::system::judge::State;
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// Whether this gateway can be used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Whether hosts can be shown: the live view has been read, and is followed.
    ready: bool,
    /// The live view and the servers behind. History may be down while the gateway is ready.
    parts: Vec<Part>,
}

/// Whether this gateway lives: `ok`.
#[utoipa::path(
    get, path = "/healthz", tag = "system", operation_id = "healthz",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"))
)]
pub async fn healthz(_: Visitor, _: Arc<App>, _: Nothing) -> Result<&'static str, Problem> {
    Ok("ok")
}

/// Whether hosts can be shown.
#[utoipa::path(
    get, path = "/readyz", tag = "system", operation_id = "readyz",
    responses(
        (status = 200, description = "They can", body = Readiness),
        (status = 503, description = "Not yet, or not now; each part says why", body = Readiness),
    )
)]
pub async fn readyz(_: Visitor, app: Arc<App>, _: Nothing) -> Result<(StatusCode, Json<Readiness>), Problem> {
    let ready = app.live.is_following();
    let (state, detail) = match (ready, app.live.fleet().is_loaded()) {
        (true, _) => (State::Ok, ""),
        (false, true) => (State::Behind, "is not followed at the moment"),
        (false, false) => (State::Down, "has not been read yet"),
    };
    let mut parts = vec![Part { name: "live view", version: None, state, detail: detail.to_owned() }];
    parts.extend(app.system.borrow().parts.iter().cloned());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(Readiness { ready, parts })))
}
