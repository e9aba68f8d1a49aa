//! Scenarios as text: rules, samples by the clock, and below each line what the machine says.
//!
//! A case begins with `== its name`. Lines, times in seconds, one tick a second without being told:
//! ```text
//! rule ID [shadow|disabled] [hosts=a,b] [tags=a,b] [to=rx1,rx2] [steps=rx1:60,rx2:60] : TEXT
//! 10 h1 cpu.usage_pct=95 | h2 cpu.usage_pct=null boot=b2 et=9 interval=5 seq=3 step=60
//! 10..60/5 h1 cpu.usage_pct=95        70 h1 backfill et=40 cpu.usage_pct=95
//! 60 delete rule r1        60 host h1 tags=a,b     60 pause h1     60 resume h1     60 delete host h1
//! 60 silence s1 until=90 host=h1 rule=r1 tag=a severity=critical     60 end silence s1
//! 60 ack r1/h1     60 unack r1/h1     60 resolve r1/h1     60 unreadable h1     60 receivers rx1,rx2
//! until 90       skip 300 (no ticks until then)       clock 20 (the broker's clock is set back)
//! > 60 fired r1 h1 #1 warning
//! ```

use super::line::{self, Boots};
use super::machine::{Input, Key, Kind, Machine, Report, Values};
use super::wording::words;
use std::collections::BTreeMap;
use watchkeeper_schemas::alerting::{
    AlertFact, Defaults, EpisodeRef, Matcher, RuleState, SavedRule, Scope, Silence, Step, WatchedHost,
};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// What became of the cases of one file.
#[derive(Debug)]
pub struct Verdicts {
    /// Each case.
    pub cases: Vec<Verdict>,
    /// The file with what really happens.
    pub text: String,
}

/// What became of one case.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// `- expected` and `+ found` lines that differ.
    pub differences: Vec<String>,
}

/// Runs every case of a file.
///
/// # Errors
/// The first line that cannot be read, with its number.
pub fn run(text: &str) -> Result<Verdicts, String> {
    let mut verdicts = Verdicts { cases: Vec::new(), text: String::new() };
    let mut stage = Stage::default();
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if let Some(expectation) = line.strip_prefix("> ") {
            expected.push(expectation.to_owned());
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            verdicts.judge(&mut expected, &mut found);
            verdicts.cases.push(Verdict { name: name.to_owned(), differences: Vec::new() });
            stage = Stage::default();
        }
        verdicts.text.extend([line, "\n"]);
        let is_input = !(line.starts_with("==") || line.starts_with('#') || line.trim().is_empty());
        if is_input {
            let happened = stage.line(line).map_err(|error| format!("line {}: {error}", index + 1))?;
            happened.iter().for_each(|line| verdicts.text.extend(["> ", line, "\n"]));
            found.extend(happened);
        }
    }
    verdicts.judge(&mut expected, &mut found);
    Ok(verdicts)
}

impl Verdicts {
    fn judge(&mut self, expected: &mut Vec<String>, found: &mut Vec<String>) {
        let (expected, found) = (std::mem::take(expected), std::mem::take(found));
        let Some(case) = self.cases.last_mut() else { return };
        let missing = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}"));
        let surplus = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
        case.differences = missing.chain(surplus).collect();
        if case.differences.is_empty() && expected != found {
            case.differences.push("the same lines in another order or number".to_owned());
        }
    }
}

/// The machine of one case, and what its lines leave unsaid.
#[derive(Debug, Default)]
struct Stage {
    machine: Machine,
    now: u64,
    sequence: u64,
    boots: Boots,
    seqs: BTreeMap<String, u64>,
    hosts: BTreeMap<String, WatchedHost>,
    episodes: Vec<u64>,
    /// A tick of this very time was given.
    ticked: bool,
}

/// Milliseconds between two ticks.
const TICK_MS: u64 = 1000;

impl Stage {
    fn line(&mut self, line: &str) -> Result<Vec<String>, String> {
        let mut said = Vec::new();
        let (first, rest) = line.trim().split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match first {
            "until" => {
                self.advance(time(rest)?, &mut said);
                self.tick(Vec::new(), &mut said);
            }
            "skip" => (self.now, self.ticked) = (time(rest)?, false),
            "clock" => {
                (self.now, self.ticked) = (time(rest)?, false);
                self.tick(Vec::new(), &mut said);
            }
            _ if first.starts_with(|c: char| c.is_ascii_digit()) => {
                let (from, until, step) = times(first)?;
                for at in (from..=until).step_by(step as usize) {
                    self.advance(at, &mut said);
                    rest.split(" | ").try_for_each(|part| self.command(part.trim(), &mut said))?;
                }
            }
            _ => self.command(line.trim(), &mut said)?,
        }
        Ok(said)
    }

    /// Ticks until then; the one of that very time comes after what happens then.
    fn advance(&mut self, until: u64, said: &mut Vec<String>) {
        while self.now < until {
            if !self.ticked {
                self.tick(Vec::new(), said);
            }
            let next = (self.now / TICK_MS + 1) * TICK_MS;
            (self.now, self.ticked) = (next.min(until), false);
        }
    }

    fn tick(&mut self, facts: Vec<AlertFact>, said: &mut Vec<String>) {
        self.ticked = facts.is_empty();
        self.step(Kind::Tick(facts), said);
    }

    fn step(&mut self, kind: Kind, said: &mut Vec<String>) {
        self.sequence += 1;
        let effects = self.machine.step(Input { sequence: self.sequence, time: self.now, kind });
        for effect in effects {
            let episodes = &mut self.episodes;
            let mut ordinal = |number: u64| {
                let known = episodes.iter().position(|known| *known == number);
                known.unwrap_or_else(|| {
                    episodes.push(number);
                    episodes.len() - 1
                }) as u64
                    + 1
            };
            said.push(format!("{} {}", line::seconds(self.now), words(&effect, &mut ordinal)));
        }
    }

    fn command(&mut self, text: &str, said: &mut Vec<String>) -> Result<(), String> {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let fact = match first {
            "rule" => rule(rest)?,
            "silence" => self.silence(rest)?,
            "receivers" => {
                AlertFact::Defaults { value: Defaults { receivers: list(rest), policy: Vec::new() } }
            }
            "host" | "pause" | "resume" => self.host(first, rest)?,
            "delete" | "end" => match rest.split_once(' ') {
                Some(("rule", id)) => AlertFact::Rule { id: id.parse().map_err(word)?, value: None },
                Some(("host", id)) => AlertFact::Host { id: id.parse().map_err(word)?, value: None },
                Some(("silence", id)) => AlertFact::Silence { id: id.to_owned(), value: None },
                _ => return Err(format!("{rest}: expected a rule, a host or a silence")),
            },
            "ack" => AlertFact::Ack { episode: self.episode(rest)?, value: Some("ann".to_owned()) },
            "unack" => AlertFact::Ack { episode: self.episode(rest)?, value: None },
            "resolve" => AlertFact::Resolve { episode: self.episode(rest)?, by: "ann".to_owned() },
            "unreadable" => {
                self.step(Kind::Unreadable(rest.to_owned()), said);
                return Ok(());
            }
            host => {
                let (rest, is_backfill) =
                    rest.strip_prefix("backfill ").map_or((rest, false), |rest| (rest, true));
                let report = self.report(host, rest)?;
                self.step(Kind::sample(report, is_backfill), said);
                return Ok(());
            }
        };
        self.tick(vec![fact], said);
        Ok(())
    }

    fn episode(&self, text: &str) -> Result<EpisodeRef, String> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (rule, host, series) = (part(), part(), part());
        let open = self.machine.open_episode(&Key::new(&rule, &host, &series));
        Ok(EpisodeRef { rule, host, series, episode: open.ok_or_else(|| format!("{text} is not open"))? })
    }

    fn host(&mut self, verb: &str, rest: &str) -> Result<AlertFact, String> {
        let (id, options) = rest.split_once(' ').unwrap_or((rest, ""));
        let watched = self.hosts.entry(id.to_owned()).or_default();
        match verb {
            "pause" => watched.paused = true,
            "resume" => watched.paused = false,
            _ => {}
        }
        for (name, value) in pairs(options)? {
            match name {
                "tags" => watched.tags = list(value),
                "interval" => watched.interval_ms = time(value)? as u32,
                _ => return Err(format!("{name}: expected tags or interval")),
            }
        }
        Ok(AlertFact::Host { id: id.parse().map_err(word)?, value: Some(watched.clone()) })
    }

    fn report(&mut self, host: &str, rest: &str) -> Result<Report, String> {
        self.machine.meet(host);
        let next = self.seqs.get(host).map_or(1, |seq| seq + 1);
        let (mut values, mut boot) = (Vec::new(), self.boots.find("b1"));
        let mut report = Report {
            host: host.to_owned(),
            boot,
            seq: next,
            time: self.now,
            interval_ms: 5000,
            clock_step_ms: 0,
            values: Values::default(),
        };
        for (name, value) in pairs(rest)? {
            match name {
                "boot" => boot = self.boots.find(value),
                "et" => report.time = time(value)?,
                "interval" => report.interval_ms = time(value)? as u32,
                "seq" => report.seq = value.parse().map_err(word)?,
                "step" => report.clock_step_ms = time(value)?.cast_signed(),
                _ => {
                    let number = if value == "null" { None } else { Some(value.parse().map_err(word)?) };
                    values.push(line::value(name, number)?);
                }
            }
        }
        self.seqs.insert(host.to_owned(), report.seq.max(next));
        Ok(Report { boot, values: Values::new(values), ..report })
    }

    fn silence(&self, rest: &str) -> Result<AlertFact, String> {
        let (id, options) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut silence = Silence {
            author: "ann".to_owned(),
            reason: "scenario".to_owned(),
            from: UnixMs(self.now),
            until: UnixMs(self.now),
            matchers: Vec::new(),
        };
        for (name, value) in pairs(options)? {
            match name {
                "from" => silence.from = UnixMs(time(value)?),
                "until" => silence.until = UnixMs(time(value)?),
                "host" => silence.matchers.push(Matcher::Host(value.parse().map_err(word)?)),
                "rule" => silence.matchers.push(Matcher::Rule(value.parse().map_err(word)?)),
                "tag" => silence.matchers.push(Matcher::Tag(value.to_owned())),
                "severity" => silence.matchers.push(Matcher::Severity(severity(value)?)),
                label => {
                    silence.matchers.push(Matcher::Label { name: label.to_owned(), value: value.to_owned() })
                }
            }
        }
        Ok(AlertFact::Silence { id: id.to_owned(), value: Some(silence) })
    }
}

fn rule(rest: &str) -> Result<AlertFact, String> {
    let (head, text) = rest.split_once(" : ").ok_or("expected \" : \" and the text of the rule")?;
    let mut words = head.split_whitespace();
    let id = words.next().unwrap_or_default().parse().map_err(word)?;
    let mut saved = SavedRule {
        text: text.trim().to_owned(),
        scope: Scope::All,
        receivers: list("rx1"),
        state: RuleState::Live,
        policy: Vec::new(),
    };
    for option in words {
        match option.split_once('=') {
            None if option == "shadow" => saved.state = RuleState::Shadow,
            None if option == "disabled" => saved.state = RuleState::Disabled,
            Some(("to", names)) => saved.receivers = list(names),
            Some(("tags", tags)) => saved.scope = Scope::Tags(list(tags)),
            Some(("hosts", hosts)) => {
                let hosts =
                    list(hosts).iter().map(|host| host.parse().map_err(word)).collect::<Result<_, _>>();
                saved.scope = Scope::Hosts(hosts?);
            }
            Some(("steps", steps)) => {
                for step in steps.split(',') {
                    let (receiver, wait) = step.split_once(':').ok_or("expected receiver:seconds")?;
                    saved.policy.push(Step { receivers: list(receiver), wait_ms: time(wait)? });
                }
            }
            _ => return Err(format!("{option}: expected shadow, disabled, to, tags, hosts or steps")),
        }
    }
    Ok(AlertFact::Rule { id, value: Some(saved) })
}

fn word(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn severity(text: &str) -> Result<Severity, String> {
    let levels = [Severity::Info, Severity::Warning, Severity::Critical];
    levels.into_iter().find(|level| level.to_string() == text).ok_or_else(|| format!("{text} is no severity"))
}

fn list(text: &str) -> std::collections::BTreeSet<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `name=value` words; a name may hold one `=` inside braces.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let pair = |word: &'_ str| word.rfind('=').map(|at| (at, word.len()));
    text.split_whitespace()
        .map(|word| {
            let (at, _) = pair(word).ok_or_else(|| format!("{word}: expected name=value"))?;
            Ok((&word[..at], &word[at + 1..]))
        })
        .collect()
}

/// Milliseconds of seconds.
fn time(text: &str) -> Result<u64, String> {
    text.trim().parse::<f64>().map(line::ms).map_err(|_| format!("{text}: expected seconds"))
}

/// `10` or `10..60/5`.
fn times(text: &str) -> Result<(u64, u64, u64), String> {
    let Some((from, rest)) = text.split_once("..") else {
        let at = time(text)?;
        return Ok((at, at, 1));
    };
    let (until, step) = rest.split_once('/').ok_or_else(|| format!("{text}: expected from..until/step"))?;
    let step = time(step)?;
    if step == 0 { Err(format!("{text}: a step of 0")) } else { Ok((time(from)?, time(until)?, step)) }
}
