//! What is known of hosts, folded from the LATEST bucket. Pure: no I/O, no clock.
//!
//! Every change of a host counts up one number, and each host stands once in the order of its newest change. A reader
//! who knows everything up to a change asks for what stands behind it: at most one entry a host, however long it
//! slept. That order is the whole queue of every client of the live stream.

pub mod host;
pub mod place;
pub mod status;
pub mod summary;
pub mod watch;

use host::Host;
use place::Place;
use std::collections::BTreeMap;
use std::ops::Bound;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
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
    teams: BTreeMap<TeamId, Team>,
}

/// The hosts of one team.
#[derive(Debug, Default)]
pub struct Team {
    hosts: BTreeMap<HostId, Host>,
    order: BTreeMap<u64, HostId>,
    reset: Option<Reset>,
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

    /// Whether the bucket has been read to its end once; from then on there is always something to show.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
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
        self.place = Place { epoch, revision: 0 };
        self.change += 1;
        let reset = Reset { change: self.change, place: self.place, reason: "the live view was rebuilt" };
        for team in self.teams.values_mut() {
            team.reset = Some(reset);
            for host in team.hosts.values_mut() {
                host.revision = 0;
                host.render(self.place);
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
        let Some(view) = entry.view else { return Ok(self.remove(team, &id, entry.revision)) };
        let host = Host::read(view, entry.revision, now)?;
        if host.summary.host != id {
            return Err(EntryError::Foreign { key: id, found: host.summary.host });
        }
        if known.is_some_and(|known| is_older(&host, known)) {
            return Ok(false);
        }
        self.put(team, id, host);
        Ok(true)
    }

    /// Judges every host's silence anew; tells whether any changed.
    pub fn tick(&mut self, now: UnixMs) -> bool {
        let before = self.change;
        for team in self.teams.values_mut() {
            for host in team.hosts.values_mut() {
                if host.judge(now) {
                    self.change += 1;
                    team.order.remove(&host.change);
                    team.order.insert(self.change, host.summary.host.clone());
                    host.change = self.change;
                    host.render(self.place);
                }
            }
        }
        self.change != before
    }

    fn put(&mut self, team: TeamId, id: HostId, mut host: Host) {
        let team = self.teams.entry(team).or_default();
        self.change += 1;
        host.change = self.change;
        host.render(Place { revision: host.revision, ..self.place });
        team.order.insert(self.change, id.clone());
        if let Some(before) = team.hosts.insert(id, host) {
            team.order.remove(&before.change);
        }
    }

    /// The mark of a removed host stays in the bucket, so that clients who come back later learn of it too.
    fn remove(&mut self, team: TeamId, id: &HostId, revision: u64) -> bool {
        let place = Place { revision, ..self.place };
        let team = self.teams.entry(team).or_default();
        let removed = team.hosts.remove(id);
        if removed.is_none() && team.reset.is_some_and(|reset| reset.place >= place) {
            return false;
        }
        if let Some(host) = removed {
            team.order.remove(&host.change);
        }
        self.change += 1;
        team.reset = Some(Reset { change: self.change, place, reason: "a host was removed" });
        true
    }
}

/// A new bucket must not show a host as it was before: unless the log itself began anew, which only the broker's
/// clock can tell, a view of an earlier sample is left out.
fn is_older(new: &Host, known: &Host) -> bool {
    new.summary.sequence < known.summary.sequence && new.summary.received <= known.summary.received
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

    /// The newest break in what changes alone can tell.
    #[must_use]
    pub fn reset(&self) -> Option<Reset> {
        self.reset
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    pub(crate) const NOW: UnixMs = UnixMs(1_767_225_600_000);

    pub(crate) fn view(host: &str, sequence: u64, received: UnixMs) -> Vec<u8> {
        let json = serde_json::json!({
            "host": host, "sequence": sequence, "time": received, "received": received, "interval_ms": 1000,
            "cpu": {"usage_pct": sequence as f64},
        });
        serde_json::to_vec(&json).unwrap()
    }

    pub(crate) fn put(fleet: &mut Fleet, host: &str, sequence: u64, revision: u64) -> bool {
        let (key, view) = (format!("default.{host}"), view(host, sequence, NOW));
        fleet.apply(Entry { key: &key, view: Some(&view), revision }, NOW).unwrap()
    }

    pub(crate) fn fleet(hosts: &[&str]) -> Fleet {
        let mut fleet = Fleet::default();
        fleet.begin(100);
        for (index, host) in (1..).zip(hosts) {
            assert!(put(&mut fleet, host, index, index));
        }
        fleet.loaded();
        fleet
    }

    pub(crate) fn team(fleet: &Fleet) -> &Team {
        fleet.team(&"default".parse().unwrap()).unwrap()
    }

    fn later(after: Duration) -> UnixMs {
        UnixMs(NOW.0 + after.as_millis() as u64)
    }

    fn changed(fleet: &Fleet, change: u64) -> Vec<String> {
        team(fleet).changed_after(change).map(|host| host.summary.host.to_string()).collect()
    }

    #[test]
    fn each_host_stands_once_in_the_order_of_its_newest_change() {
        let mut fleet = fleet(&["a", "b", "c"]);
        let seen = fleet.change();
        for revision in 4..100 {
            put(&mut fleet, "b", revision, revision);
        }
        put(&mut fleet, "a", 100, 100);
        assert_eq!(changed(&fleet, seen), ["b", "a"]);
        assert_eq!(changed(&fleet, 0), ["c", "b", "a"]);
        assert_eq!(team(&fleet).order.len(), 3);
    }

    #[test]
    fn a_host_never_steps_back() {
        let mut fleet = fleet(&["a"]);
        assert!(put(&mut fleet, "a", 9, 9));
        assert!(!put(&mut fleet, "a", 8, 8), "an older revision");
        fleet.begin(200);
        assert!(!put(&mut fleet, "a", 8, 1), "a new bucket with an older sample");
        assert!(put(&mut fleet, "a", 9, 2), "a new bucket with the same sample");
        let restarted = view("a", 1, later(Duration::from_secs(1)));
        let entry = Entry { key: "default.a", view: Some(&restarted), revision: 3 };
        assert!(fleet.apply(entry, NOW).unwrap(), "a log that began anew");
    }

    #[test]
    fn a_new_bucket_keeps_the_hosts_shown_and_breaks_the_changes() {
        let mut fleet = fleet(&["a", "b"]);
        let seen = fleet.change();
        fleet.begin(200);
        assert_eq!(fleet.place(), Place { epoch: 200, revision: 0 });
        assert_eq!(team(&fleet).hosts().len(), 2);
        assert!(team(&fleet).reset().unwrap().change > seen);
        let change = fleet.change();
        fleet.begin(200);
        assert_eq!(fleet.change(), change, "the same bucket again is no break");
        assert!(team(&fleet).hosts().values().all(|host| host.summary_event().starts_with(b"id: 200-0\n")));
    }

    #[test]
    fn silence_is_a_change_like_any_other() {
        let mut fleet = fleet(&["a", "b"]);
        let seen = fleet.change();
        assert!(!fleet.tick(later(Duration::from_secs(30))));
        assert!(fleet.tick(later(Duration::from_secs(31))));
        assert_eq!(changed(&fleet, seen), ["a", "b"]);
        assert!(fleet.hosts().all(|host| host.summary.status == status::Status::Silent));
        assert!(!fleet.tick(later(Duration::from_secs(32))), "told once");
        assert!(put(&mut fleet, "a", 7, 7));
        assert!(fleet.hosts().any(|host| host.summary.status == status::Status::Fine));
    }

    #[test]
    fn a_removed_host_is_gone_and_breaks_the_changes() {
        let mut fleet = fleet(&["a", "b"]);
        let gone = Entry { key: "default.a", view: None, revision: 3 };
        assert!(fleet.apply(gone, NOW).unwrap());
        assert!(!fleet.apply(gone, NOW).unwrap());
        assert_eq!(changed(&fleet, 0), ["b"]);
        assert_eq!(team(&fleet).reset().unwrap().reason, "a host was removed");
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_the_rest_stays() {
        let mut fleet = fleet(&["a"]);
        let foreign = view("b", 9, NOW);
        for (key, view) in
            [("nokey", &foreign[..]), ("default.a", b"{}"), ("default.a", b"\0"), ("default.a", &foreign)]
        {
            assert!(fleet.apply(Entry { key, view: Some(view), revision: 50 }, NOW).is_err(), "{key}");
        }
        assert_eq!(changed(&fleet, 0), ["a"]);
    }

    #[test]
    fn teams_do_not_see_each_other() {
        let mut fleet = fleet(&["a"]);
        let theirs = view("a", 2, NOW);
        fleet.apply(Entry { key: "others.a", view: Some(&theirs), revision: 2 }, NOW).unwrap();
        assert_eq!(changed(&fleet, 0), ["a"]);
        assert_eq!(team(&fleet).hosts().values().next().unwrap().summary.sequence, 1);
    }
}
