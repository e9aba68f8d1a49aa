//! ntfy against a server that keeps ntfy's documented limits.

use crate::hostile;
use crate::messages::{PAGE, line, message, open, test};
use crate::receiver::{Answer, Receiver, Request};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use watchkeeper_processors::notifier::channel::{Reply, Target, ntfy::Topic};
use watchkeeper_processors::notifier::message::{Line, Message};
use watchkeeper_schemas::notice::AnswerWord;
use watchkeeper_schemas::rule::Severity;

const TOKEN: &str = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2";
/// Bytes of a message that is no attachment.
const MESSAGE_BYTES_MAX: usize = 4096;
const TITLE_BYTES_MAX: usize = 250;

/// A server that takes `burst` messages before it wants a pause.
fn server(burst: u32) -> Receiver {
    let left = Mutex::new(burst);
    Receiver::start(move |request| {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Answer::status(403);
        }
        if let Err(why) = verify(request) {
            return Answer::Http(400, Vec::new(), json!({"code": 40_000, "error": why}).to_string().into());
        }
        let mut left = left.lock().unwrap();
        if *left == 0 {
            return Answer::Http(429, vec![("Retry-After", "5".to_owned())], b"{\"code\":42901}".to_vec());
        }
        *left -= 1;
        Answer::Http(200, Vec::new(), json!({"id": "sPs71M8A2T", "event": "message"}).to_string().into())
    })
}

/// What docs.ntfy.sh says of publishing as JSON.
fn verify(request: &Request) -> Result<(), String> {
    let told: Value = serde_json::from_slice(&request.body).map_err(|it| it.to_string())?;
    let text = |name: &str| told[name].as_str().ok_or_else(|| format!("{name} is no text"));
    let topic = text("topic")?;
    let is_topic = (1..=64).contains(&topic.len())
        && topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let is_link = |it: &Value| it.as_str().is_some_and(|it| it.starts_with(PAGE));
    let actions = told["actions"].as_array().cloned().unwrap_or_default();
    let is_action = |it: &Value| it["action"] == "view" && it["label"].is_string() && is_link(&it["url"]);
    let keys = ["actions", "click", "message", "priority", "tags", "title", "topic"];
    for (holds, what) in [
        (request.method == "POST" && request.path == "/", "not to the root"),
        (is_topic, "topic"),
        ((1..=MESSAGE_BYTES_MAX).contains(&text("message")?.len()), "message"),
        ((1..=TITLE_BYTES_MAX).contains(&text("title")?.len()), "title"),
        (told["priority"].as_u64().is_some_and(|it| (1..=5).contains(&it)), "priority"),
        (told["tags"].as_array().is_some_and(|it| it.iter().all(Value::is_string)), "tags"),
        (is_link(&told["click"]), "click"),
        (actions.len() <= 3 && actions.iter().all(is_action), "actions"),
        (told.as_object().unwrap().keys().all(|key| keys.contains(&key.as_str())), "an unknown key"),
    ] {
        if !holds {
            return Err(format!("{what}: {told}"));
        }
    }
    Ok(())
}

fn topic(receiver: &Receiver) -> Target {
    let server = format!("http://127.0.0.1:{}", receiver.port);
    Target::Ntfy(Topic { server, topic: "alerts_8".to_owned(), token: Some(TOKEN.to_owned()) })
}

#[tokio::test]
async fn priority_tag_and_link_follow_the_message() {
    let receiver = server(60);
    let over = Line { is_over: true, ..line() };
    let warning = Line { level: Severity::Warning, ..line() };
    let info = Line { level: Severity::Info, ..line() };
    for (sent, priority, tag) in [
        (message(vec![line()]), 5, "rotating_light"),
        (message(vec![warning.clone(), over.clone()]), 4, "warning"),
        (message(vec![info]), 3, "information_source"),
        (message(vec![over]), 3, "white_check_mark"),
        (Message { silent: true, ..message(vec![warning]) }, 2, "warning"),
        (test(), 3, "bell"),
    ] {
        let reply = topic(&receiver).send(&open(), &sent).await;
        assert_eq!(reply, Reply::delivered("HTTP 200", Some("sPs71M8A2T".to_owned())));
        let told = receiver.seen().pop().unwrap().json();
        assert_eq!((&told["priority"], &told["tags"]), (&json!(priority), &json!([tag])), "{told}");
    }
    let first = receiver.seen().swap_remove(0).json();
    assert_eq!(first["title"], "Critical: web-1: Disks /srv");
    let told = "Critical: web-1: Disks /srv\n97.2 % (> 90 %) · since 2026-09-21 14:13:20 UTC · worst 98.1 % · \
                2 short episodes before";
    assert_eq!((&first["message"], &first["click"]), (&json!(told), &json!(line().link)));
}

#[tokio::test]
async fn five_hundred_alerts_have_their_place_in_one_message() {
    let receiver = server(60);
    let reply = topic(&receiver).send(&open(), &message(vec![line(); 500])).await;
    assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?}");
    let told = receiver.seen().pop().unwrap().json();
    let text = told["message"].as_str().unwrap();
    let said = text.matches("Critical").count();
    assert!(said > 20 && text.ends_with(&format!("… and {} more on the page", 500 - said)), "{text}");
    assert_eq!(told["click"], format!("{PAGE}alerts"));
}

#[tokio::test]
async fn limits_and_refusals_are_told_apart() {
    let receiver = server(2);
    for _ in 0..2 {
        assert_eq!(topic(&receiver).send(&open(), &test()).await.answer, AnswerWord::Delivered);
    }
    let limited = topic(&receiver).send(&open(), &test()).await;
    assert_eq!((limited.answer, limited.retry_after), (AnswerWord::NotNow, Some(Duration::from_secs(5))));
    let Target::Ntfy(right) = topic(&receiver) else { unreachable!() };
    for token in [None, Some("tk_wrong".to_owned()), Some("a\r\nX-Evil: 1".to_owned())] {
        let wrong = Target::Ntfy(Topic { token, ..right.clone() }).send(&open(), &test()).await;
        assert_eq!(wrong.answer, AnswerWord::Refused, "{wrong:?}");
    }
    assert!(receiver.seen().iter().all(|it| it.header("x-evil").is_none()));
    let unfit = Target::Ntfy(Topic { topic: "a b".to_owned(), ..right }).send(&open(), &test()).await;
    assert_eq!((unfit.answer, unfit.detail.as_str()), (AnswerWord::Refused, "HTTP 400"));
    // An id that is none is not handed on.
    let strange = Receiver::start(|_| Answer::Http(200, Vec::new(), br#"{"id":"<b>secret</b>"}"#.to_vec()));
    assert_eq!(topic(&strange).send(&open(), &test()).await, Reply::delivered("HTTP 200", None));
}

#[tokio::test]
async fn ten_thousand_hostile_names_are_only_text() {
    let receiver = server(u32::MAX);
    let outgoing = open();
    for sent in hostile::messages(4) {
        let reply = topic(&receiver).send(&outgoing, &sent).await;
        assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?} {:?}", receiver.seen().pop());
        let told = receiver.seen().pop().unwrap().json();
        for text in [&told["message"], &told["title"]] {
            hostile::check_text(text.as_str().unwrap());
        }
        assert_eq!(told["message"].as_str().unwrap().split("\n\n").count(), 4, "{told}");
    }
}
