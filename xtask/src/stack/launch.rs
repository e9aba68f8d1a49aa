//! How each program is started. Our own take their settings from the environment, so that arguments win over them.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result};

use super::Program;
use super::builder::Settings;
use super::enrolment;
use super::questdb;
use super::setup::Creds;
use crate::ports::address;
use crate::process::Launch;
use crate::shipped_agent::AGENT;
use crate::tools::Servers;

/// About 270 MB resident when idle.
const QUESTDB_HEAP: &[&str] = &["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC"];

pub(super) fn of(program: Program, settings: &Settings, servers: &Servers, creds: &Creds) -> Result<Launch> {
    let mut launch = match program {
        Program::Nats => nats(settings, servers)?,
        Program::Questdb => questdb(settings, servers, creds)?,
        Program::Processors => processors(settings, creds),
        Program::Gateway => gateway(settings, creds),
        Program::Agent => agent(settings, creds),
    };
    // A log file is read by people here; the programs' own choice for a file is JSON.
    launch.env.push(("WATCHKEEPER_LOG_FORMAT", "text".into()));
    launch.args.extend(settings.args.get(&program).into_iter().flatten().cloned());
    Ok(launch)
}

/// nats-server writes `<ports folder>/nats-server_<pid>.ports` once it listens.
fn nats(settings: &Settings, servers: &Servers) -> Result<Launch> {
    let ports = settings.nats_dir().join("ports");
    if ports.exists() {
        fs::remove_dir_all(&ports).with_context(|| format!("clearing {}", ports.display()))?;
    }
    fs::create_dir_all(&ports).with_context(|| format!("creating {}", ports.display()))?;
    let listen = address(settings.ports.nats);
    let args: Vec<OsString> = vec![
        "--config".into(),
        settings.nats_dir().join("nats-server.conf").into(),
        "--addr".into(),
        listen.ip().to_string().into(),
        "--port".into(),
        listen.port().to_string().into(),
        "--ports_file_dir".into(),
        ports.into(),
    ];
    let log = settings.log(Program::Nats);
    Ok(Launch { program: servers.nats_server.clone(), args, env: Vec::new(), log })
}

fn questdb(settings: &Settings, servers: &Servers, creds: &Creds) -> Result<Launch> {
    questdb::write_conf(settings)?;
    let mut args: Vec<OsString> = servers.java.questdb_options().iter().map(OsString::from).collect();
    args.extend(["-ea", "-Dnoebug"].map(OsString::from));
    args.extend(QUESTDB_HEAP.iter().map(OsString::from));
    args.extend(["-p".into(), servers.questdb_jar.clone().into()]);
    args.extend(["-m", "io.questdb/io.questdb.ServerMain", "-d"].map(OsString::from));
    // `-n`: a closed terminal does not stop it; we do.
    args.extend([settings.data.join("questdb").into(), "-n".into()]);
    let admin = &creds.questdb_admin_password_file;
    let reader = &creds.questdb_reader_password_file;
    let env = vec![
        ("QDB_HTTP_PASSWORD_FILE", admin.into()),
        ("QDB_PG_PASSWORD_FILE", admin.into()),
        ("QDB_PG_READONLY_PASSWORD_FILE", reader.into()),
        // Below this level every query is a line.
        ("QDB_LOG_W_STDOUT_LEVEL", "ERROR".into()),
    ];
    Ok(Launch { program: servers.java.program.clone(), args, env, log: settings.log(Program::Questdb) })
}

fn processors(settings: &Settings, creds: &Creds) -> Launch {
    Launch {
        program: settings.profile.binary("watchkeeper-processors"),
        args: Vec::new(),
        env: vec![
            ("WATCHKEEPER_NATS", settings.nats_url().into()),
            ("WATCHKEEPER_NATS_CREDS", (&creds.processors).into()),
            ("WATCHKEEPER_NATS_DIR", settings.nats_dir().into()),
            ("WATCHKEEPER_PUBLIC_URL", format!("http://{}", address(settings.ports.gateway)).into()),
            ("WATCHKEEPER_QUESTDB_HTTP", address(settings.ports.questdb_http).to_string().into()),
            ("WATCHKEEPER_QUESTDB_USER", "admin".into()),
            ("WATCHKEEPER_QUESTDB_PASSWORD_FILE", (&creds.questdb_admin_password_file).into()),
        ],
        log: settings.log(Program::Processors),
    }
}

fn gateway(settings: &Settings, creds: &Creds) -> Launch {
    let mut env = vec![
        ("WATCHKEEPER_LISTEN", address(settings.ports.gateway).to_string().into()),
        ("WATCHKEEPER_METRICS_LISTEN", address(settings.ports.metrics).to_string().into()),
        ("WATCHKEEPER_QUESTDB_PG", address(settings.ports.questdb_pg).to_string().into()),
        ("WATCHKEEPER_QUESTDB_USER", "reader".into()),
        ("WATCHKEEPER_QUESTDB_PASSWORD_FILE", (&creds.questdb_reader_password_file).into()),
    ];
    env.extend(of_gateway(settings, creds));
    Launch {
        program: settings.profile.binary("watchkeeper-gateway"),
        args: vec!["run".into()],
        env,
        log: settings.log(Program::Gateway),
    }
}

/// What the gateway and its commands at the machine are told alike.
pub(super) fn of_gateway(settings: &Settings, creds: &Creds) -> [(&'static str, OsString); 4] {
    [
        ("WATCHKEEPER_NATS", settings.nats_url().into()),
        ("WATCHKEEPER_NATS_CREDS", (&creds.gateway).into()),
        ("WATCHKEEPER_NATS_DIR", settings.nats_dir().into()),
        ("WATCHKEEPER_SECRETS_DIR", settings.secrets_dir().into()),
    ]
}

/// Enrolled where there is a gateway, else with a credential that was made by hand.
fn agent(settings: &Settings, creds: &Creds) -> Launch {
    let mut env = vec![("WATCHKEEPER_NATS", settings.nats_url().into())];
    if enrolment::is_possible(settings) {
        let gateway = format!("http://{}", address(settings.ports.gateway));
        env.push(("WATCHKEEPER_DIR", enrolment::folder(settings).into()));
        env.push(("WATCHKEEPER_GATEWAY", gateway.into()));
    } else {
        env.push(("WATCHKEEPER_CREDS", (&creds.agent).into()));
    }
    Launch {
        program: settings.profile.binary(AGENT),
        args: vec!["run".into()],
        env,
        log: settings.log(Program::Agent),
    }
}
