//! What is asked in chats, and what follows: commands, links, rights, numbers, without any server.

use super::*;
use crate::notifier::episodes::Episodes;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use watchkeeper_schemas::journal::JournalEvent;
use watchkeeper_schemas::subjects::JournalSubject;

const NOW: UnixMs = UnixMs(1_790_000_000_000);

/// Facts and open alerts of two teams that one bot serves.
struct World {
    registry: Registry,
    episodes: Episodes,
    teams: Vec<TeamId>,
    listed: Vec<EpisodeId>,
    sequence: u64,
}

impl World {
    fn new() -> Self {
        let teams = vec!["red".parse().unwrap(), "blue".parse().unwrap()];
        let (registry, episodes, listed) = (Registry::default(), Episodes::default(), Vec::new());
        let mut world = Self { registry, episodes, teams, listed, sequence: 0 };
        for user in ["olga", "vera", "bert"] {
            world.put(
                "_",
                json!({ "kind": "user", "id": user, "value": { "display_name": user, "disabled": false } }),
            );
        }
        for (team, owner) in [("red", "olga"), ("blue", "bert")] {
            world.put(team, json!({ "kind": "team", "id": team, "value": { "name": team } }));
            world.member(team, owner, "owner");
            for receiver in ["phone", "other"] {
                let channel = json!({ "type": "telegram" });
                let value = json!({ "name": receiver, "channel": channel });
                world.put(team, json!({ "kind": "receiver", "id": receiver, "value": value }));
            }
        }
        world.member("red", "vera", "viewer");
        world
    }

    fn put(&mut self, scope: &str, fact: Value) {
        let fact: Fact = serde_json::from_value(fact).unwrap();
        let subject = JournalSubject::of(scope.parse().unwrap(), &fact).unwrap().to_string();
        let (author, cause) = ("test".to_owned(), "test".to_owned());
        let event = JournalEvent { v: 1, author, cause, time: NOW, fact };
        self.sequence += 1;
        self.registry.apply(self.sequence, &subject, &serde_json::to_vec(&event).unwrap()).unwrap();
    }

    fn member(&mut self, team: &str, user: &str, role: &str) {
        self.put(team, json!({ "kind": "member", "id": user, "value": { "role": role } }));
    }

    fn offer(&mut self, team: &str, receiver: &str, by: &str, token: &str, expires: UnixMs) {
        let hash = BASE64URL_NOPAD.encode(&Sha256::digest(token.as_bytes()));
        let value = json!({ "hash": hash, "by": by, "expires": expires });
        self.put(team, json!({ "kind": "link_offer", "id": receiver, "value": value }));
    }

    fn chat(&mut self, team: &str, receiver: &str, chat: i64, telegram_user: i64, user: &str) {
        let value = json!({
            "chat": chat, "is_group": chat < 0, "title": "t", "telegram_user": telegram_user, "user": user, "offer": "x"
        });
        self.put(team, json!({ "kind": "chat", "id": receiver, "value": value }));
    }

    fn alert(&mut self, team: &str, n: u64, level: &str, transition: &str, time: UnixMs) -> EpisodeId {
        let (rule, host, series) = ("cpu".to_owned(), "web-1".to_owned(), String::new());
        let episode = watchkeeper_schemas::alerting::EpisodeRef { rule, host, series, episode: n };
        let id = episode.id().unwrap();
        let event = json!({
            "v": 1, "id": format!("{n}{transition}"), "team": team, "episode_id": id, "rule": "cpu", "host": "web-1",
            "series": "", "episode": n, "transition": transition, "level": level, "reason": null, "sequence": n,
            "ordinal": 0, "time": time, "since": NOW, "value": null, "peak": null, "duration_ms": null,
            "shadow": false, "retro": false, "rule_then": null, "samples": [], "muted_by": [], "evidence": null,
        });
        self.episodes.apply(serde_json::from_value(event).unwrap());
        id
    }

    fn answer(&self, chat: i64, from: i64, text: &str) -> Plan {
        let views = BTreeMap::new();
        let (registry, episodes) = (&self.registry, &self.episodes);
        let (teams, listed) = (self.teams.as_slice(), self.listed.as_slice());
        let known = Known { registry, episodes, teams, listed, views: &views, now: NOW };
        let command = Command::read(text, "watch_bot").unwrap();
        answer(&asked(chat, from), &command, &known)
    }

    fn words(&self, chat: i64, from: i64, text: &str) -> String {
        self.answer(chat, from, text).say.unwrap_or_default().without_tags()
    }
}

fn asked(chat: i64, from: i64) -> Asked {
    Asked { chat, is_group: chat < 0, title: "T".to_owned(), from: Some(from), key: format!("k{chat}{from}") }
}

#[test]
fn commands_are_read_as_people_write_them() {
    let check = |text: &str, command: Option<Command>| {
        assert_eq!(Command::read(text, "Watch_Bot"), command, "{text}")
    };
    check("/hosts", Some(Command::Hosts));
    check("  /HOSTS@watch_bot ", Some(Command::Hosts));
    check("/stats  web 1 ", Some(Command::Stats("web 1".to_owned())));
    check("/silence@Watch_Bot web-1\n2h", Some(Command::Silence("web-1\n2h".to_owned())));
    check("/ack", Some(Command::Ack(String::new())));
    check("/hosts@other_bot", None);
    check("hosts", None);
    check("", None);
    check("/", Some(Command::Unknown));
}

#[test]
fn an_offer_is_taken_once_in_time_and_by_a_chat_of_no_other_team() {
    let mut world = World::new();
    world.offer("red", "phone", "olga", "good", UnixMs(NOW.0 + 1));
    let plan = world.answer(1, 1, "/start good");
    let [deed] = plan.deeds.as_slice() else { panic!("{plan:?}") };
    assert_eq!((deed.expected, deed.author.as_str(), deed.may_be_there), (0, "olga", false));
    assert!(world.answer(1, 1, "/start bad").deeds.is_empty());
    assert_eq!(world.answer(1, 1, "/start bad").say, None, "what nobody offered is silence");

    world.chat("red", "phone", 1, 1, "olga");
    assert!(world.words(1, 1, "/start good").contains("was used already"), "of an older fact");
    world.offer("red", "phone", "olga", "next", UnixMs(NOW.0 + 1));
    assert_eq!(world.answer(2, 2, "/start next").deeds.len(), 1, "another chat replaces it");
    world.put("red", json!({ "kind": "chat", "id": "phone", "value": null }));
    assert!(world.answer(2, 2, "/start next").deeds.is_empty(), "unlinking ends what was offered before");

    world.offer("red", "phone", "olga", "late", NOW);
    assert!(world.words(1, 1, "/start late").contains("has expired"));
    world.chat("red", "other", 7, 7, "olga");
    world.offer("blue", "phone", "bert", "second", UnixMs(NOW.0 + 1));
    let plan = world.answer(7, 7, "/start second");
    assert!(plan.deeds.is_empty() && plan.say.unwrap().as_str().contains("another team"));
    world.put("blue", json!({ "kind": "member", "id": "vera", "value": { "role": "admin" } }));
    world.offer("blue", "phone", "vera", "third", UnixMs(NOW.0 + 1));
    world.put("blue", json!({ "kind": "member", "id": "vera", "value": null }));
    assert!(world.words(9, 9, "/start third").contains("no longer"));
}

#[test]
fn a_chat_sees_its_own_team_alone() {
    let mut world = World::new();
    world.chat("red", "phone", 1, 1, "olga");
    world.chat("blue", "phone", 2, 2, "bert");
    world.alert("red", 5, "warning", "fired", NOW);
    assert!(world.words(1, 1, "/alerts").contains("1. "));
    assert!(world.words(2, 2, "/alerts").contains("nothing is open"));
    assert_eq!(world.answer(2, 2, "/ack all").deeds, []);
    assert_eq!(world.answer(1, 1, "/ack all").deeds.len(), 1);
    // Whoever is linked in one team is nobody in the group of another.
    world.chat("blue", "other", -5, 2, "bert");
    assert_eq!(world.answer(-5, 1, "/ack all").deeds, []);
    assert!(world.words(-5, 1, "/ack all").starts_with("Only who linked"));
}

#[test]
fn numbers_mean_what_the_chat_was_shown_and_not_what_came_since() {
    let mut world = World::new();
    world.chat("red", "phone", 1, 1, "olga");
    let shown = world.alert("red", 5, "warning", "fired", NOW);
    assert!(world.words(1, 1, "/ack 1").contains("no such number"), "nothing was shown yet");
    world.listed = world.answer(1, 1, "/alerts").listed.unwrap();
    world.alert("red", 6, "critical", "fired", NOW);
    let plan = world.answer(1, 1, "/ack 1");
    assert_eq!(plan.deeds[0].told.object, shown.to_string());
    world.alert("red", 5, "warning", "resolved", NOW);
    let plan = world.answer(1, 1, "/ack 1");
    assert!(plan.deeds.is_empty() && plan.say.unwrap().as_str().contains("over already"));
}

#[test]
fn what_became_worse_is_acknowledged_anew() {
    let mut world = World::new();
    world.chat("red", "phone", 1, 1, "olga");
    world.alert("red", 5, "warning", "fired", NOW);
    let episode = json!({ "rule": "cpu", "host": "web-1", "series": "", "episode": 5 });
    world.put("red", json!({ "kind": "acknowledgement", "episode": episode, "value": { "note": "" } }));
    assert_eq!(world.answer(1, 1, "/ack").deeds, []);
    world.alert("red", 5, "critical", "level", UnixMs(NOW.0 + 1));
    assert_eq!(world.answer(1, 1, "/ack").deeds.len(), 1);
}

#[test]
fn a_thousand_hosts_and_alerts_fit_into_every_answer() {
    let mut world = World::new();
    world.chat("red", "phone", 1, 1, "olga");
    for n in 0..1000 {
        let value = json!({
            "name": format!("<b>host & {n} http://evil.com {}", "x".repeat(60)), "tags": [], "interval_ms": 5000,
            "mounts": [], "without": [], "paused": n % 7 == 0, "enrolment": { "state": "waiting", "until": null },
        });
        world.put("red", json!({ "kind": "host", "id": format!("host-{n}"), "value": value }));
        world.alert("red", n, "critical", "fired", NOW);
    }
    for text in ["/hosts", "/stats", "/warn", "/alerts", "/ack all", "/silence host", "/stats host"] {
        let plan = world.answer(1, 1, text);
        let words = plan.say.unwrap();
        assert!(words.units() <= super::super::html::TEXT_UNITS_MAX, "{text}: {}", words.units());
        assert!(words.as_str().contains("more"), "{text}: {}", words.as_str());
        assert!(plan.deeds.len() <= 200, "{text}: {}", plan.deeds.len());
    }
}
