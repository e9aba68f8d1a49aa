//! State of a processor with the input sequence that it stands for, in the SNAPSHOTS bucket.

use crate::topology::SNAPSHOTS;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A state and the last input that is folded into it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<S> {
    /// The last input that is folded in.
    pub sequence: u64,
    /// The state after it.
    pub state: S,
}

/// Why a snapshot could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The bucket did not answer as it should.
    #[error("cannot {action} snapshot {key}")]
    Bucket {
        /// What was attempted.
        action: &'static str,
        /// The key.
        key: String,
        /// What went wrong.
        source: async_nats::Error,
    },
    /// The state cannot be written as JSON.
    #[error("snapshot {key} cannot be written")]
    Encode {
        /// The key.
        key: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// Another instance wrote a state of a later input.
    #[error("another instance wrote snapshot {key} up to input {theirs}, ours is {ours}")]
    Fenced {
        /// The key.
        key: String,
        /// Their input.
        theirs: u64,
        /// Our input.
        ours: u64,
    },
}

/// The SNAPSHOTS bucket.
#[derive(Debug, Clone)]
pub struct Snapshots {
    store: Store,
}

impl Snapshots {
    /// Opens the bucket.
    ///
    /// # Errors
    /// When it is not there or JetStream does not answer.
    pub async fn open(context: &Context) -> Result<Self, SnapshotError> {
        let store = context.get_key_value(SNAPSHOTS).await;
        Ok(Self { store: store.map_err(|e| bucket("open the bucket of", "all", e))? })
    }

    /// Reads a snapshot; one that does not decode is as good as none: the stream is replayed.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn load<S: DeserializeOwned>(&self, key: &str) -> Result<Option<Snapshot<S>>, SnapshotError> {
        Ok(self.load_with_revision(key).await?.1)
    }

    /// Writes a snapshot by compare-and-swap, never over one of a later input.
    ///
    /// # Errors
    /// When the bucket does not answer, or another instance is further.
    pub async fn save<S>(&self, key: &str, snapshot: &Snapshot<S>) -> Result<(), SnapshotError>
    where
        S: Serialize + DeserializeOwned,
    {
        let json = serde_json::to_vec(snapshot)
            .map_err(|source| SnapshotError::Encode { key: key.to_owned(), source })?;
        loop {
            let (revision, found) = self.load_with_revision::<S>(key).await?;
            if let Some(theirs) = found.filter(|found| found.sequence > snapshot.sequence) {
                let (theirs, ours) = (theirs.sequence, snapshot.sequence);
                return Err(SnapshotError::Fenced { key: key.to_owned(), theirs, ours });
            }
            match self.store.update(key, json.clone().into(), revision).await {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), UpdateErrorKind::WrongLastRevision) => {}
                Err(error) => return Err(bucket("write", key, error)),
            }
        }
    }

    async fn load_with_revision<S>(&self, key: &str) -> Result<(u64, Option<Snapshot<S>>), SnapshotError>
    where
        S: DeserializeOwned,
    {
        let entry = self.store.entry(key).await.map_err(|e| bucket("read", key, e))?;
        let Some(entry) = entry else { return Ok((0, None)) };
        if entry.operation != Operation::Put {
            return Ok((entry.revision, None));
        }
        let decoded = serde_json::from_slice(&entry.value);
        if let Err(error) = &decoded {
            tracing::warn!(key, %error, "snapshot does not decode, it is thrown away");
        }
        Ok((entry.revision, decoded.ok()))
    }
}

fn bucket(action: &'static str, key: &str, source: impl Into<async_nats::Error>) -> SnapshotError {
    SnapshotError::Bucket { action, key: key.to_owned(), source: source.into() }
}
