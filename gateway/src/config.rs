//! What the gateway is told at its start: flags before environment before `--config FILE`; every mistake at once.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use watchkeeper_schemas::ids::{HostId, ProcessorName, TeamId};
use watchkeeper_streams::program::LogFormat;

/// The gateway's command line.
#[derive(Debug, Parser)]
#[command(
    name = "watchkeeper-gateway",
    version,
    about = "Watchkeeper's gateway: the page, the HTTP API and the live stream, from NATS and QuestDB",
    after_help = "A first start by hand:\n  watchkeeper-gateway nats setup --dir data/nats\n  nats-server -c data/nats/nats-server.conf\n  \
                  watchkeeper-gateway run --nats-creds data/nats/creds/gateway.creds \\\n    \
                  --questdb-password-file data/questdb-reader.password\nThen open http://127.0.0.1:7171. \
                  `cargo xtask up` does all of it."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the page and the API until told to stop (SIGINT, SIGTERM).
    Run(Box<RunArgs>),
    /// Make the NATS server's configuration, accounts and credentials.
    #[command(subcommand)]
    Nats(NatsCommand),
}

/// Flags of `run`; each is also WATCHKEEPER_<NAME>, and a key of the `--config` file.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A TOML file whose keys are the names of these flags with _ for -.
    #[arg(long, env = "WATCHKEEPER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the page and the API are; loopback only, as there is no log-in yet.
    #[arg(long, env = "WATCHKEEPER_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7171")]
    pub listen: String,
    /// Where Prometheus reads /metrics; loopback only.
    #[arg(
        long,
        env = "WATCHKEEPER_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:7172"
    )]
    pub metrics_listen: String,
    /// The NATS server.
    #[arg(long, env = "WATCHKEEPER_NATS", value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// The gateway's credential for it (made by `nats setup`).
    #[arg(
        long,
        env = "WATCHKEEPER_NATS_CREDS",
        value_name = "FILE",
        default_value = "data/nats/creds/gateway.creds"
    )]
    pub nats_creds: PathBuf,
    /// QuestDB's PostgreSQL wire.
    #[arg(long, env = "WATCHKEEPER_QUESTDB_PG", value_name = "HOST:PORT", default_value = "127.0.0.1:8812")]
    pub questdb_pg: String,
    /// A user of QuestDB who can only read.
    #[arg(long, env = "WATCHKEEPER_QUESTDB_USER", value_name = "NAME", default_value = "reader")]
    pub questdb_user: String,
    /// A file with that user's password.
    #[arg(
        long,
        env = "WATCHKEEPER_QUESTDB_PASSWORD_FILE",
        value_name = "FILE",
        default_value = "data/questdb-reader.password"
    )]
    pub questdb_password_file: PathBuf,
    /// Say whether the configuration can be used, and end: 0 yes, 2 no.
    #[arg(long)]
    pub check_config: bool,
    /// What is logged, as in RUST_LOG, which comes before it.
    #[arg(long, env = "WATCHKEEPER_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How it is written; without this for people on a terminal, else as JSON.
    #[arg(long, env = "WATCHKEEPER_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Subcommands of `nats`.
#[derive(Debug, Subcommand)]
pub enum NatsCommand {
    /// Make the server's folder: keys, accounts, credentials, nats-server.conf. Again: repair, change nothing else.
    Setup {
        /// The server's folder.
        #[arg(long, value_name = "DIR", default_value = "data/nats")]
        dir: PathBuf,
        /// Where the server will listen.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4222")]
        listen: SocketAddr,
        /// Teams to have; those made before stay.
        #[arg(long, value_name = "TEAM", default_value = "default")]
        team: Vec<TeamId>,
    },
    /// Give one of our programs a new key and end its old one.
    Rotate {
        /// sys, processors or gateway.
        user: watchkeeper_nats::Program,
        /// The server's folder.
        #[arg(long, value_name = "DIR", default_value = "data/nats")]
        dir: PathBuf,
        /// Tell this running server, so that the old credential is cut off at once.
        #[arg(long, value_name = "URL")]
        push: Option<String>,
    },
    /// Make the credential of a host's agent.
    Agent {
        /// The server's folder.
        #[arg(long, value_name = "DIR", default_value = "data/nats")]
        dir: PathBuf,
        /// The host's team.
        #[arg(long, value_name = "TEAM", default_value = "default")]
        team: TeamId,
        /// The host.
        #[arg(long, value_name = "HOST")]
        host: HostId,
    },
    /// Make the credential of a program that reads the public feed of a team.
    Reader {
        /// The server's folder.
        #[arg(long, value_name = "DIR", default_value = "data/nats")]
        dir: PathBuf,
        /// The team.
        #[arg(long, value_name = "TEAM", default_value = "default")]
        team: TeamId,
        /// A name for the program.
        #[arg(long, value_name = "NAME")]
        name: ProcessorName,
    },
    /// Development only: make one credential that may publish for every host of a team.
    Fleet {
        /// The server's folder.
        #[arg(long, value_name = "DIR", default_value = "data/nats")]
        dir: PathBuf,
        /// The team.
        #[arg(long, value_name = "TEAM", default_value = "default")]
        team: TeamId,
    },
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the page and the API are.
    pub listen: SocketAddr,
    /// Where Prometheus reads.
    pub metrics_listen: SocketAddr,
    /// The NATS server.
    pub nats: String,
    /// The credential for it.
    pub nats_creds: PathBuf,
    /// QuestDB's host.
    pub questdb_host: String,
    /// QuestDB's port.
    pub questdb_port: u16,
    /// The user who can only read.
    pub questdb_user: String,
    /// That user's password.
    pub questdb_password: String,
}

impl RunArgs {
    /// Checks everything.
    ///
    /// # Errors
    /// Every mistake, each in a sentence.
    pub fn check(&self) -> Result<Config, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut take = |result: Result<(), String>| mistakes.extend(result.err());
        let listen = loopback("listen", &self.listen);
        let metrics_listen = loopback("metrics_listen", &self.metrics_listen);
        let questdb = host_and_port(&self.questdb_pg);
        let password = std::fs::read_to_string(&self.questdb_password_file).map_err(|error| {
            format!("questdb_password_file: cannot read {}: {error}", self.questdb_password_file.display())
        });
        let creds = std::fs::metadata(&self.nats_creds);
        take(listen.as_ref().map(|_| ()).map_err(Clone::clone));
        take(metrics_listen.as_ref().map(|_| ()).map_err(Clone::clone));
        take(nats_url(&self.nats));
        take(creds.map(|_| ()).map_err(|error| {
            format!("nats_creds: cannot read {}: {error} (`nats setup` makes it)", self.nats_creds.display())
        }));
        take(questdb.as_ref().map(|_| ()).map_err(Clone::clone));
        take(password.as_ref().map(|_| ()).map_err(Clone::clone));
        match (listen, metrics_listen, questdb, password) {
            (Ok(listen), Ok(metrics_listen), Ok((host, port)), Ok(password)) if mistakes.is_empty() => {
                Ok(Config {
                    listen,
                    metrics_listen,
                    nats: self.nats.clone(),
                    nats_creds: self.nats_creds.clone(),
                    questdb_host: host,
                    questdb_port: port,
                    questdb_user: self.questdb_user.clone(),
                    questdb_password: password.trim().to_owned(),
                })
            }
            (_, _, _, _) => Err(mistakes),
        }
    }
}

fn loopback(name: &str, text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{name}: expected an address such as 127.0.0.1:7171, found {text:?}"))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{name}: {address} can be reached from other machines, and there is no log-in yet: whoever reaches the gateway \
         sees everything. Use 127.0.0.1 or [::1], and a tunnel such as `ssh -L` from elsewhere"
    ))
}

fn nats_url(text: &str) -> Result<(), String> {
    let wrong = |url: &str| format!("nats: expected nats://host:port, found {url:?}");
    match text.split(',').find(|url| url.parse::<async_nats::ServerAddr>().is_err()) {
        None => Ok(()),
        Some(url) => Err(wrong(url)),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let whole = parts.filter(|(host, _)| !host.is_empty());
    whole.ok_or_else(|| format!("questdb_pg: expected host:port such as 127.0.0.1:8812, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn run(flags: &[&str]) -> Result<Config, Vec<String>> {
        let cli = Cli::try_parse_from([&["watchkeeper-gateway", "run"], flags].concat()).unwrap();
        match cli.command {
            Command::Run(args) => args.check(),
            Command::Nats(_) => panic!("not asked for"),
        }
    }

    #[test]
    fn an_open_address_is_refused_with_the_reason() {
        let mistakes = run(&["--listen", "0.0.0.0:7171", "--metrics-listen", "[::]:1"]).unwrap_err();
        let listen = mistakes.iter().find(|it| it.starts_with("listen:")).unwrap();
        assert!(listen.contains("no log-in yet"), "{listen}");
        assert!(mistakes.iter().any(|it| it.starts_with("metrics_listen:")), "{mistakes:?}");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let flags = [
            "--listen",
            "x",
            "--nats",
            "://",
            "--nats-creds",
            "/no",
            "--questdb-pg",
            "x",
            "--questdb-password-file",
            "/no",
        ];
        let mistakes = run(&flags).unwrap_err();
        let names: Vec<&str> = mistakes.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(names, ["listen", "nats", "nats_creds", "questdb_pg", "questdb_password_file"]);
    }

    #[test]
    fn what_is_right_can_be_used() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"secret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config =
            run(&["--nats-creds", path, "--questdb-password-file", path, "--listen", "[::1]:0"]).unwrap();
        assert_eq!((config.questdb_password.as_str(), config.questdb_port), ("secret", 8812));
    }
}
