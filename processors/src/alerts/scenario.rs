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
//! 60 receivers rx1,rx2 steps=rx1:60,rx2:60     60 receiver rx1 failed 403     60 receiver rx1 works
//! 60 behind 10 55     60 hears rx1 critical
//! 60 ack r1/h1#1 (the first episode that was told of here)
//! until 90       skip 300 (no ticks until then)       clock 20 (the broker's clock is set back)
//! restart (from a snapshot)
//! > 60 fired r1 h1 #1 warning
//! ```

mod words;

use super::line::{self, Boots};
use super::machine::{Input, Key, Kind, Machine, Report, Values};
use super::wording;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{AlertFact, Defaults, EpisodeRef, Matcher, Silence, WatchedHost};
use watchkeeper_schemas::quantity::UnixMs;
use words::{list, pairs, policy, rule, severity, time, times, word};

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
    deleted: BTreeSet<String>,
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
                self.advance(time(rest)?, &mut said)?;
                self.tick(Vec::new(), &mut said);
            }
            "restart" => {
                let snapshot = self.machine.snapshot().map_err(word)?;
                self.machine = Machine::restore(&snapshot).map_err(word)?;
            }
            "skip" => (self.now, self.ticked) = (time(rest)?, false),
            "clock" => {
                (self.now, self.ticked) = (time(rest)?, false);
                self.tick(Vec::new(), &mut said);
            }
            _ if first.starts_with(|c: char| c.is_ascii_digit()) => {
                let (from, until, step) = times(first)?;
                for at in (from..=until).step_by(step as usize) {
                    self.advance(at, &mut said)?;
                    rest.split(" | ").try_for_each(|part| self.command(part.trim(), &mut said))?;
                }
            }
            _ => self.command(line.trim(), &mut said)?,
        }
        Ok(said)
    }

    /// Ticks until then; the one of that very time comes after what happens then.
    ///
    /// # Errors
    /// When that is over: only `clock` goes back.
    fn advance(&mut self, until: u64, said: &mut Vec<String>) -> Result<(), String> {
        if until < self.now {
            let (then, now) = (line::seconds(until), line::seconds(self.now));
            return Err(format!("{then} comes after {now}: lines stand in the order of time"));
        }
        while self.now < until {
            if !self.ticked {
                self.tick(Vec::new(), said);
            }
            let next = (self.now / TICK_MS + 1) * TICK_MS;
            (self.now, self.ticked) = (next.min(until), false);
        }
        Ok(())
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
            said.push(format!("{} {}", line::seconds(self.now), wording::words(&effect, &mut ordinal)));
        }
    }

    fn command(&mut self, text: &str, said: &mut Vec<String>) -> Result<(), String> {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let fact = match first {
            "rule" => rule(rest)?,
            "silence" => self.silence(rest)?,
            "receivers" => {
                let (names, steps) = rest.split_once(" steps=").unwrap_or((rest, ""));
                let policy = if steps.is_empty() { Vec::new() } else { policy(steps)? };
                AlertFact::Defaults { value: Defaults { receivers: list(names), policy } }
            }
            "receiver" => {
                let (id, state) = rest.split_once(' ').unwrap_or((rest, "works"));
                let failure = state.strip_prefix("failed").map(|why| why.trim().to_owned());
                AlertFact::Receiver { id: id.to_owned(), value: failure }
            }
            "hears" => {
                let (id, level) = rest.split_once(' ').ok_or("expected a receiver and a level")?;
                AlertFact::Hears { id: id.to_owned(), value: Some(severity(level)?) }
            }
            "behind" => {
                let (from, until) = rest.split_once(' ').ok_or("expected two times: from, until")?;
                AlertFact::Behind { from: UnixMs(time(from)?), until: UnixMs(time(until)?) }
            }
            "host" | "pause" | "resume" => self.host(first, rest)?,
            "delete" | "end" => match rest.split_once(' ') {
                Some(("rule", id)) => AlertFact::Rule { id: id.parse().map_err(word)?, value: None },
                Some(("host", id)) => {
                    self.deleted.insert(id.to_owned());
                    AlertFact::Host { id: id.parse().map_err(word)?, value: None }
                }
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
        let (place, ordinal) = text.rsplit_once('#').unwrap_or((text, ""));
        let mut parts = place.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (rule, host, series) = (part(), part(), part());
        let number = match ordinal.parse::<usize>() {
            Ok(ordinal) => ordinal.checked_sub(1).and_then(|place| self.episodes.get(place)).copied(),
            Err(_) => self.machine.open_episode(&Key::new(&rule, &host, &series)),
        };
        Ok(EpisodeRef { rule, host, series, episode: number.ok_or_else(|| format!("{text} is not open"))? })
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
        if !self.deleted.contains(host) {
            self.machine.meet(host);
        }
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
