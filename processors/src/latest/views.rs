//! Reads and writes the views: LATEST by compare-and-swap, the public feed, snapshots of what is told rarely.

use super::projection::{Fleet, Host, HostKey, Input, Kept};
use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
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
/// Bytes of a rendered view, for a first guess: growing to it would copy it several times.
const VIEW_BYTES_USUAL: usize = 4096;
/// Key of the snapshot that names the LATEST bucket which was last filled completely.
const SEEDED_KEY: &str = "latest.seeded";

type Error = async_nats::Error;

/// Where views are read and written.
#[derive(Debug)]
pub(super) struct Views {
    context: Context,
    bucket: Option<Bucket>,
    /// Shards whose snapshots have been read.
    shards: BTreeSet<Shard>,
}

/// The LATEST bucket that the fleet's revisions belong to.
#[derive(Debug)]
struct Bucket {
    store: Store,
    /// When it was created, in milliseconds since 1970.
    epoch: u64,
}

/// A view on its way to LATEST.
struct Written {
    key: HostKey,
    stored: async_nats::jetstream::context::PublishAckFuture,
}

impl Views {
    pub(super) fn new(context: Context) -> Self {
        Self { context, bucket: None, shards: BTreeSet::new() }
    }

    /// Brings fleet and bucket together: after a start, and after a server came back without its memory. A bucket
    /// that was filled before is not read: what it holds of a host is looked up when the host is next heard.
    pub(super) async fn resume(&mut self, fleet: &mut Fleet) -> Result<(), Error> {
        let store = self.context.get_key_value(LATEST).await?;
        let epoch = unix_ms(store.stream.cached_info().created).0;
        if self.bucket.as_ref().is_some_and(|bucket| bucket.epoch == epoch) {
            return Ok(());
        }
        fleet.forget_views();
        self.bucket = Some(Bucket { store, epoch });
        let filled = self.fill(fleet, epoch).await;
        if filled.is_err() {
            self.bucket = None;
        }
        filled
    }

    /// Makes sure that the bucket holds every host.
    async fn fill(&mut self, fleet: &mut Fleet, epoch: u64) -> Result<(), Error> {
        let snapshots = Snapshots::open(&self.context).await?;
        // The bucket's age stands for the input here: each new bucket is younger than the one before.
        let seeded: Option<Snapshot<()>> = snapshots.load(SEEDED_KEY).await?;
        if seeded.is_some_and(|seeded| seeded.sequence == epoch) {
            return Ok(());
        }
        self.load_shards(&snapshots, fleet, Shard::all()).await?;
        self.load_views(fleet).await?;
        self.seed(fleet).await?;
        Ok(snapshots.save(SEEDED_KEY, &Snapshot { sequence: epoch, state: () }).await?)
    }

    /// Looks up what LATEST and the snapshots hold of hosts that have not been heard since the start.
    pub(super) async fn look_up<'a>(
        &mut self,
        fleet: &mut Fleet,
        hosts: impl Iterator<Item = (Shard, &'a HostKey)>,
    ) -> Result<(), Error> {
        let (mut shards, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        for (shard, key) in hosts {
            if !self.shards.contains(&shard) {
                shards.insert(shard);
            }
            if !fleet.knows(key) {
                unknown.insert(key.clone());
            }
        }
        if !shards.is_empty() {
            let snapshots = Snapshots::open(&self.context).await?;
            self.load_shards(&snapshots, fleet, shards.into_iter()).await?;
        }
        let Some(Bucket { store, .. }) = &self.bucket else { return Err("LATEST was not found yet".into()) };
        let unknown: Vec<HostKey> = unknown.into_iter().collect();
        for keys in unknown.chunks(WRITES_MAX) {
            let entries = keys.iter().map(|(team, host)| store.entry(subjects::latest_key(team, host)));
            for (key, entry) in keys.iter().zip(join_all(entries).await) {
                let entry = entry?;
                let revision = entry.as_ref().map_or(0, |entry| entry.revision);
                // A view that does not decode is written anew with the host's next sample.
                let head = entry.and_then(|entry| serde_json::from_slice::<HostHead>(&entry.value).ok());
                fleet.restore_view(key.clone(), revision, head);
            }
        }
        Ok(())
    }

    async fn load_shards(
        &mut self,
        snapshots: &Snapshots,
        fleet: &mut Fleet,
        shards: impl Iterator<Item = Shard>,
    ) -> Result<(), Error> {
        let shards: Vec<Shard> = shards.filter(|shard| !self.shards.contains(shard)).collect();
        let keys: Vec<String> = shards.iter().copied().map(snapshot_key).collect();
        let loaded = join_all(keys.iter().map(|key| snapshots.load::<BTreeMap<String, Kept>>(key))).await;
        for (shard, snapshot) in shards.into_iter().zip(loaded) {
            for (key, kept) in snapshot?.map(|snapshot| snapshot.state).unwrap_or_default() {
                if let Ok(key) = subjects::parse_latest_key(&key) {
                    fleet.restore_kept(key, shard, kept);
                }
            }
            self.shards.insert(shard);
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
        rebuild::read(&self.context, SAMPLES, &[subjects::LIVE_SAMPLES], Begin::LastPerSubject, |event| {
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
                let stored = self.put(key, body.clone(), host.revision.unwrap_or(0)).await?;
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
        let Some(Bucket { store, .. }) = &self.bucket else { return Err("LATEST was not found yet".into()) };
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
    let mut json = Vec::with_capacity(VIEW_BYTES_USUAL);
    // Nothing in a view can fail to be written: all keys are text.
    serde_json::to_writer(&mut json, &HostView { head, numbers: Numbers(sample) }).ok()?;
    Some((host, head, json.into()))
}

fn snapshot_key(shard: Shard) -> String {
    let name: Result<ProcessorName, _> = LATEST_CONSUMER.processor.parse();
    name.map(|name| subjects::snapshot_key(&name, shard)).unwrap_or_default()
}
