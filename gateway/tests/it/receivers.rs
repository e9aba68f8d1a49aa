//! Receivers over HTTP: made, changed, removed; secrets that never come out again; links and tests that are offered once;
//! what became of each notice, as it becomes known.

use crate::asking::ask;
use crate::sse::Listener;
use crate::stand::{PASSWORD, Stand, bearer, until};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use watchkeeper_nats::{Layout, OpeningKey};
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{BotState, Chat, ReceiverFailure};
use watchkeeper_schemas::subjects::{
    JournalScope, JournalSubject, bucket_key, intent, notice_answer, notice_attempt, notice_result,
    receiver_secret,
};

const PATH: &str = "/api/v1/receivers";
const TOKEN: &str = "123456789:AAE-never-to-be-read-again-aaaa";
/// What is given in and must never come out.
const SECRETS: [&str; 5] =
    ["pass-word-91", "tk_topic_secret_7", "hook-path-secret", "slack-path-secret", TOKEN];

fn team() -> TeamId {
    "default".parse().unwrap()
}

/// Records a fact as the notifier does; its place in JOURNAL.
async fn record(stand: &Stand, fact: Fact) -> u64 {
    let subject = JournalSubject::of(JournalScope::Team(team()), &fact).unwrap().to_string();
    let (author, cause, time) = ("notifier".to_owned(), "test".to_owned(), UnixMs(1_790_000_000_000));
    let event = JournalEvent { v: 1, author, cause, time, fact };
    publish(stand, subject, &event).await
}

async fn publish(stand: &Stand, subject: String, value: &impl Serialize) -> u64 {
    let body = serde_json::to_vec(value).unwrap();
    stand.processors.publish(subject, body.into()).await.unwrap().await.unwrap().sequence
}

async fn make(stand: &Stand, name: &str, channel: Value) -> Value {
    stand.post(PATH, json!({"name": name, "channel": channel})).await.is(201)
}

fn email(password: Option<&str>) -> Value {
    json!({
        "type": "email", "to": ["ops@example.org"], "from": "watch@example.org", "server": "mail.example.org",
        "port": 465, "security": "tls", "user": "watch", "password": password,
    })
}

/// Every byte of a stream.
async fn everything(stand: &Stand, stream: &str) -> Vec<String> {
    // The processors add to the audit and cannot read it whole.
    let context = if stream == "AUDIT" { stand.as_gateway().await } else { stand.processors.clone() };
    let stream = context.get_stream(stream).await.unwrap();
    let count = stream.cached_info().state.messages;
    let settings = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let mut messages = stream.create_consumer(settings).await.unwrap().messages().await.unwrap();
    let mut texts = Vec::new();
    for _ in 0..count {
        let message = messages.next().await.unwrap().unwrap();
        texts.push(format!("{} {}", message.subject, String::from_utf8_lossy(&message.payload)));
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_in_and_only_the_notifier_reads_it_again() {
    let stand = Stand::new().await;
    let mut answers = vec![
        make(&stand, "Mail", email(Some(SECRETS[0]))).await,
        make(&stand, "Topic", json!({"type": "ntfy", "server": "https://ntfy.sh/", "topic": "ops", "token": SECRETS[1]}))
            .await,
        make(&stand, "Room", json!({"type": "chatroom", "form": "slack", "url": format!("https://hooks.example.org/{}", SECRETS[3])}))
            .await,
        stand.change("/api/v1/telegram", json!({"token": TOKEN, "revision": 0})).await.is(200),
    ];
    let url = format!("https://hook.example.org:8443/{}", SECRETS[2]);
    let hook = make(&stand, "Hook", json!({"type": "webhook", "url": url})).await;
    let key = hook["signing_key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 43, "32 bytes as base64url");
    assert_eq!(hook["receiver"]["channel"], json!({"type": "webhook", "host": "hook.example.org:8443"}));
    assert_eq!(answers[1]["receiver"]["channel"]["server"], "https://ntfy.sh");
    for path in
        [PATH, "/api/v1/receivers/mail", "/api/v1/receivers/hook", "/api/v1/telegram", "/api/v1/audit"]
    {
        answers.push(stand.json(path).await);
    }
    let refused =
        stand.post(PATH, json!({"name": "x", "channel": email(Some("pass-word-91\n"))})).await.is(400);
    answers.push(refused);
    for stream in ["JOURNAL", "AUDIT", "KV_CHANNELS", "NOTICES"] {
        answers.extend(everything(&stand, stream).await.into_iter().map(Value::String));
    }
    let text = answers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for secret in SECRETS.into_iter().chain([key.as_str()]) {
        assert!(!text.contains(secret), "{secret} can be read");
    }

    let opening = OpeningKey::read(&Layout::new(stand.nats()).channels_key()).unwrap();
    let place = bucket_key("CHANNELS", &receiver_secret(&team(), &"hook".parse().unwrap()));
    let stream = stand.processors.get_stream("KV_CHANNELS").await.unwrap();
    let sealed = stream.get_last_raw_message_by_subject(&place).await.unwrap();
    let opened = opening.open(&place, &sealed.payload).unwrap();
    assert_eq!(serde_json::to_value(&opened).unwrap(), json!({"type": "webhook", "url": url, "key": key}));
    let facts = everything(&stand, "JOURNAL").await;
    let fact = facts.iter().find(|it| it.contains(".receiver.hook ")).unwrap();
    assert!(fact.contains(&format!("\"secret\":{}", sealed.sequence)), "{fact}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_changed_only_from_what_is_newest_and_keeps_a_secret_that_is_left_out() {
    let stand = Stand::new().await;
    let made = make(&stand, "Mail", email(Some("secret"))).await["receiver"].clone();
    assert_eq!(
        (&made["id"], &made["secret_set"], &made["author"]),
        (&json!("mail"), &json!(true), &json!("olga"))
    );
    let path = "/api/v1/receivers/mail";
    let edit =
        |channel: Value, revision: &Value| json!({"name": "Mail", "channel": channel, "revision": revision});
    let mut other = email(None);
    other["to"] = json!(["boss@example.org"]);
    let changed =
        stand.change(path, edit(other.clone(), &made["revision"])).await.is(200)["receiver"].clone();
    assert_eq!(
        (&changed["channel"]["to"], &changed["secret_set"]),
        (&json!(["boss@example.org"]), &json!(true))
    );
    let late = stand.change(path, edit(other.clone(), &made["revision"])).await.is(409);
    assert_eq!(late["revision"], changed["revision"]);
    other["server"] = json!("evil.example");
    let refused = stand.change(path, edit(other.clone(), &changed["revision"])).await.is(400);
    assert_eq!(
        refused["errors"][0]["field"], "channel.password",
        "a password goes to another server unasked"
    );
    let kind = stand.change(path, edit(json!({"type": "telegram"}), &changed["revision"])).await.is(400);
    assert_eq!(kind["errors"][0]["field"], "channel.type");
    other["user"] = Value::Null;
    let without = stand.change(path, edit(other, &changed["revision"])).await.is(200)["receiver"].clone();
    assert_eq!(without["secret_set"], false);

    let hook = make(&stand, "Hook", json!({"type": "webhook", "url": "https://a.example/"})).await;
    let path = "/api/v1/receivers/hook";
    let same =
        stand.change(path, edit(json!({"type": "webhook"}), &hook["receiver"]["revision"])).await.is(200);
    assert_eq!(same["signing_key"], Value::Null);
    let moved = json!({"type": "webhook", "url": "https://b.example/"});
    let moved = stand.change(path, edit(moved, &same["receiver"]["revision"])).await.is(200);
    assert_ne!(moved["signing_key"], hook["signing_key"]);
    assert!(moved["signing_key"].is_string(), "{moved}");

    for (body, field) in [
        (json!({"name": "", "channel": {"type": "telegram"}}), "name"),
        (json!({"name": "x", "channel": {"type": "webhook"}}), "channel.url"),
        (json!({"name": "x", "channel": {"type": "webhook", "url": "ftp://a.example/"}}), "channel.url"),
        (json!({"name": "x", "channel": {"type": "telegram", "chat": 7}}), "channel"),
        (json!({"name": "x", "channel": {"type": "pigeon"}}), "channel"),
        (json!({"name": "x", "channel": {"type": "telegram"}, "team": "other"}), "team"),
        (json!({"name": "x", "id": "No Id", "channel": {"type": "telegram"}}), "id"),
    ] {
        let refused = stand.post(PATH, body).await.is(400);
        let found = refused["errors"][0]["field"].as_str().unwrap();
        assert!(found == field || found.starts_with(&format!("{field}.")), "{field}: {refused}");
    }
    let taken =
        stand.post(PATH, json!({"name": "x", "id": "hook", "channel": {"type": "telegram"}})).await.is(409);
    assert_eq!(taken["revision"], moved["receiver"]["revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_receiver_must_find_it_and_is_told_when_it_goes() {
    let stand = Stand::new().await;
    let rule = |receivers: Value, policy: Value| json!({"name": "Busy", "text": "cpu.usage_pct > 90", "receivers": receivers, "policy": policy});
    let steps = json!([{"receivers": ["ops"], "wait_ms": 60000}]);
    let refused = stand.post("/api/v1/rules", rule(json!(["ops"]), json!([]))).await.is(422);
    assert_eq!(
        (&refused["errors"][0]["field"], &refused["errors"][0]["found"]),
        (&json!("receivers"), &json!("ops"))
    );
    let refused = stand.post("/api/v1/rules", rule(json!([]), steps.clone())).await.is(422);
    assert_eq!(refused["errors"][0]["field"], "policy.receivers", "{refused}");
    let defaults = json!({"receivers": ["ops"], "policy": [], "revision": 0});
    stand.change("/api/v1/alert-defaults", defaults.clone()).await.is(422);

    // One of another team reads like one that never was.
    let asked = json!({"user": "otto", "password": PASSWORD, "team_name": "Theirs", "bearer": true});
    let path = "/api/v1/auth/register";
    let otto = ask(&stand, &stand.anonymous, (Method::POST, path), Some(asked)).await.is(201);
    let otto = bearer(otto["access_token"].as_str().unwrap());
    let theirs = json!({"name": "theirs", "channel": {"type": "webhook", "url": "https://a.example/"}});
    ask(&stand, &otto, (Method::POST, PATH), Some(theirs)).await.is(201);
    let foreign = stand.post("/api/v1/rules", rule(json!(["theirs"]), json!([]))).await.is(422).to_string();
    let never = stand.post("/api/v1/rules", rule(json!(["x-never"]), json!([]))).await.is(422).to_string();
    assert_eq!(foreign.replace("theirs", "x-never"), never);

    make(&stand, "ops", json!({"type": "telegram"})).await;
    let made = stand.post("/api/v1/rules", rule(json!(["ops"]), steps)).await.is(201);
    assert_eq!(made["tells_nobody"], false);
    stand.change("/api/v1/alert-defaults", defaults).await.is(200);
    let ops = stand.json("/api/v1/receivers/ops").await;
    let named = json!({"defaults": true, "rule_count": 1, "rules": [{"id": "busy", "name": "Busy"}]});
    assert_eq!(ops["named_by"], named, "{ops}");
    let removed = stand.delete(&format!("/api/v1/receivers/ops?revision={}", ops["revision"])).await.is(200);
    assert_eq!(removed["named_by"], named, "{removed}");
    stand.delete(&format!("/api/v1/receivers/ops?revision={}", ops["revision"])).await.is(404);

    let after = stand.json("/api/v1/rules/busy").await;
    assert_eq!((&after["tells_nobody"], &after["receivers"]), (&json!(true), &json!(["ops"])));
    let mut edit = json!({
        "name": "Busy", "text": "cpu.usage_pct > 95", "scope": "all", "receivers": ["ops"], "policy": [],
        "state": "live", "revision": after["revision"],
    });
    let changed = stand.change("/api/v1/rules/busy", edit.clone()).await.is(200);
    edit["receivers"] = json!(["ops", "boss"]);
    edit["revision"] = changed["revision"].clone();
    let refused = stand.change("/api/v1/rules/busy", edit).await.is(422);
    assert_eq!(refused["errors"][0]["found"], "boss", "what was saved before goes on: {refused}");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_offered_once_for_a_bot_that_is_known_and_ends_with_its_receiver() {
    let stand = Stand::new().await;
    make(&stand, "ops", json!({"type": "telegram"})).await;
    make(&stand, "hook", json!({"type": "webhook", "url": "https://a.example/"})).await;
    let (path, id): (_, ReceiverId) = ("/api/v1/receivers/ops/link", "ops".parse().unwrap());
    let none = stand.post(path, json!({})).await.is(409);
    assert!(none["detail"].as_str().unwrap().contains("no Telegram bot is known"), "{none}");
    assert_eq!(stand.json("/api/v1/telegram").await["serving"], "nobody");
    let state = |username: Option<&str>, secret: Option<u64>| BotState {
        username: username.map(str::to_owned),
        refusal: username.is_none().then(|| "401 Unauthorized".to_owned()),
        secret,
    };
    let mut listener = Listener::open(&stand, "?hosts=", None).await;
    listener.next_named("notices").await;
    record(&stand, Fact::BotState { id: team(), value: Some(state(Some("keeper_bot"), None)) }).await;
    listener.next_named("receivers").await;
    let known = stand.json("/api/v1/telegram").await;
    assert_eq!((&known["serving"], &known["username"]), (&json!("installation"), &json!("keeper_bot")));
    assert_eq!(stand.post("/api/v1/receivers/hook/link", json!({})).await.status, 409);

    let first = stand.post(path, json!({})).await.is(201);
    let second = stand.post(path, json!({"group": true})).await.is(201);
    let token = |made: &Value, word: &str| {
        let prefix = format!("https://t.me/keeper_bot?{word}=");
        made["url"].as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned()
    };
    let (first, second) = (token(&first, "start"), token(&second, "startgroup"));
    assert_ne!(first, second);
    assert!(second.len() <= 64 && second.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it)));
    let ops = stand.json("/api/v1/receivers/ops").await;
    assert_eq!((&ops["offer"]["by"], &ops["chat"]), (&json!("olga"), &Value::Null), "{ops}");
    let written: String =
        [everything(&stand, "JOURNAL").await, everything(&stand, "AUDIT").await].concat().join("\n");
    assert!(!written.contains(&first) && !written.contains(&second), "the token of a link is kept");
    let hash = watchkeeper_gateway::identity::secret::hash(&second);
    assert!(written.contains(&hash), "the hash of the newest link is not");

    let (title, user) = ("On call".to_owned(), "olga".parse().unwrap());
    let chat = Chat { chat: -7, is_group: true, title, telegram_user: 8, user, offer: hash };
    record(&stand, Fact::Chat { id: id.clone(), value: Some(chat) }).await;
    until("the chat is shown", async || {
        let ops = stand.json("/api/v1/receivers/ops").await;
        let shown = (&ops["chat"]["title"], &ops["chat"]["by"], &ops["offer"]);
        if shown == (&json!("On call"), &json!("olga"), &Value::Null) { Ok(()) } else { Err(ops.to_string()) }
    })
    .await;
    stand.delete(path).await.is(204);
    assert_eq!(stand.json("/api/v1/receivers/ops").await["chat"], Value::Null);
    stand.delete(path).await.is(204);

    // A token of the team's own: what Telegram said of the other bot says nothing of it.
    let own = stand.change("/api/v1/telegram", json!({"token": TOKEN, "revision": 0})).await.is(200);
    assert_eq!((&own["serving"], &own["username"]), (&json!("own"), &Value::Null), "{own}");
    let unknown = stand.post(path, json!({})).await.is(409);
    assert!(unknown["detail"].as_str().unwrap().contains("not known yet"), "{unknown}");
    let refused =
        stand.change("/api/v1/telegram", json!({"token": "x", "revision": own["revision"]})).await.is(400);
    assert_eq!(refused["errors"][0]["field"], "token");
    stand.change("/api/v1/telegram", json!({"token": TOKEN, "revision": 0})).await.is(409);
    let gone = stand.delete(&format!("/api/v1/telegram?revision={}", own["revision"])).await.is(200);
    assert_eq!((&gone["serving"], &gone["username"]), (&json!("installation"), &json!("keeper_bot")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_takes_its_chat_offer_and_failure_along() {
    let stand = Stand::new().await;
    let made = make(&stand, "ops", json!({"type": "telegram"})).await["receiver"].clone();
    let id: ReceiverId = "ops".parse().unwrap();
    let (title, user) = ("On call".to_owned(), "olga".parse().unwrap());
    let chat = Chat { chat: 7, is_group: false, title, telegram_user: 8, user, offer: "x".to_owned() };
    let linked = record(&stand, Fact::Chat { id: id.clone(), value: Some(chat) }).await;
    let answer = "403 Forbidden: bot was blocked by the user".to_owned();
    let failure = ReceiverFailure { answer: answer.clone(), revision: linked };
    record(&stand, Fact::ReceiverFailure { id: id.clone(), value: Some(failure) }).await;
    until("the failure is shown", async || {
        let ops = stand.json("/api/v1/receivers/ops").await;
        if ops["failure"]["answer"] == json!(answer) { Ok(()) } else { Err(ops.to_string()) }
    })
    .await;
    let edit = json!({"name": "On call", "channel": {"type": "telegram"}, "revision": made["revision"]});
    let changed = stand.change("/api/v1/receivers/ops", edit).await.is(200)["receiver"].clone();
    assert_eq!(changed["failure"], Value::Null, "what was refused before a change is tried again");
    stand.delete(&format!("/api/v1/receivers/ops?revision={}", changed["revision"])).await.is(200);
    let facts = everything(&stand, "JOURNAL").await;
    for kind in ["receiver", "chat", "receiver_failure"] {
        let mut of_kind = facts.iter().filter(|it| it.contains(&format!(".{kind}.ops ")));
        assert!(of_kind.next_back().unwrap().contains("\"value\":null"), "{kind} is still there");
    }
    let again = make(&stand, "ops", json!({"type": "telegram"})).await["receiver"].clone();
    assert_eq!(
        (&again["id"], &again["chat"], &again["failure"]),
        (&json!("ops"), &Value::Null, &Value::Null)
    );
    let audit = stand.json("/api/v1/audit").await;
    let deeds: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(deeds[..4], ["receiver_create", "receiver_delete", "receiver_change", "receiver_create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_waits_alone_and_its_answer_comes_by_the_stream() {
    let stand = Stand::new().await;
    make(&stand, "chat", json!({"type": "telegram"})).await;
    let unlinked = stand.post("/api/v1/receivers/chat/test", Value::Null).await;
    assert_eq!(unlinked.status, 409, "{}", unlinked.body);
    let names: Vec<String> = (0..11).map(|number| format!("hook-{number}")).collect();
    for name in &names {
        make(&stand, name, json!({"type": "webhook", "url": "https://a.example/"})).await;
    }
    let mut listener = Listener::open(&stand, "?hosts=", None).await;
    listener.next_named("notices").await;
    let test = async |name: &str| {
        ask(&stand, &stand.http, (Method::POST, &format!("{PATH}/{name}/test")), None).await
    };
    // Of several at once exactly one is taken.
    let (a, b, c) = tokio::join!(test("hook-0"), test("hook-0"), test("hook-0"));
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409]);
    let asked = [a, b, c].into_iter().find(|it| it.status == 202).unwrap();
    let id = asked.body["notice"].as_str().unwrap().to_owned();
    let waits = listener.next_named("notice").await.data;
    assert_eq!(
        (&waits["id"], &waits["state"], &waits["by"]),
        (&json!(id), &json!("waiting"), &json!("olga"))
    );
    for name in &names[1..10] {
        test(name).await.is(202);
    }
    let refused = test("hook-10").await.is(429);
    assert!(refused["detail"].as_str().unwrap().contains("10 tests"), "{refused}");

    let about =
        json!({"v": 1, "id": id, "team": "default", "receiver": "hook-0", "time": "2026-01-01T00:00:00Z"});
    let with = |more: Value| {
        let mut all = about.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let attempt = with(json!({"k": 1, "members": [id], "possible_repeat": false}));
    publish(&stand, notice_attempt(&id, 1), &attempt).await;
    let detail = "500 Internal Server Error";
    let answer =
        with(json!({"k": 1, "answer": "not_now", "detail": detail, "message": null, "retry_after_ms": null}));
    publish(&stand, notice_answer(&id, 1), &answer).await;
    let result = with(
        json!({"channel": "webhook", "outcome": "failed", "detail": detail, "into": null, "message": null}),
    );
    publish(&stand, notice_result(&id), &result).await;
    let told = loop {
        let told = listener.next_named("notice").await.data;
        if told["id"] == json!(id) && told["state"] == "failed" {
            break told;
        }
    };
    assert_eq!(
        (&told["attempts"][0]["answer"], &told["detail"]),
        (&json!("not_now"), &json!(detail)),
        "{told}"
    );
    let list = stand.json(&format!("{PATH}/hook-0/deliveries?limit=1")).await;
    assert_eq!((&list["items"][0], &list["next_page"]), (&told, &Value::Null));
    assert_eq!(stand.json(&format!("{PATH}/hook-0")).await["last"], told);
    let metrics = stand.scrape().await;
    let counted = r#"watchkeeper_notices_total{channel="webhook",result="failed"} 1"#;
    assert!(metrics.contains(counted) && metrics.contains("watchkeeper_notices_waiting 9"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_shows_each_notice_with_its_tries_and_what_became_of_it() {
    let stand = Stand::new().await;
    make(&stand, "ops", json!({"type": "webhook", "url": "https://a.example/"})).await;
    let episode = watchkeeper_schemas::alerting::EpisodeRef {
        rule: "busy".to_owned(),
        host: "web-1".to_owned(),
        series: String::new(),
        episode: 7,
    };
    let alert = episode.id().unwrap();
    let fired = json!({
        "v": 1, "id": "f", "team": "default", "episode_id": alert, "rule": "busy", "host": "web-1", "series": "",
        "episode": 7, "transition": "fired", "level": "warning", "reason": null, "sequence": 7, "ordinal": 0,
        "time": "2026-01-01T00:00:00Z", "since": "2026-01-01T00:00:00Z", "value": 91.5, "peak": 91.5,
        "duration_ms": null, "shadow": false, "retro": false, "rule_then": null, "samples": [], "muted_by": [], "evidence": null,
    });
    let subject = watchkeeper_schemas::subjects::alert(
        &team(),
        Some(&"web-1".parse().unwrap()),
        &"busy".parse().unwrap(),
        false,
    );
    publish(&stand, subject, &fired).await;
    for (id, notice) in [("n1", "firing"), ("n2", "resolved")] {
        let body = json!({
            "v": 1, "id": id, "team": "default", "episode_id": alert, "rule": "busy", "host": "web-1", "series": "",
            "episode": 7, "notice": notice, "n": 1, "receiver": "ops", "level": "warning", "reason": null,
            "since": "2026-01-01T00:00:00Z", "value": 91.5, "peak": 91.5, "duration_ms": null, "short_episodes": 0,
            "shadow": false, "sequence": 7, "time": "2026-01-01T00:00:00Z",
        });
        publish(&stand, intent(id), &body).await;
    }
    let about = json!({"v": 1, "team": "default", "receiver": "ops", "time": "2026-01-01T00:00:10Z"});
    let with = |more: Value| {
        let mut all = about.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let attempt = with(json!({"id": "n1", "k": 1, "members": ["n1", "n2"], "possible_repeat": false}));
    publish(&stand, notice_attempt("n1", 1), &attempt).await;
    let answer = with(
        json!({"id": "n1", "k": 1, "answer": "delivered", "detail": "200 OK", "message": "4127", "retry_after_ms": null}),
    );
    publish(&stand, notice_answer("n1", 1), &answer).await;
    let result = |id: &str, outcome: &str, into: Option<&str>, message: Option<&str>| {
        with(
            json!({"id": id, "channel": "webhook", "outcome": outcome, "detail": null, "into": into, "message": message}),
        )
    };
    publish(&stand, notice_result("n1"), &result("n1", "delivered", None, Some("4127"))).await;
    publish(&stand, notice_result("n2"), &result("n2", "merged", Some("n1"), None)).await;
    until("both are shown as told", async || {
        let seen = stand.json(&format!("/api/v1/alerts/{alert}")).await["notices"].clone();
        let words = |it: &Value| {
            json!([it["id"], it["state"], it["message"], it["into"], it["attempts"][0]["answer"]])
        };
        let told: Vec<Value> = seen.as_array().unwrap().iter().map(words).collect();
        let expected = [
            json!(["n1", "delivered", "4127", null, "delivered"]),
            json!(["n2", "merged", "4127", "n1", "delivered"]),
        ];
        if told == expected { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_is_removed_takes_its_secrets_along_and_another_hears_nothing_of_it() {
    let stand = Stand::new().await;
    let asked = json!({"user": "otto", "password": PASSWORD, "team_name": "Theirs", "bearer": true});
    let path = "/api/v1/auth/register";
    let otto = ask(&stand, &stand.anonymous, (Method::POST, path), Some(asked)).await.is(201);
    let otto = bearer(otto["access_token"].as_str().unwrap());
    let team = ask(&stand, &otto, (Method::GET, "/api/v1/team"), None).await.is(200);
    let mut listener = Listener::open(&stand, "?hosts=", None).await;
    listener.next_named("notices").await;
    let hook = json!({"name": "hook", "channel": {"type": "webhook", "url": "https://a.example/"}});
    ask(&stand, &otto, (Method::POST, PATH), Some(hook)).await.is(201);
    let bot = json!({"token": TOKEN, "revision": 0});
    ask(&stand, &otto, (Method::PUT, "/api/v1/telegram"), Some(bot)).await.is(200);
    ask(&stand, &otto, (Method::POST, &format!("{PATH}/hook/test")), None).await.is(202);
    let end = json!({"revision": team["revision"], "confirm": team["team"]});
    ask(&stand, &otto, (Method::DELETE, "/api/v1/team"), Some(end)).await.is(204);
    let kept = everything(&stand, "KV_CHANNELS").await;
    // The mark of a removed key is empty, a sealed secret never is.
    assert!(kept.len() == 2 && kept.iter().all(|it| it.ends_with(' ')), "{kept:?}");

    // What comes first here is our own: nothing of theirs was told.
    make(&stand, "ours", json!({"type": "webhook", "url": "https://a.example/"})).await;
    stand.post(&format!("{PATH}/ours/test"), Value::Null).await.is(202);
    let told = loop {
        let event = listener.event().await.unwrap();
        if ["notice", "receivers"].contains(&event.name.as_str()) {
            break event;
        }
    };
    let ours = stand.json(&format!("{PATH}/ours")).await["revision"].clone();
    assert_eq!((told.name.as_str(), &told.data["revision"]), ("receivers", &ours), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_that_change_a_secret_at_once_one_is_refused_and_the_fact_names_the_secret_that_is_there()
 {
    let stand = Stand::new().await;
    let other = stand.another().await;
    let opening = OpeningKey::read(&Layout::new(stand.nats()).channels_key()).unwrap();
    let put = async |base: &str, body: Value| {
        let answer =
            stand.http.put(format!("{base}/api/v1/receivers/topic")).json(&body).send().await.unwrap();
        answer.status().as_u16()
    };
    let ntfy =
        |token: Value| json!({"type": "ntfy", "server": "https://ntfy.sh", "topic": "ops", "token": token});
    make(&stand, "topic", ntfy(Value::Null)).await;
    let place = bucket_key("CHANNELS", &receiver_secret(&team(), &"topic".parse().unwrap()));
    for round in 0..4 {
        let revision = stand.json("/api/v1/receivers/topic").await["revision"].clone();
        until("the other gateway has come as far", async || {
            let answer =
                stand.http.get(format!("{}/api/v1/receivers/topic", other.base)).send().await.unwrap();
            let seen: Value = answer.json().await.unwrap();
            if seen["revision"] == revision { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
        let edit =
            |token: &str| json!({"name": "Topic", "channel": ntfy(json!(token)), "revision": revision});
        let ours = stand.url("");
        let (one, two) = tokio::join!(put(&ours, edit("ours")), put(&other.base, edit("theirs")));
        let mut statuses = [one, two];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}");
        let stream = stand.processors.get_stream("KV_CHANNELS").await.unwrap();
        let sealed = stream.get_last_raw_message_by_subject(&place).await.unwrap();
        let facts = everything(&stand, "JOURNAL").await;
        let fact = facts.iter().rfind(|it| it.contains(".receiver.topic ")).unwrap();
        assert!(fact.contains(&format!("\"secret\":{}", sealed.sequence)), "round {round}: {fact}");
        let token = if one == 200 { "ours" } else { "theirs" };
        let opened = serde_json::to_value(opening.open(&place, &sealed.payload).unwrap()).unwrap();
        assert_eq!(opened["token"], token, "round {round}");
    }
}
