//! A back-test after the read: a day of a fleet, five minutes of it at a time, judged by one rule in memory.

use super::report::{Bound, Row};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use watchkeeper_processors::alerts::machine::{Input, Kind};
use watchkeeper_processors::backtest::trial::{Question, Trial};
use watchkeeper_schemas::alerting::{Scope, WatchedHost};
use watchkeeper_schemas::backtest::TriedRule;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::usual_host::usual_host;

const HOSTS: usize = 1_000;
const INTERVAL_MS: u64 = 5_000;
const DAY_MS: u64 = 24 * 3_600_000;
/// What is in memory at a time.
const PART_MS: u64 = 5 * 60_000;
const TICK_MS: u64 = 1_000;
const BEGIN_MS: u64 = 1_790_000_000_000;
const TEXT: &str = "cpu.usage_pct > 90 for 2m";
const LIMIT_M_PER_S: f64 = 5.0;
/// Frames of one moment, decoded this often, show what decoding adds.
const DECODES: usize = 20;

pub(super) fn run() -> Result<Vec<Row>> {
    let mut samples = Vec::with_capacity(HOSTS);
    let mut hosts: BTreeMap<HostId, WatchedHost> = BTreeMap::new();
    for host in 0..HOSTS {
        let sample = usual_host(&format!("web-{host:04}"))?;
        hosts.insert(sample.host.clone(), WatchedHost::default());
        samples.push(sample);
    }
    let rule = TriedRule { text: TEXT.to_owned(), scope: Scope::All };
    let mut trial = Trial::new(Question { rule, before: None, hosts })?;
    let (mut judging, mut judged, mut sequence) = (Duration::ZERO, 0_u64, 0_u64);
    for part in (BEGIN_MS..BEGIN_MS + DAY_MS).step_by(PART_MS as usize) {
        let inputs = part_of_a_day(&trial, &mut samples, &mut sequence, part);
        let begin = Instant::now();
        inputs.into_iter().for_each(|input| trial.step(input));
        judging += begin.elapsed();
        judged += HOSTS as u64 * PART_MS / INTERVAL_MS;
    }
    let decoding = decode(&trial, &samples)?;
    let findings = trial.findings();
    ensure!(findings.rule.episodes.is_empty(), "the usual host is below the limit");
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let rate = judged as f64 / judging.as_secs_f64() / 1e6;
    Ok(vec![
        row("back-test: samples of 24 h × 1,000 hosts", judged as f64, "", Bound::None),
        row("back-test: judged after the read", rate, "M/s", Bound::AtLeast(LIMIT_M_PER_S)),
        row("  the whole day in", judging.as_secs_f64(), "s", Bound::None),
        row("  decoded before", 1.0 / decoding / 1e6, "M/s", Bound::None),
    ])
}

/// Samples and ticks of a few minutes, in the order of the log.
fn part_of_a_day(trial: &Trial, samples: &mut [Sample], sequence: &mut u64, from: u64) -> Vec<Input> {
    let mut inputs = Vec::with_capacity(HOSTS * 60 + 300);
    for time in (from..from + PART_MS).step_by(TICK_MS as usize) {
        let mut add = |kind| {
            *sequence += 1;
            inputs.push(Input { sequence: *sequence, time, kind });
        };
        add(Kind::Tick(Vec::new()));
        if (time - from).is_multiple_of(INTERVAL_MS) {
            for sample in &mut *samples {
                (sample.seq, sample.time) = (sample.seq + 1, UnixMs(time));
                add(Kind::Live(Box::new(trial.reads().report(sample))));
            }
        }
    }
    inputs
}

/// Seconds that a sample takes from its bytes to what the machine is given.
fn decode(trial: &Trial, samples: &[Sample]) -> Result<f64> {
    let mut frames = Vec::with_capacity(samples.len());
    for sample in samples {
        let (subject, mut frame) =
            (SampleSubject::live(sample.team.clone(), sample.host.clone()), Vec::new());
        codec::encode(sample, &mut frame)?;
        frames.push((sample.team.clone(), subject.to_string(), frame));
    }
    let begin = Instant::now();
    for _ in 0..DECODES {
        for (team, subject, frame) in &frames {
            trial.reads().input(team, (1, UnixMs(1)), subject, frame).context("a sample of the fleet")?;
        }
    }
    Ok(begin.elapsed().as_secs_f64() / (DECODES * frames.len()) as f64)
}
