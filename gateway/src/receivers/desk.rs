//! Records what people decide about receivers, their links, and the team's bot.

use crate::app::App;
use crate::fleet::watch::now;
use crate::http::body::Mistakes;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::Change;
use crate::identity::secret::{Secret, readable_id};
use crate::identity::sessions::no_randomness;
use crate::receivers::form::{ChannelForm, Kept, with_secret};
use axum::http::StatusCode;
use std::sync::Arc;
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::journal::Fact;
use watchkeeper_schemas::notice::TestNotice;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{
    Bot, BotState, Channel, ChannelKind, ChannelSecret, LinkOffer, Receiver,
};
use watchkeeper_schemas::registry::{Registry, TeamFacts};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{JournalScope, bot_secret, notice_test, receiver_secret};

/// Receivers of a team at most.
pub const RECEIVERS_MAX: usize = 1000;
/// How long a link can be used, in milliseconds.
pub const LINK_MS: u64 = 10 * 60_000;
/// Tests of a team's receivers within a minute at most.
pub const TESTS_PER_MINUTE_MAX: usize = 10;
/// That minute, in milliseconds.
const TESTS_MS: u64 = 60_000;
/// Characters of a bot's name, as Telegram gives them.
const BOT_NAME_CHARS_MAX: usize = 64;
/// Tries to record what others may record at the same time.
const TRIES_MAX: usize = 3;
/// When whoever could not be served without NATS should come again, in seconds.
const AWAY_RETRY_S: u32 = 2;

/// A receiver with its place in the journal.
#[derive(Debug, Clone)]
pub struct PlacedReceiver {
    /// Which.
    pub id: ReceiverId,
    /// As saved.
    pub receiver: Receiver,
    /// What an edit must name.
    pub revision: u64,
}

/// The refusal for a receiver that is not there, or not yours: both read the same.
#[must_use]
pub fn no_such_receiver() -> Problem {
    Problem::not_found("no such receiver: /api/v1/receivers lists those there are")
}

fn refuse(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

/// What Telegram said of the bot that serves a team now; nothing before it was asked about this one.
#[must_use]
pub fn bot_state<'a>(team: &'a TeamFacts, id: &TeamId) -> Option<(&'a BotState, UnixMs)> {
    let own = team.bots.get(id).map(|bot| bot.secret);
    let recorded = team.bot_states.recorded(id)?;
    let state = recorded.value.as_ref().filter(|state| state.secret == own)?;
    Some((state, recorded.time))
}

/// A receiver of a team.
#[must_use]
pub fn receiver(team: &TeamFacts, id: &ReceiverId) -> Option<PlacedReceiver> {
    let recorded = team.receivers.recorded(id)?;
    let receiver = recorded.value.clone()?;
    Some(PlacedReceiver { id: id.clone(), receiver, revision: recorded.revision })
}

/// What is to be true of a receiver.
pub struct Wanted {
    /// The name that people read.
    pub name: String,
    /// How bad an alert must be; as before where it is not said, else everything.
    pub hears_from: Option<Severity>,
    /// How it is told.
    pub channel: ChannelForm,
}

/// The team and who changes it.
pub struct Desk<'a> {
    app: &'a App,
    principal: &'a Principal,
}

impl<'a> Desk<'a> {
    /// That of whoever asks.
    #[must_use]
    pub fn of(app: &'a App, principal: &'a Principal) -> Self {
        Self { app, principal }
    }

    /// Everything that JOURNAL says.
    ///
    /// # Errors
    /// 503 before it was read.
    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.app.identity.registry()
    }

    /// A receiver as it is now.
    ///
    /// # Errors
    /// 404 where it is not.
    pub fn receiver(&self, id: &ReceiverId) -> Result<PlacedReceiver, Problem> {
        let registry = self.registry()?;
        registry.team(&self.principal.team).and_then(|team| receiver(team, id)).ok_or_else(no_such_receiver)
    }

    /// A receiver as it is now, if that is what the editor saw.
    ///
    /// # Errors
    /// 404 where it is not, 409 where it was changed meanwhile.
    pub fn receiver_at(&self, id: &ReceiverId, revision: u64) -> Result<PlacedReceiver, Problem> {
        let placed = self.receiver(id)?;
        if placed.revision == revision { Ok(placed) } else { Err(Problem::conflict(placed.revision)) }
    }

    /// Makes a receiver; without an id it gets one after its name. The key that signs comes with it, once.
    ///
    /// # Errors
    /// 400 where a secret is missing, 409 where the id is taken or there are too many, 503 where NATS does not answer.
    pub async fn make(
        &self,
        id: Option<ReceiverId>,
        wanted: Wanted,
    ) -> Result<(PlacedReceiver, Option<String>), Problem> {
        let _turn = self.app.secrets.turn().await;
        let registry = self.registry()?;
        let team = registry.team(&self.principal.team).ok_or_else(|| Problem::not_found("no such team"))?;
        if team.receivers.iter().count() >= RECEIVERS_MAX {
            return Err(refuse(format!("a team has at most {RECEIVERS_MAX} receivers")));
        }
        let is_taken = |id: &str| id.parse().is_ok_and(|id: ReceiverId| team.receivers.get(&id).is_some());
        let after = |name: &str| crate::hosting::form::id_after(name, |id| is_taken(id.as_str()));
        let name = &wanted.name;
        let readable =
            if name.contains(|c: char| c.is_ascii_alphanumeric()) { name.as_str() } else { "receiver" };
        let id = id.or_else(|| after(readable)?.as_str().parse().ok()).ok_or_else(no_such_receiver)?;
        if is_taken(id.as_str()) {
            return Err(Problem::conflict(team.receivers.revision(&id)));
        }
        // What is left of an earlier one of this id is not this one's.
        self.end_rest(&id).await?;
        let placed = PlacedReceiver {
            revision: team.receivers.revision(&id),
            receiver: Receiver {
                name: name.clone(),
                channel: Channel::Telegram {},
                hears_from: Severity::Info,
            },
            id,
        };
        self.save(placed, None, wanted, "made").await
    }

    /// Changes a receiver; a secret that is left out stays.
    ///
    /// # Errors
    /// 400 where a secret is missing, 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn change(
        &self,
        id: &ReceiverId,
        revision: u64,
        wanted: Wanted,
    ) -> Result<(PlacedReceiver, PlacedReceiver, Option<String>), Problem> {
        let _turn = self.app.secrets.turn().await;
        let before = self.receiver_at(id, revision)?;
        let known = before.receiver.channel.clone();
        let (after, key) = self.save(before.clone(), Some(known), wanted, "changed").await?;
        Ok((before, after, key))
    }

    async fn save(
        &self,
        placed: PlacedReceiver,
        before: Option<Channel>,
        Wanted { name, hears_from, channel }: Wanted,
        cause: &str,
    ) -> Result<(PlacedReceiver, Option<String>), Problem> {
        let hears_from = hears_from.unwrap_or(placed.receiver.hears_from);
        let (channel, kept) = channel.settle(before.as_ref()).map_err(|(field, expected, found)| {
            let mut mistakes = Mistakes::default();
            mistakes.note(field, expected, found);
            mistakes.into_result().err().unwrap_or_else(no_such_receiver)
        })?;
        let (secret, revision, key) = match kept {
            Kept::Nothing => (None, None, None),
            Kept::Before(revision) => (None, Some(revision), None),
            Kept::New(secret) => (Some(secret), None, None),
            Kept::Signed(url) => {
                let key = Secret::new().map_err(no_randomness)?.text().to_owned();
                (Some(ChannelSecret::Webhook { url, key: key.clone() }), None, Some(key))
            }
        };
        let last = before.as_ref().and_then(Channel::secret);
        let place = receiver_secret(&self.principal.team, &placed.id);
        let still = || self.still(&placed.id, placed.revision);
        let revision = match &secret {
            Some(secret) => Some(self.app.secrets.keep(&place, secret, last, still).await?),
            None => revision,
        };
        let receiver = Receiver { name, channel: with_secret(channel, revision), hears_from };
        let fact = Fact::Receiver { id: placed.id.clone(), value: Some(receiver.clone()) };
        let recorded = self.record(fact, placed.revision, cause).await?;
        if last.is_some() && revision.is_none() {
            self.app.secrets.forget(&place).await;
        }
        Ok((PlacedReceiver { receiver, revision: recorded, ..placed }, key))
    }

    fn still(&self, id: &ReceiverId, revision: u64) -> Result<(), Problem> {
        let registry = self.registry()?;
        let present = registry.team(&self.principal.team).map_or(0, |team| team.receivers.revision(id));
        if present == revision { Ok(()) } else { Err(Problem::conflict(present)) }
    }

    /// Removes a receiver with its secret, its link, and what its channel refused.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn remove(&self, id: &ReceiverId, revision: u64) -> Result<PlacedReceiver, Problem> {
        let _turn = self.app.secrets.turn().await;
        let before = self.receiver_at(id, revision)?;
        let fact = Fact::Receiver { id: id.clone(), value: None };
        self.record(fact, revision, "removed").await?;
        self.end_rest(id).await?;
        if before.receiver.channel.secret().is_some() {
            self.app.secrets.forget(&receiver_secret(&self.principal.team, id)).await;
        }
        Ok(before)
    }

    async fn end_rest(&self, id: &ReceiverId) -> Result<(), Problem> {
        self.end(
            |team| team.link_offers.get(id).is_some(),
            || Fact::LinkOffer { id: id.clone(), value: None },
        )
        .await?;
        self.end(|team| team.chats.get(id).is_some(), || Fact::Chat { id: id.clone(), value: None }).await?;
        let failure = || Fact::ReceiverFailure { id: id.clone(), value: None };
        self.end(|team| team.receiver_failures.get(id).is_some(), failure).await?;
        Ok(())
    }

    /// Records the end of something that the notifier may record, too; whether there was something.
    async fn end(
        &self,
        is_there: impl Fn(&TeamFacts) -> bool,
        fact: impl Fn() -> Fact,
    ) -> Result<bool, Problem> {
        let mut refused = None;
        for _ in 0..TRIES_MAX {
            let registry = self.registry()?;
            if !registry.team(&self.principal.team).is_some_and(&is_there) {
                return Ok(refused.is_some());
            }
            let scope = JournalScope::Team(self.principal.team.clone());
            let expected = crate::identity::known::revision(&registry, &scope, &fact());
            match self.record(fact(), expected, "ended").await {
                Ok(_) => return Ok(true),
                Err(problem) if problem.status() == StatusCode::CONFLICT => refused = Some(problem),
                Err(problem) => return Err(problem),
            }
        }
        refused.map_or(Ok(false), Err)
    }

    /// Offers a link by which a chat becomes the receiver: the offer, and the token that is in no fact.
    ///
    /// # Errors
    /// 409 where no bot is known, or it is no receiver of Telegram.
    pub async fn offer(&self, id: &ReceiverId) -> Result<(String, Secret, LinkOffer), Problem> {
        let placed = self.receiver(id)?;
        if placed.receiver.channel.kind() != ChannelKind::Telegram {
            return Err(refuse("only a receiver of Telegram is linked to a chat"));
        }
        let registry = self.registry()?;
        let team = registry.team(&self.principal.team).ok_or_else(no_such_receiver)?;
        let bot = bot_name(team, &self.principal.team)?;
        let token = Secret::new().map_err(no_randomness)?;
        let (hash, by) = (token.hash(), self.principal.user.clone());
        let offer = LinkOffer { hash, by, expires: UnixMs(now().0 + LINK_MS) };
        let fact = Fact::LinkOffer { id: id.clone(), value: Some(offer.clone()) };
        self.record(fact, team.link_offers.revision(id), "offered").await?;
        Ok((bot, token, offer))
    }

    /// Ends the link of a receiver, and an offer of one; whether there was one.
    ///
    /// # Errors
    /// 404 where the receiver is not, 503 where NATS does not answer.
    pub async fn unlink(&self, id: &ReceiverId) -> Result<bool, Problem> {
        self.receiver(id)?;
        let offer = || Fact::LinkOffer { id: id.clone(), value: None };
        let offered = self.end(|team| team.link_offers.get(id).is_some(), offer).await?;
        let chat = || Fact::Chat { id: id.clone(), value: None };
        let linked = self.end(|team| team.chats.get(id).is_some(), chat).await?;
        Ok(offered || linked)
    }

    /// Asks for a message to a receiver; its id.
    ///
    /// # Errors
    /// 409 where one waits already or no chat is linked, 429 where there were too many, 503 where NATS does not answer.
    pub async fn test(&self, id: &ReceiverId) -> Result<TestNotice, Problem> {
        let _turn = self.app.secrets.turn().await;
        let placed = self.receiver(id)?;
        let (registry, time) = (self.registry()?, now());
        let team = &self.principal.team;
        let is_linked = registry.team(team).is_some_and(|team| team.chats.get(id).is_some());
        if placed.receiver.channel.kind() == ChannelKind::Telegram && !is_linked {
            return Err(refuse("no chat is linked to this receiver yet: link one first"));
        }
        {
            let notices = self.app.alerting.notices();
            if !notices.is_loaded() {
                return Err(Problem::unavailable("notices have not been read yet", AWAY_RETRY_S));
            }
            let known = notices.team(team);
            if known.is_some_and(|known| known.test_waits(id.as_str())) {
                return Err(refuse("a test of this receiver waits to be sent: its answer comes first"));
            }
            let since = UnixMs(time.0.saturating_sub(TESTS_MS));
            let tests: Vec<UnixMs> = known.into_iter().flat_map(|known| known.tests_since(since)).collect();
            if let Some(first) = tests.get(TESTS_PER_MINUTE_MAX - 1) {
                let detail = format!("at most {TESTS_PER_MINUTE_MAX} tests a minute");
                let wait_ms = (first.0 + TESTS_MS).saturating_sub(time.0);
                return Err(Problem::too_many(detail, u32::try_from(wait_ms / 1000 + 1).unwrap_or(u32::MAX)));
            }
        }
        let notice = readable_id().map_err(no_randomness)?;
        let (team, by) = (team.clone(), self.principal.user.clone());
        let test = TestNotice { v: 1, id: notice, team, receiver: id.clone(), by, time };
        let place = self.app.secrets.publish(&notice_test(&test.id), &test).await?;
        // So that the next one who asks finds it.
        self.app.alerting.fold_notices(&self.app.live, |notices| notices.test(place, test.clone()));
        Ok(test)
    }

    /// Sets the team's own bot, or removes it; what was there, and what is.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn set_bot(
        &self,
        token: Option<String>,
        revision: u64,
    ) -> Result<(Option<Bot>, Option<Bot>), Problem> {
        let _turn = self.app.secrets.turn().await;
        let team = &self.principal.team;
        let present = |registry: &Registry| registry.team(team).map_or(0, |facts| facts.bots.revision(team));
        let registry = self.registry()?;
        let before = registry.team(team).and_then(|facts| facts.bots.get(team)).cloned();
        if present(&registry) != revision {
            return Err(Problem::conflict(present(&registry)));
        }
        let place = bot_secret(team);
        let after = match token {
            None => None,
            Some(token) => {
                let still = || {
                    let present = present(&*self.registry()?);
                    if present == revision { Ok(()) } else { Err(Problem::conflict(present)) }
                };
                let last = before.as_ref().map(|bot| bot.secret);
                let secret =
                    self.app.secrets.keep(&place, &ChannelSecret::Bot { token }, last, still).await?;
                Some(Bot { secret })
            }
        };
        let cause = if after.is_some() { "set" } else { "removed" };
        self.record(Fact::Bot { id: team.clone(), value: after.clone() }, revision, cause).await?;
        if after.is_none() {
            self.app.secrets.forget(&place).await;
        }
        Ok((before, after))
    }

    /// Forgets every secret of a team that was removed.
    ///
    /// # Errors
    /// 503 before JOURNAL was read.
    pub async fn forget_all(&self) -> Result<(), Problem> {
        let (registry, team) = (self.registry()?, &self.principal.team);
        let Some(facts) = registry.any_team(team) else { return Ok(()) };
        let kept = facts.receivers.iter().filter(|(_, it)| it.channel.secret().is_some());
        let places = kept.map(|(id, _)| receiver_secret(team, id));
        for place in places.chain(facts.bots.get(team).map(|_| bot_secret(team))) {
            self.app.secrets.forget(&place).await;
        }
        Ok(())
    }

    async fn record(&self, fact: Fact, expected: u64, cause: &str) -> Result<u64, Problem> {
        let scope = JournalScope::Team(self.principal.team.clone());
        let author = self.principal.user.as_str();
        self.app.identity.record(Change { author, cause, scope, fact, expected }).await
    }
}

/// The name of the bot that serves a team.
fn bot_name(team: &TeamFacts, id: &TeamId) -> Result<String, Problem> {
    let Some((state, _)) = bot_state(team, id) else {
        let detail = if team.bots.get(id).is_some() {
            "the team's bot is not known yet: the notifier asks Telegram for its name within seconds, once it runs"
        } else {
            "no Telegram bot is known: set the token of one for the team, or have the installation run one"
        };
        return Err(refuse(detail));
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name =
        |name: &&String| (1..=BOT_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_word);
    state.username.as_ref().filter(is_name).cloned().ok_or_else(|| {
        let refusal = state.refusal.as_deref().unwrap_or("it gave no name");
        refuse(format!("Telegram does not know the bot: {refusal}"))
    })
}
