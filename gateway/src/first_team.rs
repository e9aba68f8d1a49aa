//! The first team: it is there before its owner, so that hosts can be added at the machine.

use crate::identity::people::FIRST_TEAM;
use crate::identity::{Change, Identity};
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, Team};
use watchkeeper_schemas::subjects::JournalScope;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);
/// What it is called until somebody calls it otherwise.
const NAME: &str = "Default";

/// Makes the first team where there never was one.
pub async fn ensure(identity: &Identity) {
    let known = identity.first_known().await;
    let Ok(id) = FIRST_TEAM.parse::<TeamId>() else { return };
    while known.registry.all_teams().next().is_none() {
        let fact = Fact::Team { id: id.clone(), value: Some(Team { name: NAME.to_owned() }) };
        let scope = JournalScope::Team(id.clone());
        let change = Change { author: "gateway", cause: "the first start", scope, fact, expected: 0 };
        match identity.record(change).await {
            Ok(_) => return,
            // Another gateway was faster.
            Err(problem) if problem.status() == StatusCode::CONFLICT => return,
            Err(problem) => tracing::warn!(detail = problem.detail(), "the first team is still to be made"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Makes it, then waits for the end.
pub async fn keep(identity: Arc<Identity>) {
    ensure(&identity).await;
    std::future::pending::<()>().await;
}
