//! What an agent costs the host that it watches, over a minute. What is measured is the program that is shipped.

use super::report::{Bound, Row};
use super::system::{System, processors_context};
use super::usage::{cpu_of_threads_s, memory_mib};
use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::context::Context;
use std::fs;
use std::time::Duration;
use watchkeeper_streams::topology::{self, Limits, SAMPLES};
use xtask::shipped_agent;
use xtask::stack::Program;

/// The first samples carry the inventory.
const SETTLE: Duration = Duration::from_secs(12);
const WINDOW: Duration = Duration::from_secs(60);
/// At one sample every five seconds.
const SAMPLES_WANTED: u64 = 11;
const CPU_MS_MAX: f64 = 10.0;
const MEMORY_MIB_MAX: f64 = 4.0;

pub(super) fn run() -> Result<Vec<Row>> {
    let mut system = System::start(&[Program::Nats])?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let context = runtime.block_on(async {
        let context = processors_context(&system.stack).await?;
        topology::ensure(&context, &Limits::default()).await?;
        anyhow::Ok(context)
    })?;
    system.stack.start(Program::Agent)?;
    let pid = system.stack.pid(Program::Agent).context("the agent ended")?;
    let program_mib = size_of_the_shipped_program_mib(pid)?;
    std::thread::sleep(SETTLE);
    let (before, stored_before) = (cpu_of_threads_s(pid)?, runtime.block_on(stored(&context))?);
    std::thread::sleep(WINDOW);
    let cpu_ms = (cpu_of_threads_s(pid)? - before) * 1e3;
    let samples = runtime.block_on(stored(&context))? - stored_before;
    ensure!(samples >= SAMPLES_WANTED, "the agent had {samples} samples stored in {WINDOW:?}");
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    Ok(vec![
        row("agent: samples stored in a minute, one every 5 s", samples as f64, "", Bound::None),
        row("agent: CPU in that minute", cpu_ms, "ms", Bound::AtMost(CPU_MS_MAX)),
        row("agent: memory (RSS)", memory_mib(pid)?, "MiB", Bound::AtMost(MEMORY_MIB_MAX)),
        row("agent: its program on the disk", program_mib, "MiB", Bound::None),
    ])
}

/// Fails for any other program: a development build would be measured for what nobody runs.
fn size_of_the_shipped_program_mib(pid: u32) -> Result<f64> {
    let running = fs::read_link(format!("/proc/{pid}/exe")).context("finding the agent's program")?;
    let shipped = shipped_agent::binary().canonicalize().context("finding the agent that is shipped")?;
    ensure!(
        running == shipped,
        "{} runs, shipped is {}: `cargo xtask bench agent` builds and runs it",
        running.display(),
        shipped.display()
    );
    let bytes = fs::metadata(&shipped).context("the size of the agent's program")?.len();
    Ok(bytes as f64 / f64::from(1 << 20))
}

async fn stored(context: &Context) -> Result<u64> {
    Ok(context.get_stream(SAMPLES).await?.cached_info().state.messages)
}
