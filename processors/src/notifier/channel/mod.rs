//! Channels: how a message is handed over. One closed list; each turns a message into its own form and an answer into
//! one of four.

pub mod chatroom;
pub mod email;
pub mod ntfy;
pub mod telegram;
pub mod webhook;
mod words;

use crate::notifier::message::Message;
use crate::notifier::outgoing::{Answered, Outgoing};
use std::time::Duration;
use watchkeeper_schemas::notice::AnswerWord;

/// Where a message goes: a receiver's channel with its secret, opened.
#[derive(Debug, Clone)]
pub enum Target {
    /// A chat of Telegram.
    Telegram(telegram::Chat),
    /// E-mail.
    Email(email::Mailbox),
    /// A signed POST of a `CloudEvent`.
    Webhook(webhook::Hook),
    /// A topic of an ntfy server.
    Ntfy(ntfy::Topic),
    /// A room of a chat program.
    Chatroom(chatroom::Room),
}

/// What a channel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether it took the message.
    pub answer: AnswerWord,
    /// In words, as far as they may be shown: never what a URL that a person chose answered.
    pub detail: String,
    /// The channel's id of the message.
    pub message: Option<String>,
    /// When the channel wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Target {
    /// Hands a message over. HTTP takes [`outgoing::ANSWER_MAX`](crate::notifier::outgoing::ANSWER_MAX) at most, e-mail
    /// twice that; where all calls are taken, each waits up to 5 s before for its turn.
    pub async fn send(&self, outgoing: &Outgoing, message: &Message) -> Reply {
        match self {
            Self::Telegram(chat) => chat.send(message).await,
            Self::Email(mailbox) => mailbox.send(outgoing, message).await,
            Self::Webhook(hook) => hook.send(outgoing, message).await,
            Self::Ntfy(topic) => topic.send(outgoing, message).await,
            Self::Chatroom(room) => room.send(outgoing, message).await,
        }
    }
}

impl Reply {
    /// The channel took it.
    #[must_use]
    pub fn delivered(detail: impl Into<String>, message: Option<String>) -> Self {
        Self { message, ..Self::of(AnswerWord::Delivered, detail) }
    }

    /// The channel certainly did not take it, now.
    #[must_use]
    pub fn not_now(detail: impl Into<String>) -> Self {
        Self::of(AnswerWord::NotNow, detail)
    }

    /// It is not known whether the channel took it.
    #[must_use]
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::of(AnswerWord::Unknown, detail)
    }

    /// The channel refuses it for good.
    #[must_use]
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::of(AnswerWord::Refused, detail)
    }

    fn of(answer: AnswerWord, detail: impl Into<String>) -> Self {
        Self { answer, detail: detail.into(), message: None, retry_after: None }
    }

    /// What a status of HTTP means; the answer's own words stay out of it.
    #[must_use]
    pub(super) fn to_status(answered: &Answered) -> Self {
        let status = answered.status;
        let told = format!("HTTP {status}");
        match status {
            200..300 => Self::delivered(told, None),
            300..400 => Self::refused(format!("{told}: it sends on elsewhere, which is not followed")),
            408 | 425 | 429 | 500.. => Self { retry_after: answered.retry_after, ..Self::not_now(told) },
            _ => Self::refused(told),
        }
    }
}
