//! What a message says, in words: names for ids, values with their units, reasons as people read them. Pure.

use super::book::To;
use super::episodes::Episodes;
use super::message::{Body, Line, Message};
use super::plan::{Dispatch, Said, Says};
use watchkeeper_schemas::built_in::built_in;
use watchkeeper_schemas::catalogue::Unit;
use watchkeeper_schemas::episode::WHOLE_TEAM;
use watchkeeper_schemas::ids::{ReceiverId, TeamId};
use watchkeeper_schemas::notice::{Intent, NoticeWord};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::rule::{Cmp, Comparison, Condition, Expr, Operand, Rule, Severity};

/// Behind the series of an alert that numbers are missing.
const NO_DATA: &str = "no_data";
/// What is open so long after it was decided and no longer known is over by now.
const OVER_BY_NOW_MS: u64 = 300_000;

/// Where names come from.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Everything that JOURNAL says.
    pub registry: &'a Registry,
    /// What is open.
    pub episodes: &'a Episodes,
    /// Where people reach the page.
    pub public_url: &'a str,
}

impl Names<'_> {
    /// A message in words.
    #[must_use]
    pub fn message(&self, to: &To, receiver: &ReceiverId, dispatch: &Dispatch, now: UnixMs) -> Message {
        let body = match &dispatch.says {
            Says::Test(test) => {
                let by = self.registry.users.get(&test.by).map(|user| user.display_name.clone());
                let by = by.unwrap_or_else(|| test.by.to_string());
                Body::Test { by, link: self.link("receivers", &to.team) }
            }
            Says::Episodes(said) => Body::Alerts {
                lines: said.iter().filter_map(|said| self.line(&to.team, said, now)).collect(),
                link: self.link("alerts", &to.team),
            },
        };
        let team_name = self.registry.team(&to.team).map_or("", |team| team.name());
        Message {
            id: dispatch.lead.clone(),
            team: to.team.clone(),
            team_name: if team_name.is_empty() { to.team.to_string() } else { team_name.to_owned() },
            receiver: receiver.clone(),
            possible_repeat: dispatch.possible_repeat,
            silent: dispatch.silent,
            time: now,
            body,
        }
    }

    /// Ids hold nothing that an address could not.
    fn link(&self, path: &str, team: &TeamId) -> String {
        format!("{}/{path}?team={team}", self.public_url.trim_end_matches('/'))
    }

    fn line(&self, team: &TeamId, said: &Said, now: UnixMs) -> Option<Line> {
        let it = &said.newest;
        let rule = it.rule_then.as_ref().and_then(|then| then.text.parse::<Rule>().ok());
        let compared = rule.as_ref().and_then(|rule| compared(rule, it));
        let (series, lacks_data) = series_words(&it.episode.series);
        let unit = compared.as_ref().and_then(|it| it.operand.unit());
        let what = match (it.value, &compared) {
            _ if lacks_data => "no numbers any more".to_owned(),
            (Some(value), Some(Compared { operand, cmp, limit, is_one_of_several })) => {
                let (value, limit) = (quantity(value, unit), quantity(*limit, unit));
                let which = if *is_one_of_several { operand_words(operand) + " " } else { String::new() };
                format!("{which}{value} ({cmp} {limit})")
            }
            (Some(value), None) => quantity(value, None),
            (None, _) if said.is_over => String::new(),
            (None, _) => it.reason.clone().filter(|_| is_beginning(it.notice)).unwrap_or_else(|| {
                built_in(&it.episode.rule).map_or(String::new(), |rule| rule.description.to_owned())
            }),
        };
        let peak = it.peak.filter(|peak| it.value != Some(*peak));
        Some(Line {
            episode: it.episode_id.clone(),
            notice: said.notice,
            level: it.level,
            is_over: said.is_over,
            rule: self.rule(team, it),
            host: self.host(team, &it.episode.host),
            series,
            what,
            since: it.since,
            duration_ms: it.duration_ms.filter(|_| said.is_over),
            peak: peak.map_or(String::new(), |peak| quantity(peak, unit)),
            note: self.note(team, said, now),
            link: self.link(&format!("alerts/{}", it.episode_id), team),
        })
    }

    fn rule(&self, team: &TeamId, it: &Intent) -> String {
        let id = &it.episode.rule;
        let saved = || {
            let rules = &self.registry.any_team(team)?.rules;
            rules.get(&id.parse().ok()?).map(|rule| rule.name.clone())
        };
        let then = it.rule_then.as_ref().map(|then| then.name.clone());
        let built_in = || built_in(id).map(|rule| rule.name.to_owned());
        then.filter(|name| !name.is_empty()).or_else(built_in).or_else(saved).unwrap_or_else(|| id.clone())
    }

    fn host(&self, team: &TeamId, id: &str) -> Option<String> {
        if id == WHOLE_TEAM {
            return None;
        }
        let known = || Some(self.registry.any_team(team)?.hosts.get(&id.parse().ok()?)?.name.clone());
        Some(known().filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_owned()))
    }

    /// Whatever else is to be said.
    fn note(&self, team: &TeamId, said: &Said, now: UnixMs) -> String {
        let it = &said.newest;
        let mut notes = Vec::new();
        match said.notice {
            NoticeWord::Firing => {}
            NoticeWord::LevelUp => notes.push("became worse".to_owned()),
            NoticeWord::Reminder => notes.push(format!("reminder {}", it.n)),
            NoticeWord::Escalated => notes.push("nobody looks after it".to_owned()),
            NoticeWord::Flapping => notes.push("comes and goes: single episodes are not told".to_owned()),
            NoticeWord::Steady => notes.push("no longer comes and goes".to_owned()),
            NoticeWord::Resolved => notes.extend(it.reason.as_deref().and_then(reason_words)),
        }
        let open = self.episodes.get(team, &it.episode_id);
        if !said.is_over {
            let by = open.and_then(|open| open.acknowledged_by.as_ref());
            notes.extend(by.map(|by| format!("{by} looks after it")));
            let forgotten = open.is_none() && it.time.0 + OVER_BY_NOW_MS <= now.0;
            notes.extend((forgotten && it.duration_ms.is_none()).then(|| "over by now".to_owned()));
        }
        match said.short_episodes {
            0 => {}
            1 => notes.push("+1 short episode before".to_owned()),
            count => notes.push(format!("+{count} short episodes before")),
        }
        notes.join(", ")
    }
}

/// Notices whose reason says what it is about, where no number does.
fn is_beginning(notice: NoticeWord) -> bool {
    matches!(notice, NoticeWord::Firing | NoticeWord::Escalated | NoticeWord::Flapping)
}

/// Why an episode is over; nothing where it is simply well again.
fn reason_words(reason: &str) -> Option<String> {
    let words = match reason {
        "ok" => return None,
        "no_data" => "no numbers any more",
        "series_gone" => "no longer reported",
        "rule_changed" => "the rule was changed",
        "deleted" => "removed",
        "disabled" => "the rule was switched off",
        "out_of_scope" => "the rule no longer watches it",
        "manual" => "closed by hand",
        other => other,
    };
    Some(words.to_owned())
}

/// `/srv` of `{mount="/srv"}`, and whether it is about numbers that are missing.
fn series_words(series: &str) -> (String, bool) {
    let (series, lacks_data) = match series.strip_suffix(NO_DATA) {
        Some(series) => (series, true),
        None => (series, false),
    };
    let value = || {
        let (_, value) = series.strip_prefix('{')?.strip_suffix('}')?.split_once('=')?;
        serde_json::from_str::<String>(value).ok()
    };
    (value().unwrap_or_else(|| series.to_owned()), lacks_data)
}

/// What was compared with which number.
struct Compared<'a> {
    operand: &'a Operand,
    cmp: Cmp,
    limit: f64,
    /// The rule compares others, too.
    is_one_of_several: bool,
}

/// What was compared with which number, as far as the value tells: the first comparison that it makes true.
fn compared<'a>(rule: &'a Rule, it: &Intent) -> Option<Compared<'a>> {
    let Condition::Threshold(threshold) = &rule.condition else { return None };
    let upper = threshold.critical.as_ref().filter(|_| it.level == Severity::Critical);
    let mut all = Vec::new();
    upper.into_iter().for_each(|upper| comparisons(&upper.when, &mut all));
    comparisons(&threshold.fire, &mut all);
    let is_one_of_several = all.len() > 1;
    let mut known = all.into_iter().filter_map(|it| match (&it.left, &it.right) {
        (Operand::Number(_), _) => None,
        (operand, Operand::Number(number)) => Some((operand, it.cmp, number.against(operand))),
        _ => None,
    });
    // The last value of an episode that is over makes nothing true any more: the worst one did.
    let decided = it.peak.or(it.value)?;
    let (operand, cmp, limit) = known.find(|(_, cmp, limit)| cmp.holds(decided, *limit))?;
    Some(Compared { operand, cmp, limit, is_one_of_several })
}

fn comparisons<'a>(expr: &'a Expr, found: &mut Vec<&'a Comparison>) {
    match expr {
        Expr::Or(all) | Expr::And(all) => all.iter().for_each(|expr| comparisons(expr, found)),
        Expr::Not(_) | Expr::Absent(_) => {}
        Expr::Compare(comparison) => found.push(comparison),
    }
}

/// `cpu.usage_pct`, or `avg(cpu.usage_pct, 5m)`; the label is said apart.
fn operand_words(operand: &Operand) -> String {
    match operand {
        Operand::Metric(metric) => metric.name.clone(),
        Operand::Number(_) | Operand::Window { .. } | Operand::Rate { .. } => operand.to_string(),
    }
}

/// A value by the unit of the catalogue.
fn quantity(value: f64, unit: Option<Unit>) -> String {
    match unit {
        Some(Unit::Percent) => format!("{} %", short(value)),
        Some(Unit::Bytes) => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"]),
        Some(Unit::BytesPerSecond) => scaled(value, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"]),
        Some(Unit::PerSecond) => format!("{}/s", short(value)),
        Some(Unit::Celsius) => format!("{} °C", short(value)),
        Some(Unit::Megahertz) => format!("{} MHz", short(value)),
        Some(Unit::Seconds) => format!("{} s", short(value)),
        Some(Unit::Microseconds) => format!("{} µs", short(value)),
        Some(Unit::Count) | None => short(value),
    }
}

/// One digit behind the point where there is something; two for what is small.
fn short(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 100.0 } else { 10.0 };
    ((value * digits).round() / digits + 0.0).to_string()
}

fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let (mut rest, mut power) = (value, 0);
    while rest.abs() >= base * 0.9995 && power + 1 < units.len() {
        rest /= base;
        power += 1;
    }
    let rest = (rest * 10.0).round() / 10.0 + 0.0;
    format!("{rest} {}", units.get(power).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::alerting::EpisodeRef;
    use watchkeeper_schemas::episode::RuleThen;
    use watchkeeper_schemas::notice::intent_id;

    fn said(rule: &str, host: &str, series: &str, notice: NoticeWord) -> Said {
        let team: TeamId = "default".parse().unwrap();
        let (rule, host, series) = (rule.to_owned(), host.to_owned(), series.to_owned());
        let episode = EpisodeRef { rule, host, series, episode: 7 };
        let newest = Intent {
            v: 1,
            id: intent_id(&team, &episode, notice, 1, "ops"),
            team,
            episode_id: episode.id().unwrap(),
            episode,
            notice,
            n: 1,
            receiver: "ops".to_owned(),
            level: Severity::Warning,
            reason: None,
            since: UnixMs(1),
            value: None,
            peak: None,
            duration_ms: None,
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: 7,
            time: UnixMs(1),
        };
        Said::of(newest, notice)
    }

    fn line(said: &Said) -> Line {
        let (registry, episodes) = (Registry::default(), Episodes::default());
        let names = Names { registry: &registry, episodes: &episodes, public_url: "https://watch.example/" };
        names.line(&"default".parse().unwrap(), said, UnixMs(2)).unwrap()
    }

    fn with_rule(said: &mut Said, text: &str, value: f64, peak: f64) {
        let (name, text) = ("Busy".to_owned(), text.to_owned());
        said.newest.rule_then = Some(RuleThen { revision: 3, name, text });
        (said.newest.value, said.newest.peak) = (Some(value), Some(peak));
    }

    #[test]
    fn a_value_is_told_with_its_unit_and_what_it_was_compared_with() {
        let what = |text: &str, value: f64, peak: f64, level: Severity| {
            let mut said = said("busy", "web-1", "", NoticeWord::Firing);
            with_rule(&mut said, text, value, peak);
            said.newest.level = level;
            let line = line(&said);
            (line.what, line.peak)
        };
        let is = |what: &str, peak: &str| (what.to_owned(), peak.to_owned());
        assert_eq!(what("cpu.usage_pct > 90", 97.25, 97.25, Severity::Warning), is("97.3 % (> 90 %)", ""));
        let levels = "cpu.usage_pct > 80 critical when cpu.usage_pct > 95";
        assert_eq!(what(levels, 97.0, 98.0, Severity::Critical), is("97 % (> 95 %)", "98 %"));
        assert_eq!(
            what("disk.used_pct > 90 and disk.free_bytes < 10GiB", 97.0, 97.0, Severity::Warning),
            is("disk.used_pct 97 % (> 90 %)", "")
        );
        assert_eq!(
            what("disk.free_bytes < 10GiB", 5e9, 5e9, Severity::Warning),
            is("4.7 GiB (< 10 GiB)", "")
        );
        assert_eq!(
            what("avg(net.rx_bytes_per_s, 5m) > 10MB/s", 2.5e7, 2.5e7, Severity::Warning).0,
            "25 MB/s (> 10 MB/s)"
        );
        // What is over makes nothing true any more; the worst value did.
        assert_eq!(what("cpu.usage_pct > 90", 12.0, 97.0, Severity::Warning), is("12 % (> 90 %)", "97 %"));
    }

    #[test]
    fn a_series_is_told_as_people_read_it() {
        let series = |text: &str| {
            let line = line(&said("full", "web-1", text, NoticeWord::Firing));
            (line.series, line.what)
        };
        assert_eq!(series("{mount=\"/srv\"}"), ("/srv".to_owned(), String::new()));
        assert_eq!(series("{mount=\"/a\\\"b}\"}").0, "/a\"b}");
        let missing = ("/srv".to_owned(), "no numbers any more".to_owned());
        assert_eq!(series("{mount=\"/srv\"}no_data"), missing);
        assert_eq!(series("no_data").0, "");
    }

    #[test]
    fn names_notes_and_links_say_what_a_person_needs() {
        let mut silent = said("host_silent", "web-1", "", NoticeWord::Firing);
        let told = line(&silent);
        assert_eq!((told.rule.as_str(), told.what.as_str()), ("Host silent", "A host does not report"));
        assert_eq!(told.host.as_deref(), Some("web-1"));
        assert_eq!(
            told.link,
            "https://watch.example/alerts/host_silent~web-1~7~e3b0c44298fc1c14?team=default"
        );
        silent.newest.short_episodes = 2;
        silent.short_episodes = 2;
        assert_eq!(line(&silent).note, "+2 short episodes before");
        let mut outage = said("ingest_outage", WHOLE_TEAM, "", NoticeWord::Firing);
        outage.newest.reason = Some("3 of 4 hosts silent: a, b, c".to_owned());
        let told = line(&outage);
        assert_eq!((told.host, told.what.as_str()), (None, "3 of 4 hosts silent: a, b, c"));
        let mut gone = said("full", "web-1", "", NoticeWord::Resolved);
        (gone.newest.reason, gone.newest.duration_ms) = (Some("series_gone".to_owned()), Some(5));
        let told = line(&gone);
        assert_eq!((told.note.as_str(), told.duration_ms), ("no longer reported", Some(5)));
        let mut reminder = said("full", "web-1", "", NoticeWord::Reminder);
        reminder.newest.n = 2;
        assert_eq!(line(&reminder).note, "reminder 2");
    }
}
