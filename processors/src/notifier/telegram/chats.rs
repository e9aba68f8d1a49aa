//! What people write and press: read, decided by `commands`, recorded, told to the audit, answered.

use super::api::{Trouble, call};
use super::bots::{Bots, Serving};
use super::commands::{Asked, Command, Deed, Known, Plan, answer, pressed, team_of};
use super::html::Html;
use super::press::Press;
use super::values::{View, views};
use crate::notifier::channel::telegram::without_preview;
use crate::notifier::episodes::Episodes;
use async_nats::jetstream::Context;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use teloxide_core::payloads::{
    AnswerCallbackQuery, AnswerCallbackQuerySetters as _, EditMessageReplyMarkup,
    EditMessageReplyMarkupSetters as _, SendMessage, SendMessageSetters as _,
};
use teloxide_core::types::{
    CallbackQuery, Chat, ChatId, InlineKeyboardButtonKind, InlineKeyboardMarkup, Message, ParseMode,
    Recipient, Update, UpdateKind,
};
use tokio::sync::watch;
use tokio::time::Instant;
use watchkeeper_schemas::audit::Deed as Told;
use watchkeeper_schemas::ids::{EpisodeId, HostId, TeamId};
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::audit::append;
use watchkeeper_streams::journal::{Facts, RecordError, record, seen};
use watchkeeper_streams::topology::JOURNAL;

/// Longest wait for Telegram to take an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Tries to send one.
const TRIES_MAX: u32 = 3;
/// Longest wait that Telegram asks for and an answer is worth.
const SLOWER_MAX: Duration = Duration::from_secs(60);
/// Characters that Telegram shows where a button was pressed.
const TOAST_CHARS_MAX: usize = 190;
/// Characters of a button.
const BUTTON_CHARS_MAX: usize = 40;
/// A refusal is told to the audit once in this time for each chat.
const REFUSAL_GAP: Duration = Duration::from_secs(3600);
/// Refusals of all chats in that time; more are only counted in the log.
const REFUSALS_MAX: usize = 500;
/// Chats whose lists are remembered.
const LISTS_MAX: usize = 1000;
/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;

/// What all bots share.
#[derive(Debug, Clone)]
pub(super) struct Chats {
    pub(super) context: Context,
    pub(super) facts: watch::Receiver<Facts>,
    pub(super) episodes: watch::Receiver<Option<Episodes>>,
    pub(super) bots: Bots,
    pub(super) memory: watch::Sender<Memory>,
}

/// What is remembered until the program ends, and may be forgotten without harm.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What the numbers of the list mean that a chat was shown last; by bot and chat.
    lists: VecDeque<((String, i64), Vec<EpisodeId>)>,
    /// When what was told to the audit.
    refusals: VecDeque<(Instant, String)>,
    is_full: bool,
}

impl Memory {
    fn listed(&self, place: &(String, i64)) -> Vec<EpisodeId> {
        self.lists.iter().find(|(it, _)| it == place).map(|(_, list)| list.clone()).unwrap_or_default()
    }

    fn list(&mut self, place: (String, i64), list: Vec<EpisodeId>) {
        self.lists.retain(|(it, _)| *it != place);
        self.lists.push_back((place, list));
        if self.lists.len() > LISTS_MAX {
            self.lists.pop_front();
        }
    }

    /// Whether the audit is to hear of a refusal: not what it heard within the hour, and not of too many.
    fn is_worth_a_line(&mut self, what: String, now: Instant) -> bool {
        while self.refusals.front().is_some_and(|(when, _)| *when + REFUSAL_GAP <= now) {
            self.refusals.pop_front();
        }
        if self.refusals.iter().any(|(_, known)| *known == what) {
            return false;
        }
        let is_full = self.refusals.len() >= REFUSALS_MAX;
        if is_full && !self.is_full {
            tracing::warn!("so many chats are refused that the audit does not hear of each");
        }
        self.is_full = is_full;
        if !is_full {
            self.refusals.push_back((now, what));
        }
        !is_full
    }
}

/// An answer that is to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    serving: Serving,
    pub(super) chat: i64,
    is_group: bool,
    words: Html,
}

impl Reply {
    /// Sends it; it keeps to the limits that notices keep to.
    pub(super) async fn send(self) {
        let Self { serving, chat, is_group, words } = self;
        let payload = SendMessage::new(Recipient::Id(ChatId(chat)), words.as_str())
            .parse_mode(ParseMode::Html)
            .link_preview_options(without_preview());
        for _ in 0..TRIES_MAX {
            serving.pace.wait(chat, is_group).await;
            match call(&serving.bot, &payload, ANSWER_MAX).await {
                Ok(_) => return,
                Err(Trouble::Slower { after }) if after <= SLOWER_MAX => {
                    serving.pace.hold(chat, Instant::now() + after);
                }
                Err(trouble @ (Trouble::Unreachable(_) | Trouble::Down { .. })) => {
                    tracing::debug!(%trouble, "an answer is sent again");
                }
                // Twice the same answer is worse than none: whoever misses it asks again.
                Err(trouble) => {
                    tracing::warn!(%trouble, "an answer did not arrive");
                    return;
                }
            }
        }
    }
}

/// An update as far as it is looked at.
enum Seen {
    Text { asked: Asked, command: Command },
    Press { asked: Asked, query: Box<CallbackQuery> },
    Moved { from: i64, to: i64 },
    Nothing,
}

impl Chats {
    /// Handles one update; what fails is logged. Gives what is to be answered: everything else is done then, so that
    /// nobody waits for a chat that Telegram limits.
    pub(super) async fn handle(
        &mut self,
        serving: &Serving,
        username: &str,
        number: i64,
        update: Value,
    ) -> Option<Reply> {
        let serving = &self.bots.newest(serving);
        let key = format!("telegram {} {number}", serving.id());
        // From text: teloxide borrows the keys of what it reads.
        let kind = serde_json::from_str::<Update>(&update.to_string()).map(|update| update.kind);
        let kind = match kind {
            Ok(kind) if !matches!(kind, UpdateKind::Error(_)) => kind,
            Ok(_) | Err(_) => {
                tracing::warn!(
                    bot = serving.id(),
                    number,
                    "an update of Telegram cannot be read and is passed over"
                );
                return None;
            }
        };
        match read(kind, username, key) {
            Seen::Text { asked, command } => {
                let words = self.text(serving, &asked, &command).await?;
                Some(Reply { serving: serving.clone(), chat: asked.chat, is_group: asked.is_group, words })
            }
            Seen::Press { asked, query } => {
                self.press(serving, &asked, *query).await;
                None
            }
            Seen::Moved { from, to } => {
                self.moved(serving, from, to).await;
                None
            }
            Seen::Nothing => None,
        }
    }

    /// Facts and open episodes, once they were read for the first time: everything that was recorded before the update
    /// came, so that who just lost a right has none.
    async fn known(&mut self) -> Option<Arc<Registry>> {
        self.episodes.wait_for(Option::is_some).await.ok()?;
        match self.newest().await {
            Ok(newest) => _ = seen(&mut self.facts, newest).await,
            Err(error) => tracing::warn!(%error, "JOURNAL's end is not known: what is known already must do"),
        }
        let facts = self.facts.wait_for(Option::is_some).await.ok()?;
        facts.clone()
    }

    /// The last place in JOURNAL.
    async fn newest(&self) -> Result<u64, async_nats::Error> {
        let stream = tokio::time::timeout(ANSWER_MAX, self.context.get_stream(JOURNAL)).await??;
        Ok(stream.cached_info().state.last_sequence)
    }

    async fn text(&mut self, serving: &Serving, asked: &Asked, command: &Command) -> Option<Html> {
        let registry = self.known().await?;
        let teams = self.bots.teams(serving.id());
        let views = match team_of(asked, &registry, &teams) {
            Some(team) if command.needs_views() => match views(&self.context, &team).await {
                Ok(views) => views,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "LATEST cannot be read");
                    return Some(Html::new().plain("The numbers cannot be read now: try again."));
                }
            },
            Some(_) | None => BTreeMap::new(),
        };
        let plan =
            self.plan(serving, asked, &registry, &teams, &views, |known| answer(asked, command, known));
        self.carry_out(asked, plan, serving).await.0
    }

    async fn press(&mut self, serving: &Serving, asked: &Asked, query: CallbackQuery) {
        let Some(registry) = self.known().await else { return };
        let teams = self.bots.teams(serving.id());
        let press = query.data.as_deref().and_then(Press::read);
        let views = BTreeMap::new();
        let plan = self.plan(serving, asked, &registry, &teams, &views, |known| pressed(asked, press, known));
        let (words, mark) = self.carry_out(asked, plan, serving).await;
        let toast: String = words.unwrap_or_default().without_tags().chars().take(TOAST_CHARS_MAX).collect();
        let answer = AnswerCallbackQuery::new(query.id.clone()).text(toast);
        self.tell(serving, &answer).await;
        if let Some(mark) = mark
            && let Some(payload) = marked(&query, &mark)
        {
            self.tell(serving, &payload).await;
        }
    }

    /// What follows; facts and episodes are only looked at here, so that nobody waits meanwhile.
    fn plan(
        &self,
        serving: &Serving,
        asked: &Asked,
        registry: &Registry,
        teams: &[TeamId],
        views: &BTreeMap<HostId, View>,
        decide: impl FnOnce(&Known<'_>) -> Plan,
    ) -> Plan {
        let place = (serving.id().to_owned(), asked.chat);
        let listed = self.memory.borrow().listed(&place);
        let episodes = self.episodes.borrow();
        let Some(episodes) = episodes.as_ref() else { return Plan::default() };
        decide(&Known { registry, episodes, teams, listed: &listed, views, now: now() })
    }

    /// Records, tells the audit, and gives what is to be said then.
    async fn carry_out(
        &mut self,
        asked: &Asked,
        plan: Plan,
        serving: &Serving,
    ) -> (Option<Html>, Option<String>) {
        let Plan { mut say, deeds, refusal, listed, mark } = plan;
        if let Some((scope, told)) = refusal {
            let what = format!("{scope} {} {} {:?}", told.action.as_str(), told.object, told.actor);
            let mut is_wanted = false;
            self.memory.send_modify(|memory| is_wanted = memory.is_worth_a_line(what, Instant::now()));
            if is_wanted {
                self.audit(&scope, told).await;
            }
        }
        if let Some(list) = listed {
            let place = (serving.id().to_owned(), asked.chat);
            self.memory.send_modify(|memory| memory.list(place, list));
        }
        let mut revision = 0;
        for deed in deeds {
            match self.record(&deed).await {
                Ok(at) => {
                    revision = at;
                    self.audit(&JournalScope::Team(deed.team), deed.told).await;
                }
                Err(RecordError::Conflict { .. }) if deed.may_be_there => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what a chat asked for is not recorded"
                    );
                    say = Some(Html::new().plain("It could not be recorded: try again."));
                    return (say, None);
                }
            }
        }
        // Who asks next sees it.
        if revision > 0 && !seen(&mut self.facts, revision).await {
            tracing::warn!(revision, "what was recorded for a chat is not seen yet");
        }
        (say, mark)
    }

    async fn record(&self, deed: &Deed) -> Result<u64, RecordError> {
        let (author, cause, fact) = (deed.author.to_string(), deed.cause.to_owned(), deed.fact.clone());
        let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now(), fact };
        record(&self.context, JournalScope::Team(deed.team.clone()), &event, deed.expected).await
    }

    async fn audit(&self, scope: &JournalScope, told: Told) {
        let line = serde_json::to_string(&told).unwrap_or_default();
        if let Err(error) = append(&self.context, scope, told).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, %scope, line, "a deed does not stand in the audit");
        }
    }

    /// A group became a supergroup: every link to it goes to its new id.
    async fn moved(&mut self, serving: &Serving, from: i64, to: i64) {
        let Some(registry) = self.known().await else { return };
        for team in self.bots.teams(serving.id()) {
            let Some(facts) = registry.team(&team) else { continue };
            for (id, chat) in facts.chats.iter().filter(|(_, chat)| chat.chat == from) {
                let value = Some(receiver::Chat { chat: to, ..chat.clone() });
                let fact = Fact::Chat { id: id.clone(), value };
                let (author, cause) = (chat.user.to_string(), "the group is a supergroup now".to_owned());
                let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now(), fact };
                let scope = JournalScope::Team(team.clone());
                if let Err(error) = record(&self.context, scope, &event, facts.chats.revision(id)).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the new id of a group is not recorded"
                    );
                }
            }
        }
    }

    async fn tell<P: teloxide_core::requests::Payload + serde::Serialize>(
        &self,
        serving: &Serving,
        payload: &P,
    ) {
        if let Err(trouble) = call(&serving.bot, payload, ANSWER_MAX).await {
            tracing::warn!(%trouble, "who pressed a button is not told");
        }
    }
}

fn read(kind: UpdateKind, username: &str, key: String) -> Seen {
    if let UpdateKind::Message(message) = kind {
        if let Some(to) = message.migrate_to_chat_id() {
            return Seen::Moved { from: message.chat.id.0, to: to.0 };
        }
        let command = message.text().and_then(|text| Command::read(text, username));
        return match command {
            Some(command) => Seen::Text { asked: asked(&message, key), command },
            None => Seen::Nothing,
        };
    }
    let UpdateKind::CallbackQuery(query) = kind else { return Seen::Nothing };
    // Without its message it comes from who knows where.
    let Some(message) = &query.message else { return Seen::Nothing };
    let (chat, is_group, title) = place(message.chat());
    let from = i64::try_from(query.from.id.0).ok();
    Seen::Press { asked: Asked { chat, is_group, title, from, key }, query: Box::new(query) }
}

fn asked(message: &Message, key: String) -> Asked {
    let (chat, is_group, title) = place(&message.chat);
    // An anonymous admin writes as the group itself.
    let person = message.from.as_ref().filter(|from| !from.is_bot && message.sender_chat.is_none());
    let from = person.and_then(|from| i64::try_from(from.id.0).ok());
    Asked { chat, is_group, title, from, key }
}

fn place(chat: &Chat) -> (i64, bool, String) {
    let names = [chat.first_name(), chat.last_name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let title = chat.title().map_or(names, str::to_owned);
    (chat.id.0, !chat.is_private(), title)
}

/// The buttons of a message with the pressed one saying what was done.
fn marked(query: &CallbackQuery, mark: &str) -> Option<EditMessageReplyMarkup> {
    let message = query.message.as_ref()?.regular_message()?;
    let mut rows = message.reply_markup()?.inline_keyboard.clone();
    let is_pressed = |kind: &InlineKeyboardButtonKind| matches!(kind, InlineKeyboardButtonKind::CallbackData(data) if Some(data) == query.data.as_ref());
    let pressed = rows.iter_mut().flatten().find(|button| is_pressed(&button.kind))?;
    pressed.text = mark.chars().take(BUTTON_CHARS_MAX).collect();
    let edit = EditMessageReplyMarkup::new(Recipient::Id(message.chat.id), message.id);
    Some(edit.reply_markup(InlineKeyboardMarkup::new(rows)))
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_hears_of_a_chat_once_an_hour_and_of_a_bounded_number() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(memory.is_worth_a_line("a".to_owned(), now));
        assert!(!memory.is_worth_a_line("a".to_owned(), now + Duration::from_secs(3599)));
        assert!(memory.is_worth_a_line("a".to_owned(), now + Duration::from_secs(3600)));
        let later = now + 2 * REFUSAL_GAP;
        let told = (0..10_000).filter(|n| memory.is_worth_a_line(format!("chat {n}"), later)).count();
        assert_eq!(told, REFUSALS_MAX);
    }

    #[test]
    fn the_last_list_of_a_chat_is_remembered_and_no_more_than_a_thousand() {
        let mut memory = Memory::default();
        let id: EpisodeId = "cpu~web-1~1~e3b0c44298fc1c14".parse().unwrap();
        for chat in 0..1500 {
            memory.list((String::new(), chat), vec![id.clone()]);
        }
        assert_eq!(memory.lists.len(), LISTS_MAX);
        assert_eq!(memory.listed(&(String::new(), 1499)), [id]);
        assert!(memory.listed(&(String::new(), 3)).is_empty());
    }
}
