//! What must lie in the data folder before anything starts: accounts, credentials, passwords.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Program;
use super::builder::Settings;
use super::enrolment;
use crate::ports::address;

/// 192 bits: nobody guesses it, and it has no character that a configuration could misread.
const PASSWORD_BYTES: usize = 24;
/// Host names as subjects carry them are at most this long.
const HOST_BYTES_MAX: usize = 63;
/// The third-party reader whose credential every development system has.
const READER: &str = "local";

/// Files with NATS credentials, and QuestDB's passwords.
#[derive(Debug, Clone, Default)]
pub struct Creds {
    pub sys: PathBuf,
    pub processors: PathBuf,
    pub gateway: PathBuf,
    /// The local agent's.
    pub agent: PathBuf,
    /// A third party's, which may only read the public feed.
    pub reader: PathBuf,
    /// A simulated fleet's: it may publish the samples of every host of the team.
    pub fleet: PathBuf,
    pub questdb_admin_password_file: PathBuf,
    pub questdb_reader_password_file: PathBuf,
    pub(super) questdb_admin_password: String,
    pub(super) questdb_reader_password: String,
}

impl Creds {
    /// The credential files of NATS by role.
    pub fn by_role(&self) -> [(&'static str, &Path); 6] {
        [
            ("sys", &self.sys),
            ("processors", &self.processors),
            ("gateway", &self.gateway),
            ("agent", &self.agent),
            ("reader", &self.reader),
            ("fleet", &self.fleet),
        ]
    }
}

/// Makes what is missing and keeps what is there.
pub(super) fn prepare(settings: &mut Settings) -> Result<Creds> {
    let mut creds = Creds::default();
    if settings.runs(Program::Questdb) {
        let file = |role: &str| settings.data.join(format!("questdb-{role}.password"));
        creds.questdb_admin_password_file = file("admin");
        creds.questdb_reader_password_file = file("reader");
        creds.questdb_admin_password = password(&creds.questdb_admin_password_file)?;
        creds.questdb_reader_password = password(&creds.questdb_reader_password_file)?;
    }
    if settings.runs(Program::Nats) {
        nats(settings, &mut creds)?;
    }
    Ok(creds)
}

fn nats(settings: &Settings, creds: &mut Creds) -> Result<()> {
    let (team, host) = (settings.team.as_str(), settings.agent_host.as_str());
    let listen = address(settings.ports.nats).to_string();
    gateway_nats(settings, "setup", &["--listen", &listen, "--team", team])?;
    if !enrolment::is_possible(settings) {
        gateway_nats(settings, "agent", &["--team", team, "--host", host])?;
    }
    gateway_nats(settings, "reader", &["--team", team, "--name", READER])?;
    gateway_nats(settings, "fleet", &["--team", team])?;
    let file = |name: &str| -> Result<PathBuf> {
        let path = settings.nats_dir().join(format!("{name}.creds"));
        if path.is_file() { Ok(path) } else { bail!("`watchkeeper-gateway nats` made no {}", path.display()) }
    };
    creds.sys = file("operator/sys")?;
    creds.processors = file("operator/processors")?;
    creds.gateway = file("gateway/gateway")?;
    creds.agent = if enrolment::is_possible(settings) {
        enrolment::folder(settings).join("agent.creds")
    } else {
        file(&format!("creds/agent.{team}.{host}"))?
    };
    creds.reader = file(&format!("creds/reader.{team}.{READER}"))?;
    creds.fleet = file(&format!("creds/fleet.{team}"))?;
    Ok(())
}

/// Runs `watchkeeper-gateway nats <verb> --dir <data>/nats ...`, which may be run again and again.
fn gateway_nats(settings: &Settings, verb: &str, args: &[&str]) -> Result<()> {
    let gateway = settings.profile.binary("watchkeeper-gateway");
    if !gateway.is_file() {
        bail!(
            "{} is not built: `cargo build --workspace` (or `cargo xtask up`) builds it",
            gateway.display()
        );
    }
    let output = Command::new(&gateway)
        .args(["nats", verb, "--dir"])
        .arg(settings.nats_dir())
        .args(args)
        .output()
        .with_context(|| format!("running {} nats {verb}", gateway.display()))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "`watchkeeper-gateway nats {verb}` failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The password in this file; a new random one, readable by its owner only, if there is no file.
fn password(path: &Path) -> Result<String> {
    let told = || format!("the password file {}", path.display());
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text.trim_end().to_owned()),
        Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => {}
        Err(failure) => return Err(failure).with_context(told),
    }
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random).context("reading random numbers for a password")?;
    let password = data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(told)?;
    file.write_all(password.as_bytes()).with_context(told)?;
    Ok(password)
}

/// This machine's name as a host id.
pub(super) fn local_host() -> String {
    slug(&rustix::system::uname().nodename().to_string_lossy())
}

/// Lower-case letters, digits and single dashes; what else a name holds becomes a dash.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(HOST_BYTES_MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "localhost".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn host_names_become_ids() {
        let check = |name: &str, expected: &str| assert_eq!(slug(name), expected, "{name}");
        check("web-1", "web-1");
        check("Web_1.Example.COM", "web-1-example-com");
        check("--büro pc--", "b-ro-pc");
        check("", "localhost");
        check("...", "localhost");
        check(&"a".repeat(100), &"a".repeat(63));
    }

    #[test]
    fn a_password_is_made_once_and_is_nobody_elses_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("questdb-admin.password");
        let first = password(&path).unwrap();
        assert!(first.len() >= 38 && first.bytes().all(|b| b.is_ascii_alphanumeric()), "{first}");
        assert_eq!(password(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(password(&dir.path().join("questdb-reader.password")).unwrap(), first);
    }
}
