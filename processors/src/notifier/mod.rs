//! Tells receivers what alerts decided: reads NOTICES, groups, keeps to the limits of channels, hands over, and records
//! every attempt, answer and result.
//!
//! Read `book.rs` and `plan.rs` first: what is known, and what follows from it.

pub mod book;
pub mod channel;
mod desk;
pub mod episodes;
pub mod message;
pub mod outgoing;
pub mod pace;
mod past;
pub mod plan;
pub mod reach;
mod targets;
pub mod telegram;
pub mod wording;
mod work;

use crate::config::Config;
use crate::connection::Connection;
use outgoing::Outgoing;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use targets::Targets;
use telegram::bots::Keeper;
use telegram::{Served, serve};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use watchkeeper_nats::OpeningKey;
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::lease::Lease;
use watchkeeper_streams::topology::{self, TopologyError};
use work::{Ended, Shop};

/// Where the lease of the one who tells stands.
const LEASE_KEY: &str = "lease.notifier";
/// The lease is looked after this often.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// Waits between tries of what failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Tells until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential or key cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let connection = Connection::open(config, "notifier").await?;
    let key = OpeningKey::read(&config.channels_key())?;
    let context = connection.context.clone();
    tokio::select! {
        _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
        ensured = ensure(config, &connection) => ensured?,
    }
    let (mut keeper, bots) = Keeper::new(config, context.clone())?;
    let mut lease = Lease::new(context.clone(), LEASE_KEY, connection.client().new_inbox());
    let (held, is_held) = watch::channel(None);
    let shop = Shop {
        context: context.clone(),
        facts: connection.facts.clone(),
        connects: connection.connected.events.connects(),
        episodes: watch::Sender::new(None),
        held: is_held,
        targets: Targets { context, key, bots: bots.clone(), opened: RefCell::new(BTreeMap::new()) },
        outgoing: Outgoing::new(config.receiver_networks.clone())?,
        public_url: config.public_url.clone(),
        has_bot: config.telegram_token_file.is_some(),
    };
    while until_held(&mut lease, shutdown).await {
        tracing::info!("this program tells");
        held.send_replace(lease.held_until());
        shop.episodes.send_replace(None);
        let served = Served {
            context: shop.context.clone(),
            facts: shop.facts.clone(),
            episodes: shop.episodes.subscribe(),
            bots: bots.clone(),
        };
        let told = tokio::select! {
            told = shop.tell(while_held(&mut lease, &held, shutdown)) => told,
            () = serve(&mut keeper, served) => Ok(Ended::Stopped),
        };
        match told {
            Ok(Ended::Stopped) => {}
            Ok(Ended::Fenced) => tracing::warn!("another program tells"),
            Err(error) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "cannot tell, trying again");
            }
        }
        held.send_replace(None);
        // Who cannot be reached any more finds it run out.
        drop(tokio::time::timeout(LOOK_AFTER, lease.release()).await);
        if !*shutdown.borrow() {
            sleep(LOOK_AFTER).await;
        }
    }
    Ok(())
}

async fn ensure(config: &Config, connection: &Connection) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    while let Err(error) = topology::ensure(&connection.context, &config.limits()).await {
        if matches!(error, TopologyError::Differs { .. }) {
            return Err(error.into());
        }
        sleep(backoff.next_wait()).await;
    }
    Ok(())
}

/// Waits for the lease; false if it is to stop.
async fn until_held(lease: &mut Lease, shutdown: &mut watch::Receiver<bool>) -> bool {
    loop {
        if *shutdown.borrow() {
            return false;
        }
        match lease.hold().await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the lease is not known"),
        }
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return false,
            () = sleep(LOOK_AFTER) => {}
        }
    }
}

/// Keeps the lease and tells until when it is ours; returns once it is another's or it is to stop.
async fn while_held(
    lease: &mut Lease,
    held: &watch::Sender<Option<Instant>>,
    shutdown: &mut watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return,
            () = sleep(LOOK_AFTER) => {}
        }
        // Without an answer it is not given up: nobody is called once it ran out, and what was answered is to be written.
        if let Ok(false) = lease.hold().await {
            tracing::warn!("another program tells");
            return;
        }
        held.send_replace(lease.held_until());
    }
}

#[cfg(test)]
mod tests;
