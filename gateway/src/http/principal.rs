//! Who asks: the ONE place where a request is given its team. Every route of the API takes what it shows through it.

use crate::app::App;
use crate::http::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::sync::Arc;
use watchkeeper_schemas::ids::TeamId;

/// The team of everybody until there is a log-in.
pub const DEFAULT_TEAM: &str = "default";

/// Whoever asks, and whose hosts they may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Nothing of another team is ever shown.
    pub team: TeamId,
}

/// How a request is given its principal; a refusal is the answer.
pub type Identify = fn(&Parts) -> Result<Principal, Problem>;

/// Everybody is of the default team: there is no log-in yet, and so the gateway listens on loopback only.
///
/// # Errors
/// Never.
pub fn default_team(_request: &Parts) -> Result<Principal, Problem> {
    DEFAULT_TEAM.parse().map(|team| Principal { team }).map_err(|_| Problem::not_found("no such team"))
}

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        (app.identify)(parts)
    }
}
