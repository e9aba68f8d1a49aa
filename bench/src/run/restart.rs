//! From starting a program again until it does what it is for, with 10,000 hosts.

use super::keep_alive::Connection;
use super::paced::{Line, Samples};
use super::report::{Bound, Row};
use super::spread::Spread;
use super::system::{System, WHOLE, caught_up, processors_context};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use watchkeeper_gateway::fleet::{Entry, Fleet};
use watchkeeper_schemas::subjects::bucket_filter;
use watchkeeper_streams::event::Event;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::topology::{LATEST, bucket_stream};
use xtask::stack::Program;

const HOSTS: u32 = 10_000;
const ROUNDS: usize = 7;
const LIMIT_MS: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(30);

/// A system that is restarted in parts.
struct Restarts {
    system: System,
    runtime: Runtime,
    line: Line,
    samples: Samples,
}

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&WHOLE)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let mut samples = Samples::of(&system.stack, HOSTS)?;
    let mut line = runtime.block_on(Line::stored(&system.stack))?;
    runtime.block_on(async {
        line.send(&mut samples, HOSTS as usize, f64::INFINITY).await?;
        caught_up(&system.stack).await
    })?;
    system.wait_for_hosts(HOSTS)?;
    let mut restarts = Restarts { system, runtime, line, samples };
    let (bare, folded) = restarts.bare_read()?;
    let gateway = restarts.of(&[Program::Gateway])?;
    let processors = restarts.of(&[Program::Processors])?;
    let both = restarts.of(&[Program::Processors, Program::Gateway])?;
    let row = |what, measured, bound| Row { what, measured, unit: "ms", bound };
    Ok(vec![
        row("restart: a bare read of what the gateway reads, median", bare.p50_ms(), Bound::None),
        row("restart: folding that, without a read, median", folded.p50_ms(), Bound::None),
        row("restart: gateway, 10,000 hosts, median", gateway.p50_ms(), Bound::AtMost(LIMIT_MS)),
        row("restart: gateway, the slowest", gateway.ms(1.0), Bound::None),
        row("restart: processors, 10,000 hosts, median", processors.p50_ms(), Bound::AtMost(LIMIT_MS)),
        row("restart: processors, the slowest", processors.ms(1.0), Bound::None),
        row("restart: both at once, 10,000 hosts, median", both.p50_ms(), Bound::AtMost(LIMIT_MS)),
        row("restart: both at once, the slowest", both.ms(1.0), Bound::None),
    ])
}

impl Restarts {
    /// Times the bare read of the LATEST bucket, and the fold of what was read: what a gateway cannot do without.
    fn bare_read(&self) -> Result<(Spread, Spread)> {
        self.runtime.block_on(async {
            let context = processors_context(&self.system.stack).await?;
            let prefix = bucket_filter(LATEST);
            let prefix = prefix.trim_end_matches('>');
            let (mut reads, mut folds) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
            for _ in 0..ROUNDS {
                let (begin, mut events) = (Instant::now(), Vec::with_capacity(HOSTS as usize));
                let each = |event| events.push(event);
                rebuild::read(&context, &bucket_stream(LATEST), &[], Begin::LastPerSubject, each).await?;
                reads.push(begin.elapsed());
                let (begin, mut fleet) = (Instant::now(), Fleet::default());
                for Event { subject, payload, sequence, received, .. } in &events {
                    let key = subject.strip_prefix(prefix).unwrap_or_default();
                    fleet.apply(Entry { key, view: Some(payload), revision: *sequence }, *received)?;
                }
                folds.push(begin.elapsed());
                ensure!(
                    fleet.hosts().count() == HOSTS as usize,
                    "{} hosts of {HOSTS}",
                    fleet.hosts().count()
                );
            }
            Ok((Spread::of(reads), Spread::of(folds)))
        })
    }

    /// Times from starting these programs until the gateway is ready, lists every host and shows a sample that was
    /// stored while they were down.
    fn of(&mut self, programs: &[Program]) -> Result<Spread> {
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            programs.iter().rev().try_for_each(|program| self.system.stack.stop(*program))?;
            let sent = self.runtime.block_on(self.line.send(&mut self.samples, 1, f64::INFINITY))?;
            let stored = sent.first().and_then(|it| it.sequence).context("a sample without a number")?;
            let begin = Instant::now();
            programs.iter().try_for_each(|program| self.system.stack.launch(*program))?;
            self.wait_until_shown(begin, stored)?;
            times.push(begin.elapsed());
            self.system.wait_for_hosts(HOSTS)?;
            self.runtime.block_on(caught_up(&self.system.stack))?;
        }
        Ok(Spread::of(times))
    }

    fn wait_until_shown(&self, begin: Instant, stored: u64) -> Result<()> {
        #[derive(Deserialize)]
        struct Host {
            sequence: u64,
        }
        let path = format!("/api/v1/hosts/{}", self.samples.last_host());
        let look = || -> Result<bool> {
            let mut connection: Connection = self.system.gateway()?;
            if connection.get("/readyz")?.0 != 200 {
                return Ok(false);
            }
            let (status, body) = connection.get(&path)?;
            Ok(status == 200 && serde_json::from_slice::<Host>(body)?.sequence >= stored)
        };
        // A gateway that does not listen yet refuses; the deadline tells what it was in the end.
        loop {
            match look() {
                Ok(true) => return Ok(()),
                Ok(false) if begin.elapsed() > DEADLINE => bail!("{path} never showed sample {stored}"),
                Err(failure) if begin.elapsed() > DEADLINE => return Err(failure),
                Ok(false) | Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}
