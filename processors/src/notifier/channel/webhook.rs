//! Webhooks: a POST of a `CloudEvent` as JSON, signed so that its receiver knows who sent it and when.

use super::Reply;
use crate::notifier::message::{Body, Line, Message};
use crate::notifier::outgoing::{Call, Outgoing};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use ring::hmac;
use std::fmt;
use watchkeeper_schemas::notice_event::{
    EventNotice, NOTICE_EVENT_TYPE, NOTICES_MAX, NoticeData, NoticeEvent, NoticeState, TEST_EVENT_TYPE,
    TestData, TestEvent,
};

/// When it was signed, in Unix seconds; part of what is signed.
pub const TIMESTAMP_HEADER: &str = "Watchkeeper-Timestamp";
/// `v1=` and the HMAC-SHA256 over `<timestamp>.<body>` in hexadecimal.
pub const SIGNATURE_HEADER: &str = "Watchkeeper-Signature";
/// The message's id: the same for every attempt.
pub const DELIVERY_HEADER: &str = "Watchkeeper-Delivery";

/// Where a webhook goes, and what signs it.
#[derive(Clone)]
pub struct Hook {
    /// The URL, which may hold what is secret.
    pub url: String,
    /// The key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(…)")
    }
}

impl Hook {
    /// Sends a message.
    pub async fn send(&self, outgoing: &Outgoing, message: &Message) -> Reply {
        let body = match event(message) {
            Ok(body) => body,
            Err(_) => return Reply::refused("the message cannot be written as JSON"),
        };
        let timestamp = Timestamp::now().as_second();
        let headers = vec![
            ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
            (TIMESTAMP_HEADER, timestamp.to_string()),
            (SIGNATURE_HEADER, signature(&self.key, timestamp, &body)),
            (DELIVERY_HEADER, message.id.clone()),
        ];
        match outgoing.post(Call { url: self.url.clone(), headers, body }).await {
            Ok(answered) => Reply::to_status(&answered),
            Err(reply) => reply,
        }
    }
}

fn signature(key: &[u8], timestamp: i64, body: &[u8]) -> String {
    let mut signed = format!("{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
    format!("v1={}", HEXLOWER.encode(made.as_ref()))
}

/// The event that a message becomes.
fn event(message: &Message) -> serde_json::Result<Vec<u8>> {
    let (id, time) = (message.id.clone(), message.time);
    let source = format!("/teams/{}/receivers/{}", message.team, message.receiver);
    let (team, team_name) = (message.team.clone(), message.team_name.clone());
    let receiver = message.receiver.clone();
    match &message.body {
        Body::Test { by, link } => {
            let (by, link) = (by.clone(), link.clone());
            let data = TestData { v: 1, team, team_name, receiver, by, link };
            serde_json::to_vec(&TestEvent::new(TEST_EVENT_TYPE, source, id, time, data))
        }
        Body::Alerts { lines, link } => {
            let notices: Vec<EventNotice> = lines.iter().take(NOTICES_MAX).map(notice).collect();
            let data = NoticeData {
                v: 1,
                team,
                team_name,
                receiver,
                possible_repeat: message.possible_repeat,
                silent: message.silent,
                left_out: u32::try_from(lines.len() - notices.len()).unwrap_or(u32::MAX),
                notices,
                link: link.clone(),
            };
            serde_json::to_vec(&NoticeEvent::new(NOTICE_EVENT_TYPE, source, id, time, data))
        }
    }
}

fn notice(line: &Line) -> EventNotice {
    EventNotice {
        episode: line.episode.clone(),
        rule: line.rule.clone(),
        host: line.host.clone(),
        series: line.series.clone(),
        notice: line.notice,
        level: line.level,
        state: if line.is_over { NoticeState::Over } else { NoticeState::Open },
        what: line.what.clone(),
        since: line.since,
        duration_ms: line.duration_ms,
        peak: line.peak.clone(),
        note: line.note.clone(),
        link: line.link.clone(),
    }
}

#[cfg(test)]
mod tests;
