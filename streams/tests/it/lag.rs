//! How far a processor is behind, be it alive or dead.

use crate::probe::Running;
use crate::stack::{Server, until};
use watchkeeper_nats::Program;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::lag::{Lag, lag};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::LATEST_CONSUMER;

#[tokio::test]
async fn lag_is_told_alive_behind_and_dead() {
    let server = Server::start();
    let processors = server.ready().await;
    let context = jetstream(server.connect(Program::Gateway).await.client);
    let now = async || lag(&context, &LATEST_CONSUMER).await.unwrap();
    assert_eq!(now().await, Lag::default(), "nothing there, nobody waits");

    let fleet = server.fleet().await;
    fleet.publish_in_order(0..20).await;
    let dead = until("the age grows", || async {
        let lag = now().await;
        if lag.seconds > 0.3 { Ok(lag) } else { Err(format!("{lag:?}")) }
    })
    .await;
    assert_eq!((dead.events, dead.done_sequence, dead.attended), (20, 0, false));

    let mut running = Running::start(&server).await;
    running.until("all handled", |told| told.handled.len() == 20).await;
    let all_done = async |done_sequence| {
        let done = Lag { events: 0, seconds: 0.0, done_sequence, attended: true };
        until("nothing left", || async {
            let lag = now().await;
            if lag == done { Ok(()) } else { Err(format!("{lag:?}, wanted {done:?}")) }
        })
        .await;
    };
    all_done(20).await;

    // What does not concern a processor is passed over like everything else.
    processors.publish(subjects::TICK, "8 bytes.".into()).await.unwrap().await.unwrap();
    all_done(21).await;

    running.open.send_replace(false);
    let tick_age = until("time passes", || async {
        let stream = context.get_stream(LATEST_CONSUMER.stream).await.unwrap();
        let info = stream.cached_info();
        let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
            - info.state.last_timestamp.unix_timestamp_nanos() as f64 / 1e9;
        if age > 1.0 { Ok(age) } else { Err(format!("{age}")) }
    })
    .await;
    fleet.publish_in_order(20..21).await;
    running.until("in hand", |told| told.tried.len() >= 2).await;
    let in_hand = now().await;
    assert_eq!((in_hand.events, in_hand.done_sequence, in_hand.attended), (1, 21, true));
    assert!(in_hand.seconds < tick_age, "the age of what it has passed over: {in_hand:?}");

    running.kill();
    until("nobody is there", || async {
        let lag = now().await;
        if !lag.attended && lag.events == 1 && lag.seconds > 0.0 { Ok(()) } else { Err(format!("{lag:?}")) }
    })
    .await;
}
