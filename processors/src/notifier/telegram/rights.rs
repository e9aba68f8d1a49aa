//! Who writes, and what they may: a chat speaks for the person who linked it, with the role that they have now. Pure.

use watchkeeper_schemas::ids::{ReceiverId, TeamId, UserId};
use watchkeeper_schemas::journal::Role;
use watchkeeper_schemas::receiver::{Channel, Chat};
use watchkeeper_schemas::registry::{Registry, TeamFacts};

/// What a chat is to us.
#[derive(Debug, Clone)]
pub enum Standing<'a> {
    /// Nobody linked it.
    Unknown,
    /// Who linked it belongs to the team no longer, or may not log in.
    Gone(&'a TeamId),
    /// It is linked.
    Linked(Linked<'a>),
}

/// A linked chat.
#[derive(Debug, Clone)]
pub struct Linked<'a> {
    /// To which team.
    pub team: &'a TeamId,
    /// What is known of it.
    pub facts: &'a TeamFacts,
    /// Who writes, where they are linked themselves and belong to the team.
    pub actor: Option<(&'a UserId, Role)>,
}

/// Chats of a team whose receivers are there.
pub fn chats(team: &TeamFacts) -> impl Iterator<Item = (&ReceiverId, &Chat)> {
    team.chats.iter().filter(|(id, _)| is_telegram(team, id))
}

/// Whether a receiver is there and is told by Telegram.
#[must_use]
pub fn is_telegram(team: &TeamFacts, id: &ReceiverId) -> bool {
    team.receivers.get(id).is_some_and(|receiver| matches!(receiver.channel, Channel::Telegram {}))
}

/// What a chat is to the teams of one bot; `from` is Telegram's id of who writes.
#[must_use]
pub fn standing<'a>(
    registry: &'a Registry,
    teams: &'a [TeamId],
    chat: i64,
    from: Option<i64>,
) -> Standing<'a> {
    let mut gone = Standing::Unknown;
    for team in teams {
        let Some(facts) = registry.team(team) else { continue };
        let mut links = chats(facts).filter(|(_, link)| link.chat == chat).peekable();
        if links.peek().is_none() {
            continue;
        }
        if links.any(|(_, link)| registry.role(&link.user, team).is_some()) {
            let actor = from.and_then(|from| actor(registry, team, facts, chat, from));
            return Standing::Linked(Linked { team, facts, actor });
        }
        gone = Standing::Gone(team);
    }
    gone
}

/// Who of the team has this id at Telegram: as they linked this chat, else as they linked another one last.
fn actor<'a>(
    registry: &'a Registry,
    team: &TeamId,
    facts: &'a TeamFacts,
    chat: i64,
    from: i64,
) -> Option<(&'a UserId, Role)> {
    let own = chats(facts).filter(|(_, link)| link.telegram_user == from);
    let newest = own.max_by_key(|(id, link)| (link.chat == chat, facts.chats.revision(id)))?;
    let user = &newest.1.user;
    Some((user, registry.role(user, team)?))
}
