//! The server dies, halts, forgets; somebody else takes events: nothing acknowledged is lost, and it goes on.

use crate::probe::Running;
use crate::stack::{Fleet, Server, until};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt as _;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_streams::lag::lag;
use watchkeeper_streams::topology::{LATEST, LATEST_CONSUMER, bucket_stream};

/// Within this after a server is back, a runner goes on: 5 s, and what a machine busy with other tests adds.
const BACK_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_costs_no_acknowledged_event() {
    let mut server = Server::start();
    let context = server.ready().await;
    let mut running = Running::start(&server).await;
    let (fleet, (stop, stopped)) = (server.fleet().await, watch::channel(false));
    let load = tokio::spawn(async move {
        let mut acknowledged = BTreeSet::new();
        for number in 0.. {
            if *stopped.borrow() {
                break;
            }
            if fleet.try_publish(number, 8).await {
                acknowledged.insert(number);
            }
        }
        acknowledged
    });
    for round in 1..=4 {
        let before = running.told().handled.len();
        running.until("events flow", |told| told.handled.len() > before + 100).await;
        server.kill();
        server.start_again();
        let before = running.told().resumes;
        running.until_within(BACK_WITHIN, "resumed", |told| told.resumes > before).await;
        assert_eq!(running.connected.events.disconnects(), round);
    }
    let before = running.told().handled.len();
    running.until("events flow again", |told| told.handled.len() > before + 100).await;
    stop.send_replace(true);
    let acknowledged = load.await.unwrap();
    let missing = |told: &crate::probe::Told| acknowledged.difference(&told.numbers()).count();
    running.until("every acknowledged event is handled", |told| missing(told) == 0).await;
    // Whatever came twice came in one piece: the order is that of the stream, with steps back at new connections only.
    let steps_back = running.told().sequences().windows(2).filter(|pair| pair[1] <= pair[0]).count();
    assert!(steps_back <= 4, "{steps_back} steps back");
    running.stop().await;
    assert_eq!(lag(&context, &LATEST_CONSUMER).await.unwrap().events, 0);
}

#[tokio::test]
async fn a_server_that_lost_its_memory_gets_its_bucket_back_before_work_goes_on() {
    let mut server = Server::start();
    let context = server.ready().await;
    let mut running = Running::start(&server).await;
    running.until("begun", |told| told.resumes == 1).await;
    server.kill();
    server.start_again();
    running.until_within(BACK_WITHIN, "resumed", |told| told.resumes >= 2).await;
    context.get_stream(bucket_stream(LATEST)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_when_it_comes() {
    let mut server = Server::start();
    server.ready().await;
    server.fleet().await.publish_in_order(0..10).await;
    server.kill();
    let mut running = Running::start(&server).await;
    server.start_again();
    running.until_within(BACK_WITHIN, "all handled", |told| told.handled.len() >= 10).await;
    assert_eq!(running.told().resumes, 1, "begun more than once");
}

#[tokio::test]
async fn a_runner_stops_at_once_while_the_server_is_away() {
    let mut server = Server::start();
    server.ready().await;
    let mut running = Running::start(&server).await;
    running.until("begun", |told| told.resumes == 1).await;
    server.kill();
    let events = running.connected.events.clone();
    until("the connection is lost", || async {
        if events.disconnects() == 1 { Ok(()) } else { Err("not noticed".to_owned()) }
    })
    .await;
    let asked = Instant::now();
    running.stop().await;
    assert!(asked.elapsed() < BACK_WITHIN, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_halted_server_is_left_and_found_again() {
    let server = Server::start();
    server.ready().await;
    let mut running = Running::start(&server).await;
    let fleet = server.fleet().await;
    fleet.publish_in_order(0..10).await;
    running.until("all handled", |told| told.handled.len() == 10).await;
    server.signal(Signal::STOP);
    let events = running.connected.events.clone();
    let halted = Instant::now();
    while events.disconnects() == 0 {
        let waited = halted.elapsed();
        assert!(waited < Duration::from_secs(60), "still connected to a halted server after {waited:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.signal(Signal::CONT);
    let publish =
        || async { if fleet.try_publish(10, 8).await { Ok(()) } else { Err("refused".to_owned()) } };
    until("the fleet publishes again", publish).await;
    running.until("the new event handled", |told| told.numbers().len() == 11).await;
}

/// A runner that has handled the fleet's first ten events, and the stream they stand in.
async fn ten_handled(server: &Server) -> (Running, Fleet, Stream) {
    let context = server.ready().await;
    let mut running = Running::start(server).await;
    let fleet = server.fleet().await;
    fleet.publish_in_order(0..10).await;
    running.until("all handled", |told| told.handled.len() == 10).await;
    let stream = context.get_stream(LATEST_CONSUMER.stream).await.unwrap();
    (running, fleet, stream)
}

#[tokio::test]
async fn a_consumer_deleted_behind_its_back_is_made_anew_and_nothing_is_lost() {
    let server = Server::start();
    let (mut running, fleet, stream) = ten_handled(&server).await;
    stream.delete_consumer(LATEST_CONSUMER.processor).await.unwrap();
    fleet.publish_in_order(10..20).await;
    running.until("the new events handled", |told| told.numbers().len() == 20).await;
}

#[tokio::test]
async fn events_that_went_elsewhere_come_again_in_their_place() {
    let server = Server::start();
    let (mut running, fleet, stream) = ten_handled(&server).await;
    let consumer: async_nats::jetstream::consumer::PullConsumer =
        stream.get_consumer(LATEST_CONSUMER.processor).await.unwrap();
    // Two wait for events now: the server gives some to this one, which keeps them to itself.
    let taken = consumer.batch().max_messages(5).expires(BACK_WITHIN).messages().await.unwrap();
    fleet.publish_in_order(10..30).await;
    let taken = taken.take(1).count().await;
    assert_eq!(taken, 1, "nothing was taken away");
    running.until("all handled", |told| told.numbers().len() == 30).await;
    let told = running.told();
    let first_seen: Vec<u64> = told.sequences().into_iter().fold(Vec::new(), |mut seen, sequence| {
        if !seen.contains(&sequence) {
            seen.push(sequence);
        }
        seen
    });
    assert_eq!(
        first_seen,
        (1..=30).collect::<Vec<_>>(),
        "an event was handled before one that stands before it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_told_and_not_hammered_with() {
    let (server, other) = (Server::start(), Server::start());
    let began = Instant::now();
    let stranger = server.connect_as_stranger(&other).await;
    until("three refusals", async || match stranger.events.refusals() {
        refusals if refusals >= 3 => Ok(()),
        refusals => Err(format!("{refusals} refusals")),
    })
    .await;
    // At least half of 2 s and half of 4 s lie between them.
    assert!(began.elapsed() > Duration::from_secs(3), "refused three times in {:?}", began.elapsed());
}
