//! Of several holders one has the lease; another gets it when that one is gone, at once when it goes on purpose.

use crate::stack::Server;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use watchkeeper_streams::lease::{LEASE, Lease};

const KEY: &str = "lease.test";
const LOOK: Duration = Duration::from_millis(100);

#[tokio::test]
async fn one_holds_it_and_another_goes_on_when_that_one_is_gone() {
    let server = Server::start();
    let context = server.ready().await;
    let lease = |name: &str| Lease::new(context.clone(), KEY, name.to_owned());
    let (mut first, mut second, mut third) = (lease("a"), lease("b"), lease("c"));
    assert!(first.hold().await.unwrap() && first.hold().await.unwrap());
    assert!(!second.hold().await.unwrap() && !second.is_held(), "two hold it");
    // The first renews for as long as it lives, and nobody else gets it.
    let begun = Instant::now();
    while begun.elapsed() < LEASE + LEASE / 2 {
        assert!(first.hold().await.unwrap(), "the living holder lost it");
        assert!(!second.hold().await.unwrap(), "two hold it");
        sleep(LOOK).await;
    }
    // The first is gone without a word.
    let gone = Instant::now();
    while !second.hold().await.unwrap() {
        assert!(gone.elapsed() < 2 * LEASE, "nobody holds it after {:?}", gone.elapsed());
        sleep(LOOK).await;
    }
    assert!(!first.hold().await.unwrap(), "whoever slept took it back");
    second.release().await.unwrap();
    assert!(third.hold().await.unwrap(), "what was let go of has to be waited for");
}

#[tokio::test]
async fn of_many_who_come_at_once_one_gets_it() {
    let server = Server::start();
    let context = server.ready().await;
    let tries = (0..20).map(|n| {
        let mut lease = Lease::new(context.clone(), KEY, n.to_string());
        async move { lease.hold().await.unwrap() }
    });
    let held = futures_util::future::join_all(tries).await;
    assert_eq!(held.into_iter().filter(|held| *held).count(), 1);
}
