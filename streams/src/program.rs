//! The life of one of our programs around its work: configuration, logging, the signal to stop.

use clap::{CommandFactory, FromArgMatches, ValueEnum};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exit code of a configuration that cannot be used.
pub const EXIT_CONFIG: u8 = 2;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads a program's configuration: flags before environment before `--config FILE`, a TOML file of flag names.
///
/// # Errors
/// A message for people that names every mistake of the file, or clap's own for flags; also help and version.
pub fn configure<C: CommandFactory + FromArgMatches>(
    arguments: impl Iterator<Item = OsString>,
) -> Result<C, clap::Error> {
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = C::command();
    if let Some(path) = config_path(&arguments) {
        let file = read_file(&path);
        let told = file.and_then(|table| with_defaults(command.clone(), &table));
        match told {
            Ok(changed) => command = changed,
            Err(mistakes) => {
                let message = format!("{}:\n  {}", path.display(), mistakes.join("\n  "));
                return Err(command.error(clap::error::ErrorKind::ValueValidation, message));
            }
        }
    }
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The path behind `--config` or in WATCHKEEPER_CONFIG.
fn config_path(arguments: &[OsString]) -> Option<PathBuf> {
    let flag = arguments.iter().enumerate().find_map(|(index, argument)| {
        if argument == "--config" {
            return arguments.get(index + 1).map(PathBuf::from);
        }
        argument.to_str()?.strip_prefix("--config=").map(PathBuf::from)
    });
    flag.or_else(|| std::env::var_os("WATCHKEEPER_CONFIG").map(PathBuf::from))
}

fn read_file(path: &std::path::Path) -> Result<toml::Table, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("cannot be read: {error}")])?;
    text.parse().map_err(|error: toml::de::Error| vec![error.to_string()])
}

/// Makes the file's values the defaults of the flags of the same name, in the command and below it.
fn with_defaults(mut command: clap::Command, table: &toml::Table) -> Result<clap::Command, Vec<String>> {
    let mut mistakes = Vec::new();
    for (key, value) in table {
        match words(value) {
            Ok(words) if set_default(&mut command, key, &words) => {}
            Ok(_) => mistakes.push(format!("{key}: there is no such setting (see --help)")),
            Err(found) => {
                mistakes.push(format!("{key}: expected text, a number, true, false or a list, found {found}"))
            }
        }
    }
    if mistakes.is_empty() { Ok(command) } else { Err(mistakes) }
}

fn words(value: &toml::Value) -> Result<Vec<String>, &'static str> {
    match value {
        toml::Value::String(text) => Ok(vec![text.clone()]),
        toml::Value::Integer(number) => Ok(vec![number.to_string()]),
        toml::Value::Float(number) => Ok(vec![number.to_string()]),
        toml::Value::Boolean(flag) => Ok(vec![flag.to_string()]),
        toml::Value::Array(values) => Ok(values.iter().map(words).collect::<Result<Vec<_>, _>>()?.concat()),
        toml::Value::Datetime(_) => Err("a date"),
        toml::Value::Table(_) => Err("a table"),
    }
}

fn set_default(command: &mut clap::Command, key: &str, words: &[String]) -> bool {
    let has = |command: &clap::Command| command.get_arguments().any(|argument| argument.get_id() == key);
    let mut known = false;
    if has(command) && !matches!(key, "config" | "help" | "version") {
        let defaults: Vec<clap::builder::OsStr> = words.iter().map(|word| word.clone().into()).collect();
        *command = std::mem::take(command)
            .mut_arg(key, |argument| argument.required(false).default_values(defaults.clone()));
        known = true;
    }
    for below in command.get_subcommands_mut() {
        known |= set_default(below, key, words);
    }
    known
}

/// async-nats tells every try of an outage; `connect` tells what is new, once.
const QUIET: &str = "async_nats=warn,async_nats::connector=off,";

/// Starts logging to standard error; `filter` as in RUST_LOG, for example `info` or `watchkeeper_streams=debug,warn`.
///
/// # Errors
/// When the filter is none, or logging was started before.
pub fn log(format: Option<LogFormat>, filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| filter.to_owned());
    // The client repeats at INFO, with every try, what `connect` tells once.
    let quiet = if filter.contains("async_nats") { "" } else { QUIET };
    let filter: Targets = format!("{quiet}{filter}").parse()?;
    let terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let layer = match format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => layer.compact().boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    Ok(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?)
}

/// Turns true at the first SIGINT or SIGTERM. Call inside a runtime, which also has to live until then.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn shutdown_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write as _;

    #[derive(Debug, Parser)]
    struct Example {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, default_value = "flag-default")]
        url: String,
        #[arg(long)]
        creds: PathBuf,
        #[arg(long, value_delimiter = ',')]
        mounts: Vec<String>,
    }

    fn configure_with(file: &str, flags: &[&str]) -> Result<Example, clap::Error> {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(file.as_bytes()).unwrap();
        let arguments = ["example", "--config"].map(OsString::from).into_iter();
        let path = [written.path().as_os_str().to_owned()];
        configure(arguments.chain(path).chain(flags.iter().map(OsString::from)))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "url = \"from-file\"\ncreds = \"a.creds\"\nmounts = [\"/\", \"/data\"]";
        let read = configure_with(file, &[]).unwrap();
        assert_eq!((read.url.as_str(), read.mounts.len()), ("from-file", 2));
        assert_eq!(configure_with(file, &["--url", "from-flag"]).unwrap().url, "from-flag");
        assert!(read.config.is_some() && read.creds.ends_with("a.creds"));
    }

    #[test]
    fn every_mistake_of_the_file_is_told_at_once() {
        let told =
            configure_with("ulr = \"x\"\nmonuts = \"/\"\ncreds = 1979-05-27", &[]).unwrap_err().to_string();
        for key in ["ulr", "monuts", "creds"] {
            assert!(told.contains(key), "{told}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let arguments = ["example", "--config=/nowhere.toml"].map(OsString::from);
        let told = configure::<Example>(arguments.into_iter()).unwrap_err().to_string();
        assert!(told.contains("/nowhere.toml"), "{told}");
    }
}
