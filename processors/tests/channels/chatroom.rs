//! Chat programs against receivers that keep their documented forms and read markup as they do.

use crate::hostile;
use crate::messages::{PAGE, line, message, open, test};
use crate::receiver::{Answer, Receiver, Request};
use serde_json::{Value, json};
use std::time::Duration;
use watchkeeper_processors::notifier::channel::{Reply, Target, chatroom::Room};
use watchkeeper_processors::notifier::message::Message;
use watchkeeper_schemas::notice::AnswerWord;
use watchkeeper_schemas::receiver::ChatroomForm;

const BLOCKS_MAX: usize = 50;
const SECTION_MAX: usize = 3000;
const CONTENT_MAX: usize = 2000;

fn slack() -> Receiver {
    Receiver::start(|request| match verify_slack(request) {
        Ok(()) => Answer::Http(200, Vec::new(), b"ok".to_vec()),
        Err(why) => panic!("{why}"),
    })
}

fn discord() -> Receiver {
    Receiver::start(|request| match verify_discord(request) {
        Ok(()) => Answer::Http(200, Vec::new(), br#"{"id":"1234567890123456789"}"#.to_vec()),
        Err(why) => panic!("{why}"),
    })
}

fn room(form: ChatroomForm, receiver: &Receiver) -> Target {
    Target::Chatroom(Room { form, url: receiver.url() })
}

/// Form, lengths, and what would render.
fn verify_slack(request: &Request) -> Result<(), String> {
    let told = request.json();
    let blocks = told["blocks"].as_array().ok_or("no blocks")?;
    if blocks.is_empty() || blocks.len() > BLOCKS_MAX {
        return Err(format!("{} blocks", blocks.len()));
    }
    for block in blocks {
        match block["type"].as_str() {
            Some("section") => {
                slack_text(&block["text"])?;
                block["fields"].as_array().into_iter().flatten().try_for_each(slack_text)?;
            }
            Some("context") => {
                block["elements"].as_array().ok_or("no elements")?.iter().try_for_each(slack_text)?
            }
            _ => return Err(format!("another block: {block}")),
        }
    }
    let text = told["text"].as_str().filter(|it| !it.is_empty() && it.encode_utf16().count() <= SECTION_MAX);
    markdown(text.ok_or("text")?)?;
    if told["mrkdwn"] == false { Ok(()) } else { Err(told.to_string()) }
}

/// One text of a block. Markup is read in `mrkdwn` alone, where nothing but a link of ours may stand.
fn slack_text(text: &Value) -> Result<(), String> {
    let said = text["text"].as_str().ok_or_else(|| format!("no text: {text}"))?;
    let is_link = || said.strip_prefix(&format!("<{PAGE}")).and_then(|it| it.strip_suffix("|Open>"));
    match text["type"].as_str() {
        Some("plain_text") if !said.is_empty() && said.encode_utf16().count() <= SECTION_MAX => {
            hostile::check_text(&entities(said)?);
            Ok(())
        }
        Some("mrkdwn") if is_link().is_some_and(|it| !it.contains(['<', '>', '|', '&', ' '])) => Ok(()),
        _ => Err(format!("{text}")),
    }
}

/// Reads the three entities; anything else that begins or looks like one is an error.
fn entities(text: &str) -> Result<String, String> {
    let mut read = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let known =
            [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')].into_iter().find(|(it, _)| rest.starts_with(it));
        match known {
            Some((entity, means)) => {
                read.push(means);
                rest = &rest[entity.len()..];
            }
            None if matches!(c, '<' | '>' | '&') => return Err(format!("{c} is not escaped: {text}")),
            None => {
                read.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(read)
}

/// Markdown as Mattermost reads it: every mark of it is escaped, but for our links, which stand alone in their lines.
fn markdown(text: &str) -> Result<(), String> {
    for line in text.lines().filter(|line| !line.starts_with(PAGE)) {
        let read = entities(line)?;
        hostile::check_text(&read);
        let first = line.chars().next().unwrap_or('a');
        let marks = marks(&read, "*_~`[]|#");
        if !marks.is_empty() || !(first.is_ascii_alphanumeric() || matches!(first, '·' | '…')) {
            return Err(format!("{marks:?} renders: {line}"));
        }
    }
    Ok(())
}

/// Characters of these that no backslash stands before.
fn marks(text: &str, those: &str) -> Vec<char> {
    let (mut found, mut is_escaped) = (Vec::new(), false);
    for c in text.chars() {
        if !is_escaped && those.contains(c) {
            found.push(c);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    if is_escaped {
        found.push('\\');
    }
    found
}

fn verify_discord(request: &Request) -> Result<(), String> {
    let told = request.json();
    let content = told["content"].as_str().ok_or("no content")?;
    let keys = ["allowed_mentions", "content", "flags"];
    let is_form = told.as_object().unwrap().keys().all(|key| keys.contains(&key.as_str()));
    if !is_form
        || !request.path.ends_with("?secret=7&wait=true")
        || told["allowed_mentions"] != json!({"parse": []})
    {
        return Err(format!("{} {told}", request.path));
    }
    if content.is_empty() || content.encode_utf16().count() > CONTENT_MAX {
        return Err(format!("{} characters", content.len()));
    }
    for line in content.lines() {
        let is_link = line.strip_prefix(&format!("<{PAGE}")).and_then(|it| it.strip_suffix('>'));
        if is_link.is_some_and(|it| !it.contains(['<', '>', ' '])) {
            continue;
        }
        let line = line.strip_prefix("**").and_then(|it| it.strip_suffix("**")).unwrap_or(line);
        let marks = marks(line, "*_~`[]|#<>@-&");
        // Moments are ours and hold what begins a list only at the beginning of a line.
        let ours = |c: &char| *c == '-' && !line.starts_with('-');
        if !marks.iter().all(ours) {
            return Err(format!("{marks:?} renders: {line}"));
        }
        hostile::check_text(&line.replace('\\', ""));
    }
    Ok(())
}

#[tokio::test]
async fn slack_shows_a_section_for_each_episode() {
    let receiver = slack();
    let slack = room(ChatroomForm::Slack, &receiver);
    assert_eq!(slack.send(&open(), &message(vec![line()])).await, Reply::delivered("HTTP 200", None));
    let told = receiver.seen().pop().unwrap().json();
    let text = "Critical: web-1: Disks /srv\n97.2 % (&gt; 90 %) · since 2026-09-21 14:13:20 UTC · worst 98.1 % · \
                2 short episodes before";
    let block = json!({
        "type": "section",
        "text": {"type": "plain_text", "text": text, "emoji": false},
        "fields": [{"type": "mrkdwn", "text": format!("<{}|Open>", line().link), "verbatim": true}],
    });
    assert_eq!(told["blocks"], json!([block]));
    for sent in
        [test(), message(vec![line(); 500]), Message { possible_repeat: true, ..message(vec![line(); 49]) }]
    {
        let reply = slack.send(&open(), &sent).await;
        assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?}");
    }
    let blocks = receiver.seen().swap_remove(2).json()["blocks"].as_array().unwrap().clone();
    assert_eq!((blocks.len(), &blocks[47]["text"]["text"]), (49, &json!("… and 453 more on the page")));
}

#[tokio::test]
async fn discord_is_told_in_two_thousand_characters() {
    let receiver = discord();
    let discord = room(ChatroomForm::Discord, &receiver);
    let reply = discord.send(&open(), &message(vec![line()])).await;
    assert_eq!(reply, Reply::delivered("HTTP 200", Some("1234567890123456789".to_owned())));
    let told = receiver.seen().pop().unwrap().json();
    let text = "**Critical: web\\-1: Disks /srv**\n97.2 % \\(\\> 90 %\\) · since 2026-09-21 14:13:20 UTC · \
                worst 98.1 % · 2 short episodes before";
    assert_eq!(told["content"], format!("{text}\n<{}>", line().link));
    let silent = Message { silent: true, ..message(vec![line(); 500]) };
    for sent in [test(), silent] {
        let reply = discord.send(&open(), &sent).await;
        assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?}");
    }
    assert_eq!(receiver.seen().pop().unwrap().json()["flags"], (1 << 2) | (1 << 12));
}

#[tokio::test]
async fn what_slack_and_discord_refuse_is_said_in_their_known_words() {
    let answered = async |form, status, body: &'static str| {
        let limits = vec![("Retry-After", "3".to_owned())];
        let receiver = Receiver::start(move |_: &Request| {
            Answer::Http(status, limits.clone(), body.as_bytes().to_vec())
        });
        room(form, &receiver).send(&open(), &test()).await
    };
    for (status, word) in [
        (403, "invalid_token"),
        (404, "no_service"),
        (410, "channel_is_archived"),
        (400, "invalid_payload"),
        (403, "action_prohibited"),
    ] {
        let reply = answered(ChatroomForm::Slack, status, word).await;
        assert_eq!(reply, Reply::refused(format!("HTTP {status}: {word}")));
    }
    let unknown = answered(ChatroomForm::Slack, 403, "the secret of another").await;
    assert_eq!(unknown, Reply::refused("HTTP 403"));
    let gone = answered(ChatroomForm::Discord, 404, r#"{"message": "Unknown Webhook", "code": 10015}"#).await;
    assert_eq!(gone, Reply::refused("HTTP 404: Discord knows no such webhook"));
    for form in [ChatroomForm::Slack, ChatroomForm::Discord] {
        let limited = answered(form, 429, "rate_limited").await;
        assert_eq!((limited.answer, limited.retry_after), (AnswerWord::NotNow, Some(Duration::from_secs(3))));
        assert_eq!(answered(form, 500, "rollup_error").await.answer, AnswerWord::NotNow);
    }
}

#[tokio::test]
async fn ten_thousand_hostile_names_render_nowhere() {
    let (slack, discord) = (slack(), discord());
    let outgoing = open();
    for (room, lines) in [(room(ChatroomForm::Slack, &slack), 3), (room(ChatroomForm::Discord, &discord), 1)]
    {
        for sent in hostile::messages(lines) {
            let reply = room.send(&outgoing, &sent).await;
            assert_eq!(reply.answer, AnswerWord::Delivered, "{reply:?}");
        }
    }
    let texts = slack.seen().into_iter().map(|it| it.json()["text"].clone());
    let texts = texts.chain(discord.seen().into_iter().map(|it| it.json()["content"].clone()));
    assert!(
        texts.into_iter().all(|it| !it.as_str().unwrap().contains("more on the page")),
        "a name was left out"
    );
}
