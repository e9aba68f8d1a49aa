//! What the whole system costs while 1,000 hosts report every five seconds, program by program.

use super::report::{Bound, Row};
use super::system::{Playing, System, WHOLE, processors_context};
use super::usage::{cpu_of_this_thread_s, cpu_s, memory_mib};
use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use futures_util::StreamExt as _;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use watchkeeper_streams::topology::SAMPLES;
use xtask::stack::{Program, Stack};

const HOSTS: u32 = 1_000;
const TICK: Duration = Duration::from_secs(5);
/// After every host is listed: the programs have settled, and inventories are through.
const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);
const CORES_MAX: f64 = 0.03;
const MEMORY_MIB_MAX: f64 = 120.0;

/// One program over the window.
struct Cost {
    cores: f64,
    memory_mib: f64,
}

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&WHOLE)?;
    let playing = Playing::start(&system.stack, HOSTS, TICK)?;
    system.wait_for_hosts(HOSTS)?;
    std::thread::sleep(SETTLE);
    let [nats, questdb, processors, gateway] = costs(&system.stack)?;
    let (empty_cores, heard) = empty_collector(&system.stack)?;
    let played = playing.stop()?.totals;
    ensure!(played.acknowledged == played.published, "not every sample was stored: {played:?}");
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let (cores, memory) = (processors.cores + gateway.cores, processors.memory_mib + gateway.memory_mib);
    let percent = |cores: f64| cores * 100.0;
    Ok(vec![
        row("footprint: processors, CPU", percent(processors.cores), "% of a core", Bound::None),
        row("footprint: processors, memory", processors.memory_mib, "MiB", Bound::None),
        row("footprint: gateway, CPU", percent(gateway.cores), "% of a core", Bound::None),
        row("footprint: gateway, memory", gateway.memory_mib, "MiB", Bound::None),
        row("footprint: both, CPU", percent(cores), "% of a core", Bound::AtMost(percent(CORES_MAX))),
        row("footprint: both, memory", memory, "MiB", Bound::AtMost(MEMORY_MIB_MAX)),
        row(
            "  beside: a reader of the same samples that only counts them",
            percent(empty_cores),
            "% of a core",
            Bound::None,
        ),
        row("    samples it heard a second", heard, "/s", Bound::None),
        row("  beside: nats-server, CPU", percent(nats.cores), "% of a core", Bound::None),
        row("  beside: nats-server, memory", nats.memory_mib, "MiB", Bound::None),
        row("  beside: QuestDB, CPU", percent(questdb.cores), "% of a core", Bound::None),
        row("  beside: QuestDB, memory", questdb.memory_mib, "MiB", Bound::None),
    ])
}

/// CPU over the window and memory at its end, in the order of `WHOLE`.
fn costs(stack: &Stack) -> Result<[Cost; WHOLE.len()]> {
    let pid = |program: Program| stack.pid(program).with_context(|| format!("{program:?} ended"));
    let pids = [pid(WHOLE[0])?, pid(WHOLE[1])?, pid(WHOLE[2])?, pid(WHOLE[3])?];
    let spent = || -> Result<Vec<f64>> { pids.iter().map(|pid| cpu_s(*pid)).collect() };
    let (begin, before) = (Instant::now(), spent()?);
    std::thread::sleep(WINDOW);
    let (after, window_s) = (spent()?, begin.elapsed().as_secs_f64());
    let memory: Vec<f64> = pids.iter().map(|pid| memory_mib(*pid)).collect::<Result<_>>()?;
    Ok(std::array::from_fn(|at| Cost { cores: (after[at] - before[at]) / window_s, memory_mib: memory[at] }))
}

/// Cores and samples a second of a thread that hears every sample and does nothing with it: what no collector can
/// save. Measured after the others, so that it costs them nothing.
fn empty_collector(stack: &Stack) -> Result<(f64, f64)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let listen = async {
        let context = processors_context(stack).await?;
        let config = push::OrderedConfig {
            deliver_subject: context.client().new_inbox(),
            deliver_policy: DeliverPolicy::New,
            ..push::OrderedConfig::default()
        };
        let consumer = context.get_stream_no_info(SAMPLES).await?.create_consumer(config).await?;
        let mut messages = consumer.messages().await?;
        let (begin, before, mut heard) = (Instant::now(), cpu_of_this_thread_s()?, 0_u32);
        while let Ok(message) = timeout(WINDOW.saturating_sub(begin.elapsed()), messages.next()).await {
            message.context("the consumer ended")??;
            heard += 1;
        }
        let window_s = begin.elapsed().as_secs_f64();
        Ok(((cpu_of_this_thread_s()? - before) / window_s, f64::from(heard) / window_s))
    };
    // A thread of its own: the CPU time that is read is that of the calling thread.
    std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(listen))
            .join()
            .map_err(|_| anyhow!("the empty collector broke down"))?
    })
}
