//! Which bot serves a team: its own, else the installation's; and what Telegram says of each.

use super::api::{Trouble, call};
use super::pace::Pace;
use crate::config::Config;
use crate::notifier::channel::telegram as channel;
use anyhow::Context as _;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teloxide_core::Bot;
use teloxide_core::payloads::GetMe;
use tokio::sync::watch;
use watchkeeper_nats::OpeningKey;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{BotState, ChannelSecret, Chat};
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{self, JournalScope};
use watchkeeper_streams::journal::{RecordError, record};
use watchkeeper_streams::topology::{CHANNELS, bucket_stream};

/// Longest wait for what a bot is called.
const NAME_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a secret.
const SECRET_MAX: Duration = Duration::from_secs(5);
/// Who records what Telegram says.
const AUTHOR: &str = "notifier";
/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;
/// What is told of a token that cannot be one.
const NO_TOKEN: &str = "this is no token: BotFather tells one as 123456789:AAF…";
const NOT_OPENED: &str = "the token cannot be opened here: set it again";

/// A bot and whom it serves.
#[derive(Clone)]
pub(super) struct Serving {
    /// The bot.
    pub(super) bot: Bot,
    /// What it sent of late.
    pub(super) pace: Pace,
    /// The revision of its token; none: the installation's.
    secret: Option<u64>,
}

impl Serving {
    /// Telegram's id of the bot, which stays when its token changes.
    pub(super) fn id(&self) -> &str {
        bot_id(self.bot.token())
    }
}

/// Without the token.
impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("bot", &self.id())
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

fn bot_id(token: &str) -> &str {
    token.split(':').next().unwrap_or_default()
}

type Table = BTreeMap<TeamId, Serving>;

/// Which bot serves which team; cheap to clone, kept newest by [`Keeper`].
#[derive(Debug, Clone)]
pub struct Bots(watch::Receiver<Arc<Table>>);

impl Bots {
    /// The bot of a team.
    #[must_use]
    pub fn of(&self, team: &TeamId) -> Option<Bot> {
        self.0.borrow().get(team).map(|it| it.bot.clone())
    }

    /// A linked chat with the bot of its team.
    #[must_use]
    pub fn chat(&self, team: &TeamId, chat: &Chat) -> Option<channel::Chat> {
        let Serving { bot, pace, secret: _ } = self.0.borrow().get(team)?.clone();
        Some(channel::Chat { bot, pace, chat: chat.chat, is_group: chat.is_group })
    }

    /// The teams that a bot serves, by its id: what was told under its last token is answered under the next.
    pub(super) fn teams(&self, id: &str) -> Vec<TeamId> {
        let table = self.0.borrow();
        table.iter().filter(|(_, it)| it.id() == id).map(|(team, _)| team.clone()).collect()
    }

    /// The same bot with the token that it has now.
    pub(super) fn newest(&self, serving: &Serving) -> Serving {
        let table = self.0.borrow();
        let same = table.values().find(|it| it.id() == serving.id());
        same.unwrap_or(serving).clone()
    }
}

/// What Telegram says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// The bot is called so.
    Called(String),
    /// It refuses the token.
    Refused(String),
}

/// Keeps [`Bots`] as JOURNAL has them.
pub struct Keeper {
    context: Context,
    key: OpeningKey,
    /// Serves those who have none of their own.
    installation: Option<String>,
    /// Every other bot has its HTTP client and address.
    first: Bot,
    table: watch::Sender<Arc<Table>>,
    /// Tokens that were opened; nothing where that failed for good.
    opened: BTreeMap<(TeamId, u64), Option<String>>,
    paces: BTreeMap<String, Pace>,
    names: BTreeMap<String, Name>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A team's source of a bot.
enum Source {
    Own(u64),
    Installation,
    None,
}

impl Keeper {
    /// Nothing is served before the first [`Keeper::refresh`].
    ///
    /// # Errors
    /// When the key, the token's file or Telegram's address cannot be read.
    pub fn new(config: &Config, context: Context) -> anyhow::Result<(Self, Bots)> {
        let key = OpeningKey::read(&config.channels_key())?;
        let read = |file: &std::path::PathBuf| {
            let told = || format!("cannot read the Telegram token {}", file.display());
            anyhow::Ok(std::fs::read_to_string(file).with_context(told)?.trim().to_owned())
        };
        let installation = config.telegram_token_file.as_ref().map(read).transpose()?;
        if installation.as_ref().is_some_and(|token| !is_token(token)) {
            anyhow::bail!("--telegram-token-file: {NO_TOKEN}");
        }
        let bare = Bot::new("");
        let told = || format!("--telegram-api {}: expected https://… or http://…", config.telegram_api);
        let address = config.telegram_api.parse().with_context(told)?;
        let first = bare.set_api_url(address);
        let (table, bots) = watch::channel(Arc::default());
        let (opened, paces, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok((Self { context, key, installation, first, table, opened, paces, names }, Bots(bots)))
    }

    /// Makes the table what JOURNAL says; what cannot be read now is tried at the next time.
    pub(super) async fn refresh(&mut self, registry: &Registry) {
        let mut table = Table::new();
        for (team, facts) in registry.teams() {
            let own = facts.bots.get(team).map(|bot| bot.secret);
            let (token, secret) = match self.source(own) {
                Source::Own(secret) => (self.token(team, secret).await, Some(secret)),
                Source::Installation => (self.installation.clone(), None),
                Source::None => (None, None),
            };
            if let Some(token) = token {
                let pace = self.paces.entry(bot_id(&token).to_owned()).or_default().clone();
                let bot =
                    Bot::with_client(token, self.first.client().clone()).set_api_url(self.first.api_url());
                table.insert(team.clone(), Serving { bot, pace, secret });
            }
        }
        let is_there = |team: &TeamId, secret: u64| {
            registry.team(team).and_then(|facts| facts.bots.get(team)).is_some_and(|bot| bot.secret == secret)
        };
        self.opened.retain(|(team, secret), _| is_there(team, *secret));
        let tokens: BTreeSet<&str> = table.values().map(|it| it.bot.token()).collect();
        self.names.retain(|token, _| tokens.contains(token.as_str()));
        self.table.send_replace(Arc::new(table));
    }

    fn source(&self, own: Option<u64>) -> Source {
        match (own, &self.installation) {
            (Some(secret), _) => Source::Own(secret),
            (None, Some(_)) => Source::Installation,
            (None, None) => Source::None,
        }
    }

    /// One bot for each token that is served.
    pub(super) fn distinct(&self) -> BTreeMap<String, Serving> {
        self.table.borrow().values().map(|it| (it.bot.token().to_owned(), it.clone())).collect()
    }

    /// What Telegram said of a token.
    pub(super) fn named(&mut self, token: String, name: Name) {
        self.names.insert(token, name);
    }

    /// The token of a team at this revision, opened once.
    async fn token(&mut self, team: &TeamId, secret: u64) -> Option<String> {
        let place = (team.clone(), secret);
        if let Some(opened) = self.opened.get(&place) {
            return opened.clone();
        }
        let subject = subjects::bucket_key(CHANNELS, &subjects::bot_secret(team));
        let read = async {
            let stream = self.context.get_stream_no_info(bucket_stream(CHANNELS)).await?;
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(async_nats::Error::from(error)),
            }
        };
        let message = match tokio::time::timeout(SECRET_MAX, read).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => {
                tracing::warn!(%team, %error, "a bot's token cannot be read, trying again");
                return None;
            }
            Err(_) => {
                tracing::warn!(%team, "a bot's token cannot be read in time, trying again");
                return None;
            }
        };
        // A newer one is named by a newer fact, which is on its way.
        let message = message.filter(|message| message.sequence == secret);
        let opened = message.and_then(|message| match self.key.open(&subject, &message.payload) {
            Ok(ChannelSecret::Bot { token }) => Some(token),
            Ok(_) | Err(_) => None,
        });
        let token = opened.filter(|token| is_token(token));
        self.opened.insert(place, token.clone());
        token
    }

    /// What is true of a team's bot as far as it is known; nothing where Telegram was not asked yet.
    fn state(&self, team: &TeamId, own: Option<u64>) -> Option<Option<BotState>> {
        let table = self.table.borrow();
        let refused =
            |refusal: &str, secret| BotState { username: None, refusal: Some(refusal.to_owned()), secret };
        match (self.source(own), table.get(team)) {
            (Source::None, _) => Some(None),
            (Source::Own(secret), None) => {
                let failed = self.opened.get(&(team.clone(), secret)).is_some_and(Option::is_none);
                failed.then(|| Some(refused(NOT_OPENED, Some(secret))))
            }
            (Source::Installation, None) => None,
            (Source::Own(_) | Source::Installation, Some(serving)) => {
                let secret = serving.secret;
                Some(Some(match self.names.get(serving.bot.token())? {
                    Name::Called(username) => {
                        BotState { username: Some(username.clone()), refusal: None, secret }
                    }
                    Name::Refused(refusal) => refused(refusal, secret),
                }))
            }
        }
    }

    /// Records what Telegram says where JOURNAL says otherwise.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub(super) async fn record(&self, registry: &Registry, now: UnixMs) -> Result<(), RecordError> {
        for (team, facts) in registry.teams() {
            let own = facts.bots.get(team).map(|bot| bot.secret);
            let Some(value) = self.state(team, own) else { continue };
            if value.as_ref() == facts.bot_states.get(team) {
                continue;
            }
            let fact = Fact::BotState { id: team.clone(), value };
            let (author, cause) = (AUTHOR.to_owned(), "Telegram says so".to_owned());
            let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now, fact };
            let expected = facts.bot_states.revision(team);
            match record(&self.context, JournalScope::Team(team.clone()), &event, expected).await {
                // Another notifier was faster: its fact is on its way.
                Ok(_) | Err(RecordError::Conflict { .. }) => {}
                Err(error @ (RecordError::Misplaced | RecordError::JetStream { .. })) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether it can be a token: only what cannot mean anything else in an address.
fn is_token(token: &str) -> bool {
    let is_secret = |secret: &str| {
        !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    token.len() <= 200
        && token.split_once(':').is_some_and(|(id, secret)| {
            (1..=20).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit()) && is_secret(secret)
        })
}

/// Asks Telegram what a bot is called.
///
/// # Errors
/// When there is no answer that says whether the token is good.
pub(super) async fn name(bot: &Bot) -> Result<Name, Trouble> {
    match call(bot, &GetMe::new(), NAME_MAX).await {
        Ok(me) => {
            let username = me["username"].as_str().map(str::to_owned);
            username.map(Name::Called).ok_or_else(|| Trouble::Unanswered("a bot without a name".to_owned()))
        }
        Err(trouble @ Trouble::Refused { code: 401 | 403 | 404, .. }) => {
            Ok(Name::Refused(trouble.to_string()))
        }
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_lead_anywhere_else() {
        assert!(is_token("123456789:AAF7-g0gYncWnm5IyfZlpPRqRRv6kNAGlao"));
        for bad in ["", "123", ":abc", "12:", "12:a/../b", "12:a b", "x12:abc", "12:abc?x", "12:ä"] {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn no_token_is_shown_where_a_bot_is_printed() {
        let bot = Bot::new("123456789:AAF7-secret");
        let serving = Serving { bot: bot.clone(), pace: Pace::default(), secret: Some(7) };
        let chat = channel::Chat { bot, pace: Pace::default(), chat: 1, is_group: false };
        let shown = format!("{serving:?} {chat:?}");
        assert!(!shown.contains("AAF7") && shown.contains("123456789"), "{shown}");
    }
}
