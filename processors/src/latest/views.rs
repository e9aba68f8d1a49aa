//! Reads and writes the views: LATEST by compare-and-swap, the public feed, snapshots of what is told rarely.

use super::projection::{Fleet, Host, HostKey, Input, Kept};
use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use watchkeeper_schemas::ids::{ProcessorName, Shard};
use watchkeeper_schemas::view::{HostHead, HostView, Numbers};
use watchkeeper_schemas::{codec, public, subjects};
use watchkeeper_streams::event::unix_ms;
use watchkeeper_streams::processor::Projection as _;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::snapshots::{Snapshot, SnapshotError, Snapshots};
use watchkeeper_streams::topology::{self, LATEST, LATEST_CONSUMER, SAMPLES};

/// Views that are written at once; the server refuses what goes beyond some 500 unanswered messages of one stream.
const WRITES_MAX: usize = 256;
/// Key of the snapshot that names the LATEST bucket which was last filled completely.
const SEEDED_KEY: &str = "latest.seeded";

type Error = async_nats::Error;

/// Where views are read and written.
#[derive(Debug)]
pub(super) struct Views {
    context: Context,
    /// Creation of the bucket that the fleet's revisions belong to, in milliseconds since 1970.
    epoch: Option<u64>,
}

/// A view on its way to LATEST.
struct Written {
    key: HostKey,
    stored: async_nats::jetstream::context::PublishAckFuture,
}

impl Views {
    pub(super) fn new(context: Context) -> Self {
        Self { context, epoch: None }
    }

    /// Brings fleet and bucket together: after a start, and after a server came back without its memory.
    pub(super) async fn resume(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let stream = self.context.get_stream(topology::bucket_stream(LATEST)).await?;
        let epoch = unix_ms(stream.cached_info().created).0;
        if self.epoch == Some(epoch) {
            return Ok(());
        }
        fleet.forget_views();
        let snapshots = Snapshots::open(&self.context).await?;
        if self.epoch.is_none() {
            self.load_snapshots(&snapshots, fleet).await?;
        }
        self.load_views(fleet).await?;
        // The bucket's age stands for the input here: each new bucket is younger than the one before.
        let seeded: Option<Snapshot<()>> = snapshots.load(SEEDED_KEY).await?;
        if seeded.is_none_or(|seeded| seeded.sequence != epoch) {
            self.seed(fleet).await?;
            snapshots.save(SEEDED_KEY, &Snapshot { sequence: epoch, state: () }).await?;
        }
        self.epoch = Some(epoch);
        Ok(())
    }

    async fn load_snapshots(&self, snapshots: &Snapshots, fleet: &mut Fleet) -> Result<(), Error> {
        let keys: Vec<String> = Shard::all().map(snapshot_key).collect();
        let loaded = join_all(keys.iter().map(|key| snapshots.load::<BTreeMap<String, Kept>>(key))).await;
        for snapshot in loaded {
            for (key, kept) in snapshot?.map(|snapshot| snapshot.state).unwrap_or_default() {
                if let Ok(key) = subjects::parse_latest_key(&key) {
                    fleet.restore_kept(key, kept);
                }
            }
        }
        Ok(())
    }

    async fn load_views(&self, fleet: &mut Fleet) -> Result<(), Error> {
        let prefix = subjects::bucket_key(LATEST, "");
        rebuild::read(&self.context, &topology::bucket_stream(LATEST), &[], Begin::LastPerSubject, |event| {
            let Some(Ok(key)) = event.subject.strip_prefix(&prefix).map(subjects::parse_latest_key) else {
                return;
            };
            // A view that does not decode is written anew with the host's next sample.
            fleet.restore_view(key, event.sequence, serde_json::from_slice::<HostHead>(&event.payload).ok());
        })
        .await?;
        Ok(())
    }

    /// Fills an empty bucket from the newest sample of every host.
    async fn seed(&self, fleet: &mut Fleet) -> Result<(), Error> {
        rebuild::read(&self.context, SAMPLES, LATEST_CONSUMER.filters, Begin::LastPerSubject, |event| {
            let Ok(subject) = event.subject.parse::<subjects::SampleSubject>() else { return };
            // What cannot be read was parked, or will be when the consumer comes to it.
            if let Ok(sample) = codec::decode(&subject, &event.payload) {
                let (shard, sequence, received) = (subject.shard, event.sequence, event.received);
                fleet.apply(Input::Sample { shard, sequence, received, sample: Box::new(sample) });
            }
        })
        .await?;
        self.write_changed(fleet).await
    }

    /// Writes every changed view to LATEST, then tells it on the public feed.
    pub(super) async fn write_changed(&self, fleet: &mut Fleet) -> Result<(), Error> {
        let changed: Vec<HostKey> = fleet.changed().iter().cloned().collect();
        for keys in changed.chunks(WRITES_MAX) {
            let mut under_way = Vec::with_capacity(keys.len());
            for key in keys {
                let Some((host, head, body)) = fleet.host(key).and_then(|host| rendered(host)) else {
                    fleet.written(key, 0);
                    continue;
                };
                let stored = self.put(key, body.clone(), host.revision).await?;
                under_way.push(Written { key: key.clone(), stored });
                self.tell(head, body).await?;
            }
            for Written { key, stored } in under_way {
                match stored.await {
                    Ok(ack) => fleet.written(&key, ack.sequence),
                    Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                        self.settle(fleet, &key).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        (team, host): &HostKey,
        body: Bytes,
        revision: u64,
    ) -> Result<async_nats::jetstream::context::PublishAckFuture, Error> {
        let subject = subjects::bucket_key(LATEST, &subjects::latest_key(team, host));
        let message = PublishMessage::build().payload(body).expected_last_subject_sequence(revision);
        Ok(self.context.send_publish(subject, message).await?)
    }

    async fn tell(&self, head: &HostHead, body: Bytes) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in public::host_event_headers(head) {
            headers.insert(name, value);
        }
        let subject = subjects::public_host(&head.team, &head.host);
        Ok(self.context.client().publish_with_headers(subject, headers, body).await?)
    }

    /// Somebody else wrote the view meanwhile: theirs stands if it is newer, else ours is written over it.
    async fn settle(&self, fleet: &mut Fleet, key: &HostKey) -> Result<(), Error> {
        let store = self.context.get_key_value(LATEST).await?;
        let entry = store.entry(subjects::latest_key(&key.0, &key.1)).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let theirs = entry.and_then(|entry| serde_json::from_slice::<HostHead>(&entry.value).ok());
        let Some((_, ours, body)) = fleet.host(key).and_then(|host| rendered(host)) else { return Ok(()) };
        if theirs.as_ref().is_some_and(|theirs| theirs.sequence >= ours.sequence) {
            fleet.restore_view(key.clone(), revision, theirs);
            fleet.written(key, revision);
            return Ok(());
        }
        let ack = self.put(key, body, revision).await?.await?;
        fleet.written(key, ack.sequence);
        Ok(())
    }

    /// Writes what the shards keep where it changed.
    pub(super) async fn snapshot(&self, fleet: &mut Fleet, sequence: u64) -> Result<(), Error> {
        let shards = fleet.kept_of_changed_shards();
        if shards.is_empty() {
            return Ok(());
        }
        let snapshots = Snapshots::open(&self.context).await?;
        for (shard, state) in shards {
            match snapshots.save(&snapshot_key(shard), &Snapshot { sequence, state }).await {
                // Another instance keeps the same and is further.
                Ok(()) | Err(SnapshotError::Fenced { .. }) => fleet.shard_written(shard),
                Err(error @ (SnapshotError::Bucket { .. } | SnapshotError::Encode { .. })) => {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

/// The head and the JSON of a view; none while the numbers are not known.
fn rendered(host: &Host) -> Option<(&Host, &HostHead, Bytes)> {
    let (head, sample) = (host.head.as_ref()?, host.sample.as_ref()?);
    let json = serde_json::to_vec(&HostView { head, numbers: Numbers(sample) });
    // Nothing in a view can fail to be written: all keys are text.
    json.ok().map(|json| (host, head, json.into()))
}

fn snapshot_key(shard: Shard) -> String {
    let name: Result<ProcessorName, _> = LATEST_CONSUMER.processor.parse();
    name.map(|name| subjects::snapshot_key(&name, shard)).unwrap_or_default()
}
