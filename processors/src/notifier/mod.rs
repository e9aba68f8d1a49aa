//! Tells receivers what alerts decided: reads NOTICES, groups, keeps to the limits of channels, hands over, and records
//! every attempt, answer and result.

pub mod channel;
pub mod episodes;
pub mod message;
pub mod open;
pub mod outgoing;
pub mod telegram;

use crate::config::Config;
use crate::connection::Connection;
use telegram::bots::Keeper;
use telegram::{Served, serve};
use tokio::sync::watch;
use watchkeeper_streams::lease::Lease;

/// The place of the one who tells.
const LEASE: &str = "lease.notifier";
/// The lease is looked at this often.
const LEASE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Tells until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential or key cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let connection = Connection::open(config, "notifier").await?;
    let (context, facts) = (connection.context.clone(), connection.facts.clone());
    let (opened, episodes) = watch::channel(None);
    let connects = connection.connected.events.connects();
    let mut following = std::pin::pin!(open::follow(context.clone(), connects, opened));
    let (mut keeper, bots) = Keeper::new(config, context.clone())?;
    let holder = connection.client().new_inbox();
    let mut lease = Lease::new(context.clone(), LEASE, holder);
    loop {
        let is_held = match lease.hold().await {
            Ok(is_held) => is_held,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the lease is not known to be held"
                );
                lease.is_held()
            }
        };
        let served = Served {
            context: context.clone(),
            facts: facts.clone(),
            episodes: episodes.clone(),
            bots: bots.clone(),
        };
        let serving =
            async { if is_held { serve(&mut keeper, served).await } else { std::future::pending().await } };
        let lost = async {
            loop {
                tokio::time::sleep(LEASE_EVERY).await;
                if !lease.hold().await.unwrap_or_else(|_| lease.is_held()) || !is_held {
                    return;
                }
            }
        };
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => break,
            () = serving => {}
            () = lost => {}
            () = &mut following => {}
        }
    }
    lease.release().await.ok();
    Ok(())
}
