//! Telegram: messages in HTML with buttons.

use super::Reply;
use crate::notifier::message::Message;
use watchkeeper_schemas::notice::AnswerWord;

/// A chat, and the bot that serves it.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The bot.
    pub bot: teloxide::Bot,
    /// Telegram's id of the chat.
    pub chat: i64,
    /// More than one person may be in it: Telegram takes fewer messages.
    pub is_group: bool,
}

impl Chat {
    /// Sends a message.
    pub async fn send(&self, _message: &Message) -> Reply {
        Reply { answer: AnswerWord::NotNow, detail: String::new(), message: None, retry_after: None }
    }
}
