//! What the gateway is told at its start: flags before environment before `--config FILE`; every mistake at once.

mod check;

use crate::command::account::AccountCommand;
use crate::command::audit::AuditCommand;
use crate::command::host::HostCommand;
use crate::http::site::Site;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use watchkeeper_schemas::ids::{HostId, ReaderName, TeamId};
use watchkeeper_streams::program::LogFormat;

/// The gateway's command line.
#[derive(Debug, Parser)]
#[command(
    name = "watchkeeper-gateway",
    version,
    about = "Watchkeeper's gateway: the page, the HTTP API and the live stream, from NATS and QuestDB",
    after_help = "A first start by hand:\n  watchkeeper-gateway nats setup --dir data/nats\n  nats-server -c data/nats/nats-server.conf\n  \
                  watchkeeper-gateway run --nats-creds data/nats/gateway/gateway.creds \\\n    \
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
    /// Print the code by which the first owner sets this gateway up.
    Bootstrap(SecretsArgs),
    /// Sign new access tokens with a new key; those of the key before stay good until they end.
    RotateSigningKey(SecretsArgs),
    /// Add hosts at the machine, without a log-in.
    #[command(subcommand)]
    Host(HostCommand),
    /// Say who may log in, at the machine, without a log-in.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look after the audit.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make the NATS server's configuration, accounts and credentials.
    #[command(subcommand)]
    Nats(NatsCommand),
    /// Say whether this machine's gateway lives: 0 yes, 1 no.
    Health(HealthArgs),
}

/// Where a gateway that runs can be asked.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// Its --metrics-listen.
    #[arg(
        long,
        env = "WATCHKEEPER_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:7172"
    )]
    pub metrics_listen: SocketAddr,
}

/// Where the gateway's own folder is.
#[derive(Debug, Clone, Args)]
pub struct SecretsArgs {
    /// The gateway's own folder.
    #[arg(long, env = "WATCHKEEPER_SECRETS_DIR", value_name = "DIR", default_value = SECRETS_DIR)]
    pub secrets_dir: PathBuf,
}

/// The gateway's own folder.
const SECRETS_DIR: &str = "data/gateway";

/// Flags of `run`; each is also WATCHKEEPER_<NAME>, and a key of the `--config` file.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A TOML file whose keys are the names of these flags with _ for -.
    #[arg(long, env = "WATCHKEEPER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the page and the API are; beyond loopback only with TLS or behind a proxy.
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
    /// Where people reach the page; decides the cookies. Default: the address of --listen.
    #[arg(long, env = "WATCHKEEPER_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// The certificate and its chain, PEM: the gateway speaks TLS.
    #[arg(long, env = "WATCHKEEPER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, env = "WATCHKEEPER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A reverse proxy stands before the gateway and speaks TLS: its X-Forwarded-For is believed.
    #[arg(long, env = "WATCHKEEPER_BEHIND_PROXY")]
    pub behind_proxy: bool,
    /// The gateway's own folder: keys and the code of the first owner. Made at the first start.
    #[arg(long, env = "WATCHKEEPER_SECRETS_DIR", value_name = "DIR", default_value = SECRETS_DIR)]
    pub secrets_dir: PathBuf,
    /// Let whoever comes make an account and a team.
    #[arg(long, env = "WATCHKEEPER_OPEN_REGISTRATION")]
    pub open_registration: bool,
    /// The NATS server.
    #[arg(long, env = "WATCHKEEPER_NATS", value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// The gateway's credential for it (made by `nats setup`).
    #[arg(
        long,
        env = "WATCHKEEPER_NATS_CREDS",
        value_name = "FILE",
        default_value = "data/nats/gateway/gateway.creds"
    )]
    pub nats_creds: PathBuf,
    /// The NATS server's folder, whose keys sign the credentials of agents and readers.
    #[arg(long, env = "WATCHKEEPER_NATS_DIR", value_name = "DIR", default_value = "data/nats")]
    pub nats_dir: PathBuf,
    /// Where agents reach the NATS server. Default: --nats.
    #[arg(long, env = "WATCHKEEPER_NATS_PUBLIC_URL", value_name = "URL")]
    pub nats_public_url: Option<String>,
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
        /// The server's certificate and chain, PEM: it speaks TLS and may listen beyond loopback.
        #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "behind_proxy")]
        tls_cert: Option<PathBuf>,
        /// The key of that certificate, PEM.
        #[arg(long, value_name = "FILE", requires = "tls_cert")]
        tls_key: Option<PathBuf>,
        /// Something before the server speaks TLS, or its network holds nobody else: it may listen beyond loopback.
        #[arg(long)]
        behind_proxy: bool,
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
        name: ReaderName,
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
    /// How people reach it.
    pub site: Site,
    /// Certificate and key, where the gateway itself speaks TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The gateway's own folder.
    pub secrets_dir: PathBuf,
    /// Whether whoever comes may make an account and a team.
    pub open_registration: bool,
    /// The NATS server's folder.
    pub nats_dir: PathBuf,
    /// Where agents reach the NATS server.
    pub nats_public_url: String,
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
