//! How a receiver is reached, by what facts say. Pure.

use super::book::To;
use super::pace::{self, Counted, Limit};
use super::plan::Way;
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::receiver::{Channel, ChannelKind};
use watchkeeper_schemas::registry::{Registry, TeamFacts};

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// Whether it can be.
    pub way: Way,
    /// The receiver, where its name is one.
    pub receiver: Option<ReceiverId>,
    /// By which channel, where one is known.
    pub kind: Option<ChannelKind>,
    /// What its channel counts.
    pub limits: Vec<Limit>,
    /// The newest revision of what leads there: receiver, chat or bot.
    pub revision: u64,
}

impl Reach {
    /// How a receiver is reached; `has_bot`: the installation has a bot for teams that have none.
    #[must_use]
    pub fn of(registry: &Registry, to: &To, has_bot: bool) -> Self {
        let receiver: Option<ReceiverId> = to.receiver.parse().ok();
        let nowhere =
            |way| Self { way, receiver: receiver.clone(), kind: None, limits: Vec::new(), revision: 0 };
        let Some(id) = &receiver else { return nowhere(Way::Unknown) };
        let Some(team) = registry.any_team(&to.team) else { return nowhere(Way::Unknown) };
        if !team.exists() {
            return nowhere(closed("the team was removed", false));
        }
        let Some(known) = team.receivers.recorded(id) else { return nowhere(Way::Unknown) };
        let Some(value) = &known.value else { return nowhere(closed("the receiver was removed", false)) };
        let kind = value.channel.kind();
        let (way, limits) = match &value.channel {
            Channel::Telegram {} => telegram(team, &to.team, id, has_bot),
            Channel::Email { .. }
            | Channel::Webhook { .. }
            | Channel::Ntfy { .. }
            | Channel::Chatroom { .. } => {
                let counted = Counted::Receiver(to.team.clone(), to.receiver.clone());
                (Way::Open, vec![Limit { counted, rates: pace::of_receiver(kind) }])
            }
        };
        let revision = match kind {
            ChannelKind::Telegram => {
                known.revision.max(team.chats.revision(id)).max(team.bots.revision(&to.team))
            }
            ChannelKind::Email | ChannelKind::Webhook | ChannelKind::Ntfy | ChannelKind::Chatroom => {
                known.revision
            }
        };
        Self { way, receiver, kind: Some(kind), limits, revision }
    }
}

fn closed(why: &str, is_failure: bool) -> Way {
    Way::Closed { why: why.to_owned(), is_failure }
}

fn telegram(facts: &TeamFacts, team: &TeamId, id: &ReceiverId, has_bot: bool) -> (Way, Vec<Limit>) {
    let own = facts.bots.get(team).is_some();
    if !own && !has_bot {
        return (closed("no Telegram bot is set up for the team", true), Vec::new());
    }
    let Some(chat) = facts.chats.get(id) else { return (closed("no chat is linked", true), Vec::new()) };
    let bot = own.then(|| team.clone());
    let rates = if chat.is_group { pace::GROUP } else { pace::CHAT };
    let limits = vec![
        Limit { counted: Counted::Chat(bot.clone(), chat.chat), rates },
        Limit { counted: Counted::Bot(bot), rates: pace::BOT },
    ];
    (Way::Open, limits)
}
