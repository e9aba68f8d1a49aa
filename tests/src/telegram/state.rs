//! What the double knows and how it answers each method, as Telegram documents it.

use super::html::{Parsed, found_links, parse};
use super::limits::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const TEXT_UNITS_MAX: usize = 4096;
const CALLBACK_BYTES_MAX: usize = 64;
const TOAST_CHARS_MAX: usize = 200;

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Of which method; all of them unless said.
    #[serde(default)]
    pub method: Option<String>,
    /// Of which chat; all of them unless said.
    #[serde(default)]
    pub chat: Option<i64>,
    /// What happens.
    pub what: Wrong,
    /// How often; once unless said.
    #[serde(default = "once")]
    pub times: u32,
    /// What a 429 asks for, in seconds.
    #[serde(default = "one_second")]
    pub retry_after: u64,
}

fn once() -> u32 {
    1
}

fn one_second() -> u64 {
    1
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// Too many requests.
    #[serde(rename = "429")]
    TooMany,
    /// Telegram fails.
    #[serde(rename = "500")]
    Failed,
    /// What stands before Telegram fails; no JSON.
    #[serde(rename = "502")]
    BadGateway,
    /// No answer; nothing is done.
    #[serde(rename = "hang")]
    Hang,
    /// It is done, and the connection is reset instead of an answer.
    #[serde(rename = "reset")]
    Reset,
    /// Refused for what it says.
    #[serde(rename = "400")]
    Bad,
    /// Refused by whom it is for.
    #[serde(rename = "403")]
    Blocked,
    /// The HTML is refused.
    #[serde(rename = "entities")]
    Entities,
}

/// One request and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When it arrived, since 1970.
    pub time_ms: u64,
    /// Which method.
    pub method: String,
    /// Telegram's id of the bot; none where the token is unknown.
    pub bot: Option<i64>,
    /// What was sent.
    pub body: Value,
    /// What a message says to people.
    pub text: Option<String>,
    /// What Telegram would make links of by itself.
    pub links: Vec<String>,
    /// The status of the answer; 0 where there was none.
    pub code: u16,
    /// What was answered.
    pub answer: Value,
    /// It took effect.
    pub done: bool,
}

#[derive(Debug)]
struct Bot {
    id: i64,
    username: String,
    /// Not confirmed yet.
    updates: VecDeque<(i64, Value)>,
    /// Confirmed, by id: for repeats.
    confirmed: BTreeMap<i64, Value>,
    next_update: i64,
    /// Which call polls; a newer one ends it.
    poller: u64,
    is_polled: bool,
    limits: Limits,
}

/// A chat as the double knows it.
#[derive(Debug, Clone)]
pub(super) struct Chat {
    title: String,
    is_blocked: bool,
    moved_to: Option<i64>,
}

/// Everything.
#[derive(Debug)]
pub struct State {
    tokens: BTreeMap<String, i64>,
    bots: BTreeMap<i64, Bot>,
    chats: BTreeMap<i64, Chat>,
    messages: BTreeMap<(i64, i64), Value>,
    queries: BTreeSet<String>,
    next_message: i64,
    faults: Vec<Fault>,
    pub(super) journal: Vec<Entry>,
    pub(super) violations: Vec<String>,
    pub(super) conflicts: u32,
}

/// A status and the whole answer, or a connection that breaks.
pub(super) enum Outcome {
    Answer(u16, Value),
    Plain(u16, &'static str),
    Hang,
    Reset,
}

fn good(result: Value) -> (u16, Value) {
    (200, json!({ "ok": true, "result": result }))
}

fn bad(code: u16, description: &str) -> (u16, Value) {
    (code, json!({ "ok": false, "error_code": code, "description": description }))
}

fn too_many(seconds: u64) -> (u16, Value) {
    let description = format!("Too Many Requests: retry after {seconds}");
    let parameters = json!({ "retry_after": seconds });
    (429, json!({ "ok": false, "error_code": 429, "description": description, "parameters": parameters }))
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            tokens: BTreeMap::new(),
            bots: BTreeMap::new(),
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            queries: BTreeSet::new(),
            next_message: 1,
            faults: Vec::new(),
            journal: Vec::new(),
            violations: Vec::new(),
            conflicts: 0,
        }
    }

    /// A token is good from now on; its bot is the number in front.
    pub fn add_token(&mut self, token: &str) {
        let id = token.split(':').next().and_then(|id| id.parse().ok()).unwrap_or(1);
        self.tokens.insert(token.to_owned(), id);
        self.bots.entry(id).or_insert_with(|| Bot {
            id,
            username: format!("watch_{id}_bot"),
            updates: VecDeque::new(),
            confirmed: BTreeMap::new(),
            next_update: 700_000_000,
            poller: 0,
            is_polled: false,
            limits: Limits::default(),
        });
    }

    /// A token is good no longer.
    pub fn revoke_token(&mut self, token: &str) {
        if let Some(bot) = self.tokens.remove(token).and_then(|id| self.bots.get_mut(&id)) {
            bot.poller += 1;
        }
    }

    /// The bot that is meant: the only one where nobody says.
    pub(super) fn bot_or_only(&self, bot: Option<i64>) -> Result<i64, String> {
        match (bot, self.bots.keys().collect::<Vec<_>>().as_slice()) {
            (Some(bot), _) if self.bots.contains_key(&bot) => Ok(bot),
            (None, [bot]) => Ok(**bot),
            (_, known) => Err(format!("which bot? there are {known:?}")),
        }
    }

    /// The name of the bot that a token belongs to.
    #[must_use]
    pub fn username(&self, token: &str) -> Option<&str> {
        Some(&self.bots.get(self.tokens.get(token)?)?.username)
    }

    /// Something will go wrong.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Nothing will go wrong any more.
    pub fn no_faults(&mut self) {
        self.faults.clear();
    }

    /// A person blocks the bot, or not any more.
    pub fn block(&mut self, chat: i64, is_blocked: bool) {
        self.chat(chat, "").is_blocked = is_blocked;
    }

    /// A group becomes a supergroup; the bot is told only where `is_told`.
    pub fn migrate(&mut self, bot: i64, chat: i64, to: i64, is_told: bool) {
        let title = self.chat(chat, "").title.clone();
        self.chat(chat, "").moved_to = Some(to);
        self.chat(to, &title);
        if is_told {
            let message = json!({ "migrate_to_chat_id": to });
            self.message(bot, chat, 1, message);
        }
    }

    fn chat(&mut self, id: i64, title: &str) -> &mut Chat {
        let chat = self.chats.entry(id).or_insert_with(|| Chat {
            title: String::new(),
            is_blocked: false,
            moved_to: None,
        });
        if !title.is_empty() {
            title.clone_into(&mut chat.title);
        }
        chat
    }

    fn chat_json(&self, id: i64) -> Value {
        let title = self.chats.get(&id).map_or("", |chat| &chat.title);
        match id {
            0.. => {
                json!({ "id": id, "type": "private", "first_name": if title.is_empty() { "Olga" } else { title } })
            }
            ..=-1_000_000_000_000 => json!({ "id": id, "type": "supergroup", "title": title }),
            _ => json!({ "id": id, "type": "group", "title": title }),
        }
    }

    /// Somebody writes; a negative chat is a group. Returns the update's id.
    pub fn say(&mut self, bot: i64, chat: i64, from: i64, title: &str, text: &str) -> i64 {
        self.chat(chat, title);
        self.message(bot, chat, from, json!({ "text": text }))
    }

    fn message(&mut self, bot: i64, chat: i64, from: i64, rest: Value) -> i64 {
        let mut message = json!({
            "message_id": self.take_message_id(),
            "date": now_ms() / 1000,
            "chat": self.chat_json(chat),
            "from": person(from),
        });
        merge(&mut message, rest);
        self.update(bot, json!({ "message": message }))
    }

    /// Somebody presses a button of a message: one whose words begin so, or one with this data. Returns the update's id.
    pub fn press(
        &mut self,
        bot: i64,
        chat: i64,
        from: i64,
        message: Option<i64>,
        button: &str,
    ) -> Option<i64> {
        let of_chat = self.messages.range((chat, i64::MIN)..=(chat, i64::MAX)).rev();
        let has_buttons = |it: &Value| it["reply_markup"]["inline_keyboard"].is_array();
        let found = match message {
            Some(id) => self.messages.get(&(chat, id)),
            None => of_chat.map(|(_, message)| message).find(|it| has_buttons(it)),
        };
        let message = found.cloned()?;
        let rows = message["reply_markup"]["inline_keyboard"].as_array().cloned().unwrap_or_default();
        let is_it = |it: &Value| {
            let begins = |field: &str| it[field].as_str().is_some_and(|text| text.starts_with(button));
            begins("text") || it["callback_data"].as_str() == Some(button)
        };
        let mut buttons = rows.iter().filter_map(Value::as_array).flatten();
        let data = buttons.find(|it| is_it(it))?["callback_data"].as_str()?.to_owned();
        Some(self.press_data(bot, &message, from, &data))
    }

    /// Somebody presses what carries these data, below a message that may be another's.
    pub fn press_data(&mut self, bot: i64, message: &Value, from: i64, data: &str) -> i64 {
        let id = format!("query-{}", self.queries.len() + 1);
        self.queries.insert(id.clone());
        let query = json!({
            "id": id, "from": person(from), "message": message, "chat_instance": "1", "data": data
        });
        self.update(bot, json!({ "callback_query": query }))
    }

    /// Whatever else Telegram might tell.
    pub fn update(&mut self, bot: i64, mut update: Value) -> i64 {
        let Some(bot) = self.bots.get_mut(&bot) else { return 0 };
        let id = bot.next_update;
        bot.next_update += 1;
        merge(&mut update, json!({ "update_id": id }));
        bot.updates.push_back((id, update));
        id
    }

    /// Tells an update again that was confirmed.
    pub fn replay(&mut self, bot: i64, update: i64) -> bool {
        let Some(bot) = self.bots.get_mut(&bot) else { return false };
        let Some(again) = bot.confirmed.get(&update).cloned() else { return false };
        bot.updates.push_back((update, again));
        true
    }

    /// How many updates are not confirmed.
    #[must_use]
    pub fn waiting(&self, bot: i64) -> usize {
        self.bots.get(&bot).map_or(0, |bot| bot.updates.len())
    }

    /// A message as it stands now.
    #[must_use]
    pub fn sent(&self, chat: i64, message: i64) -> Option<&Value> {
        self.messages.get(&(chat, message))
    }

    fn take_message_id(&mut self) -> i64 {
        self.next_message += 1;
        self.next_message
    }

    /// Answers everything but long polling, and writes it down.
    pub(super) fn call(&mut self, token: &str, method: &str, body: &Value) -> Outcome {
        let bot = self.tokens.get(token).copied();
        let chat = body["chat_id"].as_i64();
        let fault = self.take_fault(method, chat);
        let wrong = fault.as_ref().map(|it| it.what);
        let before = match wrong {
            Some(Wrong::TooMany) => Some(too_many(fault.map_or(1, |it| it.retry_after))),
            Some(Wrong::Failed) => Some(bad(500, "Internal Server Error")),
            Some(Wrong::Bad) => Some(bad(400, "Bad Request: chat not found")),
            Some(Wrong::Blocked) => Some(bad(403, "Forbidden: bot was blocked by the user")),
            Some(Wrong::Entities) if body["parse_mode"].is_string() => {
                Some(bad(400, "Bad Request: can't parse entities: as was wished"))
            }
            Some(Wrong::BadGateway | Wrong::Hang) => Some((0, Value::Null)),
            Some(Wrong::Reset | Wrong::Entities) | None => None,
        };
        let is_faulty = before.is_some();
        let (code, answer) = before.unwrap_or_else(|| match bot {
            Some(bot) => self.answer(bot, method, body),
            None => bad(401, "Unauthorized"),
        });
        let parsed = body["parse_mode"].is_string().then(|| parse(body["text"].as_str().unwrap_or_default()));
        let parsed = parsed.and_then(Result::ok).unwrap_or_else(|| Parsed {
            text: body["text"].as_str().unwrap_or_default().to_owned(),
            entities: Vec::new(),
        });
        self.journal.push(Entry {
            time_ms: now_ms(),
            method: method.to_owned(),
            bot,
            body: body.clone(),
            links: found_links(&parsed),
            text: body["text"].is_string().then_some(parsed.text),
            code,
            answer: answer.clone(),
            done: !is_faulty && code == 200,
        });
        match wrong {
            Some(Wrong::Hang) => Outcome::Hang,
            Some(Wrong::Reset) => Outcome::Reset,
            Some(Wrong::BadGateway) => Outcome::Plain(502, "<html>502 Bad Gateway</html>"),
            _ => Outcome::Answer(code, answer),
        }
    }

    fn take_fault(&mut self, method: &str, chat: Option<i64>) -> Option<Fault> {
        let fits = |it: &Fault| {
            it.method.as_deref().is_none_or(|of| of == method) && (it.chat.is_none() || it.chat == chat)
        };
        let index = self.faults.iter().position(fits)?;
        let fault = self.faults.get_mut(index)?;
        fault.times = fault.times.saturating_sub(1);
        let taken = fault.clone();
        if taken.times == 0 {
            self.faults.remove(index);
        }
        Some(taken)
    }

    fn answer(&mut self, bot: i64, method: &str, body: &Value) -> (u16, Value) {
        match method {
            "getMe" => {
                let username = self.bots.get(&bot).map(|bot| bot.username.clone());
                good(json!({ "id": bot, "is_bot": true, "first_name": "Watch", "username": username,
                    "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false,
                    "can_connect_to_business": false, "has_main_web_app": false }))
            }
            "sendMessage" => self.send(bot, body),
            "answerCallbackQuery" => self.answer_query(body),
            "editMessageReplyMarkup" => self.edit(body, false),
            "editMessageText" => self.edit(body, true),
            "setMyCommands" | "deleteWebhook" => good(json!(true)),
            _ => bad(404, "Not Found"),
        }
    }

    fn send(&mut self, bot: i64, body: &Value) -> (u16, Value) {
        let Some(id) = body["chat_id"].as_i64() else { return bad(400, "Bad Request: chat_id is empty") };
        match self.chats.get(&id) {
            None => return bad(400, "Bad Request: chat not found"),
            Some(Chat { moved_to: Some(to), .. }) => {
                let description = "Bad Request: group chat was upgraded to a supergroup chat";
                let (code, mut answer) = bad(400, description);
                merge(&mut answer, json!({ "parameters": { "migrate_to_chat_id": to } }));
                return (code, answer);
            }
            Some(Chat { is_blocked: true, .. }) => return bad(403, "Forbidden: bot was blocked by the user"),
            Some(_) => {}
        }
        if let Err(description) = check_text(body).and_then(|()| check_buttons(&body["reply_markup"])) {
            self.violations.push(format!("chat {id}: {description}"));
            return bad(400, &description);
        }
        let taken = self.bots.get_mut(&bot).map(|bot| bot.limits.take(id, Instant::now()));
        if let Some(Err((what, seconds))) = taken {
            self.violations.push(what);
            return too_many(seconds);
        }
        let number = self.take_message_id();
        let mut message = json!({
            "message_id": number,
            "date": now_ms() / 1000,
            "chat": self.chat_json(id),
            "from": { "id": bot, "is_bot": true, "first_name": "Watch" },
            "text": parse(body["text"].as_str().unwrap_or_default()).map(|it| it.text).unwrap_or_default(),
        });
        if body["reply_markup"].is_object() {
            merge(&mut message, json!({ "reply_markup": body["reply_markup"] }));
        }
        self.messages.insert((id, number), message.clone());
        good(message)
    }

    fn answer_query(&mut self, body: &Value) -> (u16, Value) {
        let known = body["callback_query_id"].as_str().is_some_and(|id| self.queries.contains(id));
        let chars = body["text"].as_str().map_or(0, |text| text.chars().count());
        match (known, chars) {
            (false, _) => {
                bad(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
            }
            (true, too_many) if too_many > TOAST_CHARS_MAX => bad(400, "Bad Request: MESSAGE_TOO_LONG"),
            (true, _) => good(json!(true)),
        }
    }

    fn edit(&mut self, body: &Value, is_text: bool) -> (u16, Value) {
        let place = body["chat_id"].as_i64().zip(body["message_id"].as_i64());
        let checked = if is_text { check_text(body) } else { Ok(()) };
        if let Err(description) = checked.and_then(|()| check_buttons(&body["reply_markup"])) {
            self.violations.push(description.clone());
            return bad(400, &description);
        }
        let Some(message) = place.and_then(|place| self.messages.get_mut(&place)) else {
            return bad(400, "Bad Request: message to edit not found");
        };
        let before = message.clone();
        if is_text {
            merge(message, json!({ "text": body["text"] }));
        }
        merge(message, json!({ "reply_markup": body["reply_markup"] }));
        if *message == before {
            bad(400, "Bad Request: message is not modified")
        } else {
            good(message.clone())
        }
    }

    /// A call for updates begins: those it confirms go, the call before it ends.
    pub(super) fn begin_poll(&mut self, token: &str, body: &Value) -> Result<(i64, u64), (u16, Value)> {
        let Some(id) = self.tokens.get(token).copied() else { return Err(bad(401, "Unauthorized")) };
        let Some(bot) = self.bots.get_mut(&id) else { return Err(bad(401, "Unauthorized")) };
        if let Some(offset) = body["offset"].as_i64() {
            let confirmed: Vec<_> = bot.updates.iter().filter(|(id, _)| *id < offset).cloned().collect();
            bot.confirmed.extend(confirmed);
            bot.updates.retain(|(id, _)| *id >= offset);
        }
        if bot.is_polled {
            self.conflicts += 1;
        }
        bot.poller += 1;
        bot.is_polled = true;
        Ok((id, bot.poller))
    }

    /// What a call for updates is answered now; nothing: it waits.
    pub(super) fn look(&mut self, bot: i64, poller: u64, limit: usize) -> Option<(u16, Value)> {
        let bot = self.bots.get_mut(&bot)?;
        if bot.poller != poller {
            let description = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
            let is_revoked = !self.tokens.values().any(|id| *id == bot.id);
            return Some(if is_revoked { bad(401, "Unauthorized") } else { bad(409, description) });
        }
        let updates: Vec<Value> = bot.updates.iter().take(limit).map(|(_, update)| update.clone()).collect();
        (!updates.is_empty()).then(|| good(Value::Array(updates)))
    }

    /// A call for updates ends, in whatever way.
    pub(super) fn end_poll(&mut self, bot: i64, poller: u64) {
        if let Some(bot) = self.bots.get_mut(&bot).filter(|bot| bot.poller == poller) {
            bot.is_polled = false;
        }
    }

    pub(super) fn poll_fault(&mut self) -> Option<Fault> {
        let is_for_polls =
            |it: &Fault| it.method.as_deref().is_some_and(|of| of.eq_ignore_ascii_case("getUpdates"));
        self.faults.iter().any(is_for_polls).then(|| self.take_fault("getUpdates", None)).flatten()
    }
}

fn check_text(body: &Value) -> Result<(), String> {
    let Some(text) = body["text"].as_str().filter(|text| !text.trim().is_empty()) else {
        return Err("Bad Request: message text is empty".to_owned());
    };
    let shown = match body["parse_mode"].as_str() {
        None => text.to_owned(),
        Some("HTML") => {
            parse(text).map_err(|error| format!("Bad Request: can't parse entities: {error}"))?.text
        }
        Some(_) => return Err("Bad Request: unsupported parse_mode".to_owned()),
    };
    // Stricter than Telegram: what is sent counts, too.
    let units = shown.encode_utf16().count().max(text.encode_utf16().count());
    if units > TEXT_UNITS_MAX { Err("Bad Request: message is too long".to_owned()) } else { Ok(()) }
}

fn check_buttons(markup: &Value) -> Result<(), String> {
    let rows = markup["inline_keyboard"].as_array().cloned().unwrap_or_default();
    for button in rows.iter().filter_map(Value::as_array).flatten() {
        if button["text"].as_str().is_none_or(str::is_empty) {
            return Err("Bad Request: text buttons are unallowed in the inline keyboard".to_owned());
        }
        if let Some(data) = button["callback_data"].as_str()
            && !(1..=CALLBACK_BYTES_MAX).contains(&data.len())
        {
            return Err("Bad Request: BUTTON_DATA_INVALID".to_owned());
        }
        if let Some(url) = button["url"].as_str()
            && !is_good_url(url)
        {
            return Err(format!(
                "Bad Request: inline keyboard button URL '{url}' is invalid: Wrong HTTP URL"
            ));
        }
    }
    Ok(())
}

fn is_good_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#', ':']).next()).unwrap_or_default();
    host.contains('.') && !host.starts_with("127.") && !host.ends_with("localhost")
}

fn person(id: i64) -> Value {
    json!({ "id": id, "is_bot": false, "first_name": format!("Person {id}") })
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
