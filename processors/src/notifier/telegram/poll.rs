//! Long polling of one bot: each update is handled once, in order, and confirmed by the next call.

use super::api::{Trouble, call};
use super::bots::{Name, Serving, name};
use super::chats::{Chats, Reply};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use teloxide_core::payloads::{GetUpdates, GetUpdatesSetters as _, SetMyCommands};
use teloxide_core::types::{AllowedUpdate, BotCommand};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use watchkeeper_streams::backoff::Backoff;

/// How long Telegram keeps a call that has nothing to tell.
const POLL_S: u32 = 30;
/// Longest wait for the answer of such a call.
const POLL_MAX: Duration = Duration::from_secs(40);
/// Updates of one call.
const UPDATES_MAX: u8 = 100;
/// Updates that are remembered as handled; one that comes again among these is passed over.
const HANDLED_MAX: usize = 1000;
/// Answers under way for one chat, and for all chats of a bot.
const REPLIES_OF_CHAT_MAX: usize = 10;
const REPLIES_MAX: usize = 500;
/// Longest wait for answers under way where a token changed.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// What Telegram offers to whoever types `/`.
const COMMANDS: [(&str, &str); 7] = [
    ("alerts", "What is open, numbered"),
    ("ack", "You look after an alert: /ack 2, /ack all"),
    ("silence", "Nothing is told for a while: /silence web-1 2h"),
    ("warn", "What is not well"),
    ("hosts", "All hosts"),
    ("stats", "Numbers of all hosts, or of one: /stats web-1"),
    ("help", "What can be asked"),
];
/// Longest wait for Telegram to take them.
const COMMANDS_MAX: Duration = Duration::from_secs(5);
/// Waits after what failed.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A refused token may be made good again, but hardly soon.
const REFUSED_WAIT: Duration = Duration::from_secs(300);
/// The name of a bot can change.
const NAME_AGE_MAX: Duration = Duration::from_secs(3600);

/// How far the updates of a bot are handled; outlives its token.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The first update that was not handled.
    offset: Option<i32>,
    handled: VecDeque<i64>,
}

impl Progress {
    /// Whether an update was not handled before; it counts as handled from now on.
    fn is_new(&mut self, id: i64) -> bool {
        // Telegram may begin anew with lower numbers: only what is remembered is known.
        let is_new = !self.handled.contains(&id);
        if is_new {
            self.handled.push_back(id);
            if self.handled.len() > HANDLED_MAX {
                self.handled.pop_front();
            }
        }
        self.offset = i32::try_from(id.saturating_add(1)).ok().or(self.offset);
        is_new
    }
}

/// What Telegram says of a token.
pub(super) type Told = (String, Name);

/// Handles what a bot is told until `stop`; returns how far it came. An update that was begun is handled to its end.
pub(super) async fn poll(
    serving: Serving,
    mut chats: Chats,
    mut progress: Progress,
    told: mpsc::Sender<Told>,
    mut stop: watch::Receiver<bool>,
) -> (String, Progress) {
    let id = serving.id().to_owned();
    let mut replies = Replies::default();
    let mut polling =
        Polling { serving, told, trouble: String::new(), backoff: Backoff::new(RETRY_FIRST, RETRY_MAX) };
    loop {
        let username = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            username = polling.name() => username,
        };
        let until = tokio::time::Instant::now() + NAME_AGE_MAX;
        while tokio::time::Instant::now() < until {
            let updates = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                updates = polling.updates(progress.offset) => updates,
            };
            let Some(updates) = updates else { break };
            for update in updates {
                let Some(number) = update["update_id"].as_i64() else { continue };
                if progress.is_new(number) {
                    let reply = chats.handle(&polling.serving, &username, number, update).await;
                    reply.into_iter().for_each(|reply| replies.send(reply));
                }
            }
            if *stop.borrow() {
                break;
            }
        }
        if *stop.borrow() {
            break;
        }
    }
    replies.finish().await;
    (id, progress)
}

/// Answers under way: whoever asks faster than Telegram lets anybody answer holds up nobody else.
#[derive(Debug, Default)]
struct Replies {
    sending: JoinSet<i64>,
    of_chat: BTreeMap<i64, usize>,
}

impl Replies {
    fn send(&mut self, reply: Reply) {
        while let Some(sent) = self.sending.try_join_next() {
            self.count(sent.ok());
        }
        let chat = reply.chat;
        let of_chat = self.of_chat.entry(chat).or_default();
        if *of_chat >= REPLIES_OF_CHAT_MAX || self.sending.len() >= REPLIES_MAX {
            tracing::warn!(chat, "a chat asks faster than it may be answered: one answer is left out");
            return;
        }
        *of_chat += 1;
        self.sending.spawn(async move {
            reply.send().await;
            chat
        });
    }

    fn count(&mut self, sent_to: Option<i64>) {
        if let Some(chat) = sent_to
            && let Some(count) = self.of_chat.get_mut(&chat)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_chat.remove(&chat);
            }
        }
        if self.sending.is_empty() {
            self.of_chat.clear();
        }
    }

    /// Waits for what is under way, but not for what Telegram puts off for long.
    async fn finish(mut self) {
        let all = async { while self.sending.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH_MAX, all).await.is_err() {
            tracing::warn!("answers were under way when a bot's token changed; they are left out");
        }
    }
}

struct Polling {
    serving: Serving,
    told: mpsc::Sender<Told>,
    /// The trouble that was logged last: an outage repeats it with every try.
    trouble: String,
    backoff: Backoff,
}

impl Polling {
    /// What the bot is called, once Telegram takes its token.
    async fn name(&mut self) -> String {
        loop {
            match name(&self.serving.bot).await {
                Ok(name) => {
                    let token = self.serving.bot.token().to_owned();
                    // Nobody listens only while everything ends.
                    self.told.send((token, name.clone())).await.ok();
                    match name {
                        Name::Called(username) => {
                            self.well();
                            self.offer_commands().await;
                            return username;
                        }
                        Name::Refused(refusal) => {
                            self.log(&refusal);
                            tokio::time::sleep(REFUSED_WAIT).await;
                        }
                    }
                }
                Err(trouble) => self.rest(&trouble).await,
            }
        }
    }

    /// Tells Telegram what can be asked. Nothing depends on it.
    async fn offer_commands(&self) {
        let commands = COMMANDS.map(|(command, description)| BotCommand::new(command, description));
        if let Err(trouble) = call(&self.serving.bot, &SetMyCommands::new(commands), COMMANDS_MAX).await {
            tracing::debug!(%trouble, "Telegram does not offer the commands");
        }
    }

    /// The next updates; nothing where the token is refused, so that it is asked for its name.
    async fn updates(&mut self, offset: Option<i32>) -> Option<Vec<Value>> {
        let ask = GetUpdates::new().timeout(POLL_S).limit(UPDATES_MAX);
        let ask = ask.allowed_updates([AllowedUpdate::Message, AllowedUpdate::CallbackQuery]);
        let ask = match offset {
            Some(offset) => ask.offset(offset),
            None => ask,
        };
        loop {
            match call(&self.serving.bot, &ask, POLL_MAX).await {
                Ok(Value::Array(updates)) => {
                    self.well();
                    return Some(updates);
                }
                Ok(_) => self.rest(&Trouble::Unanswered("no list of updates".to_owned())).await,
                Err(Trouble::Refused { code: 401 | 404, .. }) => return None,
                Err(trouble) => self.rest(&trouble).await,
            }
        }
    }

    async fn rest(&mut self, trouble: &Trouble) {
        self.log(&trouble.to_string());
        let wait = if let Trouble::Slower { after } = trouble { *after } else { self.backoff.next_wait() };
        tokio::time::sleep(wait).await;
    }

    /// Told once; among it that another program polls the same bot.
    fn log(&mut self, trouble: &str) {
        if self.trouble != trouble {
            tracing::warn!(
                bot = self.serving.id(),
                trouble,
                "Telegram's updates cannot be read, trying again"
            );
            trouble.clone_into(&mut self.trouble);
        }
    }

    fn well(&mut self) {
        if !self.trouble.is_empty() {
            tracing::info!(bot = self.serving.id(), "Telegram's updates are read again");
            self.trouble.clear();
        }
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_counts_once_even_where_numbers_begin_anew() {
        let mut progress = Progress::default();
        assert!(progress.is_new(900) && progress.is_new(901) && !progress.is_new(900));
        assert!(progress.is_new(5));
        assert_eq!(progress.offset, Some(6));
        (0..HANDLED_MAX as i64).for_each(|n| assert!(progress.is_new(10_000 + n)));
        assert_eq!(progress.handled.len(), HANDLED_MAX);
    }
}
