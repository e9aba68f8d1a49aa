//! How the whole system does.

use crate::app::App;
use crate::http::ask::Nothing;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::system::SystemView;
use axum::Json;
use std::sync::Arc;

/// Each part with its version, each processor with its lag, each stream with its size. Two seconds old at most.
#[utoipa::path(
    get, path = "/api/v1/system", tag = "system", operation_id = "get_system",
    responses((status = 200, description = "The system", body = SystemView))
)]
pub async fn get(_: Principal, app: Arc<App>, _: Nothing) -> Result<Json<SystemView>, Problem> {
    Ok(Json(SystemView::clone(&app.system.borrow())))
}
