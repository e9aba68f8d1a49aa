//! Acknowledging and silencing from a chat: for the person who is linked, with their present role. Pure.

use super::super::html::{Html, lasting, moment, page};
use super::super::press::{Press, meant};
use super::super::rights::Linked;
use super::show::{alert_name, find_host, open_alerts};
use super::{Asked, Deed, Known, NAME_UNITS_MAX, Plan, actor, say, told};
use crate::notifier::episodes::Open;
use serde_json::json;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{Matcher, Silence};
use watchkeeper_schemas::audit::{Action, Outcome};
use watchkeeper_schemas::episode::{TransitionWord, fingerprint};
use watchkeeper_schemas::ids::{EpisodeId, SilenceId, UserId};
use watchkeeper_schemas::journal::{Fact, Remark};

/// What is recorded for one message at most.
const DEEDS_MAX: usize = 200;
/// Silences of a team at most that are not over.
const SILENCES_MAX: usize = 10_000;
/// How long a silence lasts where nobody says.
const SILENCE_MS: u64 = 3_600_000;
/// How long it lasts at most from a chat; longer ones are made on the page.
const SILENCE_MS_MAX: u64 = 30 * 86_400_000;
/// What is written into what is made from a chat.
const NOTE: &str = "from Telegram";

const NOTHING_OPEN: &str = "Nothing is open.";

/// `/ack`, `/ack 2`, `/ack 1 3`, `/ack all`.
pub(super) fn acknowledge_asked(asked: &Asked, linked: &Linked<'_>, known: &Known<'_>, which: &str) -> Plan {
    let user = match actor(asked, linked) {
        Ok(user) => user,
        Err(plan) => return *plan,
    };
    match episodes_asked(linked, known, which) {
        Ok(ids) => acknowledge(asked, linked, known, user, &ids),
        Err(plan) => *plan,
    }
}

/// The open episodes that a text names by their numbers in the list that this chat saw last.
fn episodes_asked(linked: &Linked<'_>, known: &Known<'_>, which: &str) -> Result<Vec<EpisodeId>, Box<Plan>> {
    let open: Vec<EpisodeId> =
        open_alerts(known.episodes, linked.team).into_iter().map(|(id, _)| id.clone()).collect();
    let no = |text: &str| Err(Box::new(say(Html::new().plain(text))));
    if which.eq_ignore_ascii_case("all") || (which.is_empty() && open.len() == 1) {
        return if open.is_empty() { no(NOTHING_OPEN) } else { Ok(open) };
    }
    if which.is_empty() {
        let several = "Which one? /alerts numbers them; then /ack 2, /ack 1 3 or /ack all.";
        return no(if open.is_empty() { NOTHING_OPEN } else { several });
    }
    let mut ids = Vec::new();
    for word in which.split([' ', ',']).filter(|word| !word.is_empty()) {
        match numbered(known, word) {
            Some(id) => ids.push(id.clone()),
            None => {
                return no(
                    "There is no such number in the list that was shown here last: /alerts shows it anew.",
                );
            }
        }
    }
    ids.dedup();
    Ok(ids)
}

/// What a number meant in the list that this chat saw last: the list of now may be in another order.
fn numbered<'a>(known: &Known<'a>, word: &str) -> Option<&'a EpisodeId> {
    let index = word.trim_start_matches('#').parse::<usize>().ok()?.checked_sub(1)?;
    known.listed.get(index)
}

/// Records that somebody looks after what is open of these.
fn acknowledge(
    asked: &Asked,
    linked: &Linked<'_>,
    known: &Known<'_>,
    user: &UserId,
    ids: &[EpisodeId],
) -> Plan {
    let (mut deeds, mut lines) = (Vec::new(), Vec::new());
    for id in ids.iter().take(DEEDS_MAX) {
        let Some(open) = known.episodes.get(linked.team, id) else {
            lines.push(Html::new().plain("It is over already: nothing was done."));
            continue;
        };
        let name = alert_name(open, linked.facts);
        if let Some(by) = looked_after(linked, id, open) {
            lines
                .push(Html::new().plain("= ").foreign(&by, NAME_UNITS_MAX).plain(" looks after ").and(&name));
            continue;
        }
        lines.push(
            Html::new().plain("✓ ").foreign(user.as_str(), NAME_UNITS_MAX).plain(" looks after ").and(&name),
        );
        deeds.push(acknowledgement(asked, linked, user, id, open));
    }
    if ids.len() > DEEDS_MAX {
        lines.push(Html::new().plain(&format!("{} more are left: say it again.", ids.len() - DEEDS_MAX)));
    }
    let (text, _) = page(&Html::new(), &lines, &Html::new());
    Plan { say: Some(text), deeds, ..Plan::default() }
}

fn acknowledgement(asked: &Asked, linked: &Linked<'_>, user: &UserId, id: &EpisodeId, open: &Open) -> Deed {
    let remark = Remark { note: NOTE.to_owned() };
    let mut told = told(asked, Some(user), Action::AlertAcknowledge, Outcome::Done, id.to_string());
    told.after = Some(json!({ "note": NOTE }));
    Deed {
        team: linked.team.clone(),
        author: user.clone(),
        cause: "acknowledged",
        fact: Fact::Acknowledgement { episode: open.newest.episode.clone(), value: Some(remark) },
        expected: linked.facts.acknowledgements.revision(id),
        may_be_there: true,
        told,
    }
}

/// Who looks after an episode as bad as it is now: what became worse since then is to be acknowledged anew.
fn looked_after(linked: &Linked<'_>, id: &EpisodeId, open: &Open) -> Option<String> {
    let recorded = linked.facts.acknowledgements.recorded(id).filter(|it| it.value.is_some())?;
    let is_worse = open.newest.transition == TransitionWord::Level && open.newest.time > recorded.time;
    (!is_worse).then(|| recorded.author.clone())
}

/// `/silence web-1`, `/silence web-1 2h`, `/silence 2 30m`.
pub(super) fn silence_asked(asked: &Asked, linked: &Linked<'_>, known: &Known<'_>, what: &str) -> Plan {
    let user = match actor(asked, linked) {
        Ok(user) => user,
        Err(plan) => return *plan,
    };
    let (what, ms) = match what.rsplit_once(char::is_whitespace) {
        Some((before, last)) if duration_ms(last).is_some() => (before.trim(), duration_ms(last)),
        _ => (what, Some(SILENCE_MS)),
    };
    let ms = ms.unwrap_or(SILENCE_MS);
    if what.is_empty() {
        return say(Html::new().plain("What? As /silence web-1 2h, or /silence 2 30m after /alerts."));
    }
    if ms == 0 || ms > SILENCE_MS_MAX {
        return say(
            Html::new().plain("For how long? 1m to 30d, as 30m, 2h or 1d; longer ones are made on the page.")
        );
    }
    if let Some(id) = numbered(known, what) {
        return silence(asked, linked, known, user, std::slice::from_ref(id), ms);
    }
    match find_host(linked.facts, what) {
        Ok((host, name)) => {
            let matchers = vec![Matcher::Host(host.clone())];
            let made = made(asked, linked, known, user, (0, ms), matchers);
            let words = Html::new().foreign(name, NAME_UNITS_MAX);
            silenced(linked, known, made.into_iter().collect(), &[words], ms)
        }
        Err(text) => say(text),
    }
}

/// `30m`, `2h`, `1d`.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit.to_lowercase().as_str() {
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// Holds back notices of what is open of these, each by its rule, host and label.
fn silence(
    asked: &Asked,
    linked: &Linked<'_>,
    known: &Known<'_>,
    user: &UserId,
    ids: &[EpisodeId],
    ms: u64,
) -> Plan {
    let (mut deeds, mut names) = (Vec::new(), Vec::new());
    for (index, id) in ids.iter().enumerate().take(DEEDS_MAX) {
        if let Some(open) = known.episodes.get(linked.team, id) {
            names.push(alert_name(open, linked.facts));
            deeds.extend(made(asked, linked, known, user, (index, ms), open.newest.episode.matchers()));
        }
    }
    if names.is_empty() {
        return say(Html::new().plain("It is over already: nothing was done."));
    }
    silenced(linked, known, deeds, &names, ms)
}

fn silenced(linked: &Linked<'_>, known: &Known<'_>, deeds: Vec<Deed>, names: &[Html], ms: u64) -> Plan {
    let current = linked.facts.silences.iter().filter(|(_, it)| it.until > known.now).count();
    if current + deeds.len() > SILENCES_MAX {
        return say(
            Html::new().plain(&format!("A team has at most {SILENCES_MAX} silences that are not over."))
        );
    }
    let until = watchkeeper_schemas::quantity::UnixMs(known.now.0.saturating_add(ms));
    let head = Html::new().plain(&format!("✓ silent for {}, until {}:", lasting(ms), moment(until)));
    let (text, _) = page(&head, names, &Html::new());
    Plan { say: Some(text), deeds, ..Plan::default() }
}

/// A silence with an id of its own for each update: the same update makes it once. Nothing where it is made already.
fn made(
    asked: &Asked,
    linked: &Linked<'_>,
    known: &Known<'_>,
    user: &UserId,
    (index, ms): (usize, u64),
    matchers: Vec<Matcher>,
) -> Option<Deed> {
    let id: SilenceId = fingerprint(&[&asked.key, &index.to_string()]).parse().ok()?;
    if linked.facts.silences.recorded(&id).is_some() {
        return None;
    }
    let until = watchkeeper_schemas::quantity::UnixMs(known.now.0.saturating_add(ms));
    let (author, reason) = (user.to_string(), NOTE.to_owned());
    let silence = Silence { author, reason, from: known.now, until, matchers };
    let mut told = told(asked, Some(user), Action::SilenceCreate, Outcome::Done, id.to_string());
    told.after = serde_json::to_value(&silence).ok();
    Some(Deed {
        team: linked.team.clone(),
        author: user.clone(),
        cause: "made",
        fact: Fact::Silence { id, value: Some(silence) },
        expected: 0,
        may_be_there: true,
        told,
    })
}

/// What follows from a button: it acts on what is still open.
pub(super) fn pressed(
    asked: &Asked,
    linked: &Linked<'_>,
    known: &Known<'_>,
    press: Press,
    hashes: &BTreeSet<String>,
) -> Plan {
    let user = match actor(asked, linked) {
        Ok(user) => user,
        Err(plan) => return *plan,
    };
    let ids = meant(known.episodes, linked.team, hashes);
    if ids.is_empty() {
        return say(Html::new().plain("It is over already: nothing was done."));
    }
    let (plan, done) = match press {
        Press::Acknowledge => {
            let plan = acknowledge(asked, linked, known, user, &ids);
            let words = match plan.deeds.len() {
                0 => "Somebody looks after it already.".to_owned(),
                n => format!("You look after {n} {}.", if n == 1 { "alert" } else { "alerts" }),
            };
            let mark = (!plan.deeds.is_empty()).then(|| format!("✓ {user} looks after it"));
            (Plan { mark, ..plan }, words)
        }
        Press::Silence => {
            let plan = silence(asked, linked, known, user, &ids, SILENCE_MS);
            let mark = (!plan.deeds.is_empty()).then(|| format!("✓ silent for 1 h by {user}"));
            (Plan { mark, ..plan }, format!("Silent for 1 h: {}.", ids.len()))
        }
    };
    Plan { say: Some(Html::new().plain(&done)), ..plan }
}
