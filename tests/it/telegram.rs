//! Telegram with real parts: a NATS server, the processors and the double, which breaks what Telegram breaks.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use watchkeeper_nats::{Layout, SealingKey};
use watchkeeper_schemas::audit::{Action, AuditEntry, Outcome, Via};
use watchkeeper_schemas::journal::{Fact, Host, JournalEvent, Member, Role, Team, User};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{Bot, Channel, ChannelSecret, Chat, LinkOffer, Receiver};
use watchkeeper_schemas::registry::{Registry, TeamFacts};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{self, JournalScope, JournalSubject};
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::rebuild::{Begin, read};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{CHANNELS, JOURNAL, LATEST};
use watchkeeper_streams::{audit, journal};
use watchkeeper_tests::telegram::{Double, Fault, Wrong};
use xtask::stack::{Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

const TOKEN: &str = "700100:AAF-the-installations-own_bot";
const BOT: i64 = 700_100;
const TEAM: &str = "default";
/// Olga owns the team, Vera looks at it, Adam owns it, too.
const OLGA: i64 = 42;
const VERA: i64 = 43;
const STRANGER: i64 = 99;
const GROUP: i64 = -500;
const DEADLINE: Duration = Duration::from_secs(30);

type Context = async_nats::jetstream::Context;

/// Processors with a bot, and a team with hosts, people and receivers.
struct System {
    double: Double,
    stack: Stack,
    runtime: Runtime,
    /// With the rights of the gateway, and of the processors.
    gateway: Context,
    processors: Context,
    episodes: std::cell::Cell<u64>,
    _folder: TempDir,
}

impl System {
    fn start() -> Self {
        let double = Double::start(([127, 0, 0, 1], 0).into()).unwrap();
        double.with(|it| it.add_token(TOKEN));
        let folder = TempDir::with_prefix("watchkeeper-telegram-").unwrap();
        let token = folder.path().join("telegram.token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let args = [
            "--only".into(),
            "latest,notifier".into(),
            "--telegram-api".into(),
            double.url().into(),
            "--telegram-token-file".into(),
            token.clone().into_os_string(),
            // Nothing here reads it; without QuestDB the stack names none.
            "--questdb-password-file".into(),
            token.into_os_string(),
        ];
        let servers = Servers::ensure().unwrap();
        let stack = Stack::in_dir(folder.path().join("data"))
            .programs(&[Program::Nats, Program::Processors])
            .args(Program::Processors, args)
            .start(&servers)
            .unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (gateway, processors) = runtime.block_on(async {
            let creds = stack.creds();
            let gateway = context(&stack, &creds.gateway, "gateway").await;
            (gateway, context(&stack, &creds.processors, "processors").await)
        });
        let episodes = std::cell::Cell::new(100);
        let system = Self { double, stack, runtime, gateway, processors, episodes, _folder: folder };
        system.furnish();
        system
    }

    /// People, hosts, receivers; their fact about a team makes the bot known.
    fn furnish(&self) {
        let team = || JournalScope::Team(TEAM.parse().unwrap());
        let name = "Night & <Watch>".to_owned();
        self.wait("the streams", || {
            let fact = Fact::Team { id: TEAM.parse().unwrap(), value: Some(Team { name: name.clone() }) };
            self.try_put(team(), fact).map(Some)
        });
        for (user, role) in [("olga", Role::Owner), ("vera", Role::Viewer), ("adam", Role::Owner)] {
            self.user(user, false);
            self.member(user, Some(role));
        }
        for receiver in ["phone", "watch", "vera", "group"] {
            let name = format!("{receiver} <1>");
            let value = Receiver { name, channel: Channel::Telegram {}, hears_from: Severity::Info };
            self.put(team(), Fact::Receiver { id: receiver.parse().unwrap(), value: Some(value) });
        }
        for (host, name) in [("web-1", "Web <b>1</b>"), ("web-2", "Web 2"), ("db-1", "db-1")] {
            self.put(team(), Fact::Host { id: host.parse().unwrap(), value: Some(a_host(name)) });
        }
        self.wait("the name of the bot", || {
            let state = self.facts().bot_states.get(&TEAM.parse().unwrap()).cloned();
            Ok(state.filter(|it| it.username.is_some()).map(|it| assert_eq!(it.secret, None)))
        });
    }

    fn user(&self, id: &str, disabled: bool) {
        let value = User { display_name: id.to_owned(), disabled };
        self.put(JournalScope::Everyone, Fact::User { id: id.parse().unwrap(), value: Some(value) });
    }

    fn member(&self, id: &str, role: Option<Role>) {
        let value = role.map(|role| Member { role });
        self.put(JournalScope::Team(TEAM.parse().unwrap()), Fact::Member { id: id.parse().unwrap(), value });
    }

    fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>, String>) -> T {
        wait_until(what, DEADLINE, look).unwrap_or_else(|error| panic!("{error}"))
    }

    fn put(&self, scope: JournalScope, fact: Fact) -> u64 {
        self.try_put(scope, fact).unwrap()
    }

    fn try_put(&self, scope: JournalScope, fact: Fact) -> Result<u64, String> {
        let subject = JournalSubject::of(scope.clone(), &fact).unwrap().to_string();
        self.runtime.block_on(async {
            let stream = self.gateway.get_stream_no_info(JOURNAL).await.map_err(|e| e.to_string())?;
            let last = stream.get_last_raw_message_by_subject(&subject).await.map_or(0, |it| it.sequence);
            let (author, cause) = ("test".to_owned(), "test".to_owned());
            let event = JournalEvent { v: 1, author, cause, time: now(), fact };
            journal::record(&self.gateway, scope, &event, last).await.map_err(|e| format!("{e:?}"))
        })
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let read = read(&self.gateway, JOURNAL, &[], Begin::First, |event| {
            registry.apply(event.sequence, &event.subject, &event.payload).unwrap();
        });
        self.runtime.block_on(read).unwrap();
        registry
    }

    fn facts(&self) -> TeamFacts {
        self.registry().team(&TEAM.parse().unwrap()).unwrap().clone()
    }

    /// What the audit says of a team, or of nobody's.
    fn audit(&self, scope: &JournalScope) -> Vec<AuditEntry> {
        let mut entries = Vec::new();
        let verified = audit::verify(&self.gateway, scope, |entry| entries.push(entry.clone()));
        self.runtime.block_on(verified).unwrap();
        entries
    }

    fn audit_of(&self, action: Action) -> Vec<AuditEntry> {
        let team = self.audit(&JournalScope::Team(TEAM.parse().unwrap()));
        team.into_iter().filter(|it| it.deed.action == action).collect()
    }

    /// Offers a link; gives what a person would press.
    fn offer(&self, receiver: &str, by: &str) -> String {
        self.offer_until(receiver, by, UnixMs(now().0 + 600_000))
    }

    fn offer_until(&self, receiver: &str, by: &str, expires: UnixMs) -> String {
        let token = format!("{receiver}-{}-a-token-of-many-bits", now().0);
        let hash = BASE64URL_NOPAD.encode(&Sha256::digest(token.as_bytes()));
        let value = LinkOffer { hash, by: by.parse().unwrap(), expires };
        let fact = Fact::LinkOffer { id: receiver.parse().unwrap(), value: Some(value) };
        self.put(JournalScope::Team(TEAM.parse().unwrap()), fact);
        format!("/start {token}")
    }

    fn chat_of(&self, receiver: &str) -> Option<Chat> {
        self.facts().chats.get(&receiver.parse().unwrap()).cloned()
    }

    /// Links a chat and waits until it is.
    fn link(&self, receiver: &str, by: &str, chat: i64, from: i64) {
        let text = self.offer(receiver, by);
        let answer = self.ask_as(chat, from, &text);
        assert!(answer.starts_with("Linked: "), "{answer}");
        assert_eq!(self.chat_of(receiver).map(|it| (it.chat, it.telegram_user)), Some((chat, from)));
    }

    fn ask(&self, chat: i64, text: &str) -> String {
        self.ask_as(chat, chat, text)
    }

    /// Says something, and gives the one answer.
    fn ask_as(&self, chat: i64, from: i64, text: &str) -> String {
        let before = self.double.messages(chat).len();
        self.double.with(|it| it.say(BOT, chat, from, "A <b>chat</b>", text));
        let answer = self.wait(&format!("an answer to {text}"), || {
            let messages = self.double.messages(chat);
            Ok(messages.get(before).cloned())
        });
        println!("> {text}\n{answer}\n");
        answer
    }

    /// Waits until every update was handled: one that is answered comes behind all others.
    fn settle(&self) {
        self.wait("updates to be handled", || match self.double.with(|it| it.waiting(BOT)) {
            0 => Ok(Some(())),
            left => Err(format!("{left} updates wait")),
        });
    }

    /// The newest text that a pressed button was answered with, after this was pressed.
    fn press(&self, press: impl FnOnce(&Double)) -> String {
        let before = self.double.journal("answerCallbackQuery").len();
        press(&self.double);
        let toast = self.wait("an answer to a button", || {
            Ok(self.double.journal("answerCallbackQuery").get(before).map(|it| it.body["text"].clone()))
        });
        println!("[button]\n{toast}\n");
        toast.as_str().unwrap_or_default().to_owned()
    }

    /// An alert opens; returns its id.
    fn fire(&self, rule: &str, host: &str, level: &str) -> String {
        self.transition(rule, host, level, "fired", self.next_episode())
    }

    fn next_episode(&self) -> u64 {
        self.episodes.set(self.episodes.get() + 1);
        self.episodes.get()
    }

    fn transition(&self, rule: &str, host: &str, level: &str, transition: &str, episode: u64) -> String {
        let time = now();
        let series = "{mount=\"/srv <x>\"}";
        let reference = json!({ "rule": rule, "host": host, "series": series, "episode": episode });
        let reference: watchkeeper_schemas::alerting::EpisodeRef = serde_json::from_value(reference).unwrap();
        let id = reference.id().unwrap();
        let event = json!({
            "v": 1, "id": format!("{rule}{host}{transition}{episode}"), "team": TEAM, "episode_id": id,
            "rule": rule, "host": host, "series": series, "episode": episode,
            "transition": transition, "level": level, "reason": null, "sequence": episode, "ordinal": 0,
            "time": time, "since": UnixMs(time.0 - 61_000), "value": 97.2, "peak": 99.0, "duration_ms": null,
            "shadow": false, "retro": false,
            "rule_then": { "revision": 7, "name": format!("Rule & {rule}"), "text": "cpu.usage_pct > 90" },
            "samples": [], "muted_by": [], "evidence": null,
        });
        let (team, rule) = (TEAM.parse().unwrap(), rule.parse().unwrap());
        let subject = subjects::alert(&team, Some(&host.parse().unwrap()), &rule, false);
        self.publish(subject, event.to_string());
        id.to_string()
    }

    /// Waits until the list of open alerts has so many.
    fn until_open(&self, chat: i64, count: usize) -> String {
        self.wait(&format!("{count} open alerts"), || {
            let list = self.ask(chat, "/alerts");
            let open = list.lines().filter(|line| line.contains(". ")).count();
            if open == count { Ok(Some(list)) } else { Err(list) }
        })
    }

    fn publish(&self, subject: String, body: String) {
        self.runtime.block_on(async {
            self.processors.publish(subject, body.into()).await.unwrap().await.unwrap();
        });
    }

    /// The newest numbers of a host.
    fn view(&self, host: &str, cpu_pct: f64, age_ms: u64) {
        let golden = include_str!("../../schemas/golden/host-view-usual.json");
        let mut view: Value = serde_json::from_str(golden).unwrap();
        view["host"] = json!(host);
        view["cpu"]["usage_pct"] = json!(cpu_pct);
        view["received"] = json!(UnixMs(now().0 - age_ms));
        let key = subjects::latest_key(&TEAM.parse().unwrap(), &host.parse().unwrap());
        self.publish(subjects::bucket_key(LATEST, &key), view.to_string());
    }

    /// Seals a token of the team's own bot and names it in a fact.
    fn own_bot(&self, token: &str) -> u64 {
        let team = TEAM.parse().unwrap();
        let place = subjects::bucket_key(CHANNELS, &subjects::bot_secret(&team));
        let layout = Layout::new(self.stack.data().join("nats"));
        let key = SealingKey::read(&layout.channels_public()).unwrap();
        let sealed = key.seal(&place, &ChannelSecret::Bot { token: token.to_owned() }).unwrap();
        let secret = self.runtime.block_on(async {
            self.gateway.publish(place, sealed.into()).await.unwrap().await.unwrap().sequence
        });
        self.put(JournalScope::Team(team.clone()), Fact::Bot { id: team, value: Some(Bot { secret }) });
        secret
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.stack.log(Program::Processors)).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "the double's journal: {:#?}",
                self.double.journal("").iter().rev().take(6).collect::<Vec<_>>()
            );
            println!("{}", self.log());
            return;
        }
        assert_eq!(self.double.violations(), Vec::<String>::new(), "Telegram's limits");
        let log = self.log();
        let error = log.lines().find(|line| line.contains(" ERROR "));
        assert!(error.is_none(), "{}", error.unwrap_or_default());
        assert!(!log.contains("AAF"), "a token stands in the log");
    }
}

async fn context(stack: &Stack, creds: &std::path::Path, program: &str) -> Context {
    let inbox = subjects::program_inbox(&program.parse().unwrap());
    let settings = Connect { url: stack.nats_url(), creds: creds.to_owned(), name: "test", inbox };
    jetstream(connect(&settings).await.unwrap().client)
}

fn a_host(name: &str) -> Host {
    let host = json!({
        "name": name, "tags": [], "interval_ms": 5000, "mounts": [], "without": [], "paused": false,
        "enrolment": { "state": "waiting", "until": null },
    });
    serde_json::from_value(host).unwrap()
}

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMs(u64::try_from(since.as_millis()).unwrap())
}

#[test]
fn a_chat_is_linked_once() {
    let system = System::start();
    let link = system.offer("phone", "olga");
    let linked = system.ask(OLGA, &link);
    assert_eq!(
        linked,
        "Linked: alerts of Night & <Watch> for phone <1> arrive here.\n/help tells what can be asked."
    );
    let chat = system.chat_of("phone").unwrap();
    assert_eq!((chat.chat, chat.telegram_user, chat.is_group), (OLGA, OLGA, false));
    let revision = system.facts().chats.revision(&"phone".parse().unwrap());
    assert_eq!(system.ask(OLGA, &link), linked, "who linked it is told so again");
    let used = system.ask(STRANGER, &link);
    assert!(used.starts_with("This link was used already"), "{used}");
    let late = system.offer_until("watch", "olga", UnixMs(now().0 - 1));
    assert!(system.ask(STRANGER, &late).starts_with("This link has expired"));
    assert_eq!(
        system.facts().chats.revision(&"phone".parse().unwrap()),
        revision,
        "nothing was recorded again"
    );
    let told = system.audit_of(Action::ChatLink);
    assert_eq!(told.len(), 1, "{told:#?}");
    let deed = &told[0].deed;
    assert_eq!(
        (deed.actor.as_ref().unwrap().as_str(), deed.via, deed.outcome),
        ("olga", Via::Chat, Outcome::Done)
    );
    assert_eq!((deed.from.as_deref(), deed.object.as_str()), (Some("telegram:42"), "phone"));
}

#[test]
fn everything_can_be_asked_from_a_linked_chat() {
    let system = System::start();
    system.link("phone", "olga", OLGA, OLGA);
    assert!(system.ask(OLGA, "/help").contains("/silence web-1 2h"));
    system.view("web-1", 97.0, 0);
    system.view("web-2", 12.0, 240_000);
    let hosts = system.ask(OLGA, "/hosts");
    assert!(
        hosts.starts_with("Hosts of Night & <Watch>: 3, 1 report, 1 silent, 0 paused, 1 waiting"),
        "{hosts}"
    );
    assert!(hosts.contains("✓ Web <b>1</b>") && hosts.contains("‼ Web 2 silent for 4 min"), "{hosts}");
    assert!(hosts.contains("… db-1 never reported"), "{hosts}");
    let stats = system.ask(OLGA, "/stats@watch_700100_bot");
    assert!(stats.contains("Web <b>1</b> CPU 97 %, memory 54 %, disk 69 %, load 1.42"), "{stats}");
    let stats = system.ask(OLGA, "/stats web-1");
    assert!(
        stats.contains("CPU 97 %, waiting for disks 2 %") && stats.contains("disk / 45 %, 51.0 GiB free"),
        "{stats}"
    );
    assert!(system.ask(OLGA, "/stats nothing").contains("no such host"));
    assert_eq!(system.ask(OLGA, "/alerts"), "Alerts of Night & <Watch>: nothing is open");

    system.fire("cpu", "web-1", "warning");
    system.fire("disk", "db-1", "critical");
    let alerts = system.until_open(OLGA, 2);
    assert!(
        alerts.contains("1. ‼ CRITICAL db-1 Rule & disk {mount=\"/srv <x>\"}, 97.2, for 1 min"),
        "{alerts}"
    );
    assert!(alerts.contains("2. ⚠ WARNING Web <b>1</b> Rule & cpu"), "{alerts}");
    let warn = system.ask(OLGA, "/warn");
    assert!(warn.contains("‼ CRITICAL db-1") && warn.contains("⚠ Web <b>1</b> CPU 97 %"), "{warn}");
    assert!(warn.contains("‼ Web 2 silent for"), "{warn}");

    let ack = system.ask(OLGA, "/ack 1");
    assert!(ack.starts_with("✓ olga looks after db-1 Rule & disk"), "{ack}");
    assert_eq!(system.facts().acknowledgements.iter().count(), 1);
    assert!(system.ask(OLGA, "/ack 1").starts_with("= olga looks after db-1"));
    assert!(system.ask(OLGA, "/ack 7").contains("no such number"));
    assert!(system.ask(OLGA, "/ack").starts_with("Which one?"));
    let all = system.ask(OLGA, "/ack all");
    assert!(all.contains("✓ olga looks after Web <b>1</b>"), "{all}");
    assert_eq!(system.audit_of(Action::AlertAcknowledge).len(), 2);

    let silence = system.ask(OLGA, "/silence Web 2 30m");
    assert!(silence.starts_with("✓ silent for 30 min, until ") && silence.ends_with(":\nWeb 2"), "{silence}");
    let silence = system.ask(OLGA, "/silence 1 2h");
    assert!(silence.starts_with("✓ silent for 2 h") && silence.contains("db-1 Rule & disk"), "{silence}");
    assert!(system.ask(OLGA, "/silence web-1 90d").starts_with("For how long?"));
    assert!(system.ask(OLGA, "/silence").starts_with("What?"));
    assert!(system.ask(OLGA, "/silence web").starts_with("Which of these?"));
    let facts = system.facts();
    let silences: Vec<_> =
        facts.silences.iter().map(|(_, it)| (it.author.as_str(), it.matchers.len())).collect();
    assert_eq!(silences.len(), 2, "{silences:?}");
    assert!(silences.iter().all(|(author, _)| *author == "olga"), "{silences:?}");
    assert_eq!(system.audit_of(Action::SilenceCreate).len(), 2);
    assert!(system.ask(OLGA, "/reboot web-1").contains("no such command"));
}

#[test]
fn a_chat_that_nobody_linked_hears_nothing_and_the_audit_hears_of_it_once() {
    let system = System::start();
    system.fire("cpu", "web-1", "warning");
    system.link("phone", "olga", OLGA, OLGA);
    system.until_open(OLGA, 1);
    for text in ["/alerts", "/ack all", "/start", "/start a-guess", "/silence web-1", "hello", "/help"] {
        system.double.with(|it| it.say(BOT, STRANGER, STRANGER, "", text));
    }
    let list = system.ask(OLGA, "/alerts");
    assert!(!list.contains("looks after"), "{list}");
    assert_eq!(system.double.messages(STRANGER), Vec::<String>::new());
    let unknown = system.audit_of(Action::ChatUnknown);
    assert_eq!(unknown.len(), 1, "{unknown:#?}");
    let deed = &unknown[0].deed;
    assert_eq!((deed.actor.as_ref(), deed.via, deed.outcome), (None, Via::Nobody, Outcome::Refused));
    assert_eq!((deed.from.as_deref(), deed.object.as_str()), (Some("telegram:99"), "telegram:99"));
    let facts = system.facts();
    assert_eq!((facts.acknowledgements.iter().count(), facts.silences.iter().count()), (0, 0));
}

/// What a button carries for an episode.
fn data(letter: &str, episode: &str) -> String {
    format!("{letter}{}", BASE64URL_NOPAD.encode(&Sha256::digest(episode.as_bytes())[..5]))
}

/// A message with buttons for an episode, as the bot sent it to a chat.
fn buttons(double: &Double, chat: i64, episode: &str) -> Value {
    let button = |text: &str, letter: &str| json!({ "text": text, "callback_data": data(letter, episode) });
    let rows = json!({ "inline_keyboard": [[button("Acknowledge", "a"), button("Silence 1 h", "s")]] });
    double.with(|it| it.stands(BOT, chat, "an alert", rows))
}

#[test]
fn a_button_says_who_pressed_it_and_silences_for_an_hour() {
    let system = System::start();
    system.link("phone", "olga", OLGA, OLGA);
    system.link("group", "olga", GROUP, OLGA);
    let first = system.fire("cpu", "web-1", "warning");
    system.until_open(OLGA, 1);
    let message = buttons(&system.double, GROUP, &first);
    let number = message["message_id"].as_i64().unwrap();
    let press = |button: &str| {
        system.press(|double| _ = double.with(|it| it.press(BOT, GROUP, OLGA, Some(number), button)).unwrap())
    };
    let labels = |system: &System| {
        let message = system.double.with(|it| it.sent(GROUP, number).cloned()).unwrap();
        let row = message["reply_markup"]["inline_keyboard"][0].as_array().unwrap().clone();
        row.iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(press("Acknowledge"), "You look after 1 alert.");
    assert_eq!(press("Silence 1 h"), "Silent for 1 h: 1.");
    system.wait("both marks", || match labels(&system) {
        labels if labels == ["✓ olga looks after it", "✓ silent for 1 h by olga"] => Ok(Some(())),
        labels => Err(format!("{labels:?}")),
    });
    assert_eq!(press("✓ olga looks after it"), "Somebody looks after it already.");
    let facts = system.facts();
    let silences: Vec<_> = facts.silences.iter().map(|(_, it)| it.clone()).collect();
    assert_eq!(silences.len(), 1);
    assert_eq!((silences[0].until.0 - silences[0].from.0, silences[0].matchers.len()), (3_600_000, 3));
    assert!(silences[0].from.0 <= now().0 && silences[0].author == "olga", "{silences:?}");
}

#[test]
fn only_who_may_change_the_team_acts_from_a_chat() {
    let system = System::start();
    system.link("vera", "vera", VERA, VERA);
    system.link("phone", "olga", OLGA, OLGA);
    system.link("group", "olga", GROUP, OLGA);
    let first = system.fire("cpu", "web-1", "warning");
    let episode = system.next_episode();
    let second = system.transition("disk", "db-1", "critical", "fired", episode);
    system.until_open(OLGA, 2);
    let none = |why: &str| assert_eq!(system.facts().acknowledgements.iter().count(), 0, "{why}");
    let press = |chat: i64, from: i64, episode: &str| {
        let message = buttons(&system.double, chat, episode);
        let data = data("a", episode);
        system.press(|double| _ = double.with(|it| it.press_data(BOT, &message, from, &data)))
    };
    assert!(system.ask(VERA, "/alerts").contains("1. "), "a viewer looks");
    assert!(system.ask(VERA, "/ack all").starts_with("You may look and change nothing"));
    assert!(system.ask(VERA, "/silence web-1").starts_with("You may look and change nothing"));
    assert!(press(VERA, VERA, &first).starts_with("You may look"));
    assert!(press(STRANGER, STRANGER, &first).starts_with("This chat is not linked"), "forwarded");
    assert!(press(STRANGER, OLGA, &first).starts_with("This chat is not linked"), "forwarded by one who may");
    assert!(press(GROUP, STRANGER, &first).starts_with("Only who linked a chat"));
    assert!(press(GROUP, VERA, &first).starts_with("You may look"), "a viewer is one in a group, too");
    assert!(system.ask_as(GROUP, STRANGER, "/ack all").starts_with("Only who linked a chat"));
    none("who may not does nothing");
    let refused = system.audit_of(Action::Refused);
    let actors: Vec<_> =
        refused.iter().map(|it| it.deed.actor.as_ref().map(|it| it.as_str().to_owned())).collect();
    assert_eq!(
        actors,
        [Some("vera".to_owned()), None, Some("vera".to_owned())],
        "one line for each who and where"
    );

    assert_eq!(press(GROUP, OLGA, &first), "You look after 1 alert.");
    let told = system.audit_of(Action::AlertAcknowledge);
    assert_eq!((told.len(), told[0].deed.actor.as_ref().unwrap().as_str()), (1, "olga"));
    assert_eq!(press(GROUP, OLGA, &first), "Somebody looks after it already.");
    system.transition("disk", "db-1", "critical", "resolved", episode);
    system.until_open(OLGA, 1);
    assert_eq!(press(OLGA, OLGA, &second), "It is over already: nothing was done.");
    assert_eq!(system.facts().acknowledgements.iter().count(), 1);

    system.member("olga", None);
    assert!(system.ask(OLGA, "/alerts").starts_with("Who linked this chat belongs to the team no longer"));
    assert!(press(OLGA, OLGA, &first).starts_with("Who linked this chat"));
    system.member("olga", Some(Role::Admin));
    assert!(system.ask(OLGA, "/alerts").contains("1. "));
    system.user("olga", true);
    assert!(system.ask(OLGA, "/alerts").starts_with("Who linked this chat belongs to the team no longer"));
}

#[test]
fn an_update_that_comes_again_changes_nothing() {
    let mut system = System::start();
    system.link("phone", "olga", OLGA, OLGA);
    system.fire("cpu", "web-1", "warning");
    system.until_open(OLGA, 1);
    let silence = system.double.with(|it| it.say(BOT, OLGA, OLGA, "", "/silence web-2 2h"));
    let ack = system.double.with(|it| it.say(BOT, OLGA, OLGA, "", "/ack"));
    system.wait("both answers", || {
        let last = system.double.messages(OLGA).pop().unwrap_or_default();
        if last.contains("olga looks after") { Ok(Some(())) } else { Err(last) }
    });
    system.settle();
    let count = |system: &System| {
        let facts = system.facts();
        let (revisions, silences) = (facts.acknowledgements.all().count(), facts.silences.all().count());
        (
            revisions,
            silences,
            system.audit_of(Action::SilenceCreate).len(),
            system.audit_of(Action::AlertAcknowledge).len(),
        )
    };
    let before = count(&system);
    assert_eq!(before, (1, 1, 1, 1));
    let answers = system.double.messages(OLGA).len();
    for update in [silence, ack] {
        assert!(system.double.with(|it| it.replay(BOT, update)));
    }
    system.settle();
    assert_eq!(system.double.messages(OLGA).len(), answers, "it is remembered");
    // A killed program remembers nothing, and what it did not confirm comes again.
    system.stack.kill9(Program::Processors).unwrap();
    for update in [silence, ack] {
        assert!(system.double.with(|it| it.replay(BOT, update)));
    }
    system.stack.start(Program::Processors).unwrap();
    system.wait("both answers again", || {
        let count = system.double.messages(OLGA).len();
        if count == answers + 2 { Ok(Some(())) } else { Err(format!("{count} of {}", answers + 2)) }
    });
    assert_eq!(count(&system), before, "recorded once, told to the audit once");
}

#[test]
fn a_token_that_changes_while_it_is_polled_loses_no_update_and_handles_none_twice() {
    let system = System::start();
    let (old, new) = ("700200:AAF-old", "700200:AAF-new");
    let own = 700_200;
    system.double.with(|it| it.add_token(old));
    let secret = system.own_bot(old);
    let named = |secret: u64| {
        system.wait("the name of the team's own bot", || {
            let state = system.facts().bot_states.get(&TEAM.parse().unwrap()).cloned();
            let is_it = |it: &&watchkeeper_schemas::receiver::BotState| it.secret == Some(secret);
            match state.as_ref().filter(is_it) {
                Some(state) => Ok(Some(state.clone())),
                None => Err(format!("{state:?}")),
            }
        })
    };
    assert_eq!(named(secret).username.as_deref(), Some("watch_700200_bot"));
    let start = system.offer("phone", "olga");
    system.double.with(|it| it.say(own, OLGA, OLGA, "", &start));
    system.wait("the link", || Ok(system.chat_of("phone")));
    let say = |from: usize, to: usize| {
        for n in from..to {
            system.double.with(|it| it.say(own, OLGA, OLGA, "", &format!("/silence web-2 {n}m")));
        }
    };
    say(1, 4);
    system.double.with(|it| it.add_token(new));
    let secret = system.own_bot(new);
    say(4, 6);
    assert_eq!(named(secret).username.as_deref(), Some("watch_700200_bot"));
    system.double.with(|it| it.revoke_token(old));
    say(6, 8);
    system.wait("every answer", || {
        let messages = system.double.messages(OLGA);
        let silent = messages.iter().filter(|it| it.starts_with("✓ silent")).count();
        if silent == 7 { Ok(Some(())) } else { Err(format!("{messages:?}")) }
    });
    let facts = system.facts();
    let mut minutes: Vec<_> =
        facts.silences.iter().map(|(_, it)| (it.until.0 - it.from.0) / 60_000).collect();
    minutes.sort_unstable();
    assert_eq!(minutes, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(system.audit_of(Action::SilenceCreate).len(), 7);

    let secret = system.own_bot("700300:AAF-nobody-knows");
    let state = named(secret);
    assert_eq!(state.username, None);
    assert!(state.refusal.as_deref().is_some_and(|it| it.contains("Unauthorized")), "{state:?}");
    let secret = system.own_bot("no token/../at all");
    assert!(named(secret).refusal.is_some_and(|it| it.contains("cannot be opened")));
}

#[test]
fn what_telegram_limits_or_breaks_is_waited_for() {
    let system = System::start();
    system.link("phone", "olga", OLGA, OLGA);
    let limited = Fault {
        method: Some("sendMessage".to_owned()),
        chat: None,
        what: Wrong::TooMany,
        times: 1,
        retry_after: 3,
    };
    system.double.with(|it| it.fault(limited.clone()));
    system.ask(OLGA, "/help");
    let sent: Vec<_> = system.double.journal("sendMessage");
    let [.., refused, taken] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!((refused.code, taken.code), (429, 200));
    let waited = taken.time_ms - refused.time_ms;
    assert!((3000..5000).contains(&waited), "{waited} ms");
    for what in [Wrong::BadGateway, Wrong::Reset, Wrong::TooMany] {
        let method = Some("getUpdates".to_owned());
        system.double.with(|it| it.fault(Fault { method, what, retry_after: 1, ..limited.clone() }));
        assert!(system.ask(OLGA, "/alerts").contains("nothing is open"), "{what:?}");
    }
    let log = system.log();
    let troubles: Vec<&str> = log.lines().filter(|line| line.contains("updates cannot be read")).collect();
    assert!(troubles.len() >= 2 && troubles.len() <= 4, "told once each: {troubles:#?}");
}

#[test]
fn a_group_that_becomes_a_supergroup_stays_linked() {
    let system = System::start();
    system.link("group", "olga", GROUP, OLGA);
    let to = -1_000_000_000_500;
    system.double.with(|it| it.migrate(BOT, GROUP, to, true));
    system.wait("the link to the new group", || match system.chat_of("group") {
        Some(chat) if chat.chat == to => Ok(Some(())),
        other => Err(format!("{other:?}")),
    });
    assert!(system.ask_as(to, OLGA, "/alerts@watch_700100_bot").contains("nothing is open"));
    let before = system.double.messages(to).len();
    system.double.with(|it| it.say(BOT, to, OLGA, "", "/alerts@another_bot"));
    system.double.with(|it| it.say(BOT, to, OLGA, "", "just words"));
    system.ask_as(to, OLGA, "/help");
    assert_eq!(system.double.messages(to).len(), before + 1, "what is not for it is not answered");
}

#[test]
fn another_program_that_polls_the_same_bot_is_told_of_once() {
    let system = System::start();
    system.link("phone", "olga", OLGA, OLGA);
    let url = format!("{}/bot{TOKEN}/getUpdates", system.double.url());
    for _ in 0..2 {
        let conflicts = system.double.conflicts();
        system.wait("a conflict", || {
            ureq::post(&url).send_json(json!({ "timeout": 0 })).map_err(|e| e.to_string())?;
            Ok((system.double.conflicts() > conflicts).then_some(()))
        });
    }
    assert!(system.ask(OLGA, "/alerts").contains("nothing is open"));
    let log = system.log();
    let told = log.lines().filter(|line| line.contains("Conflict")).count();
    assert!((1..=2).contains(&told), "told {told} times");
}
