//! `replay`, `test-rules` and `rules apply`: for people who keep their rules in files, test them, and ship them.

use super::apply::Apply;
use super::decision::{Before, Decision, FileRule};
use super::line::{self, Boots};
use super::machine::{Effect, Input, Key, Kind, Machine, NoticeKind, Report, TransitionKind, Values};
use super::{scenario, wording};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufWriter, Write};
use std::path::{Path, PathBuf};
use watchkeeper_schemas::alerting::{AlertFact, Defaults, WatchedHost};
use watchkeeper_schemas::rule::Severity;

/// Hears what has no receiver of its own in a file.
const IMAGINARY_RECEIVER: &str = "replay";

/// Alert rules in files: what they would do (without a server), and making a team's rules equal to them.
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
    /// A team's rules, over the HTTP API.
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    Apply(Apply),
}

impl Offline {
    /// Whether the first argument asks for one of these commands.
    #[must_use]
    pub fn is_asked(first: Option<&std::ffi::OsStr>) -> bool {
        first.is_some_and(|first| first == "replay" || first == "test-rules" || first == "rules")
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
            Command::Rules { command: RulesCommand::Apply(apply) } => apply.run(&mut out)?,
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
    #[serde(default)]
    journal: Journal,
}

/// What people decided at a line: nothing, one event, or several.
#[derive(Debug, Default)]
struct Journal(Vec<Decision>);

impl<'de> Deserialize<'de> for Journal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        let events = if json.is_array() { json } else { serde_json::Value::Array(vec![json]) };
        serde_json::from_value(events).map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
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
        facts.push(rule.fact().map_err(|error| at(rules, &error))?);
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
        let input = serde_json::from_str::<FileLine>(&line).map_err(|error| {
            let text = error.to_string();
            text.replacen(" at line 1 column", ", column", 1)
        });
        let input = input.and_then(|line| Ok((line.t, reading.input(number, line, &machine)?)));
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
    seqs: BTreeMap<(String, Lane), u64>,
    hosts: BTreeMap<String, WatchedHost>,
}

/// Seconds until the next sample where a line does not say.
const INTERVAL_S: f64 = 5.0;

impl Reading {
    fn input(&mut self, sequence: u64, line: FileLine, machine: &Machine) -> Result<Input, String> {
        let time = line::ms(line.t);
        let decided = !line.journal.0.is_empty();
        let kind = match line.host {
            None if line.tick || decided => {
                let mut before = Before {
                    hosts: &mut self.hosts,
                    open_episode: &|episode| machine.open_episode(&Key::of(episode)),
                    now: time,
                    number: sequence,
                };
                let facts = line.journal.0.into_iter().map(|decision| decision.fact(&mut before));
                Kind::Tick(facts.collect::<Result<_, _>>()?)
            }
            Some(host) if !line.tick && !decided => {
                let lane = line.lane.unwrap_or(Lane::Live);
                self.hosts.entry(host.clone()).or_default();
                let last = self.seqs.entry((host.clone(), lane)).or_default();
                let seq = line.seq.unwrap_or(*last + 1);
                *last = seq.max(*last);
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
                Kind::sample(report, lane == Lane::Backfill)
            }
            _ => return Err("expected a sample with a host, \"tick\": true, or a journal event".to_owned()),
        };
        Ok(Input { sequence, time, kind })
    }
}

/// A line of `replay --json`.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    t: serde_json::Number,
    kind: &'static str,
    rule: &'a str,
    host: &'a str,
    series: &'a str,
    #[serde(flatten)]
    what: What<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shadow: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retro: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What<'a> {
    Transition { transition: TransitionKind, episode: u64, level: Severity, reason: Option<&'a str> },
    Notice { receiver: &'a str, notice: NoticeKind, n: u32 },
}

fn print(effect: &Effect, t: f64, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if !json {
        writeln!(out, "{t} {}", wording::words(effect, &mut |episode| episode))?;
        return Ok(());
    }
    let whole = (t.fract() == 0.0).then(|| serde_json::Number::from(t as i64));
    let t = whole.or_else(|| serde_json::Number::from_f64(t)).unwrap_or_else(|| 0.into());
    let (kind, key, shadow, retro, what) = match effect {
        Effect::Transition(it) => {
            let reason = it.reason.as_deref();
            let what = What::Transition { transition: it.kind, episode: it.episode, level: it.level, reason };
            ("transition", &it.key, it.shadow, it.retro, what)
        }
        Effect::Notice(it) => {
            let what = What::Notice { receiver: &it.receiver, notice: it.kind, n: it.n };
            ("notice", &it.key, it.shadow, false, what)
        }
    };
    let printed =
        Printed { t, kind, rule: &key.rule, host: &key.host, series: &key.series, what, shadow, retro };
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
        samples +=
            r#"{"t":122,"journal":{"alert_acknowledged":{"rule":"r1","host":"h1","episode":25,"by":"ann"}}}"#;
        let expected = [
            r#"{"t":120,"kind":"transition","rule":"r1","host":"h1","series":"","transition":"fired","episode":25,"level":"warning","reason":null}"#,
            r#"{"t":120,"kind":"notice","rule":"r1","host":"h1","series":"","receiver":"rx1","notice":"firing","n":1}"#,
            r#"{"t":122,"kind":"transition","rule":"r1","host":"h1","series":"","transition":"acked","episode":25,"level":"warning","reason":"ann"}"#,
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

    /// What stands between the fences of one kind in the guide.
    fn guide(fence: &str) -> Vec<String> {
        blocks(include_str!("../../../docs/alert-rules.md"), fence)
    }

    fn blocks(text: &str, fence: &str) -> Vec<String> {
        let begin = format!("```{fence}\n");
        let blocks = text.split(&begin).skip(1);
        blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_replays_of_guide_and_readme_say_what_stands_there() {
        for blocks in [guide("json"), blocks(include_str!("../../../README.md"), "json")] {
            let [rules, samples, printed] = blocks.try_into().unwrap();
            assert_eq!(replayed(&rules, &samples).unwrap(), printed.lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_scenario_and_the_rules_of_the_guide_are_right() {
        for text in guide("scenario") {
            let verdicts = scenario::run(&text).unwrap();
            assert_eq!(verdicts.cases.len(), 1);
            assert_eq!(verdicts.cases[0].differences, Vec::<String>::new());
            assert_eq!(verdicts.text, text);
        }
        for rule in guide("").first().unwrap().lines() {
            assert!(rule.parse::<watchkeeper_schemas::rule::Rule>().is_ok(), "{rule}");
        }
    }

    /// Transition or notice, with time and what matters, of rules that are not built in.
    fn brief(lines: &[String]) -> Vec<String> {
        let words = |line: &String| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let what = word("transition") + &word("notice");
            (word("rule").starts_with('r') && word("rule").len() == 2).then(|| {
                format!("{} {} {what} {}{}", json["t"], word("rule"), word("receiver"), word("reason"))
            })
        };
        lines.iter().filter_map(words).collect()
    }

    #[test]
    fn times_are_as_fine_as_the_file_and_late_samples_change_nothing() {
        let rules = r#"[{"id":"r1","text":"cpu.usage_pct > 90 for 1500ms"}]"#;
        let samples = r#"
            {"t":0.25,"host":"h1","values":{"cpu.usage_pct":95.5}}
            {"t":1.5,"et":1.0,"host":"h1","values":{"cpu.usage_pct":95.5}}
            {"t":1.6,"host":"h1","seq":1,"values":{"cpu.usage_pct":1}}
            {"t":1.75,"host":"h1","values":{"cpu.usage_pct":95.5}}
            {"t":2.0,"et":1.2,"host":"h1","values":{"cpu.usage_pct":1}}"#;
        assert_eq!(
            brief(&replayed(rules, samples).unwrap()),
            ["1.75 r1 fired ", "1.75 r1 firing replay", "2 r1 resolved ok", "2 r1 resolved replay"]
        );
    }

    #[test]
    fn without_ticks_no_limit_passes_and_after_a_gap_it_begins_anew() {
        let rules = r#"[{"id":"r1","text":"cpu.usage_pct > 90 no-data alert"}]"#;
        let mut samples = "{\"t\":0,\"host\":\"h1\",\"values\":{\"cpu.usage_pct\":1}}\n".to_owned();
        samples += "{\"t\":500,\"tick\":true}\n";
        assert_eq!(replayed(rules, &samples).unwrap(), Vec::<String>::new());
        (501..=565).for_each(|t| samples += &format!("{{\"t\":{t},\"tick\":true}}\n"));
        let said = replayed(rules, &samples).unwrap();
        assert_eq!(brief(&said), ["560 r1 fired "]);
        assert!(said[0].contains(r#""t":531,"kind":"transition","rule":"host_silent""#), "{}", said[0]);
    }

    #[test]
    fn what_people_decide_is_read_in_the_words_that_they_would_use() {
        let rules = r#"[{"id":"r1","text":"cpu.usage_pct > 90 cooldown 0s","scope":{"tags":["web"]}}]"#;
        let samples = r#"
            {"t":0,"host":"h1","values":{"cpu.usage_pct":95}}
            {"t":1,"journal":{"host_changed":{"host":"h1","tags":["web"]}}}
            {"t":2,"tick":true,"journal":[{"alert_resolved":{"rule":"r1","host":"h1","episode":3,"by":"ann"}}]}
            {"t":3,"journal":{"rule_changed":{"id":"r1","text":"cpu.usage_pct > 80 cooldown 0s","scope":{"hosts":["h1"]}}}}
            {"t":4,"journal":{"silence_created":{"by":"ann","until":"1970-01-01T00:00:06Z","matchers":[{"rule":"r1"},{"severity":"warning"}]}}}
            {"t":5,"journal":{"host_paused":{"host":"h1"}}}
            {"t":6,"journal":{"host_resumed":{"id":"h1"}}}
            {"t":7,"journal":{"defaults_changed":{"receivers":["ops"]}}}
            {"t":8,"journal":{"rule_deleted":{"id":"r1"}}}"#;
        assert_eq!(
            brief(&replayed(rules, samples).unwrap()),
            [
                "1 r1 fired ",
                "1 r1 firing replay",
                "2 r1 resolved manual",
                "2 r1 resolved replay",
                "3 r1 fired ",
                "3 r1 firing replay",
                "7 r1 firing ops",
                "8 r1 resolved deleted",
                "8 r1 resolved ops",
            ]
        );
    }

    #[test]
    fn a_mistake_in_a_decision_says_what_was_expected() {
        for (event, expected) in [
            (r#"{"silence_made":{}}"#, "expected one of `rule_created`"),
            (r#"{"silence_created":{"end":9}}"#, "missing field `matchers`"),
            (r#"{"silence_created":{"end":9,"matchers":[]}}"#, "at least one matcher"),
            (r#"{"silence_created":{"end":9,"matchers":{"hsot":"h1"}}}"#, "matchers such as"),
            (r#"{"alert_acknowledged":{"rule":"r1","host":"h1"}}"#, "nothing of r1 h1 is open"),
            (r#"{"rule_created":{"id":"r2","text":"cpu > 1"}}"#, "rule r2: column 1"),
        ] {
            let samples = format!("{{\"t\":1,\"tick\":true}}\n{{\"t\":2,\"journal\":{event}}}");
            let error = replayed(RULES, &samples).unwrap_err().to_string();
            assert!(error.contains("line 2: ") && error.contains(expected), "{event}: {error}");
        }
        let error = replayed(RULES, "{\"t\":1,\n").unwrap_err().to_string();
        assert!(error.contains("line 1: ") && error.contains("column 7"), "{error}");
        let steps = [r#"{"receivers":["a"],"wait_s":1}"#; 6].join(",");
        let six = format!(r#"[{{"id":"r1","text":"cpu.usage_pct > 1","escalation":[{steps}]}}]"#);
        assert!(replayed(&six, "").unwrap_err().to_string().contains("at most 5"));
    }
}
