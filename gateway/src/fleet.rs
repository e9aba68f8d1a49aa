//! What is known of hosts, folded from the LATEST bucket and from JOURNAL. Pure: no I/O, no clock.
//!
//! Every change of a host counts up one number, and each host stands once in the order of its newest change. A reader
//! who knows everything up to a change asks for what stands behind it: at most one entry a host, however long it
//! slept. That order is the whole queue of every client of the live stream.

pub mod host;
pub mod journal;
pub mod place;
pub mod status;
pub mod summary;
pub mod watch;
pub mod watched;

use host::Host;
use place::Place;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use watched::{Said, Watched, newest, said};
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{SubjectError, parse_latest_key};

/// One entry of the LATEST bucket.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// `<team>.<host>`.
    pub key: &'a str,
    /// The host view, or nothing where the host was removed.
    pub view: Option<&'a [u8]>,
    /// Its revision in the bucket.
    pub revision: u64,
}

/// Why an entry was left out.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The key names no host.
    #[error("an entry of the live view has no key of a host")]
    Key(#[from] SubjectError),
    /// The value is no host view.
    #[error("an entry of the live view cannot be read")]
    View(#[from] serde_json::Error),
    /// The value is of another host than its key.
    #[error("the entry of host {key} holds a view of host {found}")]
    Foreign {
        /// Whose key it is.
        key: HostId,
        /// Whose view it is.
        found: HostId,
    },
}

/// Everything that is known of hosts.
#[derive(Debug, Default)]
pub struct Fleet {
    place: Place,
    change: u64,
    loaded: bool,
    configured: bool,
    teams: BTreeMap<TeamId, Team>,
}

/// The hosts of one team.
#[derive(Debug, Default)]
pub struct Team {
    hosts: BTreeMap<HostId, Host>,
    said: BTreeMap<HostId, News>,
    order: BTreeMap<u64, HostId>,
    reset: Option<Reset>,
}

/// The newest that the journal says of a host.
#[derive(Debug, Clone)]
enum News {
    Watched(Arc<Watched>),
    Removed(u64),
}

/// From here on, who knows only what was before cannot go on with changes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The change at which it happened.
    pub change: u64,
    /// The place at which it happened.
    pub place: Place,
    /// What happened, for people.
    pub reason: &'static str,
}

impl Fleet {
    /// How far the bucket has been read.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The number of the newest change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Whether bucket and journal have been read to their ends once; from then on there is always something to show,
    /// and nothing that was removed.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded && self.configured
    }

    /// The bucket has been read to its end.
    pub fn loaded(&mut self) {
        self.loaded = true;
    }

    /// The hosts of a team.
    #[must_use]
    pub fn team(&self, team: &TeamId) -> Option<&Team> {
        self.teams.get(team)
    }

    /// Every host of every team.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.teams.values().flat_map(|team| team.hosts.values())
    }

    /// The bucket was found, created at `epoch`. Another one than before starts its revisions anew: what is known
    /// stays shown, with its age, until the new bucket tells newer.
    pub fn begin(&mut self, epoch: u64) {
        if epoch == self.place.epoch {
            return;
        }
        self.place = Place { epoch, revision: 0, ..self.place };
        self.change += 1;
        for team in self.teams.values_mut() {
            let place = Place { journal: 0, ..self.place };
            team.broken(self.change, place, "the live view was rebuilt");
            for host in team.hosts.values_mut() {
                host.revision = 0;
                host.at(self.place);
            }
        }
    }

    /// Folds one entry; tells whether anything changed. What is older than what is known changes nothing.
    ///
    /// # Errors
    /// When the entry cannot be understood; all others stay.
    pub fn apply(&mut self, entry: Entry<'_>, now: UnixMs) -> Result<bool, EntryError> {
        self.place.revision = self.place.revision.max(entry.revision);
        let (team, id) = parse_latest_key(entry.key)?;
        let known = self.teams.get(&team).and_then(|team| team.hosts.get(&id));
        if known.is_some_and(|known| entry.revision <= known.revision) {
            return Ok(false);
        }
        let news = self.teams.get(&team).and_then(|team| team.said.get(&id)).cloned();
        let watched = match news {
            // Whoever was removed stays hidden, however long the bucket keeps it.
            Some(News::Removed(_)) => return Ok(false),
            Some(News::Watched(watched)) => Some(watched),
            None => None,
        };
        let place = Place { revision: entry.revision, ..self.place };
        let Some(view) = entry.view else {
            let Some(watched) = watched else { return Ok(self.remove(team, &id, entry.revision)) };
            let mut unheard = Host::unheard(&team, &id, watched, now)?;
            unheard.revision = entry.revision;
            self.break_off(&team, Place { journal: 0, ..place });
            self.put(team, id, unheard, place);
            return Ok(true);
        };
        let host = Host::read(view, entry.revision, watched.clone(), now)?;
        if host.heard.host != id {
            return Err(EntryError::Foreign { key: id, found: host.heard.host });
        }
        if known.is_some_and(|known| is_older(&host, known))
            || watched.is_some_and(|watched| host.is_of_another(&watched))
        {
            return Ok(false);
        }
        self.put(team, id, host, place);
        Ok(true)
    }

    /// Folds what the journal says of every host; what it says no more is hidden from now on.
    ///
    /// # Errors
    /// Never: a host that was never heard can be shown.
    pub fn configure(&mut self, registry: &Registry, now: UnixMs) -> Result<(), serde_json::Error> {
        let mut all = Vec::new();
        for (team, facts) in registry.all_teams() {
            let known = self.teams.get(team);
            for (id, recorded) in facts.hosts.all() {
                let known = known.and_then(|known| known.said.get(id)).map_or(0, News::newest);
                if newest(facts, id, recorded) > known {
                    all.push((team, id, said(facts, id, recorded)));
                }
            }
        }
        // In the order of the journal: the place of each tells that all before are known.
        all.sort_unstable_by_key(|(_, _, said)| said.newest());
        for (team, id, said) in all {
            match said {
                Said::Removed(newest) => self.hide(team, id, newest),
                Said::Watched(watched) => self.watch(team, id, Arc::new(watched), now)?,
            }
        }
        self.place.journal = self.place.journal.max(registry.sequence());
        self.configured = true;
        Ok(())
    }

    fn watch(
        &mut self,
        team: &TeamId,
        id: &HostId,
        watched: Arc<Watched>,
        now: UnixMs,
    ) -> Result<(), serde_json::Error> {
        let place = Place { journal: watched.newest, ..self.place };
        let kept = self.teams.entry(team.clone()).or_default();
        kept.said.insert(id.clone(), News::Watched(Arc::clone(&watched)));
        let host = match kept.hosts.get(id) {
            Some(host) if !host.is_of_another(&watched) => {
                let mut host = host.clone();
                host.configure(Some(watched), now);
                host
            }
            known => {
                // What is shown steps back, which changes alone do not tell.
                if known.is_some_and(|known| known.heard.sequence > 0) {
                    self.break_off(team, Place { revision: 0, ..place });
                }
                Host::unheard(team, id, watched, now)?
            }
        };
        self.put(team.clone(), id.clone(), host, place);
        Ok(())
    }

    fn break_off(&mut self, team: &TeamId, place: Place) {
        self.change += 1;
        self.teams.entry(team.clone()).or_default().broken(self.change, place, "a host was removed");
    }

    fn hide(&mut self, team: &TeamId, id: &HostId, newest: u64) {
        let place = Place { revision: 0, journal: newest, ..self.place };
        let team = self.teams.entry(team.clone()).or_default();
        team.said.insert(id.clone(), News::Removed(newest));
        if let Some(host) = team.hosts.remove(id) {
            team.order.remove(&host.change);
            self.change += 1;
            team.broken(self.change, place, "a host was removed");
        }
    }

    /// Judges every host's silence anew; tells whether any changed.
    pub fn tick(&mut self, now: UnixMs) -> bool {
        let before = self.change;
        for team in self.teams.values_mut() {
            for host in team.hosts.values_mut() {
                if host.judge(now) {
                    self.change += 1;
                    team.order.remove(&host.change);
                    team.order.insert(self.change, host.heard.host.clone());
                    host.change = self.change;
                    host.at(self.place);
                }
            }
        }
        self.change != before
    }

    fn put(&mut self, team: TeamId, id: HostId, mut host: Host, place: Place) {
        let team = self.teams.entry(team).or_default();
        self.change += 1;
        host.change = self.change;
        host.at(place);
        team.order.insert(self.change, id.clone());
        if let Some(before) = team.hosts.insert(id, host) {
            team.order.remove(&before.change);
        }
    }

    /// The mark of a removed host stays in the bucket, so that clients who come back later learn of it too.
    fn remove(&mut self, team: TeamId, id: &HostId, revision: u64) -> bool {
        let place = Place { revision, journal: 0, ..self.place };
        let team = self.teams.entry(team).or_default();
        let removed = team.hosts.remove(id);
        if removed.is_none() && team.reset.is_some_and(|reset| !reset.place.is_behind(place)) {
            return false;
        }
        if let Some(host) = removed {
            team.order.remove(&host.change);
        }
        self.change += 1;
        team.broken(self.change, place, "a host was removed");
        true
    }
}

impl News {
    fn newest(&self) -> u64 {
        match self {
            Self::Watched(watched) => watched.newest,
            Self::Removed(newest) => *newest,
        }
    }
}

/// A new bucket must not show a host as it was before: unless the log itself began anew, which only the broker's
/// clock can tell, a view of an earlier sample is left out.
fn is_older(new: &Host, known: &Host) -> bool {
    new.heard.sequence < known.heard.sequence && new.heard.received <= known.heard.received
}

impl Team {
    /// Hosts in the order of their ids.
    #[must_use]
    pub fn hosts(&self) -> &BTreeMap<HostId, Host> {
        &self.hosts
    }

    /// Hosts behind `id` in the order of their ids; all where there is none.
    pub fn hosts_behind<'a>(&'a self, id: Option<&HostId>) -> impl Iterator<Item = &'a Host> + use<'a> {
        let from = id.cloned().map_or(Bound::Unbounded, Bound::Excluded);
        self.hosts.range((from, Bound::Unbounded)).map(|(_, host)| host)
    }

    /// Hosts that changed after `change`, the longest unchanged first, each once.
    pub fn changed_after(&self, change: u64) -> impl Iterator<Item = &Host> {
        self.order.range((Bound::Excluded(change), Bound::Unbounded)).filter_map(|(_, id)| self.hosts.get(id))
    }

    /// Changes alone cannot tell what happens here; who knows everything up to `place` and up to the breaks before
    /// can go on.
    fn broken(&mut self, change: u64, place: Place, reason: &'static str) {
        let before = self.reset.map(|reset| reset.place).unwrap_or_default();
        let revision = if before.epoch == place.epoch { before.revision } else { 0 };
        let place = Place {
            revision: place.revision.max(revision),
            journal: place.journal.max(before.journal),
            ..place
        };
        self.reset = Some(Reset { change, place, reason });
    }

    /// The newest break in what changes alone can tell.
    #[must_use]
    pub fn reset(&self) -> Option<Reset> {
        self.reset
    }
}

#[cfg(test)]
pub(crate) mod tests;
