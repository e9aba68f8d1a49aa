//! Telegram: messages in HTML with buttons.

use super::Reply;
use crate::notifier::message::{Body, Line, Message};
use crate::notifier::outgoing::ANSWER_MAX;
use crate::notifier::telegram::api::{Trouble, call};
use crate::notifier::telegram::html::{Html, is_public, lasting, moment, page};
use crate::notifier::telegram::pace::Pace;
use crate::notifier::telegram::press::{EPISODES_MAX, Press};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use teloxide_core::Bot;
use teloxide_core::payloads::{SendMessage, SendMessageSetters as _};
use teloxide_core::types::{
    ChatId, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ParseMode, Recipient,
};
use tokio::time::Instant;
use watchkeeper_schemas::ids::EpisodeId;
use watchkeeper_schemas::notice::{AnswerWord, NoticeWord};
use watchkeeper_schemas::rule::Severity;

/// Most of each text of a line, in UTF-16 units once escaped: together less than a message.
const NAME_UNITS_MAX: usize = 300;
const WHAT_UNITS_MAX: usize = 500;
const NOTE_UNITS_MAX: usize = 600;
const LINK_UNITS_MAX: usize = 600;
/// A wait of our own that is not worth coming again for.
const PAUSE_MAX: Duration = Duration::from_millis(1200);

/// A chat, and the bot that serves it.
#[derive(Clone)]
pub struct Chat {
    /// The bot.
    pub bot: Bot,
    /// What the bot sent of late.
    pub pace: Pace,
    /// Telegram's id of the chat.
    pub chat: i64,
    /// More than one person may be in it: Telegram takes fewer messages.
    pub is_group: bool,
}

/// Without the bot: its token would be told.
impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bot: _, pace: _, chat, is_group } = self;
        f.debug_struct("Chat").field("chat", chat).field("is_group", is_group).finish_non_exhaustive()
    }
}

/// A message in Telegram's form.
struct Form {
    text: Html,
    buttons: Vec<Vec<InlineKeyboardButton>>,
}

impl Chat {
    /// Sends a message; takes [`ANSWER_MAX`] at most.
    pub async fn send(&self, message: &Message) -> Reply {
        let until = Instant::now() + ANSWER_MAX;
        if let Err(wait) = self.pace.take(self.chat, self.is_group, Instant::now()) {
            if wait > PAUSE_MAX {
                let detail = "held back here: Telegram takes no more messages at once".to_owned();
                return Reply { answer: AnswerWord::NotNow, detail, message: None, retry_after: Some(wait) };
            }
            if tokio::time::timeout_at(until, self.pace.wait(self.chat, self.is_group)).await.is_err() {
                return not_now("held back here: Telegram takes no more messages at once".to_owned(), None);
            }
        }
        let form = form(&self.bot, message);
        let mut to = self.chat;
        let mut is_bare = false;
        loop {
            let within = until.saturating_duration_since(Instant::now());
            let payload = payload(to, message, &form, is_bare);
            match call(&self.bot, &payload, within).await {
                Err(Trouble::Moved { to: moved }) if to == self.chat => to = moved,
                // What wakes people must not depend on how it looks.
                Err(Trouble::Refused { code: 400, description })
                    if !is_bare && is_about_form(&description) =>
                {
                    tracing::error!(description, "Telegram refuses the form of a message; it goes without");
                    is_bare = true;
                }
                told => return self.reply(told),
            }
        }
    }

    fn reply(&self, told: Result<Value, Trouble>) -> Reply {
        let trouble = match told {
            Ok(sent) => {
                let message = sent["message_id"].as_i64().map(|id| id.to_string());
                let detail = "sent".to_owned();
                return Reply { answer: AnswerWord::Delivered, detail, message, retry_after: None };
            }
            Err(trouble) => trouble,
        };
        let detail = trouble.to_string();
        match trouble {
            Trouble::Slower { after } => {
                self.pace.hold(self.chat, Instant::now() + after);
                not_now(detail, Some(after))
            }
            Trouble::Unreachable(_) | Trouble::Down { .. } => not_now(detail, None),
            Trouble::Unanswered(_) => {
                Reply { answer: AnswerWord::Unknown, detail, message: None, retry_after: None }
            }
            Trouble::Refused { .. } | Trouble::Moved { .. } => {
                Reply { answer: AnswerWord::Refused, detail, message: None, retry_after: None }
            }
        }
    }
}

fn not_now(detail: String, retry_after: Option<Duration>) -> Reply {
    Reply { answer: AnswerWord::NotNow, detail, message: None, retry_after }
}

/// Whether Telegram refuses tags or addresses of buttons, and not the chat.
fn is_about_form(description: &str) -> bool {
    let description = description.to_lowercase();
    ["parse entities", "url", "button", "too long"].iter().any(|word| description.contains(word))
}

fn payload(to: i64, message: &Message, form: &Form, is_bare: bool) -> SendMessage {
    let text = if is_bare { form.text.without_tags() } else { form.text.as_str().to_owned() };
    let payload = SendMessage::new(Recipient::Id(ChatId(to)), text)
        .disable_notification(message.silent)
        .link_preview_options(without_preview());
    let payload = if is_bare { payload } else { payload.parse_mode(ParseMode::Html) };
    let buttons = form.buttons.clone().into_iter();
    // The first row needs no address.
    let buttons: Vec<_> = if is_bare { buttons.take(1).collect() } else { buttons.collect() };
    if form.buttons.is_empty() { payload } else { payload.reply_markup(InlineKeyboardMarkup::new(buttons)) }
}

/// No preview of what a link leads to: Telegram's servers would call our page.
pub(crate) fn without_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

/// The text of a message as it is sent.
#[must_use]
pub fn html(bot: &Bot, message: &Message) -> String {
    form(bot, message).text.as_str().to_owned()
}

fn form(bot: &Bot, message: &Message) -> Form {
    let repeat =
        if message.possible_repeat { "(possible repeat: an earlier one may have arrived)\n" } else { "" };
    match &message.body {
        Body::Test { by, link } => {
            let text = Html::new()
                .plain(repeat)
                .bold("Test")
                .plain(": messages of ")
                .foreign(&message.team_name, NAME_UNITS_MAX)
                .plain(" arrive here. Asked for by ")
                .foreign(by, NAME_UNITS_MAX)
                .plain("\n")
                .link("Receiver", link, LINK_UNITS_MAX);
            Form { text, buttons: Vec::new() }
        }
        Body::Alerts { lines, link } => {
            let head = match lines.as_slice() {
                [_] => Html::new().plain(repeat.trim_end()),
                lines => {
                    let head = Html::new().plain(repeat).bold(&format!("{} alerts", lines.len()));
                    head.plain(" of ").foreign(&message.team_name, NAME_UNITS_MAX)
                }
            };
            let blocks: Vec<Html> = lines.iter().map(|it| block(it, lines.len() > 1)).collect();
            let tail = match lines.as_slice() {
                [_] => Html::new(),
                _ => Html::new().plain("\n").link("All alerts", link, LINK_UNITS_MAX),
            };
            let (text, shown) = page(&head, &blocks, &tail);
            let shown = lines.get(..shown).unwrap_or_default();
            let link = if let [line] = shown { &line.link } else { link };
            Form { text, buttons: buttons(bot, shown, link) }
        }
    }
}

/// What is said of one episode.
fn block(line: &Line, is_one_of_many: bool) -> Html {
    let lead = if is_one_of_many { "\n" } else { "" };
    let mut text = Html::new().plain(lead).bold(&word(line)).plain(" ");
    if let Some(host) = &line.host {
        text = text.foreign(host, NAME_UNITS_MAX).plain(" ");
    }
    text = text.foreign(&line.rule, NAME_UNITS_MAX);
    if !line.series.is_empty() {
        text = text.plain(" ").foreign(&line.series, NAME_UNITS_MAX);
    }
    if !line.what.is_empty() {
        text = text.plain("\n").foreign(&line.what, WHAT_UNITS_MAX);
    }
    if !line.peak.is_empty() {
        let lead = if line.what.is_empty() { "\npeak " } else { ", peak " };
        text = text.plain(lead).foreign(&line.peak, NAME_UNITS_MAX);
    }
    text = text.plain(&format!("\nsince {}", moment(line.since)));
    if let Some(ms) = line.duration_ms {
        text = text.plain(&format!(", lasted {}", lasting(ms)));
    }
    if !line.note.is_empty() {
        text = text.plain("\n").foreign(&line.note, NOTE_UNITS_MAX);
    }
    if line.link.is_empty() { text } else { text.plain("\n").link("Open", &line.link, LINK_UNITS_MAX) }
}

/// What happened and how bad it is, with a sign in front: readable without colour, and at a glance.
fn word(line: &Line) -> String {
    let (sign, level) = match line.level {
        Severity::Info => ("ℹ", "INFO"),
        Severity::Warning => ("⚠", "WARNING"),
        Severity::Critical => ("‼", "CRITICAL"),
    };
    match line.notice {
        NoticeWord::Resolved => format!("✓ OVER ({})", level.to_lowercase()),
        NoticeWord::Steady if line.is_over => "✓ CALM AGAIN, OVER".to_owned(),
        NoticeWord::Steady => format!("{sign} CALM AGAIN, STILL {level}"),
        NoticeWord::Flapping => format!("{sign} FLAPPING, {level}"),
        NoticeWord::Firing => format!("{sign} {level}"),
        NoticeWord::LevelUp => format!("{sign} WORSE: {level}"),
        NoticeWord::Reminder => format!("{sign} STILL {level}"),
        NoticeWord::Escalated => format!("{sign} ESCALATED: {level}"),
    }
}

/// Buttons for what is open among what is shown: nobody answers for what they cannot read.
fn buttons(bot: &Bot, shown: &[Line], link: &str) -> Vec<Vec<InlineKeyboardButton>> {
    let open: Vec<&EpisodeId> = shown.iter().filter(|line| !line.is_over).map(|line| &line.episode).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let named = open.get(..EPISODES_MAX).unwrap_or(&open);
    let which = match (open.len(), named.len()) {
        (1, _) => String::new(),
        (all, shown) if all == shown => " all".to_owned(),
        (_, shown) => format!(" the first {shown}"),
    };
    let acknowledge = Press::Acknowledge.data(named);
    let silence = Press::Silence.data(named);
    let mut rows = vec![vec![
        InlineKeyboardButton::callback(format!("Acknowledge{which}"), acknowledge),
        InlineKeyboardButton::callback(format!("Silence{which} 1 h"), silence),
    ]];
    if is_public(link)
        && let Ok(address) = bot.api_url().join(link)
    {
        rows.push(vec![InlineKeyboardButton::url("Open", address)]);
    }
    rows
}
