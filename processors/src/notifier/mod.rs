//! Tells receivers what alerts decided: reads NOTICES, groups, keeps to the limits of channels, hands over, and records
//! every attempt, answer and result.

pub mod book;
pub mod channel;
pub mod episodes;
pub mod message;
pub mod outgoing;
pub mod pace;
pub mod plan;
pub mod wording;

use crate::config::Config;
use crate::connection::Connection;
use tokio::sync::watch;

/// Tells until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential or key cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let _connection = Connection::open(config, "notifier").await?;
    shutdown.wait_for(|stop| *stop).await?;
    Ok(())
}
