//! JOURNAL: of two who change one thing one is told; followers see every fact, also one recorded while they were cut off.

use crate::stack::{SOON, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watchkeeper_nats::Program;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, JournalEvent, Team};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::journal::{Facts, RecordError, follow, record, seen};
use watchkeeper_streams::runner::jetstream;

const A_MOMENT: Duration = Duration::from_millis(100);

fn team() -> TeamId {
    "default".parse().unwrap()
}

fn named(name: &str) -> JournalEvent {
    JournalEvent {
        v: 1,
        author: "test".to_owned(),
        cause: "test".to_owned(),
        time: UnixMs(1_790_000_000_000),
        fact: Fact::Team { id: team(), value: Some(Team { name: name.to_owned() }) },
    }
}

fn name_in(facts: &Facts) -> String {
    facts.as_ref().and_then(|it| it.team(&team())).map_or(String::new(), |team| team.name().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_change_one_thing_one_is_told_and_followers_see_the_other() {
    let mut server = Server::start();
    server.ready().await;
    let gateway = server.connect(Program::Gateway).await;
    let (facts, mut followed) = watch::channel::<Facts>(None);
    let follower = tokio::spawn(follow(jetstream(gateway.client.clone()), gateway.events.connects(), facts));
    tokio::time::timeout(SOON, followed.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(followed.borrow().as_ref().unwrap(), &Arc::new(Registry::default()), "read, and empty");

    let theirs = jetstream(gateway.client.clone());
    let scope = || JournalScope::Team(team());
    let first = record(&theirs, scope(), &named("first"), 0).await.unwrap();
    assert!(seen(&mut followed, first).await);
    let (one, two) = (named("one"), named("two"));
    let (one, two) =
        tokio::join!(record(&theirs, scope(), &one, first), record(&theirs, scope(), &two, first));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert!(matches!(lost, Err(RecordError::Conflict { .. })), "{lost:?}");
    assert!(seen(&mut followed, won.unwrap()).await);
    assert_ne!(name_in(&followed.borrow()), "first");

    server.kill();
    server.start_again();
    let mut later = followed.borrow().as_ref().unwrap().sequence();
    for name in ["after", "the restart"] {
        let recorded = async {
            loop {
                match record(&theirs, scope(), &named(name), later).await {
                    Ok(revision) => break revision,
                    // The answer to an earlier try may have been lost.
                    Err(_) => later = last_of(&mut followed, later).await,
                }
            }
        };
        later = tokio::time::timeout(SOON, recorded).await.expect("recorded again");
    }
    assert!(seen(&mut followed, later).await, "{:?}", followed.borrow());
    assert_eq!(name_in(&followed.borrow()), "the restart");
    follower.abort();
}

/// The newest revision that the follower knows, once it is beyond `than` or a moment has passed.
async fn last_of(followed: &mut watch::Receiver<Facts>, than: u64) -> u64 {
    let sequence = |facts: &Facts| facts.as_ref().map_or(0, |it| it.sequence());
    let newer = followed.wait_for(|facts| sequence(facts) > than);
    match tokio::time::timeout(A_MOMENT, newer).await {
        Ok(facts) => sequence(&facts.unwrap()),
        Err(_) => than,
    }
}
