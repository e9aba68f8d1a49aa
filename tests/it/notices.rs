//! From a link to the last word: an alert becomes a message of Telegram, is looked after from there, and ends; whoever
//! is killed meanwhile, people are told once. The double keeps Telegram's limits and tells what broke them.

use crate::alerts::{Host, save_rule, until};
use crate::running::{Running, WITHOUT_AGENT, start_as};
use serde_json::{Value, json};
use watchkeeper_tests::telegram::{Double, Fault, Wrong};
use xtask::stack::Program;

const TOKEN: &str = "700100:AAF-the-installations-own_bot";
const BOT: i64 = 700_100;
/// Olga's private chat, which has her own number.
const OLGA: i64 = 42;
/// What is over waits half a minute for others to be told with it.
const TOLD_S: u64 = 60;

/// A system that tells Olga.
struct System {
    running: Running,
    double: Double,
    host: Host,
    _folder: tempfile::TempDir,
}

impl System {
    fn start() -> Self {
        let double = Double::start(([127, 0, 0, 1], 0).into()).unwrap();
        double.with(|it| it.add_token(TOKEN));
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("telegram.token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let args =
            ["--telegram-api".into(), double.url().into(), "--telegram-token-file".into(), token.into()];
        let args: [std::ffi::OsString; 4] = args;
        let running = start_as(&WITHOUT_AGENT, |builder| builder.args(Program::Processors, args));
        let (status, made) = running.post("/api/v1/hosts", &json!({"name": "web-1", "interval_ms": 1000}));
        assert_eq!(status, 201, "{made}");
        let host = Host::start(&running, "web-1", 5);
        running.receiver("on-call");
        let defaults = json!({"receivers": ["on-call"], "policy": [], "revision": 0});
        assert_eq!(running.put("/api/v1/alert-defaults", &defaults).0, 200);
        let system = Self { running, double, host, _folder: folder };
        system.link();
        system
    }

    /// Olga presses Start behind the link that the page shows.
    fn link(&self) {
        let url = self.running.wait("a link", 30, |running| {
            let (status, link) = running.post("/api/v1/receivers/on-call/link", &json!({"group": false}));
            let url = link["url"].as_str().filter(|_| status < 300).map(str::to_owned);
            if url.is_some() { Ok(url) } else { Err(link.to_string()) }
        });
        let token = url.split_once("?start=").unwrap().1;
        self.double.with(|it| it.say(BOT, OLGA, OLGA, "", &format!("/start {token}")));
        self.running.wait("the chat that is linked", 30, |running| {
            let (_, receiver) = running.try_get("/api/v1/receivers/on-call")?;
            if receiver["chat"].is_object() { Ok(Some(())) } else { Err(receiver.to_string()) }
        });
    }

    /// Waits for a message that says all of this; every message that says so.
    fn messages(&self, words: &[&str]) -> Vec<String> {
        self.running.wait(&format!("a message of {words:?}"), TOLD_S, |_| {
            let all = self.double.messages(OLGA);
            let found: Vec<_> =
                all.iter().filter(|text| words.iter().all(|word| text.contains(word))).cloned().collect();
            if found.is_empty() { Err(format!("{all:#?}")) } else { Ok(Some(found)) }
        })
    }

    /// What became of the notices of an alert: kind, state, attempts.
    fn notices(&self, alert: &Value) -> Vec<(String, String, usize)> {
        let alert = self.running.get(&format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap()));
        let notices = alert["notices"].as_array().unwrap().iter().map(|it| {
            let word = |field: &str| it[field].as_str().unwrap_or("-").to_owned();
            (word("notice"), word("state"), it["attempts"].as_array().map_or(0, Vec::len))
        });
        notices.collect()
    }

    fn kept_every_limit(&self) {
        assert_eq!(self.double.violations(), Vec::<String>::new());
    }
}

#[test]
fn an_alert_is_told_looked_after_from_the_message_and_told_as_over() {
    let system = System::start();
    let (status, asked) = system.running.post("/api/v1/receivers/on-call/test", &json!({}));
    assert!(status < 300, "{asked}");
    system.messages(&["Test: "]);

    save_rule(&system.running, "busy", "cpu.usage_pct > 90 keep 1s severity critical");
    system.host.report(97);
    let open = until(&system.running, "busy", "open");
    let fired = system.messages(&["busy", "web-1"]);
    assert_eq!(fired.len(), 1, "{fired:#?}");
    assert!(fired[0].contains("97"), "{fired:#?}");
    system.double.with(|it| it.press(BOT, OLGA, OLGA, None, "Ack")).expect("a button");
    let path = format!("/api/v1/alerts/{}", open["id"].as_str().unwrap());
    system.running.wait("the acknowledgement", 30, |running| {
        let alert = running.get(&path);
        let by = alert["alert"]["acknowledged_by"].as_str().map(str::to_owned);
        if by.is_some() { Ok(by) } else { Err(alert["alert"].to_string()) }
    });
    system.host.report(5);
    let over = until(&system.running, "busy", "resolved");
    system.running.wait("the last word", TOLD_S, |_| {
        let notices = system.notices(&over);
        let told = |word: &str| (word.to_owned(), "delivered".to_owned(), 1);
        if notices == [told("firing"), told("resolved")] { Ok(Some(())) } else { Err(format!("{notices:?}")) }
    });
    let all = system.messages(&["busy"]);
    assert_eq!(all.len(), 2, "fired, and over: {all:#?}");
    assert!(!all.iter().any(|text| text.contains("repeat")), "{all:#?}");
    system.kept_every_limit();
}

#[test]
fn a_channel_that_fails_and_programs_that_are_killed_lose_nothing_and_repeat_nothing() {
    let mut system = System::start();
    save_rule(&system.running, "busy", "cpu.usage_pct > 90 keep 1s severity critical");
    // Telegram is down when it fires, and whoever tells is killed amid its tries.
    for wrong in [Wrong::BadGateway, Wrong::Failed, Wrong::TooMany] {
        let method = Some("sendMessage".to_owned());
        let fault = Fault { method, chat: None, what: wrong, times: 1, retry_after: 1 };
        system.double.with(|it| it.fault(fault));
    }
    system.host.report(97);
    let open = until(&system.running, "busy", "open");
    system.running.wait("a first try", TOLD_S, |_| {
        let tries = system.double.journal("sendMessage").len();
        if tries > 0 { Ok(Some(())) } else { Err(format!("{tries} tries")) }
    });
    system.running.kill9(Program::Processors).unwrap();
    system.running.start(Program::Processors).unwrap();
    let fired = system.messages(&["busy", "web-1"]);
    assert!(fired.len() <= 2, "at most one repeat for one crash: {fired:#?}");
    system.running.kill9(Program::Nats).unwrap();
    system.running.start(Program::Nats).unwrap();
    system.host.report(5);
    let over = until(&system.running, "busy", "resolved");
    assert_eq!(over["id"], open["id"]);
    system.running.wait("every notice at its end", TOLD_S, |_| {
        let notices = system.notices(&over);
        let is_over = notices.len() == 2 && notices.iter().all(|(_, state, _)| state == "delivered");
        if is_over { Ok(Some(())) } else { Err(format!("{notices:?}")) }
    });
    system.kept_every_limit();
}
