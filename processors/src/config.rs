//! What an installation chooses for the processors.

use crate::alerts::heartbeat;
use crate::notifier::outgoing::Network;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_nats::{CHANNELS_KEY, Layout, OpeningKey, Program};
use watchkeeper_streams::program::LogFormat;
use watchkeeper_streams::topology::{ALERTS_CONSUMER, HISTORY_CONSUMER, LATEST_CONSUMER, Limits};

/// A processor by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Name {
    /// Newest view of every host: LATEST bucket and public feed.
    Latest,
    /// History in QuestDB.
    History,
    /// The clock of the log, of which alerts are made; one of all programs ticks.
    Ticker,
    /// Alerts: what is open and who hears; one of all programs decides.
    Alerts,
    /// Tells receivers what alerts decided, by Telegram, e-mail and webhooks; one of all programs tells.
    Notifier,
    /// Windows of weekly maintenance, written as silences two weeks ahead.
    Maintenance,
    /// What a rule would have done, for whoever edits one; programs share the questions.
    Backtest,
    /// The NATS server's accounts, as JOURNAL has them: needs --nats-dir.
    Accounts,
    /// Holds hosts off that flood: needs --nats-dir or --sys-creds.
    Guard,
}

impl Name {
    /// The name in the log and in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => LATEST_CONSUMER.processor,
            Self::History => HISTORY_CONSUMER.processor,
            Self::Ticker => "ticker",
            Self::Alerts => ALERTS_CONSUMER.processor,
            Self::Notifier => "notifier",
            Self::Maintenance => "maintenance",
            Self::Backtest => "backtest",
            Self::Accounts => "accounts",
            Self::Guard => "guard",
        }
    }
}

/// Folds the log of samples into views: the newest state of every host, history in QuestDB, and alerts. Keeps the
/// accounts of the NATS server as they are configured, and holds off who floods.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "watchkeeper-processors",
    version,
    after_help = "Examples:
  watchkeeper-processors --nats-dir data/nats --nats-creds data/nats/operator/processors.creds --questdb-password-file data/questdb-admin.password
  watchkeeper-processors --only latest --nats-creds processors.creds
  watchkeeper-processors --config processors.toml --check-config

Each flag can be set in the environment (WATCHKEEPER_NATS=…) or in the file (nats = \"…\"); flags win, then the environment.
Exit codes: 0 stopped as asked, 1 failed, 2 configuration."
)]
pub struct Config {
    /// A TOML file with the names of these flags as keys.
    #[arg(long, env = "WATCHKEEPER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Checks the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check_config: bool,
    /// Runs only this processor; may be given again. By default all that have what they need.
    #[arg(long, env = "WATCHKEEPER_ONLY", value_delimiter = ',', value_enum)]
    pub only: Vec<Name>,
    /// NATS servers, joined by commas.
    #[arg(long, env = "WATCHKEEPER_NATS", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// Credentials of the user `processors`.
    #[arg(long, env = "WATCHKEEPER_NATS_CREDS")]
    pub nats_creds: PathBuf,
    /// Folder of the NATS server, with the keys that sign its accounts.
    #[arg(long, env = "WATCHKEEPER_NATS_DIR")]
    pub nats_dir: Option<PathBuf>,
    /// Credentials of the user `sys`; by default those in --nats-dir.
    #[arg(long, env = "WATCHKEEPER_SYS_CREDS")]
    pub sys_creds: Option<PathBuf>,
    /// QuestDB's HTTP address, host:port.
    #[arg(long, env = "WATCHKEEPER_QUESTDB_HTTP", default_value = "127.0.0.1:9000")]
    pub questdb_http: String,
    /// QuestDB's user that may write.
    #[arg(long, env = "WATCHKEEPER_QUESTDB_USER", default_value = "admin")]
    pub questdb_user: String,
    /// File that holds its password.
    #[arg(long, env = "WATCHKEEPER_QUESTDB_PASSWORD_FILE")]
    pub questdb_password_file: Option<PathBuf>,
    /// File that holds a URL: called each minute while alerts keep up, so that a service elsewhere notices when not.
    #[arg(long, env = "WATCHKEEPER_HEARTBEAT_URL_FILE")]
    pub heartbeat_url_file: Option<PathBuf>,
    /// Opens secrets of channels (made by `nats setup`); by default the file channels.xk beside --nats-creds.
    #[arg(long, env = "WATCHKEEPER_CHANNELS_KEY_FILE")]
    pub channels_key_file: Option<PathBuf>,
    /// Where people reach the page: messages link there.
    #[arg(long, env = "WATCHKEEPER_PUBLIC_URL", default_value = "http://127.0.0.1:7171")]
    pub public_url: String,
    /// File that holds the token of a Telegram bot for all teams that have no bot of their own.
    #[arg(long, env = "WATCHKEEPER_TELEGRAM_TOKEN_FILE")]
    pub telegram_token_file: Option<PathBuf>,
    /// Where Telegram's HTTP interface is.
    #[arg(long, env = "WATCHKEEPER_TELEGRAM_API", default_value = "https://api.telegram.org")]
    pub telegram_api: String,
    /// Networks that receivers may be in though they are private, as 10.0.0.0/8; may be given again. By default
    /// nothing private, local or of a cloud's own is called.
    #[arg(long, env = "WATCHKEEPER_RECEIVER_NETWORKS", value_delimiter = ',')]
    pub receiver_networks: Vec<Network>,
    /// Hours that QuestDB keeps raw samples.
    #[arg(long, env = "WATCHKEEPER_RAW_RETENTION_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=2160))]
    pub raw_retention_hours: u32,
    /// Hours that the SAMPLES stream keeps samples.
    #[arg(long, env = "WATCHKEEPER_STREAM_RETENTION_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub stream_retention_hours: u32,
    /// MiB that the SAMPLES stream holds at most; beyond, the oldest samples go.
    #[arg(long, env = "WATCHKEEPER_STREAM_MIB", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(64..))]
    pub stream_mib: u32,
    /// Servers that hold each stream: 1, 3 or 5.
    #[arg(long, env = "WATCHKEEPER_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    /// Form of the log; text on a terminal, else JSON.
    #[arg(long, env = "WATCHKEEPER_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged, as in RUST_LOG.
    #[arg(long, env = "WATCHKEEPER_LOG", default_value = "info")]
    pub log: String,
}

impl Config {
    /// Everything that is wrong and no flag parser sees, in sentences.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Err(error) = std::fs::File::open(&self.nats_creds) {
            mistakes.push(format!("--nats-creds {}: cannot be read: {error}", self.nats_creds.display()));
        }
        if self.names().contains(&Name::History) {
            match &self.questdb_password_file {
                None => mistakes
                    .push("--questdb-password-file: history needs the password of QuestDB's user".to_owned()),
                Some(path) => {
                    if let Err(error) = std::fs::File::open(path) {
                        mistakes.push(format!(
                            "--questdb-password-file {}: cannot be read: {error}",
                            path.display()
                        ));
                    }
                }
            }
        }
        if let Some(file) = &self.heartbeat_url_file
            && let Err(error) = heartbeat::url(file)
        {
            mistakes.push(format!("--heartbeat-url-file {}: {error}", file.display()));
        }
        mistakes.extend(self.mistakes_of_notifier());
        mistakes.extend(self.mistakes_of_keepers());
        if self.replicas.is_multiple_of(2) {
            mistakes.push(format!("--replicas {}: expected 1, 3 or 5", self.replicas));
        }
        mistakes
    }

    /// What is wrong for who tells people.
    fn mistakes_of_notifier(&self) -> Vec<String> {
        if !self.names().contains(&Name::Notifier) {
            return Vec::new();
        }
        let mut mistakes = Vec::new();
        if let Err(error) = OpeningKey::read(&self.channels_key()) {
            mistakes.push(format!("--channels-key-file: {error}"));
        }
        if let Some(file) = &self.telegram_token_file
            && let Err(error) = std::fs::read_to_string(file)
        {
            mistakes.push(format!("--telegram-token-file {}: cannot be read: {error}", file.display()));
        }
        for (flag, url) in [("--public-url", &self.public_url), ("--telegram-api", &self.telegram_api)] {
            if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
                mistakes.push(format!("{flag} {url}: expected https://… or http://…"));
            }
        }
        mistakes
    }

    /// The file that opens secrets of channels.
    #[must_use]
    pub fn channels_key(&self) -> PathBuf {
        self.channels_key_file.clone().unwrap_or_else(|| self.nats_creds.with_file_name(CHANNELS_KEY))
    }

    /// What is wrong for those who keep order on the NATS server.
    fn mistakes_of_keepers(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let names = self.names();
        if names.contains(&Name::Accounts) {
            match &self.nats_dir {
                None => mistakes.push("--nats-dir: accounts needs the folder of the NATS server".to_owned()),
                Some(dir) if !Layout::new(dir).operator_signing_key().is_file() => mistakes.push(format!(
                    "--nats-dir {}: nothing is set up there: type `watchkeeper-gateway nats setup --dir {}`",
                    dir.display(),
                    dir.display()
                )),
                Some(_) => {}
            }
        }
        if names.contains(&Name::Accounts) || names.contains(&Name::Guard) {
            match self.sys_creds() {
                None => {
                    mistakes.push("--sys-creds: guard needs the credential of the system account".to_owned())
                }
                Some(path) => {
                    if let Err(error) = std::fs::File::open(&path) {
                        mistakes.push(format!("--sys-creds {}: cannot be read: {error}", path.display()));
                    }
                }
            }
        }
        mistakes
    }

    /// The credential of the system account.
    #[must_use]
    pub fn sys_creds(&self) -> Option<PathBuf> {
        let in_dir = || self.nats_dir.as_ref().map(|dir| Layout::new(dir).program_creds(Program::Sys));
        self.sys_creds.clone().or_else(in_dir)
    }

    /// The processors to run, each once.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        let has_what_it_needs = |name: &Name| match name {
            Name::Latest
            | Name::History
            | Name::Ticker
            | Name::Alerts
            | Name::Notifier
            | Name::Maintenance
            | Name::Backtest => true,
            Name::Accounts => self.nats_dir.is_some(),
            Name::Guard => self.sys_creds().is_some(),
        };
        let all = || Name::value_variants().iter().copied().filter(has_what_it_needs).collect();
        let mut names: Vec<Name> = if self.only.is_empty() { all() } else { self.only.clone() };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What the streams are to keep.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            samples_age: Duration::from_secs(u64::from(self.stream_retention_hours) * 3600),
            samples_bytes: i64::from(self.stream_mib) << 20,
            replicas: usize::from(self.replicas),
        }
    }
}
