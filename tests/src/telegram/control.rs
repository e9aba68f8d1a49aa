//! How people and tests speak to the double: JSON over HTTP below `/control`.

use super::Shared;
use super::state::{Fault, State};
use crate::http::{Asked, Said};
use serde::Deserialize;
use serde_json::{Value, json};

/// What can be asked.
pub const HELP: &str = "\
A double of Telegram's interface for bots. It keeps Telegram's limits: 1 message a second for a chat, 20 a minute for a
group, 30 a second for a bot, 4,096 characters, strict HTML, 64 bytes in a button. A chat below 0 is a group. `bot` is the
number in front of the token and may be left out where there is one bot.

  curl URL/control/say     -d '{\"chat\": 42, \"text\": \"/start TOKEN\"}'        a person writes (\"from\": 42 unless said)
  curl URL/control/press   -d '{\"chat\": 42, \"button\": \"Acknowledge\"}'       presses a button of the newest message that has some
  curl URL/control/replay  -d '{\"update\": 700000000}'                       tells an update again
  curl URL/control/update  -d '{\"message\": {…}}'                            any update of Telegram's form
  curl URL/control/fault   -d '{\"what\": \"429\", \"times\": 3, \"retry_after\": 2, \"method\": \"sendMessage\"}'
                           what: 429 500 502 hang reset 400 403 entities; DELETE takes all back
  curl URL/control/token   -d '{\"token\": \"1:abc\", \"revoke\": false}'         a token becomes good, or good no longer
  curl URL/control/block   -d '{\"chat\": 42, \"blocked\": true}'
  curl URL/control/migrate -d '{\"chat\": -5, \"to\": -1000000000005}'
  curl URL/control/journal?method=sendMessage                               everything that arrived, with times
  curl URL/control/chat?42                                                  a chat as people see it
  curl URL/control/violations                                               limits that were broken
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    bot: Option<i64>,
    chat: i64,
    from: Option<i64>,
    #[serde(default)]
    title: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PressOf {
    bot: Option<i64>,
    chat: i64,
    from: Option<i64>,
    message: Option<i64>,
    button: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    bot: Option<i64>,
    update: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
    #[serde(default)]
    revoke: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    chat: i64,
    blocked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Migrate {
    bot: Option<i64>,
    chat: i64,
    to: i64,
    #[serde(default)]
    untold: bool,
}

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Said {
    let Some(what) = asked.path.strip_prefix("/control/") else {
        let code = if asked.path == "/" { 200 } else { 404 };
        return Said::Text(code, HELP.to_owned());
    };
    let told = match (asked.method.as_str(), what) {
        ("GET", "journal") => {
            let method = asked.query.strip_prefix("method=").unwrap_or_default().to_owned();
            Ok(shared.with(|it| {
                let wanted = it.journal.iter().filter(|entry| method.is_empty() || entry.method == method);
                json!(wanted.collect::<Vec<_>>())
            }))
        }
        ("GET", "chat") => Ok(shared.with(|it| chat(it, asked.query.parse().unwrap_or_default()))),
        ("GET", "violations") => {
            Ok(shared.with(|it| json!({ "violations": it.violations, "conflicts": it.conflicts })))
        }
        ("DELETE", "fault") => Ok(shared.with(|it| {
            it.no_faults();
            json!({})
        })),
        ("POST", what) => shared.with(|it| post(it, what, &asked.body)),
        _ => Err("there is no such thing: GET / tells what there is".to_owned()),
    };
    match told {
        Ok(answer) => Said::Json(200, answer),
        Err(error) => Said::Json(400, json!({ "error": error })),
    }
}

/// A chat as people see it.
fn chat(state: &State, chat: i64) -> Value {
    let sent = state.journal.iter().filter(|it| it.done && it.body["chat_id"].as_i64() == Some(chat));
    let shown = sent.filter(|it| it.method == "sendMessage").map(|it| {
        let number = it.answer["result"]["message_id"].as_i64().unwrap_or_default();
        let buttons = state.sent(chat, number).map(|it| it["reply_markup"].clone());
        json!({ "message": number, "text": it.text, "silent": it.body["disable_notification"], "buttons": buttons })
    });
    json!(shown.collect::<Vec<_>>())
}

fn post(state: &mut State, what: &str, body: &[u8]) -> Result<Value, String> {
    let done = |update: Option<i64>| {
        update.map(|id| json!({ "update": id })).ok_or("there is no such thing".to_owned())
    };
    match what {
        "say" => {
            let Say { bot, chat, from, title, text } = read(body)?;
            let bot = state.bot_or_only(bot)?;
            done(Some(state.say(bot, chat, from.unwrap_or(chat), &title, &text)))
        }
        "press" => {
            let PressOf { bot, chat, from, message, button } = read(body)?;
            let bot = state.bot_or_only(bot)?;
            done(state.press(bot, chat, from.unwrap_or(chat), message, &button))
        }
        "replay" => {
            let Replay { bot, update } = read(body)?;
            let bot = state.bot_or_only(bot)?;
            done(state.replay(bot, update).then_some(update))
        }
        "update" => {
            let bot = state.bot_or_only(None)?;
            done(Some(state.update(bot, read(body)?)))
        }
        "fault" => {
            state.fault(read::<Fault>(body)?);
            Ok(json!({}))
        }
        "token" => {
            let Token { token, revoke } = read(body)?;
            if revoke {
                state.revoke_token(&token)
            } else {
                state.add_token(&token)
            }
            Ok(json!({ "username": state.username(&token) }))
        }
        "block" => {
            let Block { chat, blocked } = read(body)?;
            state.block(chat, blocked);
            Ok(json!({}))
        }
        "migrate" => {
            let Migrate { bot, chat, to, untold } = read(body)?;
            let bot = state.bot_or_only(bot)?;
            state.migrate(bot, chat, to, !untold);
            Ok(json!({}))
        }
        _ => Err("there is no such thing: GET / tells what there is".to_owned()),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
