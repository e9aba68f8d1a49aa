//! What is asked in chats, and what follows: words and deeds. Pure: facts, open episodes and numbers come in, `now` is
//! an argument.

mod act;
mod link;
mod show;
#[cfg(test)]
mod tests;

use super::html::Html;
use super::press::Press;
use super::rights::{Linked, Standing, standing};
use super::values::View;
use crate::notifier::episodes::Episodes;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::audit::{Action, Deed as Told, Outcome, Via};
use watchkeeper_schemas::ids::{EpisodeId, HostId, TeamId, UserId};
use watchkeeper_schemas::journal::{Fact, Role};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;

/// Most of a name that is shown, in UTF-16 units once escaped.
const NAME_UNITS_MAX: usize = 200;

/// One message or pressed button.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Telegram's id of the chat.
    pub chat: i64,
    /// More than one person may be in it.
    pub is_group: bool,
    /// What it is called.
    pub title: String,
    /// Telegram's id of who writes; none for who hides.
    pub from: Option<i64>,
    /// What tells this update from every other one, for ever: what it makes is made once.
    pub key: String,
}

/// What a text asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Link this chat with the token.
    Start(String),
    /// Numbers of all hosts, or of one.
    Stats(String),
    /// All hosts.
    Hosts,
    /// What is not well.
    Warn,
    /// What is open.
    Alerts,
    /// Somebody looks after it.
    Ack(String),
    /// Nobody wants to hear of it for a while.
    Silence(String),
    /// What can be asked.
    Help,
    /// A command that is none.
    Unknown,
}

/// What is known when an update is answered.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Everything that JOURNAL says.
    pub registry: &'a Registry,
    /// What is open.
    pub episodes: &'a Episodes,
    /// The teams that the bot serves.
    pub teams: &'a [TeamId],
    /// The open alerts that this chat was shown last, in their order: what its numbers mean.
    pub listed: &'a [EpisodeId],
    /// The newest numbers of the team's hosts.
    pub views: &'a BTreeMap<HostId, View>,
    /// When it is answered.
    pub now: UnixMs,
}

/// What follows from an update.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What is said; to a pressed button as a short text without tags.
    pub say: Option<Html>,
    /// What is recorded, in this order.
    pub deeds: Vec<Deed>,
    /// What the audit hears though nothing is recorded.
    pub refusal: Option<(JournalScope, Told)>,
    /// The alerts that the answer numbers.
    pub listed: Option<Vec<EpisodeId>>,
    /// What the pressed button says from now on.
    pub mark: Option<String>,
}

/// One fact that is recorded for somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// Whose fact.
    pub team: TeamId,
    /// Who does it.
    pub author: UserId,
    /// Why.
    pub cause: &'static str,
    /// What is true from now on.
    pub fact: Fact,
    /// Over which revision.
    pub expected: u64,
    /// A fact that somebody else recorded meanwhile does as well.
    pub may_be_there: bool,
    /// What the audit hears once it is recorded.
    pub told: Told,
}

impl Command {
    /// Reads a text; nothing where it is no command, or one for another bot.
    #[must_use]
    pub fn read(text: &str, username: &str) -> Option<Self> {
        let text = text.trim().strip_prefix('/')?;
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (word, bot) = word.split_once('@').map_or((word, None), |(word, bot)| (word, Some(bot)));
        if bot.is_some_and(|bot| !bot.eq_ignore_ascii_case(username)) {
            return None;
        }
        let rest = rest.trim().to_owned();
        Some(match word.to_lowercase().as_str() {
            "start" => Self::Start(rest),
            "stats" => Self::Stats(rest),
            "hosts" => Self::Hosts,
            "warn" => Self::Warn,
            "alerts" => Self::Alerts,
            "ack" => Self::Ack(rest),
            "silence" => Self::Silence(rest),
            "help" => Self::Help,
            _ => Self::Unknown,
        })
    }

    /// Whether the answer shows numbers of hosts.
    #[must_use]
    pub fn needs_views(&self) -> bool {
        match self {
            Self::Stats(_) | Self::Hosts | Self::Warn => true,
            Self::Start(_) | Self::Alerts | Self::Ack(_) | Self::Silence(_) | Self::Help | Self::Unknown => {
                false
            }
        }
    }
}

/// The team whose numbers an update may ask for.
#[must_use]
pub fn team_of(asked: &Asked, registry: &Registry, teams: &[TeamId]) -> Option<TeamId> {
    match standing(registry, teams, asked.chat, asked.from) {
        Standing::Linked(linked) => Some(linked.team.clone()),
        Standing::Unknown | Standing::Gone(_) => None,
    }
}

/// What follows from a text.
#[must_use]
pub fn answer(asked: &Asked, command: &Command, known: &Known<'_>) -> Plan {
    if let Command::Start(token) = command
        && !token.is_empty()
        && let Some(plan) = link::link(asked, token, known)
    {
        return plan;
    }
    let linked = match standing(known.registry, known.teams, asked.chat, asked.from) {
        Standing::Unknown => return unknown(asked, known.teams),
        Standing::Gone(team) => return gone(asked, team),
        Standing::Linked(linked) => linked,
    };
    match command {
        Command::Start(_) => say(show::greeting(&linked)),
        Command::Stats(host) if host.is_empty() => say(show::stats(&linked, known)),
        Command::Stats(host) => say(show::stats_of(&linked, known, host)),
        Command::Hosts => say(show::hosts(&linked, known)),
        Command::Warn => say(show::warn(&linked, known)),
        Command::Alerts => {
            let (text, listed) = show::alerts(&linked, known);
            Plan { say: Some(text), listed: Some(listed), ..Plan::default() }
        }
        Command::Ack(which) => act::acknowledge_asked(asked, &linked, known, which),
        Command::Silence(what) => act::silence_asked(asked, &linked, known, what),
        Command::Help => say(show::help()),
        Command::Unknown if asked.is_group => Plan::default(),
        Command::Unknown => say(Html::new().plain("There is no such command: /help lists those there are.")),
    }
}

/// What follows from a pressed button.
#[must_use]
pub fn pressed(asked: &Asked, press: Option<(Press, BTreeSet<String>)>, known: &Known<'_>) -> Plan {
    let linked = match standing(known.registry, known.teams, asked.chat, asked.from) {
        Standing::Unknown => {
            let plan = unknown(asked, known.teams);
            return Plan { say: Some(Html::new().plain("This chat is not linked.")), ..plan };
        }
        Standing::Gone(team) => return gone(asked, team),
        Standing::Linked(linked) => linked,
    };
    match press {
        Some((press, hashes)) => act::pressed(asked, &linked, known, press, &hashes),
        None => say(Html::new().plain("This button is of an earlier version: nothing was done.")),
    }
}

fn say(text: Html) -> Plan {
    Plan { say: Some(text), ..Plan::default() }
}

/// Silence, and a line for the audit: of the team where the bot is one team's alone.
fn unknown(asked: &Asked, teams: &[TeamId]) -> Plan {
    let scope = match teams {
        [team] => JournalScope::Team(team.clone()),
        _ => JournalScope::Everyone,
    };
    let told = told(asked, None, Action::ChatUnknown, Outcome::Refused, chat_name(asked.chat));
    Plan { refusal: Some((scope, told)), ..Plan::default() }
}

fn gone(asked: &Asked, team: &TeamId) -> Plan {
    let told = told(asked, None, Action::Refused, Outcome::Refused, chat_name(asked.chat));
    let text = "Who linked this chat belongs to the team no longer: a member has to link it anew.";
    let refusal = Some((JournalScope::Team(team.clone()), told));
    Plan { say: Some(Html::new().plain(text)), refusal, ..Plan::default() }
}

fn chat_name(chat: i64) -> String {
    format!("telegram:{chat}")
}

/// A line of the audit about what was asked here.
fn told(asked: &Asked, actor: Option<&UserId>, action: Action, outcome: Outcome, object: String) -> Told {
    Told {
        action,
        outcome,
        actor: actor.cloned(),
        via: if actor.is_some() { Via::Chat } else { Via::Nobody },
        from: Some(chat_name(asked.from.unwrap_or(asked.chat))),
        object,
        before: None,
        after: None,
    }
}

/// Who acts, if they may; else what follows instead.
fn actor<'a>(asked: &Asked, linked: &Linked<'a>) -> Result<&'a UserId, Box<Plan>> {
    let (who, text) = match linked.actor {
        Some((user, role)) if role >= Role::Admin => return Ok(user),
        Some((user, _)) => (Some(user), "You may look and change nothing: ask an admin of the team."),
        None => (
            None,
            "Only who linked a chat of their own to this team may do this: on the page, below Receivers.",
        ),
    };
    let told = told(asked, who, Action::Refused, Outcome::Refused, chat_name(asked.chat));
    let refusal = Some((JournalScope::Team(linked.team.clone()), told));
    Err(Box::new(Plan { say: Some(Html::new().plain(text)), refusal, ..Plan::default() }))
}
