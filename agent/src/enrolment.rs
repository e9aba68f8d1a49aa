//! `enroll`: a token becomes a credential. The key is made here and leaves this host never, the token is kept nowhere.

use crate::collectors::{Mounts, Observe};
use crate::credential::Credential;
use crate::folder::Folder;
use crate::gateway::{Enrol, Enrolled, Facts, Gateway, GatewayError};
use crate::linux::Host;
use crate::settings::EnrollArguments;
use crate::settings_file::{self, SettingsFile};
use nkeys::KeyPair;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

/// Longest token that is taken; ours are much shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// What a person copied from the gateway's page; no text of ours shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// Why a host was not enrolled, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// There is no token.
    #[error("{0}: copy the token from the gateway's page (Hosts, then the host)")]
    Token(&'static str),
    /// Files cannot be kept.
    #[error("cannot write {path}: {source}; name a folder that can be written with --dir FOLDER", path = path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The token is not good, or no longer.
    #[error(
        "the gateway does not know this token: it lives for five minutes and is good once; make a new one on the \
         gateway's page ({detail})"
    )]
    Used {
        /// The gateway's words.
        detail: String,
    },
    /// The gateway gave no answer that can be used.
    #[error(transparent)]
    Gateway(GatewayError),
    /// The gateway's answer contradicts itself.
    #[error("what the gateway gave cannot be used, its version may not fit to this agent's: {0}")]
    Answer(String),
}

/// Enrolls this host and keeps what `run` needs.
///
/// # Errors
/// When it is not enrolled; what was kept of an earlier enrolment then stays.
pub fn enroll(arguments: &EnrollArguments) -> Result<Kept, EnrollError> {
    let token = read_token(arguments.token.as_ref(), &mut io::stdin().lock())?;
    let gateway = Gateway::new(&arguments.gateway, arguments.ca.as_deref(), arguments.allow_http)
        .map_err(EnrollError::Gateway)?;
    let folder = arguments.dir.as_ref().map_or_else(Folder::usual, Folder::at);
    let unwritten = |path: &Path| {
        let path = path.to_owned();
        move |source| EnrollError::Folder { path, source }
    };
    // A token is good once: what can fail here fails before it is spent.
    folder.prepare().map_err(unwritten(folder.path()))?;
    let authority = arguments.ca.as_ref().map(std::fs::read).transpose();
    let authority = authority.map_err(unwritten(&folder.authority()))?;

    let key = KeyPair::new_user();
    let enrolled = exchange(&gateway, &token, &key, &arguments.root)?;
    let credential = Credential::new(&enrolled.jwt, key).map_err(EnrollError::Answer)?;
    let creds = check(&enrolled, &credential)?;
    let settings = SettingsFile::new(&enrolled, gateway.url(), arguments).text();
    match authority {
        Some(pem) => folder.put(&folder.authority(), &pem),
        None => folder.remove(&folder.authority()),
    }
    .map_err(unwritten(&folder.authority()))?;
    folder.put(&folder.settings(), settings.as_bytes()).map_err(unwritten(&folder.settings()))?;
    folder.put(&folder.creds(), creds.as_bytes()).map_err(unwritten(&folder.creds()))?;
    Ok(Kept { folder, enrolled })
}

/// What was kept where.
#[derive(Debug)]
pub struct Kept {
    /// For `run --dir`.
    pub folder: Folder,
    /// What the gateway said.
    pub enrolled: Enrolled,
}

/// The token as given, else a line of `input`.
fn read_token(given: Option<&Token>, input: &mut dyn io::BufRead) -> Result<String, EnrollError> {
    let text = match given {
        Some(Token(text)) if text.trim() != "-" => text.clone(),
        Some(_) | None => {
            ask();
            let mut line = String::new();
            let read = input.take(TOKEN_BYTES_MAX as u64 + 2).read_line(&mut line);
            read.map_err(|_| EnrollError::Token("the token could not be read"))?;
            line
        }
    };
    let text = text.trim();
    match text.len() {
        0 => Err(EnrollError::Token("there is no token")),
        1..=TOKEN_BYTES_MAX if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(EnrollError::Token("this is no token")),
    }
}

/// Says to a person that it is their turn.
fn ask() {
    if io::stdin().is_terminal() {
        let mut out = io::stderr();
        // Whoever cannot be asked can still answer.
        let _unasked = write!(out, "Token from the gateway's page: ").and_then(|()| out.flush());
    }
}

fn exchange(gateway: &Gateway, token: &str, key: &KeyPair, root: &Path) -> Result<Enrolled, EnrollError> {
    let observe = Observe { root: root.to_owned(), mounts: Mounts::List(Vec::new()), without: Vec::new() };
    let host = Host::open(&observe, Instant::now());
    let known = host.inventory();
    let facts = Facts {
        hostname: known.hostname.as_str(),
        os: known.os.as_str(),
        arch: known.arch.as_str(),
        agent_version: known.agent_version.as_str(),
    };
    let answer = gateway.enrol(&Enrol { token, public_key: key.public_key(), facts });
    answer.map_err(|error| {
        if let GatewayError::Refused { detail } = error {
            EnrollError::Used { detail }
        } else {
            EnrollError::Gateway(error)
        }
    })
}

/// Whether the answer is of one piece and `run` can use it; the text of the credential.
fn check(enrolled: &Enrolled, credential: &Credential) -> Result<String, EnrollError> {
    let wrong = |what: &dyn fmt::Display| EnrollError::Answer(what.to_string());
    let subject = &credential.subject;
    if (&subject.team, &subject.shard, &subject.host) != (&enrolled.team, &enrolled.shard, &enrolled.host) {
        return Err(wrong(&"its credential is one of another host"));
    }
    for address in enrolled.nats_url.split(',') {
        address.trim().parse::<async_nats::ServerAddr>().map_err(|error| {
            wrong(&format!("nats_url {:?} is no address of a server: {error}", enrolled.nats_url))
        })?;
    }
    settings_file::check(&enrolled.watch).map_err(|error| wrong(&error))?;
    credential.text().map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(given: Option<&str>, input: &str) -> Result<String, EnrollError> {
        let given = given.map(|text| text.parse().unwrap());
        read_token(given.as_ref(), &mut input.as_bytes())
    }

    #[test]
    fn a_token_comes_by_hand_or_by_standard_input() {
        assert_eq!(token(Some("abc"), "").unwrap(), "abc");
        assert_eq!(token(Some("-"), " abc \n").unwrap(), "abc");
        assert_eq!(token(None, "abc\nmore\n").unwrap(), "abc");
        for (given, input) in [(None, ""), (Some(""), "abc"), (Some("a b"), ""), (None, "a\u{e9}")] {
            let told = token(given, input).unwrap_err().to_string();
            assert!(told.contains("page"), "{told}");
        }
        assert!(token(None, &"x".repeat(TOKEN_BYTES_MAX + 1)).is_err());
    }
}
