//! Webhooks against a receiver that verifies signature, time and schema.

use crate::messages::{line, message, open, test};
use crate::receiver::{Answer, Receiver, Request};
use ring::hmac;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchkeeper_processors::notifier::channel::{Reply, Target, webhook::Hook};
use watchkeeper_processors::notifier::message::{Line, Message};
use watchkeeper_schemas::notice::AnswerWord;

const KEY: &[u8; 32] = b"thirty-two bytes that sign hooks";
/// A signature older than this is a replay, in seconds.
const AGE_MAX_S: u64 = 300;

/// Takes what is signed and has the published form; says what is wrong with the rest.
pub(crate) fn takes(request: &Request) -> Answer {
    match verify(request) {
        Ok(()) => Answer::status(204),
        Err(why) => Answer::Http(400, Vec::new(), why.into_bytes()),
    }
}

fn verify(request: &Request) -> Result<(), String> {
    let header = |name: &str| request.header(name).ok_or_else(|| format!("no {name}"));
    let timestamp = header("watchkeeper-timestamp")?;
    let signature = header("watchkeeper-signature")?.strip_prefix("v1=").ok_or("another version")?;
    let signature = data_encoding::HEXLOWER.decode(signature.as_bytes()).map_err(|it| it.to_string())?;
    let signed = [timestamp.as_bytes(), b".", &request.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    hmac::verify(&key, &signed, &signature).map_err(|_| "the signature is another's")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let age = now.abs_diff(timestamp.parse().map_err(|_| "no time")?);
    let event: Value = serde_json::from_slice(&request.body).map_err(|it| it.to_string())?;
    let file = match event["type"].as_str() {
        Some("watchkeeper.notice.v1") => "notice-event.json",
        Some("watchkeeper.test.v1") => "notice-test-event.json",
        _ => return Err("an unknown type".to_owned()),
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json");
    let schema: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    jsonschema::validate(&schema, &event).map_err(|it| it.to_string())?;
    let is_right = request.method == "POST"
        && age <= AGE_MAX_S
        && header("content-type")?.starts_with("application/cloudevents+json")
        && event["id"] == *header("watchkeeper-delivery")?;
    if is_right { Ok(()) } else { Err(format!("{request:?}")) }
}

fn target(receiver: &Receiver) -> Target {
    Target::Webhook(Hook { url: receiver.url(), key: KEY.to_vec() })
}

async fn answered(status: u16, retry_after: Option<&str>) -> Reply {
    let header = retry_after.map(|it| ("Retry-After", it.to_owned()));
    let secret = b"what the address answers".to_vec();
    let answer =
        move |_: &Request| Answer::Http(status, header.clone().into_iter().collect(), secret.clone());
    let receiver = Receiver::start(answer);
    let reply = target(&receiver).send(&open(), &message(vec![line()])).await;
    assert!(!reply.detail.contains("answers"), "{reply:?}");
    assert!(reply.detail.contains(&status.to_string()), "{reply:?}");
    reply
}

#[tokio::test]
async fn an_event_is_signed_and_says_everything() {
    let receiver = Receiver::start(takes);
    let over = Line { is_over: true, duration_ms: Some(90_000), host: None, ..line() };
    let sent = Message { possible_repeat: true, ..message(vec![line(), over]) };
    let reply = target(&receiver).send(&open(), &sent).await;
    assert_eq!(reply, Reply::delivered("HTTP 204", None));
    let event = receiver.seen().pop().unwrap().json();
    assert_eq!(event["source"], "/teams/acme/receivers/ops");
    assert_eq!(event["time"], "2026-09-21T14:15:20.000Z");
    let data = &event["data"];
    assert_eq!(
        (&data["team"], &data["possible_repeat"], &data["left_out"]),
        (&json!("acme"), &json!(true), &json!(0))
    );
    assert_eq!(
        data["notices"][0],
        json!({
            "episode": "disks~web-1~4711~00112233445566ff", "rule": "Disks", "host": "web-1", "series": "/srv",
            "notice": "firing", "level": "critical", "state": "open", "what": "97.2 % (> 90 %)",
            "since": "2026-09-21T14:13:20.000Z", "duration_ms": null, "peak": "98.1 %",
            "note": "2 short episodes before", "link": line().link,
        })
    );
    assert_eq!(
        (&data["notices"][1]["state"], &data["notices"][1]["duration_ms"]),
        (&json!("over"), &json!(90_000))
    );
    assert_eq!(target(&receiver).send(&open(), &test()).await.answer, AnswerWord::Delivered);
    let another = Target::Webhook(Hook { url: receiver.url(), key: b"another".to_vec() });
    assert_eq!(another.send(&open(), &test()).await.answer, AnswerWord::Refused);
}

#[tokio::test]
async fn an_event_holds_a_thousand_notices_and_counts_the_rest() {
    let receiver = Receiver::start(takes);
    let reply = target(&receiver).send(&open(), &message(vec![line(); 1_234])).await;
    assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?}");
    let data = &receiver.seen().pop().unwrap().json()["data"];
    assert_eq!((data["notices"].as_array().unwrap().len(), &data["left_out"]), (1_000, &json!(234)));
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for status in [200, 201, 202, 204] {
        assert_eq!(answered(status, None).await.answer, AnswerWord::Delivered, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(answered(status, None).await.answer, AnswerWord::NotNow, "{status}");
    }
    for status in [300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
        assert_eq!(answered(status, None).await.answer, AnswerWord::Refused, "{status}");
    }
    for status in [429, 503] {
        assert_eq!(answered(status, Some("17")).await.retry_after, Some(Duration::from_secs(17)));
    }
}
