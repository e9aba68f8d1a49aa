//! The end of the program, as everything that runs waits for it.

use tokio::sync::watch;

/// Returns once the program is to end, or nobody is left who could say so.
pub async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let ended = shutdown.wait_for(|stop| *stop).await.map(|_| ());
    tracing::trace!(?ended, "stopping");
}
