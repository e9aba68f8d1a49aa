//! What is shown in chats: hosts, numbers, alerts. Pure.

use super::super::html::{Html, lasting, page};
use super::super::rights::Linked;
use super::super::values::{Space, View};
use super::{Known, NAME_UNITS_MAX};
use crate::notifier::episodes::{Episodes, Open};
use std::cmp::Reverse;
use watchkeeper_schemas::built_in::built_in;
use watchkeeper_schemas::episode::WHOLE_TEAM;
use watchkeeper_schemas::ids::{EpisodeId, HostId, TeamId};
use watchkeeper_schemas::journal::Host;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::TeamFacts;
use watchkeeper_schemas::rule::Severity;

/// From here on a share is worth a warning.
const WARN_PCT: f64 = 90.0;
/// Rows of one host that are shown of each kind.
const ROWS_MAX: usize = 12;

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Silent(u64),
    Waiting,
    Paused,
    Reports(u64),
}

fn state(host: &Host, view: Option<&View>, now: UnixMs) -> State {
    match view {
        _ if host.paused => State::Paused,
        None => State::Waiting,
        Some(view) => match view.silent_ms(now) {
            Some(ms) => State::Silent(ms),
            None => State::Reports(now.0.saturating_sub(view.received.0)),
        },
    }
}

impl State {
    fn words(self) -> String {
        match self {
            Self::Silent(ms) => format!("silent for {}", lasting(ms)),
            Self::Waiting => "never reported".to_owned(),
            Self::Paused => "paused".to_owned(),
            Self::Reports(ms) => format!("{} ago", lasting(ms)),
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Silent(_) => "‼ ",
            Self::Waiting => "… ",
            Self::Paused => "= ",
            Self::Reports(_) => "✓ ",
        }
    }
}

pub(super) fn greeting(linked: &Linked<'_>) -> Html {
    let name = linked.facts.name();
    Html::new().plain("This chat is linked to ").foreign(name, NAME_UNITS_MAX).plain(".\n").and(&help())
}

pub(super) fn help() -> Html {
    Html::new().plain(
        "/alerts - what is open, numbered\n\
         /ack 2 - you look after number 2; /ack all\n\
         /silence web-1 2h - nothing is told of a host; /silence 2 30m of an alert\n\
         /warn - what is not well\n\
         /hosts - all hosts\n\
         /stats - their numbers; /stats web-1 of one\n\
         Acknowledging and silencing need an admin.",
    )
}

/// Hosts of the team by name.
fn by_name(facts: &TeamFacts) -> Vec<(&HostId, &Host)> {
    let mut hosts: Vec<_> = facts.hosts.iter().collect();
    hosts.sort_by(|a, b| (a.1.name.to_lowercase(), a.0).cmp(&(b.1.name.to_lowercase(), b.0)));
    hosts
}

fn head(title: &str, linked: &Linked<'_>, rest: &str) -> Html {
    Html::new().bold(title).plain(" of ").foreign(linked.facts.name(), NAME_UNITS_MAX).plain(rest)
}

pub(super) fn hosts(linked: &Linked<'_>, known: &Known<'_>) -> Html {
    let mut all: Vec<(State, &HostId, &Host)> = by_name(linked.facts)
        .into_iter()
        .map(|(id, host)| (state(host, known.views.get(id), known.now), id, host))
        .collect();
    let count = |wanted: fn(&State) -> bool| all.iter().filter(|(state, ..)| wanted(state)).count();
    let silent = count(|it| matches!(it, State::Silent(_)));
    let rest = format!(
        ": {}, {} report, {silent} silent, {} paused, {} waiting",
        all.len(),
        count(|it| matches!(it, State::Reports(_))),
        count(|it| matches!(it, State::Paused)),
        count(|it| matches!(it, State::Waiting)),
    );
    all.sort_by_key(|(state, ..)| !matches!(state, State::Silent(_)));
    let line = |(state, _, host): &(State, &HostId, &Host)| {
        let words = format!(" {}", state.words());
        Html::new().plain(state.sign()).foreign(&host.name, NAME_UNITS_MAX).plain(&words)
    };
    let lines: Vec<Html> = all.iter().map(line).collect();
    page(&head("Hosts", linked, &rest), &lines, &Html::new()).0
}

pub(super) fn stats(linked: &Linked<'_>, known: &Known<'_>) -> Html {
    let line = |(id, host): &(&HostId, &Host)| {
        let view = known.views.get(*id);
        let name = Html::new().foreign(&host.name, NAME_UNITS_MAX).plain(" ");
        match (state(host, view, known.now), view) {
            (State::Reports(_), Some(view)) => name.plain(&numbers(view)),
            (state, _) => name.plain(&state.words()),
        }
    };
    let hosts = by_name(linked.facts);
    let lines: Vec<Html> = hosts.iter().map(line).collect();
    let rest = if lines.is_empty() { ": no host yet" } else { "" };
    page(&head("Numbers", linked, rest), &lines, &Html::new()).0
}

fn numbers(view: &View) -> String {
    let disk = view.fullest().and_then(|disk| disk.used_pct);
    let load = view.load.avg_1.map_or("-".to_owned(), |it| format!("{it:.2}"));
    format!(
        "CPU {}, memory {}, disk {}, load {load}",
        percent(view.cpu.usage_pct),
        percent(view.memory.used_pct),
        percent(disk)
    )
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |it| format!("{it:.0} %"))
}

fn bytes(value: Option<f64>) -> String {
    let Some(mut value) = value else { return "-".to_owned() };
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", units.get(unit).unwrap_or(&""))
}

fn space(name: &str, space: &Space) -> Html {
    let (used, total) = (bytes(space.used_bytes), bytes(space.total_bytes));
    Html::new().plain(&format!("{name} {} ({used} of {total})", percent(space.used_pct)))
}

/// The host that a text names: by its id, its name or how one of them begins.
pub(super) fn find_host<'a>(facts: &'a TeamFacts, text: &str) -> Result<(&'a HostId, &'a str), Html> {
    let text = text.to_lowercase();
    let hosts = by_name(facts);
    let exact = |(id, host): &&(&HostId, &Host)| id.as_str() == text || host.name.to_lowercase() == text;
    let begins = |(id, host): &&(&HostId, &Host)| {
        id.as_str().starts_with(&text) || host.name.to_lowercase().starts_with(&text)
    };
    let mut found: Vec<_> = hosts.iter().filter(exact).collect();
    if found.is_empty() {
        found = hosts.iter().filter(begins).collect();
    }
    match found.as_slice() {
        [(id, host)] => Ok((*id, host.name.as_str())),
        [] => Err(Html::new().plain("There is no such host: /hosts lists those there are.")),
        several => {
            let lines: Vec<Html> = several
                .iter()
                .map(|(id, host)| {
                    let name = Html::new().foreign(&host.name, NAME_UNITS_MAX);
                    name.plain(" is ").foreign(id.as_str(), NAME_UNITS_MAX)
                })
                .collect();
            Err(page(&Html::new().plain("Which of these?"), &lines, &Html::new()).0)
        }
    }
}

pub(super) fn stats_of(linked: &Linked<'_>, known: &Known<'_>, text: &str) -> Html {
    let (id, name) = match find_host(linked.facts, text) {
        Ok(found) => found,
        Err(text) => return text,
    };
    let view = known.views.get(id);
    let Some(host) = linked.facts.hosts.get(id) else { return Html::new() };
    let state = state(host, view, known.now);
    let head = Html::new().bold("Numbers").plain(" of ").foreign(name, NAME_UNITS_MAX);
    let head = head.plain(&format!(", {}", state.words()));
    let mut lines = view.map(rows).unwrap_or_default();
    let open = open_alerts(known.episodes, linked.team);
    let of_host = open.iter().filter(|(_, open)| open.newest.episode.host == id.as_str());
    lines.extend(of_host.map(|(_, open)| alert_line(open, linked.facts, known.now)));
    page(&head, &lines, &Html::new()).0
}

fn rows(view: &View) -> Vec<Html> {
    let load = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.2}"));
    let mut lines = vec![
        Html::new().plain(&format!(
            "CPU {}, waiting for disks {}",
            percent(view.cpu.usage_pct),
            percent(view.cpu.iowait_pct)
        )),
        Html::new().plain(&format!(
            "load {} {} {}",
            load(view.load.avg_1),
            load(view.load.avg_5),
            load(view.load.avg_15)
        )),
        space("memory", &view.memory),
    ];
    if view.swap.total_bytes.is_some_and(|it| it > 0.0) {
        lines.push(space("swap", &view.swap));
    }
    lines.extend(view.disks.iter().take(ROWS_MAX).map(|disk| {
        let words = format!(" {}, {} free", percent(disk.used_pct), bytes(disk.free_bytes));
        Html::new().plain("disk ").foreign(&disk.mount, NAME_UNITS_MAX).plain(&words)
    }));
    lines.extend(view.networks.iter().take(ROWS_MAX).map(|it| {
        let (down, up) = (bytes(it.rx_bytes_per_s), bytes(it.tx_bytes_per_s));
        let words = format!(" in {down}/s, out {up}/s");
        Html::new().plain("network ").foreign(&it.interface, NAME_UNITS_MAX).plain(&words)
    }));
    lines.extend(view.temperatures.iter().take(ROWS_MAX).filter_map(|it| {
        let words = format!(" {:.0} °C", it.celsius?);
        Some(Html::new().plain("temperature ").foreign(&it.sensor, NAME_UNITS_MAX).plain(&words))
    }));
    if let Some(uptime) = view.system.uptime_s {
        lines.push(Html::new().plain(&format!("up {}", lasting((uptime * 1000.0) as u64))));
    }
    lines
}

/// Open alerts, the worst first and then the oldest.
pub(super) fn open_alerts<'a>(episodes: &'a Episodes, team: &TeamId) -> Vec<(&'a EpisodeId, &'a Open)> {
    let mut open: Vec<_> = episodes.of(team).collect();
    open.sort_by_key(|(id, open)| (Reverse(open.newest.level), open.newest.episode.episode, *id));
    open
}

fn sign(level: Severity) -> &'static str {
    match level {
        Severity::Info => "ℹ info",
        Severity::Warning => "⚠ WARNING",
        Severity::Critical => "‼ CRITICAL",
    }
}

/// Host, rule and series of an alert.
pub(super) fn alert_name(open: &Open, facts: &TeamFacts) -> Html {
    let episode = &open.newest.episode;
    let host = if episode.host == WHOLE_TEAM {
        Html::new().plain("the whole team")
    } else {
        let id = episode.host.parse::<HostId>().ok();
        let known = id.and_then(|id| facts.hosts.get(&id));
        Html::new().foreign(known.map_or(episode.host.as_str(), |host| &host.name), NAME_UNITS_MAX)
    };
    let rule_then = open.newest.rule_then.as_ref().map(|rule| rule.name.as_str());
    let rule = rule_then.or_else(|| built_in(&episode.rule).map(|it| it.name)).unwrap_or(&episode.rule);
    let name = host.plain(" ").foreign(rule, NAME_UNITS_MAX);
    if episode.series.is_empty() { name } else { name.plain(" ").foreign(&episode.series, NAME_UNITS_MAX) }
}

fn alert_line(open: &Open, facts: &TeamFacts, now: UnixMs) -> Html {
    let lasts = lasting(now.0.saturating_sub(open.newest.since.0));
    let line = Html::new().bold(sign(open.newest.level)).plain(" ").and(&alert_name(open, facts));
    let value = open.newest.value.filter(|it| it.is_finite()).map(|it| format!(", {it}")).unwrap_or_default();
    let line = line.plain(&format!("{value}, for {lasts}"));
    match &open.acknowledged_by {
        Some(by) => line.plain(", ").foreign(by, NAME_UNITS_MAX).plain(" looks after it"),
        None => line,
    }
}

/// What is open, numbered; and what the numbers mean.
pub(super) fn alerts(linked: &Linked<'_>, known: &Known<'_>) -> (Html, Vec<EpisodeId>) {
    let open = open_alerts(known.episodes, linked.team);
    let numbered = |(index, (_, open)): (usize, &(&EpisodeId, &Open))| {
        let number = format!("{}. ", index + 1);
        Html::new().plain(&number).and(&alert_line(open, linked.facts, known.now))
    };
    let lines: Vec<Html> = open.iter().enumerate().map(numbered).collect();
    let rest = if open.is_empty() { ": nothing is open" } else { "" };
    let (text, shown) = page(&head("Alerts", linked, rest), &lines, &Html::new());
    (text, open.iter().take(shown).map(|(id, _)| (*id).clone()).collect())
}

/// What is not well: open alerts, hosts that are silent, shares near their end.
pub(super) fn warn(linked: &Linked<'_>, known: &Known<'_>) -> Html {
    let open = open_alerts(known.episodes, linked.team);
    let mut lines: Vec<Html> =
        open.iter().map(|(_, open)| alert_line(open, linked.facts, known.now)).collect();
    for (id, host) in by_name(linked.facts) {
        let view = known.views.get(id);
        let state = state(host, view, known.now);
        let name = Html::new().foreign(&host.name, NAME_UNITS_MAX);
        match (state, view) {
            (State::Silent(_), _) => {
                lines.push(Html::new().plain("‼ ").and(&name).plain(&format!(" {}", state.words())))
            }
            (State::Reports(_), Some(view)) => lines.extend(
                high(view).into_iter().map(|it| Html::new().plain("⚠ ").and(&name).plain(" ").and(&it)),
            ),
            (State::Waiting | State::Paused | State::Reports(_), _) => {}
        }
    }
    let rest = if lines.is_empty() { ": all is well" } else { "" };
    page(&head("Not well", linked, rest), &lines, &Html::new()).0
}

/// Shares of a host that are near their end.
fn high(view: &View) -> Vec<Html> {
    let is_high = |value: &Option<f64>| value.is_some_and(|it| it >= WARN_PCT);
    let whole = [("CPU", view.cpu.usage_pct), ("memory", view.memory.used_pct), ("swap", view.swap.used_pct)];
    let whole = whole.into_iter().filter(|(_, value)| is_high(value));
    let mut lines: Vec<Html> =
        whole.map(|(name, value)| Html::new().plain(&format!("{name} {}", percent(value)))).collect();
    for disk in &view.disks {
        let of_disk = [("", disk.used_pct), (" of its names", disk.inodes_used_pct)];
        lines.extend(of_disk.into_iter().filter(|(_, value)| is_high(value)).map(|(what, value)| {
            let words = format!(" {}{what}", percent(value));
            Html::new().plain("disk ").foreign(&disk.mount, NAME_UNITS_MAX).plain(&words)
        }));
    }
    lines
}
