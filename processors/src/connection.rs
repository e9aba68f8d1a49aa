//! The connection of one processor: JetStream of CORE, and everything that JOURNAL says, kept newest.

use crate::config::Config;
use async_nats::Client;
use async_nats::jetstream::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::connect::{Connect, Connected, connect};
use watchkeeper_streams::journal::{self, Facts};
use watchkeeper_streams::runner::jetstream;

/// Connects to CORE as the processor `name`.
///
/// # Errors
/// When the credential cannot be read or the address is none.
pub(crate) async fn to_core(config: &Config, name: &'static str) -> anyhow::Result<Connected> {
    let inbox = subjects::program_inbox(&"processors".parse()?);
    let (url, creds) = (config.nats.clone(), config.nats_creds.clone());
    Ok(connect(&Connect { url, creds, name, inbox }).await?)
}

/// A connection to CORE that follows JOURNAL for as long as it lives.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The connection.
    pub(crate) connected: Connected,
    /// JetStream of CORE.
    pub(crate) context: Context,
    /// All facts, kept newest; nothing before they were read for the first time.
    pub(crate) facts: watch::Receiver<Facts>,
    follower: JoinHandle<()>,
}

impl Connection {
    /// Connects as the processor `name`, and begins to follow JOURNAL.
    ///
    /// # Errors
    /// When the credential cannot be read or the address is none.
    pub(crate) async fn open(config: &Config, name: &'static str) -> anyhow::Result<Self> {
        let connected = to_core(config, name).await?;
        let context = jetstream(connected.client.clone());
        let (told, facts) = watch::channel(None);
        let follower = tokio::spawn(journal::follow(context.clone(), connected.events.connects(), told));
        Ok(Self { connected, context, facts, follower })
    }

    /// The client itself.
    pub(crate) fn client(&self) -> &Client {
        &self.connected.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
