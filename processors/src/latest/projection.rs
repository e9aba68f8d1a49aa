//! Which sample of a host is its newest: pure state folded from the live lane.

use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::ids::{BootId, HostId, Shard, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::{Inventory, Sample};
use watchkeeper_schemas::view::HostHead;
use watchkeeper_streams::processor::Projection;

use serde::{Deserialize, Serialize};

/// Earlier boots of a host that are still recognised as earlier.
const BOOTS_MAX: usize = 8;

/// Whose view it is.
pub type HostKey = (TeamId, HostId);

/// The newest state of every host, and which hosts changed since they were last written.
#[derive(Debug, Default)]
pub struct Fleet {
    hosts: BTreeMap<HostKey, Host>,
    changed: BTreeSet<HostKey>,
    changed_shards: BTreeSet<Shard>,
}

/// The newest state of one host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Head of the view; none until a sample was seen.
    pub head: Option<HostHead>,
    /// The numbers of the newest sample, until its view is written.
    pub sample: Option<Sample>,
    /// Revision of the host's key in LATEST, 0 where there is none; nothing until it was looked up.
    pub revision: Option<u64>,
    shard: Option<Shard>,
    kept: Kept,
    unreadable: u64,
}

/// What cannot be read from a host's newest sample alone: kept in snapshots.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What the host is.
    pub inventory: Option<Inventory>,
    /// Its last boots, the newest last.
    pub boots: Vec<BootId>,
}

/// One event of the live lane.
#[derive(Debug, Clone)]
pub enum Input {
    /// A sample that could be read.
    Sample {
        /// Its shard, as in its subject.
        shard: Shard,
        /// Its place in SAMPLES.
        sequence: u64,
        /// When the broker stored it.
        received: UnixMs,
        /// The sample.
        sample: Box<Sample>,
    },
    /// A message under the host's subject that could not be read.
    Unreadable(HostKey),
}

impl Projection for Fleet {
    type Input = Input;

    fn apply(&mut self, input: Input) {
        match input {
            Input::Unreadable(key) => self.hosts.entry(key).or_default().unreadable += 1,
            Input::Sample { shard, sequence, received, sample } => {
                let key = (sample.team.clone(), sample.host.clone());
                let host = self.hosts.entry(key.clone()).or_default();
                if !host.accepts(sequence, &sample) {
                    return;
                }
                if host.keep(&sample) {
                    self.changed_shards.insert(shard);
                }
                host.shard = Some(shard);
                host.head = Some(host.next_head(shard, sequence, received, &sample));
                host.sample = Some(*sample);
                self.changed.insert(key);
            }
        }
    }
}

impl Fleet {
    /// Whether it was looked up what LATEST holds of a host.
    #[must_use]
    pub fn knows(&self, key: &HostKey) -> bool {
        self.hosts.get(key).is_some_and(|host| host.revision.is_some())
    }

    /// Takes back what LATEST held of a host.
    pub fn restore_view(&mut self, key: HostKey, revision: u64, head: Option<HostHead>) {
        let host = self.hosts.entry(key).or_default();
        host.revision = Some(revision);
        if let Some(head) =
            head.filter(|head| host.head.as_ref().is_none_or(|ours| head.sequence > ours.sequence))
        {
            host.unreadable = head.unreadable_samples;
            host.sample = None;
            host.head = Some(head);
        }
    }

    /// Takes back what the snapshot of a shard held of a host; one that is heard in another has moved there.
    pub fn restore_kept(&mut self, key: HostKey, shard: Shard, kept: Kept) {
        let host = self.hosts.entry(key).or_default();
        if host.shard.is_none() {
            (host.shard, host.kept) = (Some(shard), kept);
        }
    }

    /// Forgets every view, but not what is told rarely: the bucket is another one now.
    pub fn forget_views(&mut self) {
        self.changed.clear();
        for host in self.hosts.values_mut() {
            let (shard, kept) = (host.shard, std::mem::take(&mut host.kept));
            *host = Host { shard, kept, unreadable: host.unreadable, ..Host::default() };
        }
    }

    /// The hosts whose views are to be written.
    #[must_use]
    pub fn changed(&self) -> &BTreeSet<HostKey> {
        &self.changed
    }

    /// The state of a host.
    #[must_use]
    pub fn host(&self, key: &HostKey) -> Option<&Host> {
        self.hosts.get(key)
    }

    /// The view of a host was written; its numbers are not needed any more.
    pub fn written(&mut self, key: &HostKey, revision: u64) {
        if let Some(host) = self.hosts.get_mut(key) {
            host.revision = Some(revision);
            host.sample = None;
        }
        self.changed.remove(key);
    }

    /// What the snapshot of each changed shard has to hold now.
    #[must_use]
    pub fn kept_of_changed_shards(&self) -> BTreeMap<Shard, BTreeMap<String, Kept>> {
        let mut shards: BTreeMap<Shard, BTreeMap<String, Kept>> =
            self.changed_shards.iter().map(|shard| (*shard, BTreeMap::new())).collect();
        for ((team, host), state) in &self.hosts {
            let shard = state.shard.unwrap_or_else(|| Shard::of(host));
            if let Some(kept) = shards.get_mut(&shard) {
                kept.insert(watchkeeper_schemas::subjects::latest_key(team, host), state.kept.clone());
            }
        }
        shards
    }

    /// The snapshot of a shard was written.
    pub fn shard_written(&mut self, shard: Shard) {
        self.changed_shards.remove(&shard);
    }
}

impl Host {
    /// Newer than what is known: a boot not seen before, or a higher number in the newest boot.
    fn accepts(&self, sequence: u64, sample: &Sample) -> bool {
        let Some(head) = &self.head else { return true };
        if sequence <= head.sequence {
            return false;
        }
        if sample.boot == head.boot { sample.seq > head.seq } else { !self.kept.boots.contains(&sample.boot) }
    }

    /// Remembers boot and inventory; true where one of them is new.
    fn keep(&mut self, sample: &Sample) -> bool {
        let new_boot = self.kept.boots.last() != Some(&sample.boot);
        if new_boot {
            self.kept.boots.push(sample.boot);
            if self.kept.boots.len() > BOOTS_MAX {
                self.kept.boots.remove(0);
            }
        }
        let told = sample.inventory.as_deref();
        let new_inventory = told.is_some() && told != self.kept.inventory.as_ref();
        if new_inventory {
            self.kept.inventory = told.cloned();
        }
        new_boot || new_inventory
    }

    fn next_head(&mut self, shard: Shard, sequence: u64, received: UnixMs, sample: &Sample) -> HostHead {
        let known = self.head.take().and_then(|head| head.inventory);
        // Copied only where it is told anew: a dozen texts for each sample are none too few.
        let inventory = if sample.inventory.is_some() { None } else { known };
        HostHead {
            v: 1,
            team: sample.team.clone(),
            host: sample.host.clone(),
            shard,
            sequence,
            boot: sample.boot,
            seq: sample.seq,
            time: sample.time,
            received,
            interval_ms: sample.interval_ms,
            lost_samples: sample.lost_samples,
            dropped_values: sample.dropped_values,
            unreadable_samples: self.unreadable,
            inventory: inventory.or_else(|| self.kept.inventory.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::subjects::SampleSubject;

    fn input(sequence: u64, boot: u8, seq: u64) -> Input {
        let subject = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        let sample = Sample::empty(&subject, BootId([boot; 16]), seq, UnixMs(1_700_000_000_000 + seq), 5000);
        Input::Sample { shard: subject.shard, sequence, received: sample.time, sample: Box::new(sample) }
    }

    fn newest(inputs: impl IntoIterator<Item = Input>) -> (u64, u8, u64) {
        let mut fleet = Fleet::default();
        inputs.into_iter().for_each(|input| fleet.apply(input));
        let head = fleet.hosts.values().next().unwrap().head.clone().unwrap();
        (head.sequence, head.boot.0[0], head.seq)
    }

    #[test]
    fn the_view_never_steps_back() {
        assert_eq!(newest([input(1, 1, 1), input(2, 1, 2), input(3, 1, 1)]), (2, 1, 2), "a resent sample");
        assert_eq!(
            newest([input(1, 1, 5), input(2, 1, 6), input(1, 1, 5), input(2, 1, 6)]),
            (2, 1, 6),
            "a replay"
        );
        assert_eq!(newest([input(1, 1, 9), input(2, 2, 1), input(3, 1, 10)]), (2, 2, 1), "an earlier boot");
        assert_eq!(newest([input(1, 1, 9), input(2, 2, 1)]), (2, 2, 1), "a new boot counts from 1 again");
    }

    #[test]
    fn an_inventory_told_once_stays() {
        let Input::Sample { shard, sequence, received, mut sample } = input(1, 1, 1) else { unreachable!() };
        sample.inventory = Some(Box::new(Inventory { cores: 4, ..Inventory::default() }));
        let first = Input::Sample { shard, sequence, received, sample };
        let mut fleet = Fleet::default();
        fleet.apply(first);
        fleet.apply(input(2, 1, 2));
        let key = fleet.changed().first().cloned().unwrap();
        let head = fleet.host(&key).unwrap().head.clone().unwrap();
        assert_eq!((head.sequence, head.inventory.map(|inventory| inventory.cores)), (2, Some(4)));
        assert_eq!(fleet.kept_of_changed_shards()[&shard].len(), 1);
    }

    #[test]
    fn a_host_that_is_not_heard_keeps_its_place_in_its_shard() {
        let mut fleet = Fleet::default();
        fleet.apply(input(1, 1, 1));
        let shard = fleet.changed_shards.first().copied().unwrap();
        let quiet: HostId =
            (0..).map(|n| format!("quiet-{n}").parse().unwrap()).find(|it| Shard::of(it) != shard).unwrap();
        fleet.restore_kept(("default".parse().unwrap(), quiet), shard, Kept::default());
        assert_eq!(fleet.kept_of_changed_shards()[&shard].len(), 2, "lost with the next snapshot");
    }

    #[test]
    fn what_could_not_be_read_is_told_with_the_next_sample() {
        let mut fleet = Fleet::default();
        fleet.apply(input(1, 1, 1));
        let key = fleet.changed().first().cloned().unwrap();
        fleet.apply(Input::Unreadable(key.clone()));
        fleet.apply(input(3, 1, 2));
        assert_eq!(fleet.host(&key).unwrap().head.as_ref().unwrap().unreadable_samples, 1);
    }
}
