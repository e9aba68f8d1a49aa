//! A snapshot is read as it was written, never replaced by an older one, and ignored when it cannot be read.

use crate::stack::Server;
use watchkeeper_streams::snapshots::{Snapshot, SnapshotError, Snapshots};
use watchkeeper_streams::topology::SNAPSHOTS;

const KEY: &str = "latest.07";

fn snapshot(sequence: u64, state: &str) -> Snapshot<String> {
    Snapshot { sequence, state: state.to_owned() }
}

#[tokio::test]
async fn a_snapshot_comes_back_and_gives_way_only_to_a_later_one() {
    let server = Server::start();
    let context = server.ready().await;
    let snapshots = Snapshots::open(&context).await.unwrap();
    assert_eq!(snapshots.load::<String>(KEY).await.unwrap(), None);
    for later in [snapshot(5, "five"), snapshot(5, "five again"), snapshot(9, "nine")] {
        snapshots.save(KEY, &later).await.unwrap();
        assert_eq!(snapshots.load(KEY).await.unwrap(), Some(later));
    }
    let refused = snapshots.save(KEY, &snapshot(8, "eight")).await.unwrap_err();
    assert!(matches!(refused, SnapshotError::Fenced { theirs: 9, ours: 8, .. }), "{refused}");
    assert_eq!(snapshots.load(KEY).await.unwrap(), Some(snapshot(9, "nine")));
}

#[tokio::test]
async fn of_two_writers_the_one_that_is_further_stands() {
    let server = Server::start();
    let context = server.ready().await;
    let snapshots = Snapshots::open(&context).await.unwrap();
    let writes = (1..=20).map(|sequence| {
        let snapshots = snapshots.clone();
        async move { snapshots.save(KEY, &snapshot(sequence, "state")).await }
    });
    for written in futures_util::future::join_all(writes).await {
        assert!(matches!(written, Ok(()) | Err(SnapshotError::Fenced { theirs: 2..=20, .. })), "{written:?}");
    }
    assert_eq!(snapshots.load::<String>(KEY).await.unwrap().map(|found| found.sequence), Some(20));
}

#[tokio::test]
async fn one_that_does_not_decode_or_was_deleted_is_none_and_can_be_replaced() {
    let server = Server::start();
    let context = server.ready().await;
    let snapshots = Snapshots::open(&context).await.unwrap();
    let store = context.get_key_value(SNAPSHOTS).await.unwrap();
    for damaged in [&b"{"[..], br#"{"sequence":99}"#, b"\xff"] {
        store.put(KEY, damaged.into()).await.unwrap();
        assert_eq!(snapshots.load::<String>(KEY).await.unwrap(), None);
    }
    snapshots.save(KEY, &snapshot(1, "one")).await.unwrap();
    assert_eq!(snapshots.load(KEY).await.unwrap(), Some(snapshot(1, "one")));
    store.delete(KEY).await.unwrap();
    assert_eq!(snapshots.load::<String>(KEY).await.unwrap(), None);
    snapshots.save(KEY, &snapshot(1, "one")).await.unwrap();
}
