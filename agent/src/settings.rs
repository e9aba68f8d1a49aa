//! The agent's configuration: flags before environment before file; all mistakes are found at once.

use crate::collectors::{Collector, Mounts, Observe};
use crate::identity;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;
use watchkeeper_schemas::subjects::{SampleSubject, agent_inbox};
use watchkeeper_streams::connect::Connect;
use watchkeeper_streams::program::LogFormat;

/// Shortest and longest time between samples.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Reads this host and publishes what it sees to Watchkeeper.
#[derive(Debug, Parser)]
#[command(
    name = "watchkeeper-agent",
    version,
    after_help = "Exit codes: 0 done, 1 could not go on, 2 a mistake in the configuration or the credential.\nA credential that the server refuses does not end the agent: it says so and tries again, ever more slowly."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// A TOML file whose keys are the names of flags, with _ for -.
    #[arg(long, global = true, env = "WATCHKEEPER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How log lines are written [default: text on a terminal, else json].
    #[arg(long, global = true, env = "WATCHKEEPER_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, as in RUST_LOG.
    #[arg(long, global = true, env = "WATCHKEEPER_LOG", default_value = "info")]
    pub log: String,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish samples until told to stop.
    Run(RunArguments),
    /// Print one sample of this host, over one second, and publish nothing.
    Check(CheckArguments),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    host: HostArguments,
    /// The NATS server; several joined by commas.
    #[arg(long, env = "WATCHKEEPER_NATS", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    nats: String,
    /// This host's credential; it says which host this is.
    #[arg(long, env = "WATCHKEEPER_CREDS", value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Time between samples, 1s to 1h.
    #[arg(long, env = "WATCHKEEPER_INTERVAL", default_value = "5s", value_name = "TIME")]
    interval: String,
    /// Only say whether the configuration can be used.
    #[arg(long)]
    pub check_config: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(flatten)]
    host: HostArguments,
    /// A table for people instead of JSON.
    #[arg(long)]
    pub human: bool,
}

#[derive(Debug, Args)]
struct HostArguments {
    /// The host's root folder; in a container, where the host's / is mounted.
    #[arg(long, env = "WATCHKEEPER_ROOT", default_value = "/", value_name = "FOLDER")]
    root: PathBuf,
    /// File systems to tell: auto for every real one, or a list such as /,/data.
    #[arg(
        long,
        env = "WATCHKEEPER_MOUNTS",
        default_value = "auto",
        value_delimiter = ',',
        value_name = "auto|LIST"
    )]
    mounts: Vec<String>,
    /// Collectors to switch off, such as temperatures,disk_io.
    #[arg(long, env = "WATCHKEEPER_WITHOUT", value_delimiter = ',', value_name = "LIST")]
    without: Vec<String>,
}

/// What `run` needs.
#[derive(Debug)]
pub struct RunSettings {
    /// What is read.
    pub observe: Observe,
    /// Whom to connect to.
    pub connect: Connect,
    /// Which host this is.
    pub subject: SampleSubject,
    /// Time between samples.
    pub interval: Duration,
}

/// What is wrong with a configuration: one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(pub Vec<String>);

impl RunArguments {
    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn settings(&self) -> Result<RunSettings, Mistakes> {
        let mut mistakes = Vec::new();
        let observe = self.host.observe(&mut mistakes);
        check_addresses(&self.nats, &mut mistakes);
        let interval = keep(read_interval(&self.interval), &mut mistakes);
        let creds = self
            .creds
            .as_deref()
            .ok_or_else(|| "creds: the credential of this host is missing: give --creds FILE".to_owned());
        let creds = keep(creds, &mut mistakes);
        let subject = creds.and_then(|creds| {
            keep(identity::read(creds).map_err(|error| format!("creds: {error}")), &mut mistakes)
        });
        match (interval, creds, subject) {
            (Some(interval), Some(creds), Some(subject)) if mistakes.is_empty() => {
                let inbox = agent_inbox(&subject.team, &subject.host);
                let connect = Connect {
                    url: self.nats.clone(),
                    creds: creds.to_owned(),
                    name: "watchkeeper-agent",
                    inbox,
                };
                Ok(RunSettings { observe, connect, subject, interval })
            }
            _ => Err(Mistakes(mistakes)),
        }
    }
}

impl CheckArguments {
    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn observe(&self) -> Result<Observe, Mistakes> {
        let mut mistakes = Vec::new();
        let observe = self.host.observe(&mut mistakes);
        if mistakes.is_empty() { Ok(observe) } else { Err(Mistakes(mistakes)) }
    }
}

impl HostArguments {
    fn observe(&self, mistakes: &mut Vec<String>) -> Observe {
        if !self.root.join("proc/stat").exists() {
            let root = self.root.display();
            mistakes.push(format!(
                "root: there is no proc/stat below {root}: expected the folder where the host's / is mounted"
            ));
        }
        let mut without = Vec::new();
        for name in &self.without {
            match Collector::named(name.trim()) {
                Some(collector) => without.push(collector),
                None => {
                    let known = Collector::ALL.map(Collector::name).join(", ");
                    mistakes
                        .push(format!("without: there is no collector {name:?}: expected some of {known}"));
                }
            }
        }
        Observe { root: self.root.clone(), mounts: read_mounts(&self.mounts, mistakes), without }
    }
}

fn keep<T>(read: Result<T, String>, mistakes: &mut Vec<String>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn read_mounts(words: &[String], mistakes: &mut Vec<String>) -> Mounts {
    if matches!(words, [word] if word == "auto") {
        return Mounts::Auto;
    }
    for word in words.iter().filter(|word| !Path::new(word).is_absolute()) {
        mistakes
            .push(format!("mounts: {word:?} is no path from /: expected auto, or a list such as /,/data"));
    }
    Mounts::List(words.iter().map(PathBuf::from).collect())
}

fn check_addresses(nats: &str, mistakes: &mut Vec<String>) {
    for address in nats.split(',') {
        let address = address.trim();
        if let Err(error) = address.parse::<async_nats::ServerAddr>() {
            mistakes.push(format!(
                "nats: {address:?} is no address of a server: {error}; expected such as nats://host:4222"
            ));
        }
    }
}

/// A whole number and its unit: `5s`, `500ms`, `2m`, `1h`.
fn read_interval(text: &str) -> Result<Duration, String> {
    let mistake = || format!("interval: {text:?} is no time from 1s to 1h: expected such as 5s or 2m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| mistake())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(mistake()),
    };
    let interval = Duration::from_millis(number.saturating_mul(unit_ms));
    if INTERVAL.contains(&interval) { Ok(interval) } else { Err(mistake()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_together() {
        let flags = [
            "agent",
            "run",
            "--interval",
            "5",
            "--nats",
            "nats://a:4222,not a host:x",
            "--mounts",
            "/,data",
            "--without",
            "cpu,gpus",
            "--root",
            "/nowhere",
        ];
        let arguments = Arguments::try_parse_from(flags).unwrap();
        let Command::Run(run) = arguments.command else { panic!("not run") };
        let told = run.settings().unwrap_err().to_string();
        for part in [
            "interval: \"5\"",
            "nats: \"not a host:x\"",
            "mounts: \"data\"",
            "without: there is no collector \"gpus\"",
            "root:",
            "creds:",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
        assert_eq!(told.lines().count(), 6, "{told}");
    }

    #[test]
    fn an_interval_has_a_unit_and_limits() {
        for (text, seconds) in [("5s", 5), ("1000ms", 1), ("2m", 120), ("1h", 3600)] {
            assert_eq!(read_interval(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in [
            "",
            "s",
            "5",
            "999ms",
            "61m",
            "-5s",
            "5 s",
            "5x",
            "99999999999999999999h",
            "18446744073709551615h",
            "é5s",
        ] {
            assert!(read_interval(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn collectors_are_named_as_the_sections_they_fill() {
        assert!(
            Collector::ALL.into_iter().all(|collector| Collector::named(collector.name()) == Some(collector))
        );
        assert_eq!(Collector::named("Cpu"), None);
    }
}
