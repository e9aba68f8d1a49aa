//! What the person at the machine may do without a log-in: they hold the gateway's credential and folder.

pub mod account;
pub mod audit;
pub mod host;

use crate::audit::Audit;
use crate::first_team;
use crate::http::problem::Problem;
use crate::http::site::Site;
use crate::identity::vault::Bucket;
use crate::identity::{Identity, Settings, known};
use anyhow::{Context as _, Result};
use async_nats::jetstream;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use watchkeeper_schemas::subjects::GATEWAY_INBOX;
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::journal;

/// Longest wait for NATS and for a processor that has made the streams.
const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether they are there.
const LOOK: Duration = Duration::from_millis(50);

/// The gateway's own means.
#[derive(Debug, Clone, Args)]
pub struct At {
    /// The NATS server.
    #[arg(long, env = "WATCHKEEPER_NATS", value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// The gateway's credential for it.
    #[arg(
        long,
        env = "WATCHKEEPER_NATS_CREDS",
        value_name = "FILE",
        default_value = "data/nats/gateway/gateway.creds"
    )]
    nats_creds: PathBuf,
    /// The NATS server's folder.
    #[arg(long, env = "WATCHKEEPER_NATS_DIR", value_name = "DIR", default_value = "data/nats")]
    nats_dir: PathBuf,
    /// The gateway's own folder.
    #[arg(long, env = "WATCHKEEPER_SECRETS_DIR", value_name = "DIR", default_value = "data/gateway")]
    secrets_dir: PathBuf,
}

/// Facts and secrets, followed for as long as this lives.
struct Office {
    identity: Arc<Identity>,
    context: jetstream::Context,
    audit: Audit,
    _followers: JoinSet<()>,
}

async fn open(at: &At) -> Result<Office> {
    let settings = Connect {
        url: at.nats.clone(),
        creds: at.nats_creds.clone(),
        name: "watchkeeper-gateway-command",
        inbox: GATEWAY_INBOX.trim_end_matches(".>").to_owned(),
    };
    let connection = connect(&settings).await?;
    let context = jetstream::new(connection.client.clone());
    let connects = connection.events.connects();
    let (facts, facts_seen) = watch::channel(None);
    let ((known, known_seen), (rights, rights_seen)) = (watch::channel(None), watch::channel(0));
    let site = Site::new("http://127.0.0.1", false).map_err(anyhow::Error::msg)?;
    let settings = Settings {
        site,
        secrets_dir: at.secrets_dir.clone(),
        nats_dir: at.nats_dir.clone(),
        nats_public_url: at.nats.clone(),
        open_registration: false,
    };
    let identity = Arc::new(Identity::open(settings, context.clone(), known_seen, rights_seen)?);
    let (audit, writer) = Audit::new(context.clone());
    let mut followers = JoinSet::new();
    followers.spawn(journal::follow(context.clone(), connects.clone(), facts));
    followers.spawn(known::keep(facts_seen, known, rights));
    followers.spawn(writer.write());
    for bucket in [Bucket::Sessions, Bucket::Secrets] {
        followers.spawn(Arc::clone(&identity.vault).follow(bucket, connects.clone()));
    }
    let ready = async {
        while identity.known().is_err() {
            tokio::time::sleep(LOOK).await;
        }
        first_team::ensure(&identity).await;
    };
    let waited = || format!("{} does not answer, or no processor has made its streams yet", at.nats);
    tokio::time::timeout(READY_MAX, ready).await.with_context(waited)?;
    Ok(Office { identity, context, audit, _followers: followers })
}

fn told(problem: Problem) -> anyhow::Error {
    anyhow::anyhow!("{}", problem.detail())
}
