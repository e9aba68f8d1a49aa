//! The flood guard: nats-server limits no publisher's rate, so whoever floods is seen, flagged in JOURNAL, cut off
//! while it is flagged, and let in again.

mod listing;
pub mod projection;

use crate::config::Config;
use crate::system::System;
use anyhow::Context as _;
use async_nats::Client;
use futures_util::StreamExt as _;
use listing::{Listing, Totals, next_offset, recent, swept};
use projection::{Crowd, Suspect, sentence};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use watchkeeper_nats::Holder;
use watchkeeper_schemas::ids::{HostId, PublicKey, TeamId};
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{JournalScope, SYS_INBOX_PREFIX, SYS_LIST_CONNECTIONS, sys_kick};
use watchkeeper_streams::journal::{Facts, RecordError, record};

/// The server is asked this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nothing heard for this long is told.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// One who goes on is told this often.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;

/// Guards until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let sys_creds = config.sys_creds().context("there is no credential of the system account")?;
    let system = System::connect(config, &sys_creds, "guard").await?;
    let mut guard = Guard {
        sys: system.sys.client.clone(),
        context: system.core.context.clone(),
        facts: system.core.facts.clone(),
        crowd: Crowd::default(),
        told: BTreeMap::new(),
    };
    let inbox = format!("{SYS_INBOX_PREFIX}.guard");
    let mut answers = guard.sys.subscribe(inbox.clone()).await.context("cannot hear the NATS server")?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut offset, mut totals, mut hearing) = (0, Totals::default(), Hearing::new());
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            _ = ticks.tick() => {
                hearing.check();
                offset = next_offset(offset, totals.take_most());
                for question in [recent(), swept(offset)] {
                    let asked = guard.sys.publish_with_reply(SYS_LIST_CONNECTIONS, inbox.clone(), question.into());
                    asked.await.context("the connection to the system account was closed")?;
                }
            }
            Some(answer) = answers.next() => match Listing::read(&answer.payload) {
                Ok(listing) => {
                    hearing.heard();
                    totals.note(&listing);
                    guard.judge(&listing).await;
                }
                Err(error) => tracing::debug!(%error, "the NATS server's list of connections does not read"),
            },
        }
    }
}

/// Whether the server answers; told when that changes.
struct Hearing {
    last: Instant,
    deaf: bool,
}

impl Hearing {
    fn new() -> Self {
        Self { last: Instant::now(), deaf: false }
    }

    fn heard(&mut self) {
        self.last = Instant::now();
        if std::mem::take(&mut self.deaf) {
            tracing::info!("the NATS server lists its connections again");
        }
    }

    fn check(&mut self) {
        if self.last.elapsed() > SILENCE_MAX && !std::mem::replace(&mut self.deaf, true) {
            tracing::warn!("the NATS server does not list its connections: floods are not seen");
        }
    }
}

struct Guard {
    sys: Client,
    context: async_nats::jetstream::Context,
    facts: watch::Receiver<Facts>,
    crowd: Crowd,
    /// When each suspect was told last.
    told: BTreeMap<PublicKey, Instant>,
}

impl Guard {
    async fn judge(&mut self, listing: &Listing) {
        self.told.retain(|_, at| at.elapsed() < TELL_AGAIN);
        for suspect in self.crowd.look(&listing.look()) {
            let Some((holder, connections)) = listing.holder(&suspect.key) else { continue };
            match &holder {
                // Ours, and made to publish for a thousand hosts.
                Holder::Program(_) | Holder::Fleet { .. } => continue,
                Holder::Agent { team, host } => self.flag(team, host, &suspect).await,
                Holder::Reader { .. } => {}
            }
            if self.told.insert(suspect.key.clone(), Instant::now()).is_none() {
                let (reason, count) = (suspect.reason, suspect.count);
                tracing::warn!(%holder, ?reason, count, "cut off: it does what no agent does");
            }
            for connection in connections {
                self.kick(listing.server(), connection).await;
            }
        }
    }

    /// Records that a host is held off; `accounts` refuses its key from then on.
    async fn flag(&self, team: &TeamId, host: &HostId, suspect: &Suspect) {
        let Some(registry) = self.facts.borrow().clone() else { return };
        // Whoever still has an old key of a host must not be able to have the host held off.
        let Some(facts) = registry.team(team).filter(|facts| facts.is_current(&suspect.key)) else { return };
        let now = now();
        let Some(flag) = sentence(facts.flags.get(host), suspect, now) else { return };
        let event = JournalEvent {
            v: JOURNAL_VERSION,
            author: "guard".to_owned(),
            cause: "flood".to_owned(),
            time: now,
            fact: Fact::Flag { id: host.clone(), value: Some(flag) },
        };
        let recorded =
            record(&self.context, JournalScope::Team(team.clone()), &event, facts.flags.revision(host));
        match recorded.await {
            // Another look was faster.
            Ok(_) | Err(RecordError::Conflict { .. }) => {}
            Err(error @ (RecordError::Misplaced | RecordError::JetStream { .. })) => {
                tracing::warn!(%team, %host, %error, "the flood of a host could not be recorded; it is cut off all the same");
            }
        }
    }

    async fn kick(&self, server: &str, connection: u64) {
        let request = json!({ "cid": connection }).to_string();
        if let Err(error) = self.sys.publish(sys_kick(server), request.into()).await {
            tracing::debug!(%error, connection, "a connection could not be cut");
        }
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
