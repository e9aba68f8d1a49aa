//! The processors: each folds the log into a view of its own, or keeps order on the NATS server.

pub mod accounts;
pub mod alerts;
pub mod backtest;
pub mod config;
mod connection;
pub mod guard;
pub mod history;
mod http;
mod kill_points;
pub mod latest;
pub mod maintenance;
pub mod notifier;
mod system;
pub mod ticker;

use crate::alerts::heartbeat;
use crate::config::{Config, Name};
use crate::history::History;
use crate::latest::Latest;
use anyhow::Context as _;
use tokio::sync::watch;
use watchkeeper_streams::processor::Processor;
use watchkeeper_streams::runner::{Runner, jetstream};
use watchkeeper_streams::topology::{ALERTS_CONSUMER, Consumer, HISTORY_CONSUMER, LATEST_CONSUMER};

/// Does the work of one processor until it is told to stop.
///
/// # Errors
/// When it cannot go on: what it needs is missing, or the streams stand there with other settings.
pub async fn work(name: Name, config: &Config, mut shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    match name {
        Name::Latest => {
            let runner = runner(config, LATEST_CONSUMER, shutdown).await?;
            let latest = Latest::new(&runner);
            run(runner, latest).await
        }
        Name::History => {
            let runner = runner(config, HISTORY_CONSUMER, shutdown).await?;
            let history = History::new(config)?;
            run(runner, history).await
        }
        Name::Alerts => {
            let heartbeat = config.heartbeat_url_file.as_deref().map(heartbeat::url).transpose()?;
            alerts::processor::run(runner(config, ALERTS_CONSUMER, shutdown).await?, heartbeat).await
        }
        Name::Ticker => ticker::run(config, &mut shutdown).await,
        Name::Notifier => notifier::run(config, &mut shutdown).await,
        Name::Maintenance => maintenance::run(config, &mut shutdown).await,
        Name::Backtest => backtest::run(config, &mut shutdown).await,
        Name::Accounts => {
            let dir = config.nats_dir.as_deref().context("accounts needs the folder of the NATS server")?;
            accounts::run(config, dir, &mut shutdown).await
        }
        Name::Guard => guard::run(config, &mut shutdown).await,
    }
}

/// Runs a processor as a task: whoever wakes what a runtime blocks on pays for a system call, every time.
async fn run(runner: Runner, mut processor: impl Processor + 'static) -> anyhow::Result<()> {
    Ok(tokio::spawn(async move { runner.run(&mut processor).await }).await??)
}

async fn runner(
    config: &Config,
    consumer: Consumer,
    shutdown: watch::Receiver<bool>,
) -> anyhow::Result<Runner> {
    let connected = connection::to_core(config, consumer.processor).await?;
    let context = jetstream(connected.client.clone());
    Ok(Runner { connected, context, consumer, limits: config.limits(), shutdown })
}
