//! How agents come: one token, one credential; how it becomes one for good, is renewed, and is taken back.

use crate::asking::{Answer, ask};
use crate::stand::{Stand, until};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use watchkeeper_gateway::fleet::watch::now;
use watchkeeper_nats::{Layout, read_agent};

/// Programs that try one token at once.
const RIVALS: usize = 100;

fn facts() -> Value {
    json!({"hostname": "web-1.example", "os": "Debian GNU/Linux 12", "arch": "x86_64", "agent_version": "0.1.0"})
}

/// Makes a host; its enrolment token.
async fn token(stand: &Stand, name: &str) -> String {
    let made = stand.post("/api/v1/hosts", json!({"name": name})).await.is(201);
    made["enrolment"]["token"].as_str().unwrap().to_owned()
}

async fn enrol(stand: &Stand, token: &str, key: &KeyPair) -> Answer {
    let asked = json!({"token": token, "public_key": key.public_key(), "facts": facts()});
    ask(stand, &stand.anonymous, (Method::POST, "/api/v1/enrol"), Some(asked)).await
}

async fn renew(stand: &Stand, jwt: &Value, key: &KeyPair, time_ms: u64) -> Answer {
    let signed = format!("watchkeeper-renew\n{}\n{time_ms}", key.public_key());
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()).unwrap());
    let asked = json!({"jwt": jwt, "public_key": key.public_key(), "time": time_ms, "signature": signature});
    ask(stand, &stand.anonymous, (Method::POST, "/api/v1/enrol/renew"), Some(asked)).await
}

async fn has_status(stand: &Stand, host: &str, status: &str) {
    until(&format!("{host} is {status}"), async || {
        let shown = stand.json(&format!("/api/v1/hosts/{host}")).await;
        if shown["status"] == status { Ok(()) } else { Err(shown["status"].to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_comes_stays_and_is_cut_off() {
    let mut stand = Stand::new().await;
    let made =
        stand.post("/api/v1/hosts", json!({"name": "Web 1", "tags": ["eu"], "mounts": ["/"]})).await.is(201);
    let (host, given) = (&made["host"], &made["enrolment"]);
    assert_eq!((&host["host"], &host["enrolment"]["state"]), (&"web-1".into(), &"waiting".into()));
    let token = given["token"].as_str().unwrap();
    assert!(token.len() >= 27, "160 bits at least");
    assert_eq!(given["command"], format!("watchkeeper-agent enroll http://127.0.0.1:7171 {token}"));
    has_status(&stand, "web-1", "waiting").await;

    let key = KeyPair::new_user();
    let welcome = enrol(&stand, token, &key).await.is(200);
    assert_eq!(
        (&welcome["team"], &welcome["host"], &welcome["shard"]),
        (&"default".into(), &"web-1".into(), &"31".into())
    );
    assert_eq!((&welcome["interval_ms"], &welcome["mounts"]), (&5000.into(), &json!(["/"])));
    assert_eq!(welcome["nats_url"], stand.nats_url());
    let credential =
        read_agent(&Layout::new(stand.nats()), welcome["jwt"].as_str().unwrap()).unwrap().unwrap();
    assert_eq!((credential.host.as_str(), credential.key.as_str()), ("web-1", key.public_key().as_str()));
    has_status(&stand, "web-1", "activating").await;
    enrol(&stand, token, &KeyPair::new_user()).await.is(401);

    let sequence = stand.put("web-1").await;
    stand.shows("web-1", sequence).await;
    has_status(&stand, "web-1", "active").await;
    let renewed = renew(&stand, &welcome["jwt"], &key, now().0).await.is(200);
    assert!(renewed["jwt"].as_str().unwrap().len() > 100);
    assert_eq!((&renewed["interval_ms"], &renewed["mounts"]), (&json!(5000), &json!(["/"])), "{renewed}");

    let shown = stand.json("/api/v1/hosts/web-1").await;
    let again =
        stand.post("/api/v1/hosts/web-1/enrolment", json!({"revision": shown["revision"]})).await.is(201);
    has_status(&stand, "web-1", "waiting").await;
    renew(&stand, &renewed["jwt"], &key, now().0).await.is(401);
    let reused = enrol(&stand, again["token"].as_str().unwrap(), &key).await.is(400);
    assert_eq!(reused["errors"][0]["field"], "public_key");
    let another = KeyPair::new_user();
    enrol(&stand, again["token"].as_str().unwrap(), &another).await.is(200);
    let shown = stand.json("/api/v1/hosts/web-1").await;
    stand.delete(&format!("/api/v1/hosts/web-1?revision={}", shown["revision"])).await.is(204);
    assert_eq!(stand.get("/api/v1/hosts/web-1").await.status(), 404);
    renew(&stand, &welcome["jwt"], &another, now().0).await.is(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_who_try_one_token_exactly_one_succeeds() {
    let stand = Stand::new().await;
    let token = token(&stand, "db").await;
    let keys: Vec<KeyPair> = (0..RIVALS).map(|_| KeyPair::new_user()).collect();
    let tries = keys.iter().map(|key| enrol(&stand, &token, key));
    let answers = futures_util::future::join_all(tries).await;
    let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    let refused: BTreeSet<String> =
        answers.iter().filter(|it| it.status != 200).map(|it| it.body.to_string()).collect();
    assert_eq!(refused.len(), 1, "one text for all: {refused:?}");
    assert!(answers.iter().all(|it| matches!(it.status, 200 | 401)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_used_and_superseded_tokens_read_the_same() {
    let stand = Stand::new().await;
    let used = token(&stand, "used").await;
    enrol(&stand, &used, &KeyPair::new_user()).await.is(200);
    let superseded = token(&stand, "anew").await;
    let shown = stand.json("/api/v1/hosts/anew").await;
    stand.post("/api/v1/hosts/anew/enrolment", json!({"revision": shown["revision"]})).await.is(201);
    let of_removed = token(&stand, "gone").await;
    let shown = stand.json("/api/v1/hosts/gone").await;
    stand.delete(&format!("/api/v1/hosts/gone?revision={}", shown["revision"])).await.is(204);
    let mut texts = BTreeSet::new();
    for token in [used.as_str(), &superseded, &of_removed, "", "x", &"A".repeat(43)] {
        texts.insert(enrol(&stand, token, &KeyPair::new_user()).await.is(401).to_string());
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_for_what_is_not_its_own_is_refused() {
    let stand = Stand::new().await;
    let (token, key, thief) = (token(&stand, "web-1").await, KeyPair::new_user(), KeyPair::new_user());
    let jwt = enrol(&stand, &token, &key).await.is(200)["jwt"].clone();
    for (time_ms, field) in
        [(now().0 - 61_000, "time"), (now().0 + 61_000, "time"), (0, "time"), (u64::MAX, "time")]
    {
        assert_eq!(renew(&stand, &jwt, &key, time_ms).await.is(400)["errors"][0]["field"], field);
    }
    renew(&stand, &jwt, &thief, now().0).await.is(401);
    renew(&stand, &"x.y.z".into(), &key, now().0).await.is(401);
    let other = KeyPair::new_account();
    let forged = json!({"token": token, "public_key": other.public_key(), "facts": facts()});
    ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/enrol"), Some(forged)).await.is(400);
    for bad in [json!({"hostname": "x".repeat(129)}), json!({"ip": "x"}), json!([])] {
        let asked = json!({"token": token, "public_key": key.public_key(), "facts": bad});
        ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/enrol"), Some(asked)).await.is(400);
    }
    let audit = stand.json("/api/v1/audit?kind=enrol").await;
    let entry = &audit["items"][0];
    assert_eq!((&entry["object"], &entry["after"]["facts"]["arch"]), (&"web-1".into(), &"x86_64".into()));
    assert!(!audit.to_string().contains(&token) && !audit.to_string().contains(jwt.as_str().unwrap()));
}
