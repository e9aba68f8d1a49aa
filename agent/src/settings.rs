//! The agent's configuration: flags before environment before file; all mistakes are found at once.

use crate::collectors::{Mounts, Observe, collector};
use crate::credential::Credential;
use crate::enrolment::Token;
use crate::folder::Folder;
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
    after_help = "To watch this host: make a token on the gateway's page, then\n  watchkeeper-agent enroll https://watch.example.org\nwhich asks for \
                  it, keeps what it is given in its folder and begins.\n\nExit codes:\n  0  done\n  1  could not go on, or could \
                  not do it now\n  2  a mistake in the configuration or the credential\n  4  cut off: the gateway no longer accepts \
                  this host (deleted, enrolled anew elsewhere, or never confirmed); enroll it again\nA server or gateway that is \
                  away does not end the agent: it goes on collecting and tries again, ever more slowly."
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
    /// Make this host known to a gateway, with a token from its page; then run.
    Enroll(EnrollArguments),
    /// Publish samples until told to stop.
    Run(RunArguments),
    /// Have the credential of an enrolled host signed anew; `run` does it by itself at half of its life.
    Renew(RenewArguments),
    /// Print one sample of this host, over one second, and publish nothing.
    Check(CheckArguments),
}

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArguments {
    /// The gateway, such as https://watch.example.org.
    #[arg(value_name = "URL")]
    pub gateway: String,
    /// The token from its page, good once and for five minutes; - or nothing reads it from standard input, where other
    /// users of this machine cannot see it.
    // A token may begin with a dash.
    #[arg(
        env = "WATCHKEEPER_ENROL_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        allow_hyphen_values = true
    )]
    pub token: Option<Token>,
    /// Where credential and settings are kept [default: /var/lib/watchkeeper-agent for root, else in the user's state
    /// folder].
    #[arg(long, env = "WATCHKEEPER_DIR", value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Only enroll; `run` begins later.
    #[arg(long)]
    pub no_start: bool,
    /// Trust the authorities in this file (PEM), too: for the gateway and for NATS.
    #[arg(long, env = "WATCHKEEPER_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The network up to the gateway holds nobody else: it may be http.
    #[arg(long, env = "WATCHKEEPER_ALLOW_HTTP")]
    pub allow_http: bool,
    /// The host's root folder; in a container, where the host's / is mounted.
    #[arg(long, env = "WATCHKEEPER_ROOT", default_value = "/", value_name = "FOLDER")]
    pub root: PathBuf,
}

/// Arguments of `renew`.
#[derive(Debug, Args)]
pub struct RenewArguments {
    /// The folder that `enroll` made.
    #[arg(long, env = "WATCHKEEPER_DIR", value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The gateway; `enroll` has kept it.
    #[arg(long, env = "WATCHKEEPER_GATEWAY", value_name = "URL")]
    pub gateway: Option<String>,
    /// The network up to the gateway holds nobody else: it may be http.
    #[arg(long, env = "WATCHKEEPER_ALLOW_HTTP")]
    pub allow_http: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    host: HostArguments,
    /// The folder that `enroll` made [default: that of `enroll`].
    #[arg(long, env = "WATCHKEEPER_DIR", value_name = "FOLDER", conflicts_with = "creds")]
    dir: Option<PathBuf>,
    /// The NATS server; several joined by commas.
    #[arg(long, env = "WATCHKEEPER_NATS", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    nats: String,
    /// A credential that was made by hand, instead of the folder; it says which host this is and is not renewed.
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
    /// Where the credential is kept and renewed; none for one that was made by hand.
    pub enrolled: Option<Folder>,
}

/// What is wrong with a configuration: one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(pub Vec<String>);

impl Arguments {
    /// The folder whose settings are to be read, too: that of an enrolled host, unless a file or credential is named.
    ///
    /// # Errors
    /// When this host is not enrolled there.
    pub fn folder(&self) -> Result<Option<Folder>, Mistakes> {
        let folder = match &self.command {
            Command::Run(run) => run.folder(self.config.is_none()),
            Command::Renew(renew) => Some(renew.folder()),
            Command::Enroll(_) | Command::Check(_) => None,
        };
        let Some(folder) = folder.filter(|_| self.config.is_none()) else { return Ok(None) };
        if folder.settings().exists() {
            return Ok(Some(folder));
        }
        let told = folder.path().display();
        Err(Mistakes(vec![format!(
            "dir: this host is not enrolled: there is no agent.toml in {told}; make a token on the gateway's page and run \
             `watchkeeper-agent enroll URL`, or name another --dir"
        )]))
    }
}

impl RenewArguments {
    /// The folder of the credential.
    #[must_use]
    pub fn folder(&self) -> Folder {
        self.dir.as_ref().map_or_else(Folder::usual, Folder::at)
    }
}

impl RunArguments {
    /// The folder of the credential: the one that is named, or the usual one where nothing is named.
    fn folder(&self, or_usual: bool) -> Option<Folder> {
        match (&self.creds, &self.dir) {
            (Some(_), _) => None,
            (None, Some(dir)) => Some(Folder::at(dir)),
            (None, None) => or_usual.then(Folder::usual),
        }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn settings(&self, enrolled: Option<Folder>) -> Result<RunSettings, Mistakes> {
        let mut mistakes = Vec::new();
        let observe = self.host.observe(&mut mistakes);
        check_addresses(&self.nats, &mut mistakes);
        let interval = keep(read_interval(&self.interval), &mut mistakes);
        let enrolled = enrolled.or_else(|| self.folder(false));
        let creds = self.creds.clone().or_else(|| enrolled.as_ref().map(Folder::creds));
        let creds = creds.ok_or_else(|| {
            "creds: the credential of this host is missing: give --dir FOLDER or --creds FILE".to_owned()
        });
        let creds = keep(creds, &mut mistakes);
        let credential = creds.as_deref().and_then(|creds| {
            keep(Credential::read(creds).map_err(|error| format!("creds: {error}")), &mut mistakes)
        });
        match (interval, creds, credential) {
            (Some(interval), Some(creds), Some(Credential { subject, .. })) if mistakes.is_empty() => {
                let inbox = agent_inbox(&subject.team, &subject.host);
                let connect = Connect { url: self.nats.clone(), creds, name: "watchkeeper-agent", inbox };
                Ok(RunSettings { observe, connect, subject, interval, enrolled })
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
            match collector(name.trim()) {
                Ok(collector) => without.push(collector),
                Err(error) => mistakes.push(format!("without: there is no collector {name:?}: {error}")),
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
pub(crate) fn read_interval(text: &str) -> Result<Duration, String> {
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
        let told = run.settings(None).unwrap_err().to_string();
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
    fn a_host_that_is_not_enrolled_is_told_how() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        for command in ["run", "renew"] {
            let arguments = Arguments::try_parse_from(["agent", command, "--dir", dir]).unwrap();
            let told = arguments.folder().unwrap_err().to_string();
            assert!(told.contains(dir) && told.contains("watchkeeper-agent enroll"), "{told}");
        }
        let named = ["agent", "run", "--creds", "/a.creds", "--config", "/b.toml"];
        assert_eq!(Arguments::try_parse_from(named).unwrap().folder().unwrap(), None);
    }

    #[test]
    fn a_token_may_begin_with_a_dash() {
        let flags = ["agent", "enroll", "https://w.example.org", "-x_no-start", "--no-start", "--dir", "/d"];
        let Command::Enroll(read) = Arguments::try_parse_from(flags).unwrap().command else {
            panic!("not enroll")
        };
        assert_eq!(read.token, Some("-x_no-start".parse().unwrap()));
        assert!(read.no_start && read.dir.is_some());
    }

    #[test]
    fn a_token_is_in_no_debug_text() {
        let flags = ["agent", "enroll", "https://w.example.org", "very-secret"];
        let told = format!("{:?}", Arguments::try_parse_from(flags).unwrap());
        assert!(told.contains("w.example.org") && !told.contains("very-secret"), "{told}");
    }
}
