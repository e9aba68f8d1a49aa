//! Incoming webhooks of chat programs, in Slack's form or Discord's. Nothing from elsewhere is markup there, nobody is
//! called by name.

use super::Reply;
use super::words::{self, Form, utf16};
use crate::notifier::message::{Body, Message};
use crate::notifier::outgoing::{Answered, Call, Outgoing};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use watchkeeper_schemas::receiver::ChatroomForm;

/// Slack: blocks of a message, and characters of a section.
const BLOCKS_MAX: usize = 50;
const SECTION_MAX: usize = 3000;
/// Blocks beside those of the lines: before them, how many had no place, and the link.
const OTHER_BLOCKS: usize = 3;
/// Discord: characters of a message.
const CONTENT_MAX: usize = 2000;
/// Discord: no preview of links; no sound.
const SUPPRESS_EMBEDS: u32 = 1 << 2;
const SUPPRESS_NOTIFICATIONS: u32 = 1 << 12;
/// Digits of Discord's id of a message.
const ID_DIGITS_MAX: usize = 20;
/// What Slack says when it refuses, as documented; nothing else of an answer is shown.
const SLACK_WORDS: [&str; 14] = [
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_payload",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "no_text",
    "posting_to_general_channel_denied",
    "team_disabled",
    "too_many_attachments",
    "user_not_found",
];

/// Slack's own texts, which know no markup: three characters are written as entities.
const SLACK_PLAIN: Form = Form { escape: entity, size: utf16 };
/// The text that Mattermost and Rocket.Chat show, and Slack in its notifications: Markdown.
const SLACK_MARKDOWN: Form = Form {
    escape: |c, text| {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '#' | ':' | '$') {
            text.push('\\');
        }
        entity(c, text);
    },
    size: utf16,
};
const DISCORD: Form = Form {
    escape: |c, text| {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '/' | '%') {
            text.push('\\');
        }
        text.push(c);
    },
    size: utf16,
};

fn entity(c: char, text: &mut String) {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        c => text.push(c),
    }
}

/// A room of a chat program.
#[derive(Clone)]
pub struct Room {
    /// Whose form it takes.
    pub form: ChatroomForm,
    /// The URL, which is secret.
    pub url: String,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Room {
    /// Sends a message.
    pub async fn send(&self, outgoing: &Outgoing, message: &Message) -> Reply {
        let (url, body) = match self.form {
            ChatroomForm::Slack => (self.url.clone(), slack(message)),
            ChatroomForm::Discord => (waiting(&self.url), discord(message)),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        match outgoing.post(Call { url, headers, body: body.to_string().into_bytes() }).await {
            Ok(answered) => self.judged(&answered),
            Err(reply) => reply,
        }
    }

    fn judged(&self, answered: &Answered) -> Reply {
        let reply = Reply::to_status(answered);
        match (self.form, answered.status) {
            (ChatroomForm::Discord, 200..300) => Reply { message: discord_id(&answered.body), ..reply },
            (ChatroomForm::Discord, 401 | 404) => {
                Reply { detail: format!("{}: Discord knows no such webhook", reply.detail), ..reply }
            }
            (ChatroomForm::Slack, 400..600) => {
                let said = std::str::from_utf8(&answered.body).unwrap_or_default().trim();
                let word = SLACK_WORDS.into_iter().find(|word| *word == said);
                let detail = word.map_or(reply.detail.clone(), |word| format!("{}: {word}", reply.detail));
                Reply { detail, ..reply }
            }
            (ChatroomForm::Slack | ChatroomForm::Discord, _) => reply,
        }
    }
}

/// Discord tells the id of a message to who waits for it to be stored.
fn waiting(url: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}wait=true")
}

fn discord_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Stored {
        id: String,
    }
    let Stored { id } = serde_json::from_slice(body).ok()?;
    (id.len() <= ID_DIGITS_MAX && id.bytes().all(|b| b.is_ascii_digit())).then_some(id)
}

fn slack(message: &Message) -> Value {
    let lines = words::lines(message);
    let plain = |text: String| json!({ "type": "plain_text", "text": text, "emoji": false });
    let section = |text: String| json!({ "type": "section", "text": plain(text) });
    let said = SLACK_PLAIN.beginning(message).join("\n");
    let mut blocks: Vec<Value> = Vec::new();
    if !said.is_empty() {
        blocks.push(section(said));
    }
    for line in lines.iter().take(BLOCKS_MAX - OTHER_BLOCKS) {
        let text = format!("{}\n{}", SLACK_PLAIN.headline(line), SLACK_PLAIN.facts(line));
        debug_assert!(utf16(&text) <= SECTION_MAX, "pieces are cut to less");
        let mut block = section(text);
        if let Some(url) = words::link(&line.link) {
            block["fields"] = json!([slack_link(&url)]);
        }
        blocks.push(block);
    }
    let rest = lines.len().saturating_sub(BLOCKS_MAX - OTHER_BLOCKS);
    if rest > 0 {
        blocks.push(section(words::left_out(rest)));
    }
    if let (Some(url), false) = (words::page(message), lines.len() == 1) {
        blocks.push(json!({ "type": "context", "elements": [slack_link(&url)] }));
    }
    let text = SLACK_MARKDOWN.whole(message, SECTION_MAX, |line| {
        let link = words::link(&line.link).map(|url| SLACK_PLAIN.ours(&url)).unwrap_or_default();
        // No line begins with what is from elsewhere: it would be a list or a heading.
        format!("{}\n· {}\n{link}", SLACK_MARKDOWN.headline(line), SLACK_MARKDOWN.facts(line))
    });
    json!({ "text": text, "mrkdwn": false, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

fn slack_link(url: &str) -> Value {
    json!({ "type": "mrkdwn", "text": format!("<{}|Open>", SLACK_PLAIN.ours(url)), "verbatim": true })
}

fn discord(message: &Message) -> Value {
    let page = match &message.body {
        Body::Test { .. } => words::page(message),
        Body::Alerts { .. } => None,
    };
    let page = page.map(|url| format!("\n<{url}>")).unwrap_or_default();
    let content = DISCORD.whole(message, CONTENT_MAX - utf16(&page), |line| {
        let link = words::link(&line.link).map(|url| format!("\n<{url}>")).unwrap_or_default();
        format!("**{}**\n{}{link}", DISCORD.headline(line), DISCORD.facts(line))
    });
    let sound = if message.silent { SUPPRESS_NOTIFICATIONS } else { 0 };
    json!({
        "content": format!("{content}{page}"),
        "allowed_mentions": { "parse": [] },
        "flags": SUPPRESS_EMBEDS | sound,
    })
}
