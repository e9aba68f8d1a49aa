//! A large snapshot comes back whole, survives a writer that dies, and is never written over by somebody who is late.

use crate::stack::Server;
use watchkeeper_streams::pieces::Pieces;
use watchkeeper_streams::snapshots::SnapshotError;
use watchkeeper_streams::topology::SNAPSHOTS;

const KEY: &str = "large";

/// Three pieces that differ by `mark`.
fn state(mark: u8) -> Vec<u8> {
    (0..1_200_000_u32).map(|n| (n % 251) as u8 ^ mark).collect()
}

#[tokio::test]
async fn a_large_snapshot_comes_back_and_gives_way_only_to_a_later_one() {
    let server = Server::start();
    let context = server.ready().await;
    let (mut pieces, found) = Pieces::open(&context, KEY).await.unwrap();
    assert_eq!(found, None);
    for (sequence, state) in [(5, state(1)), (9, state(2)), (12, vec![7]), (13, state(3))] {
        pieces.save(sequence, &state).await.unwrap();
        let (_, found) = Pieces::open(&context, KEY).await.unwrap();
        assert!(
            found == Some((sequence, state)),
            "the snapshot at {sequence} is not the one that was written"
        );
    }
    let refused = pieces.save(12, &state(4)).await.unwrap_err();
    assert!(matches!(refused, SnapshotError::Fenced { theirs: 13, ours: 12, .. }), "{refused}");
}

#[tokio::test]
async fn a_writer_that_slept_meanwhile_changes_nothing() {
    let server = Server::start();
    let context = server.ready().await;
    let (mut sleeper, _) = Pieces::open(&context, KEY).await.unwrap();
    sleeper.save(1, &state(1)).await.unwrap();
    let (mut other, _) = Pieces::open(&context, KEY).await.unwrap();
    for sequence in 2..5 {
        other.save(sequence, &state(sequence as u8)).await.unwrap();
        let refused = sleeper.save(100, &state(0)).await.unwrap_err();
        assert!(matches!(refused, SnapshotError::Fenced { .. }), "{refused}");
        let (_, found) = Pieces::open(&context, KEY).await.unwrap();
        assert!(found == Some((sequence, state(sequence as u8))), "the sleeper wrote over {sequence}");
    }
}

#[tokio::test]
async fn a_damaged_one_is_none_and_can_be_replaced() {
    let server = Server::start();
    let context = server.ready().await;
    let (mut pieces, _) = Pieces::open(&context, KEY).await.unwrap();
    pieces.save(1, &state(1)).await.unwrap();
    let store = context.get_key_value(SNAPSHOTS).await.unwrap();
    for key in ["large.0.1", "large.head"] {
        store.put(key, "x".into()).await.unwrap();
        let (mut pieces, found) = Pieces::open(&context, KEY).await.unwrap();
        assert_eq!(found, None, "{key}");
        pieces.save(2, &state(2)).await.unwrap();
        assert!(Pieces::open(&context, KEY).await.unwrap().1 == Some((2, state(2))), "{key}");
    }
}
