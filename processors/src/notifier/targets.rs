//! Opens the way to receivers: facts say where, CHANNELS keeps what must not be read.

use super::book::To;
use super::channel::Target;
use super::channel::chatroom::Room;
use super::channel::email::Mailbox;
use super::channel::ntfy::Topic;
use super::channel::webhook::Hook;
use super::telegram::bots::Bots;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use data_encoding::BASE64URL_NOPAD;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use watchkeeper_nats::OpeningKey;
use watchkeeper_schemas::ids::ReceiverId;
use watchkeeper_schemas::receiver::{Channel, ChannelSecret};
use watchkeeper_schemas::registry::{Registry, TeamFacts};
use watchkeeper_schemas::subjects;
use watchkeeper_streams::topology::{CHANNELS, bucket_stream};

/// Secrets that are kept opened.
const OPENED_MAX: usize = 1_000;
/// Longest wait for a secret.
const SECRET_MAX: Duration = Duration::from_secs(3);
/// What is told where a secret is of no use.
const NOT_OPENED: &str = "its secret cannot be opened here: set it again";

/// Why there is no way to a receiver now.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTarget {
    /// Somebody must set something anew.
    #[error("{0}")]
    Closed(String),
    /// It is not known now.
    #[error("the way to a receiver is not known now")]
    Later(#[source] async_nats::Error),
}

/// Opens secrets, and keeps those that it opened.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) context: Context,
    pub(super) key: OpeningKey,
    pub(super) bots: Bots,
    /// By the place in CHANNELS, with the revision that facts name.
    pub(super) opened: RefCell<BTreeMap<String, (u64, ChannelSecret)>>,
}

impl Targets {
    /// The way to a receiver, as facts have it.
    pub(super) async fn open(
        &self,
        registry: &Registry,
        to: &To,
        id: &ReceiverId,
    ) -> Result<Target, NoTarget> {
        let facts = registry.team(&to.team).ok_or_else(|| closed("the team was removed"))?;
        let receiver = facts.receivers.get(id).ok_or_else(|| closed("the receiver was removed"))?;
        if let Channel::Telegram {} = receiver.channel {
            return self.chat(facts, to, id);
        }
        let secret = match receiver.channel.secret() {
            Some(revision) => Some(self.secret(&subjects::receiver_secret(&to.team, id), revision).await?),
            None => None,
        };
        target(&receiver.channel, secret)
    }

    /// A linked chat; who serves the team's bot knows it soon after a start.
    fn chat(&self, facts: &TeamFacts, to: &To, id: &ReceiverId) -> Result<Target, NoTarget> {
        let chat = facts.chats.get(id).ok_or_else(|| closed("no chat is linked"))?;
        if let Some(chat) = self.bots.chat(&to.team, chat) {
            return Ok(Target::Telegram(chat));
        }
        match facts.bot_states.get(&to.team).and_then(|state| state.refusal.as_deref()) {
            Some(refusal) => Err(closed(refusal)),
            None => Err(NoTarget::Later("the team's bot is not known yet".into())),
        }
    }

    async fn secret(&self, place: &str, revision: u64) -> Result<ChannelSecret, NoTarget> {
        let known = self.opened.borrow().get(place).filter(|(of, _)| *of == revision).cloned();
        if let Some((_, secret)) = known {
            return Ok(secret);
        }
        let read = async {
            let stream = self.context.get_stream_no_info(bucket_stream(CHANNELS)).await;
            let stream = stream.map_err(|error| NoTarget::Later(error.into()))?;
            match stream.get_last_raw_message_by_subject(&subjects::bucket_key(CHANNELS, place)).await {
                Ok(message) => Ok(message.payload),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    Err(closed(NOT_OPENED))
                }
                Err(error) => Err(NoTarget::Later(error.into())),
            }
        };
        let timed_out = |error: tokio::time::error::Elapsed| NoTarget::Later(error.into());
        let sealed = tokio::time::timeout(SECRET_MAX, read).await.map_err(timed_out)??;
        let subject = subjects::bucket_key(CHANNELS, place);
        let secret = self.key.open(&subject, &sealed).map_err(|_| closed(NOT_OPENED))?;
        let mut opened = self.opened.borrow_mut();
        if opened.len() >= OPENED_MAX {
            opened.clear();
        }
        opened.insert(place.to_owned(), (revision, secret.clone()));
        Ok(secret)
    }
}

fn closed(why: &str) -> NoTarget {
    NoTarget::Closed(why.to_owned())
}

fn target(channel: &Channel, secret: Option<ChannelSecret>) -> Result<Target, NoTarget> {
    match (channel.clone(), secret) {
        (Channel::Email { to, from, server, port, security, user, secret: _ }, secret) => {
            let login = match (user, secret) {
                (Some(user), Some(ChannelSecret::Email { password })) => Some((user, password)),
                (None, None) => None,
                _ => return Err(closed(NOT_OPENED)),
            };
            Ok(Target::Email(Mailbox { to, from, server, port, security, login }))
        }
        (Channel::Webhook { .. }, Some(ChannelSecret::Webhook { url, key })) => {
            let key = BASE64URL_NOPAD.decode(key.as_bytes()).map_err(|_| closed(NOT_OPENED))?;
            Ok(Target::Webhook(Hook { url, key }))
        }
        (Channel::Ntfy { server, topic, .. }, None) => Ok(Target::Ntfy(Topic { server, topic, token: None })),
        (Channel::Ntfy { server, topic, .. }, Some(ChannelSecret::Ntfy { token })) => {
            Ok(Target::Ntfy(Topic { server, topic, token: Some(token) }))
        }
        (Channel::Chatroom { form, .. }, Some(ChannelSecret::Chatroom { url })) => {
            Ok(Target::Chatroom(Room { form, url }))
        }
        (
            Channel::Telegram {} | Channel::Webhook { .. } | Channel::Ntfy { .. } | Channel::Chatroom { .. },
            _,
        ) => Err(closed(NOT_OPENED)),
    }
}
