//! Channels: how a message is handed over. One closed list; each turns a message into its own form and an answer into
//! one of four.

pub mod telegram;

use crate::notifier::message::Message;
use crate::notifier::outgoing::Outgoing;
use std::time::Duration;
use watchkeeper_schemas::notice::AnswerWord;

/// Where a message goes: a receiver's channel with its secret, opened.
#[derive(Debug, Clone)]
pub enum Target {
    /// A chat of Telegram.
    Telegram(telegram::Chat),
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
    /// Hands a message over; takes [`outgoing::ANSWER_MAX`](crate::notifier::outgoing::ANSWER_MAX) at most.
    pub async fn send(&self, _outgoing: &Outgoing, message: &Message) -> Reply {
        match self {
            Self::Telegram(chat) => chat.send(message).await,
        }
    }
}
