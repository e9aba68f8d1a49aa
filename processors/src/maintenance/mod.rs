//! Weekly maintenance: writes its windows into JOURNAL as silences, two weeks ahead.
//!
//! Every program may do so at once: a window has one id, and is recorded over the revision that was read.

pub mod projection;

use crate::config::Config;
use crate::connection::Connection;
use anyhow::Context as _;
use async_nats::jetstream::Context;
use projection::{Due, due};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::journal::{Facts, RecordError, record};

/// Without any change it is looked at this often whether a day has begun somewhere.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// Waits before what failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;

/// Writes windows until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let connection = Connection::open(config, "maintenance").await?;
    let (context, mut facts) = (connection.context.clone(), connection.facts.clone());
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let wait = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            written = write(&context, &mut facts, now()) => match written {
                Ok(()) => {
                    backoff.reset();
                    LOOK_AGAIN
                }
                Err(error) => {
                    tracing::warn!(%error, "a window of weekly maintenance could not be recorded, trying again");
                    backoff.next_wait()
                }
            },
        };
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            changed = facts.changed() => changed.context("nobody follows JOURNAL any more")?,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Records what is due by the newest facts.
async fn write(
    context: &Context,
    facts: &mut watch::Receiver<Facts>,
    now: UnixMs,
) -> Result<(), RecordError> {
    let Some(registry) = facts.borrow_and_update().clone() else { return Ok(()) };
    for Due { team, id, value, expected } in due(&registry, now) {
        let (author, cause) = ("maintenance".to_owned(), "weekly".to_owned());
        let fact = Fact::Silence { id, value };
        let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now, fact };
        match record(context, JournalScope::Team(team), &event, expected).await {
            // Somebody was faster: the facts bring what they wrote.
            Ok(_) | Err(RecordError::Conflict { .. }) => {}
            Err(error @ (RecordError::Misplaced | RecordError::JetStream { .. })) => return Err(error),
        }
    }
    Ok(())
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
