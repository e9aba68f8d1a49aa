//! From a fact in the journal to the wire: who is no longer let in is cut off within a second and stores nothing more.

use crate::attacks::seen;
use crate::client::{Client, Heard};
use crate::jetstream;
use crate::keepers::{Enrolled, Journal, Keepers, active, agents, cut_at, now, public, until};
use crate::server::{Server, host};
use nkeys::KeyPair;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use watchkeeper_nats::Program;
use watchkeeper_schemas::journal::{Fact, Flag, FlagReason};
use watchkeeper_schemas::quantity::UnixMs;

const CUT_OFF_MAX: Duration = Duration::from_secs(1);
/// Far below what the guard calls a flood.
const PACE: Duration = Duration::from_millis(20);

/// Publishes until it is cut off, comes back as often as it is let in; what it saw last.
fn publish_on(agent: Enrolled) -> thread::JoinHandle<(Enrolled, Instant)> {
    thread::spawn(move || {
        let mut client = agent.connect();
        loop {
            client.publish(&agent.subject, &agent.inbox, "sample");
            if client.next_within(Duration::from_secs(5)).is_none_or(|heard| heard == Heard::Closed) {
                let cut = Instant::now();
                match agent.try_connect() {
                    Ok(again) => client = again,
                    Err(_) => return (agent, cut),
                }
            }
            thread::park_timeout(PACE);
        }
    })
}

/// When the newest message on a subject was stored.
async fn last_stored(server: &Server, subject: &str) -> Option<SystemTime> {
    let context = jetstream::of(server, Program::Processors).await;
    let stream = context.get_stream("SAMPLES").await.unwrap();
    let message = stream.get_last_raw_message_by_subject(subject).await.ok()?;
    Some(message.time.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn t11_a_deleted_host_is_cut_off_within_a_second_and_stores_nothing_more() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    journal.team(&server, "a").await;
    let (agent, stays) =
        (journal.host(&server, "a", "web-1").await, journal.host(&server, "a", "web-2").await);
    let (subject, mut staying) = (agent.subject.clone(), stays.connect());
    let publishing = publish_on(agent);
    until("the agent's first sample", || {
        let stored = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(last_stored(&server, &subject))
        });
        stored.ok_or("nothing is stored".to_owned())
    });

    let (began, began_at) = (Instant::now(), SystemTime::now());
    journal.record("a", Fact::Host { id: host("web-1"), value: None }).await;
    let (agent, cut) = publishing.join().unwrap();
    assert!(cut > began, "cut off before the deletion");
    let took = cut - began;
    assert!(took <= CUT_OFF_MAX, "cut off after {took:?}");
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        agent.try_connect().err().expect("a deleted host's agent came back");
        thread::park_timeout(Duration::from_millis(100));
    }
    let last = last_stored(&server, &subject).await.unwrap();
    let later = last.duration_since(began_at).unwrap_or_default();
    assert!(later <= CUT_OFF_MAX, "a sample was stored {later:?} after the deletion");
    assert_eq!(staying.flush(), [], "another host of the team was cut off, too");
    seen(
        "T11",
        "a host deleted in the journal while its agent publishes",
        &format!(
            "cut off after {} ms, newest sample stored {} ms after the deletion, 20 new connections refused",
            took.as_millis(),
            later.as_millis()
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regenerated_credential_ends_the_old_one() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    journal.team(&server, "a").await;
    let old = journal.host(&server, "a", "web-1").await;
    let mut connected = old.connect();
    let new = journal.host(&server, "a", "web-1").await;
    let recorded = Instant::now();
    let cut = cut_at(&mut connected).expect("the old credential is cut off").duration_since(recorded);
    assert!(cut <= CUT_OFF_MAX, "cut off after {cut:?}");
    old.try_connect().err().expect("the old credential came back");
    assert_eq!(new.connect().flush(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flagged_host_comes_back_when_its_time_is_over() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    journal.team(&server, "a").await;
    let agent = journal.host(&server, "a", "web-1").await;
    let mut connected = agent.connect();
    let until_ms = now().0 + 2_000;
    let flag = Flag { reason: FlagReason::Flood, count: 900, until: UnixMs(until_ms), strikes: 1 };
    journal.record("a", Fact::Flag { id: host("web-1"), value: Some(flag) }).await;
    cut_at(&mut connected).expect("a flagged host is cut off");
    until("the host is let in again", || agent.try_connect());
    assert!(now().0 >= until_ms, "let in before its time was over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_team_is_cut_off_with_its_readers_and_others_notice_nothing() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    journal.team(&server, "a").await;
    journal.team(&server, "b").await;
    let (mut gone, mut stays) = (
        journal.host(&server, "a", "web-1").await.connect(),
        journal.host(&server, "b", "web-1").await.connect(),
    );
    let began = Instant::now();
    journal.record("a", Fact::Team { id: "a".parse().unwrap(), value: None }).await;
    let cut = cut_at(&mut gone).expect("the agents of a removed team are cut off") - began;
    assert!(cut <= CUT_OFF_MAX, "cut off after {cut:?}");
    until("the team's keys are gone", || {
        let key = server.layout.account_key(&agents("a"));
        if key.exists() { Err(format!("{} is there", key.display())) } else { Ok(()) }
    });
    assert_eq!(stays.flush(), []);
    // A team that the journal never spoke of was set up by hand and stays.
    Client::connect(&server.address, &server.agent("other", "web-1")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_everything_is_as_it_was() {
    let mut server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    journal.team(&server, "a").await;
    let (agent, other) =
        (journal.host(&server, "a", "web-1").await, journal.host(&server, "a", "web-2").await);
    let stranger = KeyPair::new_user();
    journal.record("a", active("web-1", public(&stranger))).await;
    until("the old key is refused", || match agent.try_connect() {
        Err(_) => Ok(()),
        Ok(_) => Err("it is let in".to_owned()),
    });
    server.restart();
    agent.try_connect().err().expect("a revoked agent came back with the restart");
    let mut connected = until("the other is let in", || other.try_connect());
    let mut journal = Journal::open_again(&server, journal).await;
    journal.record("a", Fact::Host { id: host("web-2"), value: None }).await;
    cut_at(&mut connected).expect("a deletion after the restart cuts off, too");
}
