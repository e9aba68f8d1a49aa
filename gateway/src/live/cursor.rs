//! How far one client of the live stream has come, and what it is told next. Pure.
//!
//! A client has no queue. It has a number: the change up to which it knows everything. What it is told next are the
//! hosts that changed behind that number, each once, as they are now. So a client that reads slowly gets the newest
//! state of every host and costs no memory, however much happened meanwhile.

use crate::fleet::host::Host;
use crate::fleet::place::Place;
use crate::fleet::status::Status;
use crate::fleet::{Fleet, Team};
use bytes::Bytes;
use std::io::Write as _;
use watchkeeper_schemas::ids::{HostId, TeamId};

/// Bytes that one write holds, but for its last host.
const WRITE_BYTES_MAX: usize = 32 * 1024;

/// How much of a host is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What a table shows.
    Summary,
    /// Everything.
    Full,
}

/// What a client wants to hear of.
#[derive(Debug, Clone)]
pub struct Interest {
    /// Whose hosts.
    pub team: TeamId,
    /// How much of each.
    pub detail: Detail,
    /// Only these, in order and each once; all where `None`, none where empty.
    pub hosts: Option<Vec<HostId>>,
}

/// How far the programs behind the view are behind, rendered.
#[derive(Debug, Clone, Default)]
pub struct LagNews {
    /// Counts every change.
    pub version: u64,
    /// The lag as JSON.
    pub json: Bytes,
}

/// How far one client has come.
#[derive(Debug)]
pub struct Cursor {
    interest: Interest,
    stage: Stage,
    lag: u64,
}

#[derive(Debug)]
enum Stage {
    /// Tell that what it knows is of no use, and why; then a snapshot.
    Reset(&'static str),
    /// Begin a snapshot.
    Snapshot,
    /// Amid a snapshot: hosts behind `last` are to come. It stands for `place`, and changes behind `change` follow it.
    Hosts { last: Option<HostId>, place: Place, change: u64 },
    /// Knows everything up to `change`, but for what `catch_up` says.
    Changes { change: u64, catch_up: Option<CatchUp> },
}

/// A client that was here before: of the changes up to `until` it lacks those behind `revision`.
///
/// Silence has no revision, so hosts that are silent are told again.
#[derive(Debug, Clone, Copy)]
struct CatchUp {
    until: u64,
    revision: u64,
}

impl Cursor {
    /// A client that was told events up to `last` before, or none.
    #[must_use]
    pub fn new(fleet: &Fleet, interest: Interest, last: Option<Place>) -> Self {
        let stage = match last {
            None => Stage::Snapshot,
            Some(last) => resume(fleet, &interest.team, last),
        };
        Self { interest, stage, lag: 0 }
    }

    /// What the client is told next, or nothing while it knows everything.
    pub fn next(&mut self, fleet: &Fleet, lag: &LagNews) -> Option<Bytes> {
        let mut out = Vec::new();
        let nobody = Team::default();
        let team = fleet.team(&self.interest.team).unwrap_or(&nobody);
        while out.len() < WRITE_BYTES_MAX && self.step(fleet, team, lag, &mut out) {}
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    /// Tells the next part; false where there is nothing more to tell now.
    fn step(&mut self, fleet: &Fleet, team: &Team, lag: &LagNews, out: &mut Vec<u8>) -> bool {
        match &mut self.stage {
            Stage::Reset(reason) => {
                write_reset(out, reason);
                self.stage = Stage::Snapshot;
            }
            Stage::Snapshot => {
                out.extend_from_slice(b"event: snapshot\ndata: {\"hosts\":[");
                self.stage = Stage::Hosts { last: None, place: fleet.place(), change: fleet.change() };
            }
            Stage::Hosts { last, place, change } => {
                if !write_hosts(&self.interest, team, last, out) {
                    return false;
                }
                out.extend_from_slice(b"],\"lag\":");
                out.extend_from_slice(&lag.json);
                // The id comes last: whoever is cut off amid a snapshot does not have it.
                let written = write!(out, "}}\nid: {place}\n\n");
                debug_assert!(written.is_ok(), "memory takes every byte");
                self.lag = lag.version;
                self.stage = Stage::Changes { change: *change, catch_up: None };
            }
            Stage::Changes { change, catch_up } => {
                if let Some(reset) = team.reset().filter(|reset| reset.change > *change) {
                    self.stage = Stage::Reset(reset.reason);
                    return true;
                }
                if self.lag != lag.version {
                    self.lag = lag.version;
                    write_lag(out, lag);
                }
                if write_changes(&self.interest, team, change, *catch_up, out) {
                    // Neither hosts of other teams nor those not asked for need to be passed over again.
                    *change = fleet.change();
                    *catch_up = None;
                }
                return false;
            }
        }
        true
    }
}

/// Where a client goes on that was told events up to `last`.
fn resume(fleet: &Fleet, team: &TeamId, last: Place) -> Stage {
    let here = fleet.place();
    if last.epoch != here.epoch {
        return Stage::Reset("the live view was rebuilt");
    }
    if last.revision > here.revision {
        return Stage::Reset("this gateway has not come as far");
    }
    let reset = fleet.team(team).and_then(Team::reset);
    if let Some(reset) = reset.filter(|reset| last < reset.place) {
        return Stage::Reset(reset.reason);
    }
    let catch_up = CatchUp { until: fleet.change(), revision: last.revision };
    Stage::Changes { change: reset.map_or(0, |reset| reset.change), catch_up: Some(catch_up) }
}

impl CatchUp {
    fn is_known(&self, host: &Host) -> bool {
        host.change <= self.until && host.revision <= self.revision && host.summary.status == Status::Fine
    }
}

impl Interest {
    /// Its hosts behind `last`, in the order of their ids.
    fn behind<'a>(
        &'a self,
        team: &'a Team,
        last: Option<&HostId>,
    ) -> Box<dyn Iterator<Item = &'a Host> + 'a> {
        match &self.hosts {
            None => Box::new(team.hosts_behind(last)),
            Some(ids) => {
                let from = last.map_or(0, |last| ids.partition_point(|id| id <= last));
                Box::new(ids[from..].iter().filter_map(|id| team.hosts().get(id)))
            }
        }
    }

    /// Its hosts that changed after `change`, the longest unchanged first.
    fn changed<'a>(&'a self, team: &'a Team, change: u64) -> Box<dyn Iterator<Item = &'a Host> + 'a> {
        match &self.hosts {
            None => Box::new(team.changed_after(change)),
            Some(ids) => {
                let known = ids.iter().filter_map(|id| team.hosts().get(id));
                let mut changed: Vec<&Host> = known.filter(|host| host.change > change).collect();
                changed.sort_unstable_by_key(|host| host.change);
                Box::new(changed.into_iter())
            }
        }
    }
}

/// Writes hosts of a snapshot behind `last`; true once all are written.
fn write_hosts(interest: &Interest, team: &Team, last: &mut Option<HostId>, out: &mut Vec<u8>) -> bool {
    let mut comma = last.is_some();
    for host in interest.behind(team, last.clone().as_ref()) {
        if out.len() >= WRITE_BYTES_MAX {
            return false;
        }
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        out.extend_from_slice(match interest.detail {
            Detail::Summary => host.summary_json(),
            Detail::Full => &host.full,
        });
        *last = Some(host.summary.host.clone());
    }
    true
}

/// Writes hosts that changed after `change`; true once all are written.
fn write_changes(
    interest: &Interest,
    team: &Team,
    change: &mut u64,
    catch_up: Option<CatchUp>,
    out: &mut Vec<u8>,
) -> bool {
    for host in interest.changed(team, *change) {
        if out.len() >= WRITE_BYTES_MAX {
            return false;
        }
        *change = host.change;
        if catch_up.is_some_and(|it| it.is_known(host)) {
            continue;
        }
        match interest.detail {
            Detail::Summary => out.extend_from_slice(host.summary_event()),
            Detail::Full => {
                out.extend_from_slice(host.event_head());
                out.extend_from_slice(&host.full);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
    true
}

fn write_reset(out: &mut Vec<u8>, reason: &'static str) {
    // The reasons are ours and hold nothing that JSON would escape.
    for part in ["event: reset\ndata: {\"reason\":\"", reason, "\"}\n\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn write_lag(out: &mut Vec<u8>, lag: &LagNews) {
    out.extend_from_slice(b"event: lag\ndata: ");
    out.extend_from_slice(&lag.json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::{NOW, fleet, put};
    use crate::fleet::{Entry, tests};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use watchkeeper_schemas::quantity::UnixMs;

    fn interest(hosts: Option<&[&str]>) -> Interest {
        let hosts = hosts.map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect());
        Interest { team: "default".parse().unwrap(), detail: Detail::Summary, hosts }
    }

    fn lag(version: u64) -> LagNews {
        LagNews { version, json: Bytes::from_static(b"{\"n\":1}") }
    }

    /// A client as a browser is one: parses what it gets, remembers ids, forgets at a reset.
    #[derive(Debug, Default)]
    struct Client {
        text: String,
        events: Vec<String>,
        hosts: BTreeMap<String, u64>,
        last: Option<Place>,
    }

    impl Client {
        fn hears(&mut self, cursor: &mut Cursor, fleet: &Fleet) {
            while let Some(bytes) = cursor.next(fleet, &lag(1)) {
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            let text = std::mem::take(&mut self.text);
            let (whole, rest) = text.rsplit_once("\n\n").unwrap_or(("", &text));
            self.text = rest.to_owned();
            for block in whole.split("\n\n").filter(|block| !block.is_empty()) {
                self.take(block);
            }
        }

        fn take(&mut self, block: &str) {
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let data: serde_json::Value = serde_json::from_str(field("data: ")).unwrap();
            if !field("id: ").is_empty() {
                let id: Place = field("id: ").parse().unwrap();
                assert!(self.last <= Some(id), "ids go forward: {:?} then {id}", self.last);
                self.last = Some(id);
            }
            let host = |it: &serde_json::Value| {
                (it["host"].as_str().unwrap().to_owned(), it["sequence"].as_u64().unwrap())
            };
            match field("event: ") {
                "snapshot" => self.hosts = data["hosts"].as_array().unwrap().iter().map(host).collect(),
                "host" => {
                    let (id, sequence) = host(&data);
                    let before = self.hosts.insert(id, sequence);
                    assert!(before <= Some(sequence), "a host never steps back");
                }
                "reset" => self.hosts.clear(),
                "lag" => {}
                other => panic!("unknown event {other:?}"),
            }
            self.events.push(field("event: ").to_owned());
        }
    }

    fn truth(fleet: &Fleet) -> BTreeMap<String, u64> {
        fleet.hosts().map(|host| (host.summary.host.to_string(), host.summary.sequence)).collect()
    }

    #[test]
    fn a_new_client_gets_a_snapshot_with_the_lag_and_then_changes() {
        let mut fleet = fleet(&["a", "b"]);
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
        client.hears(&mut cursor, &fleet);
        assert_eq!((client.events.as_slice(), &client.hosts), (&["snapshot".to_owned()][..], &truth(&fleet)));
        put(&mut fleet, "b", 9, 9);
        client.hears(&mut cursor, &fleet);
        assert_eq!((client.events[1].as_str(), client.hosts["b"]), ("host", 9));
        assert_eq!(client.last, Some(Place { epoch: 100, revision: 9 }));
        assert!(cursor.next(&fleet, &lag(1)).is_none(), "nothing is told twice");
        assert!(cursor.next(&fleet, &lag(2)).unwrap().starts_with(b"event: lag\n"));
    }

    #[test]
    fn a_client_that_reads_nothing_gets_the_newest_of_each_host_in_one_write() {
        let mut fleet = fleet(&["a", "b"]);
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
        client.hears(&mut cursor, &fleet);
        for revision in 3..10_000 {
            put(&mut fleet, if revision % 2 == 0 { "a" } else { "b" }, revision, revision);
        }
        let bytes = cursor.next(&fleet, &lag(1)).unwrap();
        assert!(bytes.len() < 2000, "{}", bytes.len());
        assert!(cursor.next(&fleet, &lag(1)).is_none());
    }

    #[test]
    fn a_client_that_comes_back_gets_only_what_changed_meanwhile() {
        let mut fleet = fleet(&["a", "b", "c"]);
        put(&mut fleet, "b", 7, 7);
        let last = Some(Place { epoch: 100, revision: 3 });
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), last), Client::default());
        client.hears(&mut cursor, &fleet);
        assert_eq!(client.hosts, BTreeMap::from([("b".to_owned(), 7)]));
        assert_eq!(client.events, ["lag", "host"]);
    }

    #[test]
    fn a_host_that_fell_silent_meanwhile_is_told_to_a_client_that_comes_back() {
        let mut fleet = fleet(&["a", "b"]);
        let last = Some(fleet.place());
        fleet.tick(UnixMs(NOW.0 + 60_000));
        let mut client = Client::default();
        client.hears(&mut Cursor::new(&fleet, interest(None), last), &fleet);
        assert_eq!(client.hosts.len(), 2);
    }

    #[test]
    fn who_cannot_go_on_with_changes_is_told_so_and_gets_a_snapshot() {
        let mut fleet = fleet(&["a", "b"]);
        for last in [Place { epoch: 99, revision: 2 }, Place { epoch: 100, revision: 3 }] {
            let mut client = Client::default();
            client.hears(&mut Cursor::new(&fleet, interest(None), Some(last)), &fleet);
            assert_eq!(client.events, ["reset", "snapshot"], "{last}");
        }
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
        client.hears(&mut cursor, &fleet);
        fleet.begin(200);
        client.hears(&mut cursor, &fleet);
        assert_eq!(client.events, ["snapshot", "reset", "snapshot"]);
        assert_eq!((client.hosts.len(), client.last), (2, Some(Place { epoch: 200, revision: 0 })));
    }

    #[test]
    fn a_removed_host_disappears_from_every_client() {
        let mut fleet = fleet(&["a", "b"]);
        let before = fleet.place();
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
        client.hears(&mut cursor, &fleet);
        fleet.apply(Entry { key: "default.a", view: None, revision: 3 }, NOW).unwrap();
        client.hears(&mut cursor, &fleet);
        assert_eq!(client.hosts, truth(&fleet));
        let mut back =
            Client { hosts: [("a".to_owned(), 1)].into(), last: Some(before), ..Client::default() };
        back.hears(&mut Cursor::new(&fleet, interest(None), Some(before)), &fleet);
        assert_eq!(back.hosts, truth(&fleet));
        let mut same = Client { last: client.last, ..Client::default() };
        same.hears(&mut Cursor::new(&fleet, interest(None), client.last), &fleet);
        assert_eq!(same.events, ["lag"], "who heard of it needs no reset");
    }

    #[test]
    fn a_filter_hears_of_its_hosts_only_and_an_empty_one_of_none() {
        let mut fleet = fleet(&["a", "b", "c"]);
        let (mut cursor, mut client) =
            (Cursor::new(&fleet, interest(Some(&["b", "x"])), None), Client::default());
        let (mut none, mut nothing) = (Cursor::new(&fleet, interest(Some(&[])), None), Client::default());
        for revision in 4..10 {
            put(&mut fleet, ["a", "b", "c"][revision as usize % 3], revision, revision);
        }
        client.hears(&mut cursor, &fleet);
        nothing.hears(&mut none, &fleet);
        put(&mut fleet, "b", 20, 20);
        put(&mut fleet, "x", 21, 21);
        client.hears(&mut cursor, &fleet);
        nothing.hears(&mut none, &fleet);
        assert_eq!(client.hosts, [("b".to_owned(), 20), ("x".to_owned(), 21)].into());
        assert!(nothing.hosts.is_empty());
    }

    #[test]
    fn a_large_fleet_comes_in_bounded_writes() {
        let ids: Vec<String> = (0..500).map(|n| format!("host-{n}")).collect();
        let fleet = fleet(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let mut cursor = Cursor::new(&fleet, interest(None), None);
        let mut writes = 0;
        let mut text = Vec::new();
        while let Some(bytes) = cursor.next(&fleet, &lag(1)) {
            assert!(bytes.len() < WRITE_BYTES_MAX + 2048);
            text.extend_from_slice(&bytes);
            writes += 1;
        }
        assert!(writes > 3);
        let json =
            text.strip_prefix(b"event: snapshot\ndata: ").unwrap().split(|b| *b == b'\n').next().unwrap();
        let snapshot: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(snapshot["hosts"].as_array().unwrap().len(), 500);
    }

    proptest! {
        /// Whatever happens and wherever a client is cut off, it ends with the truth.
        #[test]
        fn a_client_that_is_cut_off_anywhere_ends_with_the_truth(
            steps in prop::collection::vec((0_u8..12, 0_usize..5), 1..120)
        ) {
            let mut fleet = tests::fleet(&["a"]);
            let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
            let (mut revision, mut sequence, mut epoch) = (1, 1, 100);
            for (what, which) in steps {
                let host = ["a", "b", "c", "d", "e"][which];
                revision += 1;
                sequence += 1;
                match what {
                    0 => {
                        epoch += 1;
                        fleet.begin(epoch);
                        revision = 0;
                    }
                    1 => {
                        let key = ["default.", host].concat();
                        fleet.apply(Entry { key: &key, view: None, revision }, NOW).unwrap();
                    }
                    2 => {
                        fleet.tick(UnixMs(NOW.0 + 60_000));
                    }
                    3 => client.hears(&mut cursor, &fleet),
                    4 => {
                        client.text.clear();
                        cursor = Cursor::new(&fleet, interest(None), client.last);
                        client.last = None;
                    }
                    _ => {
                        put(&mut fleet, host, sequence, revision);
                    }
                }
            }
            client.hears(&mut cursor, &fleet);
            prop_assert_eq!(client.hosts, truth(&fleet));
        }
    }
}
