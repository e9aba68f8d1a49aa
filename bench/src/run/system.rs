//! A running system for one benchmark: real servers in a folder of its own, and a fleet that plays into it.

use super::keep_alive::Connection;
use crate::fleet;
use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::jetstream::{self, context::Context};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::lag::lag;
use watchkeeper_streams::topology::CONSUMERS;
use xtask::stack::{Builder, Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

/// Everything but an agent.
pub(super) const WHOLE: [Program; 4] =
    [Program::Nats, Program::Questdb, Program::Processors, Program::Gateway];
/// Hosts of one page of the list.
const PAGE_HOSTS: u32 = 1_000;
const HOSTS_DEADLINE: Duration = Duration::from_secs(60);
const CAUGHT_UP_DEADLINE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Running programs and the folder they live in.
pub(super) struct System {
    pub(super) stack: Stack,
    _folder: TempDir,
}

impl System {
    pub(super) fn start(programs: &[Program]) -> Result<Self> {
        Self::start_with(programs, |stack| stack)
    }

    pub(super) fn start_with(programs: &[Program], choose: impl FnOnce(Builder) -> Builder) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for the system")?;
        let stack = choose(Stack::in_dir(folder.path()).programs(programs)).start(&Servers::ensure()?)?;
        Ok(Self { stack, _folder: folder })
    }

    /// A connection to the gateway that is kept.
    pub(super) fn gateway(&self) -> Result<Connection> {
        Connection::open(xtask::ports::address(self.stack.ports().gateway), &self.stack.owner()?.token)
    }

    /// Waits until the gateway lists so many hosts; they must fill pages of 1,000.
    pub(super) fn wait_for_hosts(&self, hosts: u32) -> Result<()> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<IgnoredAny>,
        }
        let url =
            format!("{}/api/v1/hosts?limit={PAGE_HOSTS}&page={}", self.stack.http_url(), hosts / PAGE_HOSTS);
        let token = &self.stack.owner()?.token;
        wait_until("the gateway to list every host", HOSTS_DEADLINE, || {
            let (status, body) = xtask::http::get_as(&url, token)?;
            let list: List = serde_json::from_str(&body).map_err(|failure| format!("{status}: {failure}"))?;
            let listed = list.items.len();
            if listed == PAGE_HOSTS as usize { Ok(Some(())) } else { Err(format!("{listed} on {url}")) }
        })?;
        Ok(())
    }
}

/// JetStream with the rights of the processors.
pub(super) async fn processors_context(stack: &Stack) -> Result<Context> {
    as_processors(settings_of_processors(stack)?).await
}

/// JetStream with these settings; the connection lives on the runtime that made it.
pub(super) async fn as_processors(settings: Connect) -> Result<Context> {
    Ok(jetstream::new(connect(&settings).await?.client))
}

pub(super) fn settings_of_processors(stack: &Stack) -> Result<Connect> {
    let inbox = subjects::program_inbox(&"processors".parse()?);
    Ok(Connect { url: stack.nats_url(), creds: stack.creds().processors.clone(), name: "bench", inbox })
}

/// Waits until the processors have handled everything that is stored.
pub(super) async fn caught_up(stack: &Stack) -> Result<()> {
    let context = processors_context(stack).await?;
    let begin = Instant::now();
    for consumer in &CONSUMERS {
        loop {
            let lag = lag(&context, consumer).await?;
            if lag.attended && lag.events == 0 {
                break;
            }
            ensure!(begin.elapsed() < CAUGHT_UP_DEADLINE, "{} stays behind: {lag:?}", consumer.processor);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// A fleet for this system, which says nothing and plays until it is stopped.
pub(super) fn fleet_options(stack: &Stack, hosts: u32, tick: Duration) -> Result<fleet::Options> {
    Ok(fleet::Options {
        hosts,
        tick,
        ready_file: None,
        nats: Some(stack.nats_url()),
        creds: Some(stack.creds().fleet.clone()),
        team: Some(stack.team().parse()?),
        seconds: None,
        seed: 1,
        start_index: 0,
        ack_log: None,
        quiet: true,
    })
}

/// A fleet that plays on a thread of its own until it is stopped.
pub(super) struct Playing {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<fleet::Summary>>,
}

impl Playing {
    pub(super) fn start(stack: &Stack, hosts: u32, tick: Duration) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let options = fleet_options(stack, hosts, tick)?;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting tokio")?;
            runtime.block_on(fleet::play(&options, stopped))
        });
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) -> Result<fleet::Summary> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow!("the fleet broke down"))?
    }
}
