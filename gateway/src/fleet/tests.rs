//! The fleet, told entry by entry and fact by fact.

use super::*;
use std::time::Duration;
use watchkeeper_schemas::journal::{self, Enrolment, Fact, JournalEvent};
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

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
    fleet.configure(&Registry::default(), NOW).unwrap();
    fleet
}

pub(crate) fn team(fleet: &Fleet) -> &Team {
    fleet.team(&"default".parse().unwrap()).unwrap()
}

fn later(after: Duration) -> UnixMs {
    UnixMs(NOW.0 + after.as_millis() as u64)
}

fn changed(fleet: &Fleet, change: u64) -> Vec<String> {
    team(fleet).changed_after(change).map(|host| host.heard.host.to_string()).collect()
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
    assert_eq!(fleet.place(), Place { epoch: 200, ..Place::default() });
    assert_eq!(team(&fleet).hosts().len(), 2);
    assert!(team(&fleet).reset().unwrap().change > seen);
    let change = fleet.change();
    fleet.begin(200);
    assert_eq!(fleet.change(), change, "the same bucket again is no break");
    assert!(team(&fleet).hosts().values().all(|host| host.summary_event().starts_with(b"id: 200-0-0\n")));
}

#[test]
fn silence_is_a_change_like_any_other() {
    let mut fleet = fleet(&["a", "b"]);
    let seen = fleet.change();
    assert!(!fleet.tick(later(Duration::from_secs(30))));
    assert!(fleet.tick(later(Duration::from_secs(31))));
    assert_eq!(changed(&fleet, seen), ["a", "b"]);
    assert!(fleet.hosts().all(|host| host.status == status::Status::Silent));
    assert!(!fleet.tick(later(Duration::from_secs(32))), "told once");
    assert!(put(&mut fleet, "a", 7, 7));
    assert!(fleet.hosts().any(|host| host.status == status::Status::Active));
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
    assert_eq!(team(&fleet).hosts().values().next().unwrap().heard.sequence, 1);
}

/// A journal that is told fact by fact.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Registry);

impl Told {
    pub(crate) fn tell(&mut self, time: UnixMs, fact: Fact) {
        let scope = JournalScope::Team("default".parse().unwrap());
        let subject = JournalSubject::of(scope, &fact).unwrap().to_string();
        let event = JournalEvent { v: 1, author: "olga".to_owned(), cause: "test".to_owned(), time, fact };
        let payload = serde_json::to_vec(&event).unwrap();
        self.0.apply(self.0.sequence() + 1, &subject, &payload).unwrap();
    }

    pub(crate) fn team(&mut self) {
        let value = Some(journal::Team { name: "Default".to_owned() });
        self.tell(NOW, Fact::Team { id: "default".parse().unwrap(), value });
    }

    pub(crate) fn host(&mut self, time: UnixMs, id: &str, host: Option<journal::Host>) {
        self.tell(time, Fact::Host { id: id.parse().unwrap(), value: host });
    }
}

pub(crate) fn configured(name: &str, enrolment: Enrolment) -> journal::Host {
    let (tags, mounts, without) = Default::default();
    journal::Host {
        name: name.to_owned(),
        tags,
        interval_ms: 1000,
        mounts,
        without,
        paused: false,
        enrolment,
    }
}

fn active() -> Enrolment {
    Enrolment::Active { key: format!("U{}", "A".repeat(55)).parse().unwrap() }
}

fn shown(fleet: &Fleet) -> Vec<(String, &'static str, u64)> {
    let hosts = team(fleet).hosts().values();
    hosts.map(|it| (it.heard.host.to_string(), it.status.as_str(), it.heard.sequence)).collect()
}

#[test]
fn a_host_shows_how_far_its_agent_has_come() {
    let (mut fleet, mut told) = (fleet(&[]), Told::default());
    told.team();
    told.host(NOW, "a", Some(configured("A", Enrolment::Waiting { until: None })));
    fleet.configure(&told.0, NOW).unwrap();
    assert_eq!(shown(&fleet), [("a".to_owned(), "waiting", 0)]);
    let full: serde_json::Value =
        serde_json::from_slice(team(&fleet).hosts().values().next().unwrap().full()).unwrap();
    assert_eq!(
        (&full["received"], &full["name"], &full["revision"]),
        (&serde_json::Value::Null, &"A".into(), &2.into())
    );
    let key = format!("U{}", "A".repeat(55)).parse().unwrap();
    told.host(
        NOW,
        "a",
        Some(configured("A", Enrolment::Activating { key, until: later(Duration::from_secs(300)) })),
    );
    fleet.configure(&told.0, NOW).unwrap();
    let sample = view("a", 7, later(Duration::from_secs(1)));
    assert!(fleet.apply(Entry { key: "default.a", view: Some(&sample), revision: 1 }, NOW).unwrap());
    assert_eq!(shown(&fleet), [("a".to_owned(), "activating", 7)]);
    told.host(NOW, "a", Some(configured("A", active())));
    fleet.configure(&told.0, NOW).unwrap();
    assert_eq!(shown(&fleet), [("a".to_owned(), "active", 7)]);
    assert!(fleet.tick(later(Duration::from_secs(60))));
    assert_eq!(shown(&fleet), [("a".to_owned(), "silent", 7)]);
    told.host(NOW, "a", Some(journal::Host { paused: true, ..configured("A", active()) }));
    fleet.configure(&told.0, later(Duration::from_secs(60))).unwrap();
    assert_eq!(shown(&fleet), [("a".to_owned(), "paused", 7)]);
    assert!(!fleet.tick(later(Duration::from_secs(90))), "nobody is told of the silence of a paused host");
}

#[test]
fn whatever_the_bucket_keeps_a_removed_host_stays_hidden_and_a_new_one_of_its_id_is_another() {
    let (mut fleet, mut told) = (fleet(&["a", "b"]), Told::default());
    told.team();
    told.host(NOW, "a", Some(configured("A", active())));
    fleet.configure(&told.0, NOW).unwrap();
    assert_eq!(shown(&fleet)[0], ("a".to_owned(), "silent", 0), "the sample is older than the host");
    let sample = view("a", 7, later(Duration::from_secs(1)));
    let entry = |revision| Entry { key: "default.a", view: Some(&sample), revision };
    assert!(fleet.apply(entry(5), NOW).unwrap());
    told.host(later(Duration::from_secs(2)), "a", None);
    fleet.configure(&told.0, NOW).unwrap();
    assert_eq!(changed(&fleet, 0), ["b"]);
    assert!(!fleet.apply(entry(6), NOW).unwrap(), "stale");
    fleet.begin(200);
    assert!(!fleet.apply(entry(1), NOW).unwrap(), "stale in a new bucket");
    told.host(later(Duration::from_secs(3)), "a", Some(configured("Another", active())));
    fleet.configure(&told.0, NOW).unwrap();
    assert!(!fleet.apply(entry(2), NOW).unwrap(), "of the host before");
    let sample = view("a", 9, later(Duration::from_secs(4)));
    assert!(fleet.apply(Entry { key: "default.a", view: Some(&sample), revision: 3 }, NOW).unwrap());
    assert_eq!(shown(&fleet)[0], ("a".to_owned(), "active", 9));
}

#[test]
fn a_host_that_floods_is_flagged_until_its_time_is_over() {
    let (mut fleet, mut told) = (fleet(&["a"]), Told::default());
    told.team();
    told.host(UnixMs(1), "a", Some(configured("A", active())));
    let (reason, until) = (journal::FlagReason::Flood, later(Duration::from_secs(5)));
    let flag = journal::Flag { reason, count: 9000, until, strikes: 1 };
    told.tell(NOW, Fact::Flag { id: "a".parse().unwrap(), value: Some(flag) });
    fleet.configure(&told.0, NOW).unwrap();
    let flagged = |fleet: &Fleet| {
        let line: serde_json::Value =
            serde_json::from_slice(team(fleet).hosts().values().next().unwrap().summary_json()).unwrap();
        line["flagged"].as_bool().unwrap()
    };
    assert!(flagged(&fleet));
    assert!(fleet.tick(later(Duration::from_secs(6))));
    assert!(!flagged(&fleet));
}
