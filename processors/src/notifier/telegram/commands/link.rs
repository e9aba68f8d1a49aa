//! A chat takes an offer to be linked: once, in time, and for one team. Pure.

use super::super::html::Html;
use super::super::rights::{chats, is_telegram};
use super::{Asked, Deed, Known, NAME_UNITS_MAX, Plan, chat_name, say, told};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use watchkeeper_schemas::audit::{Action, Outcome};
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::journal::Fact;
use watchkeeper_schemas::receiver::{Chat, LinkOffer};
use watchkeeper_schemas::registry::{Recorded, TeamFacts};

/// Most of a chat's title that is recorded.
const TITLE_CHARS_MAX: usize = 100;

/// An offer of one of the bot's teams.
struct Offer<'a> {
    team: &'a TeamId,
    facts: &'a TeamFacts,
    receiver: &'a ReceiverId,
    recorded: &'a Recorded<LinkOffer>,
    offer: &'a LinkOffer,
}

/// What follows from a link's token; nothing where no team ever offered it, which is answered by silence.
pub(super) fn link(asked: &Asked, token: &str, known: &Known<'_>) -> Option<Plan> {
    let hash = BASE64URL_NOPAD.encode(&Sha256::digest(token.as_bytes()));
    let Some(found) = find(&hash, known) else { return taken(asked, &hash, known) };
    let Offer { team, facts, receiver, recorded, offer } = found;
    let before = facts.chats.get(receiver);
    // Any fact about the chat since then used the offer up, be it that it was unlinked again.
    let is_used = facts.chats.revision(receiver) > recorded.revision
        || before.is_some_and(|chat| chat.offer == offer.hash);
    if is_used {
        return taken(asked, &hash, known).or_else(|| Some(refused("was used already")));
    }
    if offer.expires <= known.now {
        return Some(refused("has expired"));
    }
    if known.registry.role(&offer.by, team).is_none() {
        return Some(refused("is of somebody who belongs to the team no longer"));
    }
    let elsewhere = known.teams.iter().filter(|other| *other != team);
    let mut elsewhere = elsewhere.filter_map(|other| known.registry.team(other));
    if elsewhere.any(|facts| chats(facts).any(|(_, chat)| chat.chat == asked.chat)) {
        let text = "This chat is linked to another team already: unlink it there first, or give this team a bot of its own.";
        return Some(say(Html::new().plain(text)));
    }
    let Some(from) = asked.from else {
        return Some(say(Html::new().plain("Telegram hides who you are here: link it as yourself.")));
    };
    let title = asked.title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
    let chat = Chat {
        chat: asked.chat,
        is_group: asked.is_group,
        title,
        telegram_user: from,
        user: offer.by.clone(),
        offer: offer.hash.clone(),
    };
    let mut told = told(asked, Some(&offer.by), Action::ChatLink, Outcome::Done, receiver.to_string());
    told.before = before.map(|chat| json!({ "chat": chat_name(chat.chat), "title": chat.title }));
    told.after = Some(json!({ "chat": chat_name(chat.chat), "title": chat.title }));
    let deed = Deed {
        team: team.clone(),
        author: offer.by.clone(),
        cause: "linked",
        fact: Fact::Chat { id: receiver.clone(), value: Some(chat) },
        expected: facts.chats.revision(receiver),
        may_be_there: false,
        told,
    };
    Some(Plan { say: Some(welcome(facts, receiver)), deeds: vec![deed], ..Plan::default() })
}

fn find<'a>(hash: &str, known: &Known<'a>) -> Option<Offer<'a>> {
    known.teams.iter().find_map(|team| {
        let facts = known.registry.team(team)?;
        let (receiver, offer) = facts.link_offers.iter().find(|(_, offer)| offer.hash == hash)?;
        let recorded = facts.link_offers.recorded(receiver)?;
        is_telegram(facts, receiver).then_some(Offer { team, facts, receiver, recorded, offer })
    })
}

/// The answer to a link that this very chat took, or another one; nothing where nobody did.
fn taken(asked: &Asked, hash: &str, known: &Known<'_>) -> Option<Plan> {
    let teams = known.teams.iter().filter_map(|team| known.registry.team(team));
    let mut taken = teams.flat_map(|facts| chats(facts).map(move |(id, chat)| (facts, id, chat)));
    let (facts, receiver, chat) = taken.find(|(_, _, chat)| chat.offer == hash)?;
    if chat.chat == asked.chat {
        Some(say(welcome(facts, receiver)))
    } else {
        Some(refused("was used already"))
    }
}

fn refused(why: &str) -> Plan {
    say(Html::new().plain(&format!("This link {why}: make a new one on the page, below Receivers.")))
}

fn welcome(facts: &TeamFacts, receiver: &ReceiverId) -> Html {
    let name = facts.receivers.get(receiver).map_or(receiver.as_str(), |it| it.name.as_str());
    Html::new()
        .bold("Linked")
        .plain(": alerts of ")
        .foreign(facts.name(), NAME_UNITS_MAX)
        .plain(" for ")
        .foreign(name, NAME_UNITS_MAX)
        .plain(" arrive here.\n/help tells what can be asked.")
}
