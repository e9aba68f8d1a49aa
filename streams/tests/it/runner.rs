//! What a processor may rely on: every event, in order, again until it is durable, and parked if it never can be.

use crate::probe::Running;
use crate::stack::{Server, until};
use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use std::time::{Duration, Instant};
use watchkeeper_schemas::parked::{PARKED_BYTES_MAX, Parked};
use watchkeeper_streams::lag::lag;
use watchkeeper_streams::processor::{Failure, Poisoned};
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::topology::{ACK_PENDING_EVENTS_MAX, LATEST_CONSUMER, PARKED};

/// Within this a processor that was started again has its events.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// Waits until the server has the acknowledgement of everything up to `sequence`, and of no more.
async fn until_done(context: &Context, sequence: u64) {
    until("acknowledged", || async {
        let lag = lag(context, &LATEST_CONSUMER).await.unwrap();
        if lag.done_sequence == sequence { Ok(()) } else { Err(format!("{lag:?}, handled up to {sequence}")) }
    })
    .await;
}

#[tokio::test]
async fn every_event_comes_once_and_in_order() {
    let server = Server::start();
    let context = server.ready().await;
    let mut running = Running::start(&server).await;
    server.fleet().await.publish_in_order(0..500).await;
    running.until("all handled", |told| told.handled.len() >= 500).await;
    assert_eq!(running.told().handled, (0..500).map(|number| (number + 1, number)).collect::<Vec<_>>());
    running.stop().await;
    until_done(&context, 500).await;
}

#[tokio::test]
async fn a_batch_that_failed_comes_again_as_it_was() {
    let server = Server::start();
    let context = server.ready().await;
    server.fleet().await.publish_in_order(0..100).await;
    let mut failures = 3;
    let mut running = Running::start_answering(&server, move |_| {
        if failures == 0 {
            return Ok(());
        }
        failures -= 1;
        Err(Failure::retry("not durable"))
    })
    .await;
    running.until("a third failure", |told| told.tried.len() == 3).await;
    assert_eq!(
        lag(&context, &LATEST_CONSUMER).await.unwrap().done_sequence,
        0,
        "acknowledged before durable"
    );
    running.until("all handled", |told| told.handled.len() >= 100).await;
    let told = running.told();
    assert!(told.tried[..4].iter().all(|span| *span == told.tried[0]), "{:?}", told.tried);
    assert_eq!(told.sequences(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_killed_processor_had_in_hand_comes_again_at_once() {
    let server = Server::start();
    server.ready().await;
    server.fleet().await.publish_in_order(0..50).await;
    let mut killed = Running::start(&server).await;
    killed.open.send_replace(false);
    killed.until("a batch in hand", |told| !told.tried.is_empty()).await;
    killed.kill();
    let mut running = Running::start(&server).await;
    running.until_within(BACK_WITHIN, "all handled", |told| told.handled.len() >= 50).await;
    assert_eq!(running.told().sequences(), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_can_never_be_handled_is_parked_once_and_the_rest_is_acknowledged() {
    let server = Server::start();
    let context = server.ready().await;
    let fleet = server.fleet().await;
    fleet.publish_in_order(0..5).await;
    fleet.publish(5..6, 6000).await;
    fleet.publish_in_order(6..10).await;
    let mut running = Running::start_answering(&server, |batch| {
        let poisoned = batch.iter().enumerate().filter(|(_, event)| [2, 6].contains(&event.sequence));
        let detail = |sequence| format!("sequence {sequence}");
        Failure::unless_empty(
            poisoned
                .map(|(index, event)| Poisoned { index, reason: "bad_test", detail: detail(event.sequence) })
                .collect(),
        )
    })
    .await;
    running.until("all handled", |told| told.handled.len() >= 10).await;
    running.kill();
    // Killed after parking and before the acknowledgement arrived: everything comes again.
    let stream = context.get_stream(LATEST_CONSUMER.stream).await.unwrap();
    stream.reset_consumer(LATEST_CONSUMER.processor, Some(1)).await.unwrap();
    let mut again = Running::start_answering(&server, |batch| {
        let poisoned = batch.iter().enumerate().filter(|(_, event)| [2, 6].contains(&event.sequence));
        Failure::unless_empty(
            poisoned
                .map(|(index, _)| Poisoned { index, reason: "bad_test", detail: String::new() })
                .collect(),
        )
    })
    .await;
    again.until("all handled again", |told| told.handled.len() >= 10).await;
    again.stop().await;
    until_done(&context, 10).await;
    let mut parked = Vec::new();
    let keep = |event: watchkeeper_streams::event::Event| {
        parked.push(serde_json::from_slice::<Parked>(&event.payload).unwrap());
    };
    rebuild::read(&context, PARKED, &[], Begin::First, keep).await.unwrap();
    assert_eq!(parked.iter().map(|parked| parked.sequence).collect::<Vec<_>>(), [2, 6]);
    let (small, large) = (&parked[0], &parked[1]);
    assert_eq!((small.reason.as_str(), small.detail.as_str(), small.bytes), ("bad_test", "sequence 2", 8));
    assert_eq!(small.head_hex, "0000000000000001");
    assert_eq!((large.bytes, large.head_hex.len()), (6000, 2 * PARKED_BYTES_MAX));
}

#[tokio::test]
async fn a_flood_of_poison_is_parked_whole() {
    let server = Server::start_with_lazy_disk();
    let context = server.ready().await;
    server.fleet().await.publish(0..6000, 4096).await;
    let mut running = Running::start_answering(&server, |batch| {
        let poisoned = |index| Poisoned { index, reason: "bad_test", detail: String::new() };
        Err(Failure::Poison((0..batch.len()).map(poisoned).collect()))
    })
    .await;
    running.until("all handled", |told| told.numbers().len() == 6000).await;
    running.stop().await;
    until_done(&context, 6000).await;
    assert_eq!(context.get_stream(PARKED).await.unwrap().cached_info().state.messages, 6000);
}

#[tokio::test]
async fn shutdown_finishes_and_acknowledges_the_batch_in_hand() {
    let server = Server::start();
    let context = server.ready().await;
    server.fleet().await.publish_in_order(0..50).await;
    let mut running = Running::start(&server).await;
    running.open.send_replace(false);
    running.until("a batch in hand", |told| !told.tried.is_empty()).await;
    running.ask_to_stop();
    running.open.send_replace(true);
    running.until("the batch finished", |told| !told.handled.is_empty()).await;
    let last = running.told().handled.last().unwrap().0;
    running.stop().await;
    until_done(&context, last).await;
}

#[tokio::test]
async fn ten_seconds_of_failures_lose_double_and_reorder_nothing() {
    let server = Server::start();
    server.ready().await;
    server.fleet().await.publish(0..3000, 8).await;
    let fails_until = Instant::now() + Duration::from_secs(11);
    let mut running = Running::start_answering(&server, move |_| {
        if Instant::now() < fails_until { Err(Failure::retry("the database is away")) } else { Ok(()) }
    })
    .await;
    running.until("a batch in hand", |told| !told.tried.is_empty()).await;
    let begun = running.told().resumes;
    running.until("all handled", |told| told.handled.len() >= 3000).await;
    assert_eq!(running.told().sequences(), (1..=3000).collect::<Vec<_>>());
    assert_eq!(running.told().resumes, begun, "the session was broken by the failures");
}

#[tokio::test]
async fn a_backlog_stays_on_the_server_while_a_batch_is_in_hand() {
    let events = 200_000;
    let server = Server::start_with_lazy_disk();
    let context = server.ready().await;
    server.fleet().await.publish(0..events, 400).await;
    let mut running = Running::start(&server).await;
    running.open.send_replace(false);
    running.until("a batch in hand", |told| !told.tried.is_empty()).await;
    let stream = context.get_stream(LATEST_CONSUMER.stream).await.unwrap();
    let mut sent = Vec::new();
    // What was sent ahead is what this process can hold; it has settled when it is the same for a while.
    while sent.len() < 20 || sent[sent.len() - 20..].windows(2).any(|pair| pair[0] != pair[1]) {
        sent.push(stream.consumer_info(LATEST_CONSUMER.processor).await.unwrap().num_ack_pending);
        assert!(sent.last().is_some_and(|sent| *sent as i64 <= ACK_PENDING_EVENTS_MAX), "{sent:?}");
        futures_util::stream::iter(0..10).for_each(|_| tokio::task::yield_now()).await;
    }
    running.open.send_replace(true);
    running.until("all handled", |told| told.handled.len() as u64 >= events).await;
    assert_eq!(running.told().sequences(), (1..=events).collect::<Vec<_>>());
    assert_eq!(running.connected.events.disconnects(), 0, "the server cut the connection");
}

#[tokio::test]
async fn a_backlog_of_the_largest_events_does_not_overrun_the_connection() {
    let server = Server::start_with_lazy_disk();
    server.ready().await;
    server.fleet().await.publish(0..12_000, 8000).await;
    let mut running = Running::start(&server).await;
    running.until("all handled", |told| told.handled.len() >= 12_000).await;
    assert_eq!(running.told().sequences(), (1..=12_000).collect::<Vec<_>>());
    assert_eq!(running.connected.events.disconnects(), 0, "the server cut the connection");
}
