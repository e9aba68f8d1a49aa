//! Reading what a stream holds: all of it, from a place, the last of each subject; it ends.

use crate::stack::{Server, number};
use futures_util::StreamExt as _;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use watchkeeper_nats::Program;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{BACKFILL_SAMPLES, LIVE_SAMPLES, SampleSubject};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::rebuild::{Begin, RebuildError, read, read_while};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{JOURNAL, LATEST, SAMPLES, bucket_stream};

#[tokio::test]
async fn all_from_a_place_or_the_last_of_each_subject() {
    let server = Server::start();
    let context = server.ready().await;
    server.fleet().await.publish_in_order(0..95).await;
    let read = async |filters: &[&str], begin| {
        let mut numbers = Vec::new();
        let count = read(&context, SAMPLES, filters, begin, |event| numbers.push(number(&event.payload)))
            .await
            .unwrap();
        assert_eq!(count, numbers.len() as u64);
        numbers
    };
    assert_eq!(read(&[], Begin::First).await, (0..95).collect::<Vec<_>>());
    assert_eq!(read(&[LIVE_SAMPLES, BACKFILL_SAMPLES], Begin::First).await.len(), 95);
    assert_eq!(read(&[], Begin::Sequence(91)).await, (90..95).collect::<Vec<_>>());
    assert_eq!(read(&[LIVE_SAMPLES], Begin::LastPerSubject).await, (85..95).collect::<Vec<_>>());
    assert!(read(&[BACKFILL_SAMPLES], Begin::First).await.is_empty());
    assert!(read(&[], Begin::Sequence(500)).await.is_empty());
    assert_eq!(read(&[], Begin::Time(UnixMs(0))).await.len(), 95);
    assert!(read(&[], Begin::Time(UnixMs(u64::MAX))).await.is_empty());
}

#[tokio::test]
async fn a_read_ends_where_whoever_reads_has_enough() {
    let server = Server::start();
    let context = server.ready().await;
    server.fleet().await.publish_in_order(0..95).await;
    let (mut times, mut numbers) = (Vec::new(), Vec::new());
    read(&context, SAMPLES, &[], Begin::First, |event| times.push(event.received)).await.unwrap();
    let third = times[2];
    let each = |event: Event| {
        numbers.push(number(&event.payload));
        if numbers.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    read_while(&context, SAMPLES, &[], Begin::Time(third), each).await.unwrap();
    let first = times.iter().position(|time| *time >= third).unwrap() as u64;
    assert_eq!(numbers, (first..first + 5).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_empty_stream_is_read_at_once_and_a_missing_one_is_named() {
    let server = Server::start();
    let context = server.ready().await;
    let begun = Instant::now();
    for begin in [Begin::First, Begin::Sequence(7), Begin::LastPerSubject] {
        assert_eq!(read(&context, JOURNAL, &[], begin, drop).await.unwrap(), 0);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let told = read(&context, "ALERTS_OLD", &[], Begin::First, drop).await.unwrap_err();
    assert!(matches!(&told, RebuildError::JetStream { stream, .. } if stream == "ALERTS_OLD"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_although_publishing_goes_on() {
    let server = Server::start_with_lazy_disk();
    let context = server.ready().await;
    let fleet = server.fleet().await;
    fleet.publish(0..5_000, 8).await;
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(async move {
        let mut next = 5_000;
        while !*stopped.borrow() {
            fleet.publish(next..next + 200, 8).await;
            next += 200;
        }
        next
    });
    for begin in [Begin::First, Begin::LastPerSubject] {
        let mut last = 0;
        let keep = |event: Event| last = event.sequence;
        let count = tokio::time::timeout(Duration::from_secs(10), read(&context, SAMPLES, &[], begin, keep));
        let count = count.await.expect("the read does not end").unwrap();
        assert!(
            count >= if begin == Begin::First { 5_000 } else { 10 } && last >= 5_000,
            "{count}, up to {last}"
        );
    }
    stop.send_replace(true);
    assert!(load.await.unwrap() > 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_stream_is_read_and_decoded_without_overrunning_the_connection() {
    let events = 200_000;
    let server = Server::start_with_lazy_disk();
    server.ready().await;
    server.fleet().await.publish_samples(events).await;
    let connected = server.connect(Program::Processors).await;
    let mut last = 0;
    let decode = |event: Event| {
        assert_eq!(event.sequence, last + 1);
        last = event.sequence;
        let subject: SampleSubject = event.subject.parse().unwrap();
        codec::decode(&subject, &event.payload).unwrap();
    };
    let context = jetstream(connected.client.clone());
    assert_eq!(read(&context, SAMPLES, &[], Begin::First, decode).await.unwrap(), events);
    assert_eq!(last, events);
    assert_eq!((connected.events.disconnects(), connected.events.slow_consumers()), (0, 0), "overrun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_read_at_once_although_its_values_are_replaced_meanwhile() {
    let server = Server::start();
    let context = server.ready().await;
    let (latest, bucket) = (context.get_key_value(LATEST).await.unwrap(), bucket_stream(LATEST));
    let hosts: Vec<String> = (0..2_000).map(|number| format!("default.host-{number}")).collect();
    let put = |number: usize| latest.put(&hosts[number % hosts.len()], vec![b'x'; 3_000].into());
    let puts = futures_util::stream::iter(0..hosts.len()).map(put).buffer_unordered(100);
    puts.for_each(|stored| async { _ = stored.unwrap() }).await;
    for replaced in 0..100 {
        let (begun, mut seen, now) = (Instant::now(), HashSet::new(), Notify::new());
        let each = |event: Event| {
            seen.insert(event.subject.to_string());
            if seen.len() == replaced * 15 + 1 {
                now.notify_one();
            }
        };
        let reading = read(&context, &bucket, &[], Begin::LastPerSubject, each);
        let replacing = async {
            now.notified().await;
            // In turn one that was read and one that is still to be read.
            put(replaced * 977).await.unwrap();
        };
        tokio::join!(async { reading.await.unwrap() }, replacing);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?} in round {replaced}", begun.elapsed());
        // What was replaced before its turn comes behind the last, to whoever follows.
        assert!(seen.len() + 1 >= hosts.len(), "only {} hosts", seen.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_connection_is_lost_fails_at_once() {
    let mut server = Server::start();
    server.ready().await;
    server.fleet().await.publish_samples(20_000).await;
    let connected = server.connect(Program::Processors).await;
    let context = jetstream(connected.client.clone());
    let mut lost = None;
    let cut = |_: Event| {
        if lost.is_none() {
            server.kill();
            server.start_again();
            lost = Some(Instant::now());
        }
    };
    let told = read(&context, SAMPLES, &[], Begin::First, cut).await.unwrap_err();
    let waited = lost.expect("an event came").elapsed();
    assert!(matches!(told, RebuildError::JetStream { .. }), "{told}");
    assert!(waited < Duration::from_secs(8), "{told} after {waited:?}");
}
