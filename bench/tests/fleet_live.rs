//! The fleet into a real nats-server: what it says was acknowledged stands in the stream, once and with its values.
#![expect(clippy::unwrap_used, reason = "in tests a failed expectation is the message")]

use async_nats::jetstream;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use watchkeeper_bench::fleet::{self, Options, Summary, values};
use watchkeeper_schemas::subjects::{self, LIVE_SAMPLES};
use watchkeeper_schemas::{codec, subjects::SampleSubject};
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::topology::{self, Limits, SAMPLES};
use xtask::stack::{Program, Stack};
use xtask::tools::Servers;

const HOSTS: u32 = 25;

#[test]
fn what_is_acknowledged_is_stored_once_with_the_values_of_the_pure_function() {
    let folder = tempfile::tempdir().unwrap();
    let stack =
        Stack::in_dir(folder.path()).programs(&[Program::Nats]).start(&Servers::ensure().unwrap()).unwrap();
    let log = folder.path().join("acks");
    let options = Options {
        hosts: HOSTS,
        tick: Duration::from_millis(200),
        ready_file: None,
        nats: Some(stack.nats_url()),
        creds: Some(stack.creds().fleet.clone()),
        team: Some(stack.team().parse().unwrap()),
        seconds: Some(3),
        seed: 9,
        start_index: 500,
        ack_log: Some(log.clone()),
        quiet: true,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (summary, stored) = runtime.block_on(play_and_read(&stack, &options));

    assert_eq!(summary.totals.refused, 0, "{:?}", summary.totals);
    assert_eq!(summary.totals.unanswered, 0, "{:?}", summary.totals);
    assert_eq!(stored.values().filter(|times| **times != 1).count(), 0, "a sample is stored more than once");
    let acknowledged: Vec<_> = summary
        .acknowledged_ranges
        .iter()
        .flat_map(|(host, ranges)| {
            ranges.iter().flat_map(move |[first, last]| (*first..=*last).map(move |seq| (host.clone(), seq)))
        })
        .collect();
    assert_eq!(acknowledged.len() as u64, summary.totals.acknowledged);
    assert_eq!(summary.acknowledged_ranges.len(), HOSTS as usize, "a host has sent nothing");
    assert_eq!(acknowledged, stored.into_keys().collect::<Vec<_>>());

    let log = std::fs::read_to_string(log).unwrap();
    let mut logged: Vec<_> =
        log.lines().skip(1).map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    logged.sort_by_key(|words| (words[0].clone(), words[1].parse::<u64>().unwrap()));
    let expected: Vec<_> = acknowledged
        .iter()
        .map(|(host, seq)| vec![host.clone(), seq.to_string(), summary.fleet.time_ms(*seq).to_string()])
        .collect();
    assert_eq!(logged, expected);
}

/// Runs the fleet, then counts every (host, seq) in the stream, each held against the pure function.
async fn play_and_read(stack: &Stack, options: &Options) -> (Summary, BTreeMap<(String, u64), u32>) {
    let inbox = subjects::program_inbox(&"processors".parse().unwrap());
    let settings =
        Connect { url: stack.nats_url(), creds: stack.creds().processors.clone(), name: "test", inbox };
    let context = jetstream::new(connect(&settings).await.unwrap().client);
    topology::ensure(&context, &Limits::default()).await.unwrap();
    let (_go_on, stopped) = watch::channel(false);
    let summary = fleet::play(options, stopped).await.unwrap();
    let mut stored = BTreeMap::new();
    rebuild::read(&context, SAMPLES, &[LIVE_SAMPLES], Begin::First, |event| {
        let subject: SampleSubject = event.subject.parse().unwrap();
        let found = codec::decode(&subject, &event.payload).unwrap();
        let index = found.host.as_str().trim_start_matches("sim-").parse().unwrap();
        assert_eq!(found, values::sample(&summary.fleet, index, found.seq).unwrap());
        *stored.entry((found.host.to_string(), found.seq)).or_default() += 1;
    })
    .await
    .unwrap();
    (summary, stored)
}
