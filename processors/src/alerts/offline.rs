//! `replay` and `test-rules`: the machine over files, for people who test their rules before they ship them.

use super::line::{self, Boots};
use super::machine::{Effect, Input, Kind, Machine, Report, Values};
use super::{scenario, wording};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufWriter, Write};
use std::path::{Path, PathBuf};
use watchkeeper_schemas::alerting::{AlertFact, Defaults, RuleState, SavedRule, Scope};
use watchkeeper_schemas::ids::RuleId;
use watchkeeper_schemas::rule::Rule;

/// Hears what has no receiver of its own in a file.
const IMAGINARY_RECEIVER: &str = "replay";

/// Runs alert rules over files; needs no server.
#[derive(Debug, Parser)]
#[command(name = "watchkeeper-processors", version)]
pub struct Offline {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs rules over recorded samples and prints every transition and notice.
    Replay {
        /// Rules: a JSON list of {"id", "text", "scope", "receivers"}.
        #[arg(long)]
        rules: PathBuf,
        /// Samples, ticks and decisions: one JSON object a line, in the order of the log.
        #[arg(long)]
        samples: PathBuf,
        /// Prints one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Runs scenario files and gives a verdict for each case.
    TestRules {
        /// Scenario files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Writes what happens into the files, for review.
        #[arg(long)]
        update: bool,
    },
}

impl Offline {
    /// Whether the first argument asks for one of these commands.
    #[must_use]
    pub fn is_asked(first: Option<&std::ffi::OsStr>) -> bool {
        first.is_some_and(|first| first == "replay" || first == "test-rules")
    }

    /// Runs the command; whether all is well.
    ///
    /// # Errors
    /// When a file cannot be read or says something that cannot be.
    pub fn run(self) -> anyhow::Result<bool> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let well = match self.command {
            Command::Replay { rules, samples, json } => {
                replay(&rules, &samples, json, &mut out)?;
                true
            }
            Command::TestRules { files, update } => test_rules(&files, update, &mut out)?,
        };
        out.flush()?;
        Ok(well)
    }
}

fn test_rules(files: &[PathBuf], update: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| at(file, &error))?;
        let verdicts = scenario::run(&text).map_err(|error| at(file, &error))?;
        for verdict in &verdicts.cases {
            let word = if verdict.differences.is_empty() { "ok" } else { "FAILED" };
            writeln!(out, "{word} {}: {}", file.display(), verdict.name)?;
            verdict.differences.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
            *(if verdict.differences.is_empty() { &mut passed } else { &mut failed }) += 1;
        }
        if update && verdicts.text != text {
            std::fs::write(file, &verdicts.text).map_err(|error| at(file, &error))?;
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(failed == 0 || update)
}

fn at(file: &Path, what: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{}: {what}", file.display())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    id: RuleId,
    text: String,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    receivers: BTreeSet<String>,
    #[serde(default)]
    state: RuleState,
}

/// One line of samples.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine {
    t: f64,
    et: Option<f64>,
    interval_s: Option<f64>,
    host: Option<String>,
    boot: Option<String>,
    seq: Option<u64>,
    lane: Option<Lane>,
    values: Option<BTreeMap<String, Option<f64>>>,
    #[serde(default)]
    tick: bool,
    journal: Option<AlertFact>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Lane {
    Live,
    Backfill,
}

fn replay(rules: &Path, samples: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(rules).map_err(|error| at(rules, &error))?;
    let rules_read: Vec<FileRule> = serde_json::from_str(&text).map_err(|error| at(rules, &error))?;
    let mut facts = vec![AlertFact::Defaults {
        value: Defaults { receivers: BTreeSet::from([IMAGINARY_RECEIVER.to_owned()]), policy: Vec::new() },
    }];
    for rule in rules_read {
        rule.text.parse::<Rule>().map_err(|error| at(rules, &format_args!("rule {}: {error}", rule.id)))?;
        let FileRule { id, text, scope, receivers, state } = rule;
        let value = Some(SavedRule { text, scope, receivers, state, policy: Vec::new() });
        facts.push(AlertFact::Rule { id, value });
    }
    let mut machine = Machine::default();
    machine.begin(facts);
    let mut reading = Reading::default();
    let file = std::fs::File::open(samples).map_err(|error| at(samples, &error))?;
    for (index, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| at(samples, &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let number = index as u64 + 1;
        let input = serde_json::from_str::<FileLine>(&line).map_err(|error| error.to_string());
        let input = input.and_then(|line| Ok((line.t, reading.input(number, line)?)));
        let (t, input) = input.map_err(|error| at(samples, &format_args!("line {number}: {error}")))?;
        if let Kind::Live(report) | Kind::Backfill(report) = &input.kind {
            machine.meet(&report.host);
        }
        for effect in machine.step(input) {
            print(&effect, t, json, out)?;
        }
    }
    Ok(())
}

/// What the lines so far leave unsaid in the next.
#[derive(Debug, Default)]
struct Reading {
    boots: Boots,
    seqs: BTreeMap<String, u64>,
}

/// Seconds until the next sample where a line does not say.
const INTERVAL_S: f64 = 5.0;

impl Reading {
    fn input(&mut self, sequence: u64, line: FileLine) -> Result<Input, String> {
        let time = line::ms(line.t);
        let kind = match (line.host, line.journal) {
            (None, None) if line.tick => Kind::Tick(Vec::new()),
            (None, Some(fact)) => Kind::Tick(vec![fact]),
            (Some(host), None) => {
                let is_backfill = line.lane == Some(Lane::Backfill);
                let next = self.seqs.get(&host).map_or(1, |seq| seq + 1);
                let seq = line.seq.unwrap_or(next);
                if !is_backfill {
                    self.seqs.insert(host.clone(), seq);
                }
                let values = line.values.unwrap_or_default().into_iter();
                let values =
                    values.map(|(name, number)| line::value(&name, number)).collect::<Result<_, _>>()?;
                let report = Report {
                    host,
                    boot: self.boots.find(line.boot.as_deref().unwrap_or("b1")),
                    seq,
                    time: line::ms(line.et.unwrap_or(line.t)),
                    interval_ms: line::ms(line.interval_s.unwrap_or(INTERVAL_S)) as u32,
                    clock_step_ms: 0,
                    values: Values::new(values),
                };
                Kind::sample(report, is_backfill)
            }
            _ => return Err("expected a sample with a host, \"tick\": true, or a journal event".to_owned()),
        };
        Ok(Input { sequence, time, kind })
    }
}

/// A line of `replay --json`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Printed<'a> {
    Transition {
        t: serde_json::Number,
        rule: &'a str,
        host: &'a str,
        series: &'a str,
        transition: super::machine::TransitionKind,
        episode: u64,
        level: watchkeeper_schemas::rule::Severity,
        reason: Option<&'a str>,
    },
    Notice {
        t: serde_json::Number,
        rule: &'a str,
        host: &'a str,
        series: &'a str,
        receiver: &'a str,
        notice: super::machine::NoticeKind,
        n: u32,
    },
}

fn print(effect: &Effect, t: f64, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if !json {
        writeln!(out, "{t} {}", wording::words(effect, &mut |episode| episode))?;
        return Ok(());
    }
    let whole = (t.fract() == 0.0).then(|| serde_json::Number::from(t as i64));
    let t = whole.or_else(|| serde_json::Number::from_f64(t)).unwrap_or_else(|| 0.into());
    let printed = match effect {
        Effect::Transition(it) => Printed::Transition {
            t,
            rule: &it.key.rule,
            host: &it.key.host,
            series: &it.key.series,
            transition: it.kind,
            episode: it.episode,
            level: it.level,
            reason: it.reason.as_deref(),
        },
        Effect::Notice(it) => Printed::Notice {
            t,
            rule: &it.key.rule,
            host: &it.key.host,
            series: &it.key.series,
            receiver: &it.receiver,
            notice: it.kind,
            n: it.n,
        },
    };
    serde_json::to_writer(&mut *out, &printed)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(rules: &str, samples: &str) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let (rules_path, samples_path) =
            (folder.path().join("rules.json"), folder.path().join("samples.ndjson"));
        std::fs::write(&rules_path, rules)?;
        std::fs::write(&samples_path, samples)?;
        let mut out = Vec::new();
        replay(&rules_path, &samples_path, true, &mut out)?;
        Ok(String::from_utf8(out)?.lines().map(str::to_owned).collect())
    }

    const RULES: &str =
        r#"[{"id":"r1","text":"cpu.usage_pct > 90 for 2m","scope":"all","receivers":["rx1"]}]"#;

    #[test]
    fn a_file_is_replayed_line_by_line() {
        let mut samples = String::new();
        for t in (0..=120).step_by(5) {
            samples += &format!(
                "{{\"t\":{t},\"host\":\"h1\",\"boot\":\"b1\",\"seq\":{},\"lane\":\"live\",\"values\":{{\"cpu.usage_pct\":91.0,\"disk.used_pct{{mount=\\\"/\\\"}}\":55,\"load.avg_1\":null}}}}\n",
                t / 5 + 1
            );
        }
        samples += "{\"t\":121,\"tick\":true}\n";
        samples += r#"{"t":122,"journal":{"kind":"ack","rule":"r1","host":"h1","episode":25,"value":"ann"}}"#;
        let expected = [
            r#"{"kind":"transition","t":120,"rule":"r1","host":"h1","series":"","transition":"fired","episode":25,"level":"warning","reason":null}"#,
            r#"{"kind":"notice","t":120,"rule":"r1","host":"h1","series":"","receiver":"rx1","notice":"firing","n":1}"#,
            r#"{"kind":"transition","t":122,"rule":"r1","host":"h1","series":"","transition":"acked","episode":25,"level":"warning","reason":"ann"}"#,
        ];
        assert_eq!(replayed(RULES, &samples).unwrap(), expected);
    }

    #[test]
    fn a_mistake_names_its_line() {
        let bad = r#"{"t":0,"host":"h1","values":{"cpu.usag_pct":1}}"#;
        let error = replayed(RULES, &format!("{{\"t\":0,\"tick\":true}}\n{bad}\n")).unwrap_err().to_string();
        assert!(error.contains("line 2: cpu.usag_pct is not a metric"), "{error}");
        let error = replayed(&RULES.replace("cpu.usage_pct", "cpu.usag"), "").unwrap_err().to_string();
        assert!(error.contains("rule r1: column 1"), "{error}");
    }
}
