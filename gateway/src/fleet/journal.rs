//! Keeps the fleet equal to what the journal says of hosts.

use crate::fleet::watch::now;
use crate::live::Live;
use std::sync::Arc;
use tokio::sync::watch;
use watchkeeper_streams::journal::Facts;

/// Folds every state of the registry into the fleet, for as long as the program lives.
pub async fn configure(live: Arc<Live>, mut facts: watch::Receiver<Facts>) {
    loop {
        let registry = facts.borrow_and_update().clone();
        if let Some(registry) = registry {
            live.fold(|fleet| {
                if let Err(error) = fleet.configure(&registry, now()) {
                    tracing::error!(%error, "a host that was never heard cannot be shown");
                }
            });
        }
        if facts.changed().await.is_err() {
            return;
        }
    }
}
