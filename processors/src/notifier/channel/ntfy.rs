//! ntfy: a message for a topic, published as JSON to the server's root.

use super::Reply;
use super::words::{self, PLAIN};
use crate::notifier::message::{Body, Message};
use crate::notifier::outgoing::{Answered, Call, Outgoing};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use watchkeeper_schemas::rule::Severity;

/// Bytes of a message; ntfy makes an attachment of a longer one.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes of a title, which phones show in a line or two.
const TITLE_BYTES_MAX: usize = 250;
/// Characters of the id that a server gives a message.
const ID_CHARS_MAX: usize = 64;

/// A topic of a server.
#[derive(Clone)]
pub struct Topic {
    /// The server, as `https://ntfy.sh`.
    pub server: String,
    /// The topic.
    pub topic: String,
    /// An access token.
    pub token: Option<String>,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Topic {
    /// Sends a message.
    pub async fn send(&self, outgoing: &Outgoing, message: &Message) -> Reply {
        let url = format!("{}/", self.server.trim_end_matches('/'));
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        let body = self.publication(message).to_string().into_bytes();
        match outgoing.post(Call { url, headers, body }).await {
            Ok(answered) => judged(&answered),
            Err(reply) => reply,
        }
    }

    /// What is published.
    fn publication(&self, message: &Message) -> Value {
        let told = PLAIN.whole(message, MESSAGE_BYTES_MAX, |line| {
            format!("{}\n{}", PLAIN.headline(line), PLAIN.facts(line))
        });
        let mut publication = json!({
            "topic": self.topic,
            "title": PLAIN.piece(&PLAIN.title(message), TITLE_BYTES_MAX),
            "message": told,
            "priority": priority(message),
            "tags": [tag(message)],
        });
        if let Some(page) = words::page(message) {
            publication["actions"] = json!([{ "action": "view", "label": "Open", "url": page }]);
            publication["click"] = json!(page);
        }
        publication
    }
}

/// 5 wakes, 2 makes no sound.
fn priority(message: &Message) -> u8 {
    match words::worst(message) {
        _ if message.silent => 2,
        Some(Severity::Critical) => 5,
        Some(Severity::Warning) => 4,
        Some(Severity::Info) | None => 3,
    }
}

/// An emoji by its name.
fn tag(message: &Message) -> &'static str {
    match (&message.body, words::worst(message)) {
        (Body::Test { .. }, _) => "bell",
        (_, Some(Severity::Critical)) => "rotating_light",
        (_, Some(Severity::Warning)) => "warning",
        (_, Some(Severity::Info)) => "information_source",
        (_, None) => "white_check_mark",
    }
}

#[derive(Deserialize)]
struct Published {
    id: String,
}

fn judged(answered: &Answered) -> Reply {
    let reply = Reply::to_status(answered);
    let why = match answered.status {
        200..300 => {
            let id = serde_json::from_slice::<Published>(&answered.body).map(|it| it.id).ok();
            let is_id =
                |id: &String| id.len() <= ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric());
            return Reply { message: id.filter(is_id), ..reply };
        }
        401 | 403 => ": the token may not write to this topic",
        404 => ": there is no ntfy at this address",
        413 => ": the server takes no message of this size",
        429 => ": the server's limit is reached",
        _ => "",
    };
    Reply { detail: format!("{}{why}", reply.detail), ..reply }
}
