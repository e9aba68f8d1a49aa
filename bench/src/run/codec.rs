//! A usual host's sample: bytes on the wire, time to write it, to read it, to render its view.

use super::report::{Bound, Row};
use anyhow::Result;
use std::hint::black_box;
use std::time::Instant;
use watchkeeper_schemas::catalogue::CATALOGUE;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::Shard;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::usual_host::{usual_host, usual_inventory};
use watchkeeper_schemas::view::{HostHead, HostView, Numbers};

/// Many short rounds: some fall into a moment in which nothing else ran.
const ROUNDS: usize = 400;
const CALLS_PER_ROUND: u32 = 1_000;

pub(super) fn run() -> Result<Vec<Row>> {
    let sample = usual_host("web-1")?;
    let subject = SampleSubject::live(sample.team.clone(), sample.host.clone());
    let (mut frame, mut json, mut values) = (Vec::new(), Vec::new(), 0);
    CATALOGUE.iter().for_each(|metric| metric.values(&sample, |_, _| values += 1));
    codec::encode(&sample, &mut frame)?;
    let bytes = frame.len();
    let head = HostHead {
        v: 1,
        team: sample.team.clone(),
        host: sample.host.clone(),
        shard: Shard::of(&sample.host),
        sequence: 1,
        boot: sample.boot,
        seq: sample.seq,
        time: sample.time,
        received: sample.time,
        interval_ms: sample.interval_ms,
        lost_samples: 0,
        dropped_values: 0,
        unreadable_samples: 0,
        inventory: Some(usual_inventory()),
    };
    let mut again = Vec::new();
    let encode = best_us(|| codec::encode(black_box(&sample), &mut again).is_ok());
    let decode = best_us(|| codec::decode(&subject, black_box(&frame)).is_ok());
    let clone = best_us(|| black_box(black_box(&sample).clone()).seq > 0);
    let render = best_us(|| {
        json.clear();
        serde_json::to_writer(&mut json, &HostView { head: &head, numbers: Numbers(black_box(&sample)) })
            .is_ok()
    });
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    Ok(vec![
        row("usual host: values", f64::from(values), "", Bound::AtLeast(100.0)),
        row("usual host: sample on the wire", bytes as f64, "B", Bound::AtMost(400.0)),
        row("encode a sample", encode, "µs", Bound::GoalAtMost(0.2)),
        row("decode a sample, ranges checked", decode, "µs", Bound::GoalAtMost(0.4)),
        row("  beside: a clone of the sample in memory", clone, "µs", Bound::None),
        row("render a view as JSON", render, "µs", Bound::GoalAtMost(5.0)),
        row("  its size", json.len() as f64, "B", Bound::None),
    ])
}

/// Microseconds of one call, in the round that was disturbed least.
pub(super) fn best_us(mut call: impl FnMut() -> bool) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for _ in 0..CALLS_PER_ROUND {
            black_box(call());
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS_PER_ROUND));
    }
    best
}
