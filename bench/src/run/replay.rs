//! A stream of a fleet's samples, read again: the bare protocol, and the same with decode and fold.

use super::report::{Bound, Row};
use super::system::{System, fleet_options, processors_context};
use crate::fleet;
use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::context::Context;
use futures_util::StreamExt as _;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::{LIVE_SAMPLES, SampleSubject};
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::topology::{self, Limits, SAMPLES};
use xtask::stack::{Program, Stack};

const HOSTS: u32 = 1_000;
/// The server syncs every message, so that filling takes the time; the fleet sends as fast as it is answered.
const FILL_STEP_SECONDS: u64 = 5;
const FILL_STEPS_MAX: u64 = 12;
/// With fewer samples the start of a consumer would count.
const SAMPLES_WANTED: u64 = 30_000;
const ROUNDS: usize = 8;
const UNFILTERED: &str = "";

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&[Program::Nats])?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(measure(&system.stack))
}

async fn measure(stack: &Stack) -> Result<Vec<Row>> {
    let context = processors_context(stack).await?;
    topology::ensure(&context, &Limits::default()).await?;
    let (mut stored, mut steps) = (0, 0);
    while stored < SAMPLES_WANTED && steps < FILL_STEPS_MAX {
        stored += fill(stack).await?.totals.acknowledged;
        steps += 1;
    }
    let filtered = read_bare(&context, LIVE_SAMPLES).await?;
    let (mut bare, mut folded, mut hosts) = (0_f64, 0_f64, 0);
    for _ in 0..ROUNDS {
        bare = bare.max(read_bare(&context, UNFILTERED).await?);
        let (rate, found) = read_and_fold(&context).await?;
        folded = folded.max(rate);
        hosts = found;
    }
    ensure!(hosts == HOSTS as usize, "the fold knows {hosts} hosts of {HOSTS}");
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let (stored, seconds) = (stored as f64, (steps * FILL_STEP_SECONDS) as f64);
    Ok(vec![
        row("replay: samples in the stream", stored, "", Bound::None),
        row("replay: stored while filling, synced one by one", stored / seconds, "events/s", Bound::None),
        row("replay: bare read through a filter of live samples", filtered, "events/s", Bound::None),
        row("replay: bare read", bare, "events/s", Bound::None),
        row("replay: read, decode, fold", folded, "events/s", Bound::GoalAtLeast(500_000.0)),
        row("replay: decode and fold beside the bare read", folded / bare, "", Bound::AtLeast(0.7)),
    ])
}

/// Fills the stream with the fleet itself, so that its subjects and payloads are those of real use.
async fn fill(stack: &Stack) -> Result<fleet::Summary> {
    let options = fleet::Options {
        seconds: Some(FILL_STEP_SECONDS),
        ..fleet_options(stack, HOSTS, Duration::from_millis(100))?
    };
    let (_go_on, stopped) = watch::channel(false);
    fleet::play(&options, stopped).await
}

/// Events a second of the bare protocol: an ordered push consumer whose messages are only counted. A filter, even one
/// that lets all pass, makes the server look up each message by its subject, many times slower.
async fn read_bare(context: &Context, filter: &str) -> Result<f64> {
    let config = push::OrderedConfig {
        deliver_subject: context.client().new_inbox(),
        filter_subject: filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ..push::OrderedConfig::default()
    };
    let consumer = context.get_stream_no_info(SAMPLES).await?.create_consumer(config).await?;
    let total = consumer.cached_info().num_pending;
    let begin = Instant::now();
    let mut messages = consumer.messages().await?;
    for _ in 0..total {
        messages.next().await.context("the consumer ended early")??;
    }
    Ok(total as f64 / begin.elapsed().as_secs_f64())
}

/// Events a second with decode and fold to the newest sample of each host, and how many hosts there were.
async fn read_and_fold(context: &Context) -> Result<(f64, usize)> {
    let mut newest: HashMap<(TeamId, HostId), (u64, Sample)> = HashMap::new();
    let mut failure = None;
    let begin = Instant::now();
    let total = rebuild::read(context, SAMPLES, &[], Begin::First, |event| {
        match event.subject.parse::<SampleSubject>().map(|subject| codec::decode(&subject, &event.payload)) {
            Ok(Ok(sample)) => {
                newest.insert((sample.team.clone(), sample.host.clone()), (event.sequence, sample));
            }
            other => failure = Some(format!("{other:?}")),
        }
    })
    .await?;
    let rate = total as f64 / begin.elapsed().as_secs_f64();
    ensure!(failure.is_none(), "a sample of the fleet did not decode: {failure:?}");
    Ok((rate, newest.len()))
}
