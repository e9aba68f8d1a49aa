//! What clients hear, told as stories: each client parses what it gets, remembers ids and forgets at a reset.

use super::*;
use crate::fleet::tests::{NOW, Told, configured, fleet, put};
use crate::fleet::{Entry, tests};
use proptest::prelude::*;
use std::collections::BTreeMap;
use watchkeeper_schemas::journal::Enrolment;
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
    names: BTreeMap<String, String>,
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
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let data: serde_json::Value = serde_json::from_str(field("data: ")).unwrap();
        if !field("id: ").is_empty() {
            let id: Place = field("id: ").parse().unwrap();
            assert!(self.last <= Some(id), "ids go forward: {:?} then {id}", self.last);
            self.last = Some(id);
        }
        let host = |it: &serde_json::Value| {
            (it["host"].as_str().unwrap().to_owned(), it["sequence"].as_u64().unwrap())
        };
        let name = |it: &serde_json::Value| {
            (it["host"].as_str().unwrap().to_owned(), it["name"].as_str().unwrap().to_owned())
        };
        match field("event: ") {
            "snapshot" => {
                let hosts = data["hosts"].as_array().unwrap();
                self.hosts = hosts.iter().map(host).collect();
                self.names = hosts.iter().map(name).collect();
            }
            "host" => {
                let (id, sequence) = host(&data);
                self.names.extend([name(&data)]);
                let before = self.hosts.insert(id, sequence);
                assert!(before <= Some(sequence), "a host never steps back");
            }
            "reset" => {
                self.hosts.clear();
                self.names.clear();
            }
            "lag" => {}
            other => panic!("unknown event {other:?}"),
        }
        self.events.push(field("event: ").to_owned());
    }
}

fn truth(fleet: &Fleet) -> BTreeMap<String, u64> {
    fleet.hosts().map(|host| (host.heard.host.to_string(), host.heard.sequence)).collect()
}

fn names(fleet: &Fleet) -> BTreeMap<String, String> {
    let line = |host: &Host| serde_json::from_slice::<serde_json::Value>(host.summary_json()).unwrap();
    let name = |host: &Host| (host.heard.host.to_string(), line(host)["name"].as_str().unwrap().to_owned());
    fleet.hosts().map(name).collect()
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
    assert_eq!(client.last, Some(Place { epoch: 100, revision: 9, journal: 0 }));
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
    let last = Some(Place { epoch: 100, revision: 3, journal: 0 });
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
    for last in [Place { epoch: 99, revision: 2, journal: 0 }, Place { epoch: 100, revision: 3, journal: 0 }]
    {
        let mut client = Client::default();
        client.hears(&mut Cursor::new(&fleet, interest(None), Some(last)), &fleet);
        assert_eq!(client.events, ["reset", "snapshot"], "{last}");
    }
    let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
    client.hears(&mut cursor, &fleet);
    fleet.begin(200);
    client.hears(&mut cursor, &fleet);
    assert_eq!(client.events, ["snapshot", "reset", "snapshot"]);
    assert_eq!((client.hosts.len(), client.last), (2, Some(Place { epoch: 200, revision: 0, journal: 0 })));
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
    let mut back = Client { hosts: [("a".to_owned(), 1)].into(), last: Some(before), ..Client::default() };
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
    let json = text.strip_prefix(b"event: snapshot\ndata: ").unwrap().split(|b| *b == b'\n').next().unwrap();
    let snapshot: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(snapshot["hosts"].as_array().unwrap().len(), 500);
}

proptest! {
    /// Whatever happens and wherever a client is cut off, it ends with the truth.
    #[test]
    fn a_client_that_is_cut_off_anywhere_ends_with_the_truth(
        steps in prop::collection::vec((0_u8..16, 0_usize..5), 1..120)
    ) {
        let mut fleet = tests::fleet(&["a"]);
        let (mut cursor, mut client) = (Cursor::new(&fleet, interest(None), None), Client::default());
        let (mut revision, mut sequence, mut epoch) = (1, 1, 100);
        let mut told = Told::default();
        told.team();
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
                12..14 => {
                    // Recorded before every sample, so that samples of before are its own.
                    let name = format!("{host} {sequence}");
                    told.host(UnixMs(1), host, Some(configured(&name, Enrolment::Waiting { until: None })));
                    if what == 13 {
                        fleet.configure(&told.0, NOW).unwrap();
                    }
                }
                14 => {
                    told.host(UnixMs(1), host, None);
                    fleet.configure(&told.0, NOW).unwrap();
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
        prop_assert_eq!(client.names, names(&fleet));
    }
}
