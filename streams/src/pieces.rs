//! Snapshots that are too large for one value of the bucket: pieces in two places that take turns, and a head that says
//! which of them holds. A crash in the middle of writing leaves the one before as it was.
//!
//! Every value is written over the very revision that was read or written last, so that of two writers the later fails.

use crate::snapshots::SnapshotError;
use crate::topology::SNAPSHOTS;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::audit::Hash;

/// Bytes of a piece; the bucket takes twice as many.
const PIECE_BYTES: usize = 512 * 1024;
/// Pieces of a snapshot at most.
const PIECES_MAX: usize = 2048;

/// Which pieces hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The last input that is folded in.
    sequence: u64,
    /// The place of the pieces: 0 or 1.
    place: usize,
    /// How many there are.
    pieces: usize,
    /// SHA-256 of all of them.
    hash: String,
}

/// A large snapshot by its key.
#[derive(Debug)]
pub struct Pieces {
    store: Store,
    key: &'static str,
    head: Option<Head>,
    head_revision: u64,
    /// The newest revision of every piece in both places.
    revisions: [Vec<u64>; 2],
}

/// A state and the last input that is folded into it.
pub type Found = Option<(u64, Vec<u8>)>;

impl Pieces {
    /// Opens a snapshot and reads it; one that is damaged is as good as none.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn open(context: &Context, key: &'static str) -> Result<(Self, Found), SnapshotError> {
        let store = context.get_key_value(SNAPSHOTS).await;
        let store = store.map_err(|e| failed("open the bucket of", key, e))?;
        let mut pieces =
            Self { store, key, head: None, head_revision: 0, revisions: [Vec::new(), Vec::new()] };
        let (revision, head) = pieces.entry(&format!("{key}.head")).await?;
        pieces.head_revision = revision;
        pieces.head = head.and_then(|head| serde_json::from_slice(&head).ok());
        let mut parts = [Vec::new(), Vec::new()];
        for (place, parts) in parts.iter_mut().enumerate() {
            for piece in 0..PIECES_MAX {
                let (revision, bytes) = pieces.entry(&piece_key(key, place, piece)).await?;
                if revision == 0 {
                    break;
                }
                pieces.revisions[place].push(revision);
                parts.extend(bytes);
            }
        }
        let found = pieces.head.as_ref().and_then(|head| whole(head, parts.get(head.place)?));
        if found.is_none() && revision > 0 {
            tracing::warn!(key, "the snapshot is damaged, it is thrown away");
        }
        let found = pieces.head.as_ref().map(|head| head.sequence).zip(found);
        Ok((pieces, found))
    }

    /// Writes a state, never over one of a later input.
    ///
    /// # Errors
    /// When the bucket does not answer, or somebody else wrote meanwhile: it is to be opened anew.
    pub async fn save(&mut self, sequence: u64, state: &[u8]) -> Result<(), SnapshotError> {
        let (theirs, place) =
            self.head.as_ref().map_or((0, 0), |head| (head.sequence, 1 - head.place.min(1)));
        if theirs > sequence {
            return Err(self.fenced(sequence));
        }
        let (mut count, hash) = (0, Hash::of(state).to_string());
        for bytes in state.chunks(PIECE_BYTES) {
            let known = self.revisions[place].get(count).copied().unwrap_or(0);
            let key = piece_key(self.key, place, count);
            let revision = self.update(&key, Bytes::copy_from_slice(bytes), known, sequence).await?;
            match self.revisions[place].get_mut(count) {
                Some(known) => *known = revision,
                None => self.revisions[place].push(revision),
            }
            count += 1;
        }
        let head = Head { sequence, place, pieces: count, hash };
        let json = serde_json::to_vec(&head)
            .map_err(|source| SnapshotError::Encode { key: self.key.to_owned(), source })?;
        let key = format!("{}.head", self.key);
        self.head_revision = self.update(&key, json.into(), self.head_revision, sequence).await?;
        self.head = Some(head);
        Ok(())
    }

    async fn update(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
        sequence: u64,
    ) -> Result<u64, SnapshotError> {
        match self.store.update(key, value, revision).await {
            Ok(revision) => Ok(revision),
            Err(error) if matches!(error.kind(), UpdateErrorKind::WrongLastRevision) => {
                Err(self.fenced(sequence))
            }
            Err(error) => Err(failed("write", key, error)),
        }
    }

    fn fenced(&self, ours: u64) -> SnapshotError {
        let theirs = self.head.as_ref().map_or(0, |head| head.sequence);
        SnapshotError::Fenced { key: self.key.to_owned(), theirs, ours }
    }

    async fn entry(&self, key: &str) -> Result<(u64, Option<Bytes>), SnapshotError> {
        let entry = self.store.entry(key).await.map_err(|e| failed("read", key, e))?;
        Ok(entry.map_or((0, None), |entry| {
            (entry.revision, Some(entry.value).filter(|_| entry.operation == Operation::Put))
        }))
    }
}

/// The pieces of a place put together, where they are those that the head means.
fn whole(head: &Head, parts: &[Bytes]) -> Option<Vec<u8>> {
    let state = parts.get(..head.pieces)?.concat();
    (Hash::of(&state).to_string() == head.hash).then_some(state)
}

fn piece_key(key: &str, place: usize, piece: usize) -> String {
    format!("{key}.{place}.{piece}")
}

fn failed(action: &'static str, key: &str, source: impl Into<async_nats::Error>) -> SnapshotError {
    SnapshotError::Bucket { action, key: key.to_owned(), source: source.into() }
}
