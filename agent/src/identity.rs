//! Who this agent is: team, shard and host as the tags of its credential say.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use watchkeeper_schemas::subjects::{Lane, SampleSubject};

/// Largest credential that is read; usual ones have 1 KiB.
const CREDS_BYTES_MAX: usize = 64 * 1024;
const JWT_BEGINS: &str = "-----BEGIN NATS USER JWT-----";
const SEED_BEGINS: &str = "-----BEGIN USER NKEY SEED-----";

/// Why a credential tells no identity, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error(
        "cannot read the credential {path}: {source}; make one where NATS was set up with \
         `watchkeeper-gateway nats agent --team TEAM --host HOST` and copy it to this host",
        path = path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is no credential, or not one of an agent.
    #[error("{path} is no credential of an agent: {what}; copy it again or make a new one", path = path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads the identity from a `.creds` file. The signature is the server's to check.
///
/// # Errors
/// When the file cannot be read or is no credential of an agent.
pub fn read(path: &Path) -> Result<SampleSubject, IdentityError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| IdentityError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|what| IdentityError::Garbled { path: path.to_owned(), what })
}

#[derive(Deserialize)]
struct Claims {
    nats: NatsClaims,
}

#[derive(Deserialize)]
struct NatsClaims {
    #[serde(default)]
    tags: Vec<String>,
}

fn parse(text: &str) -> Result<SampleSubject, String> {
    if text.len() > CREDS_BYTES_MAX {
        return Err(format!("it has {} bytes, a credential at most {CREDS_BYTES_MAX}", text.len()));
    }
    let jwt = line_after(text, JWT_BEGINS).ok_or_else(|| format!("{JWT_BEGINS:?} is missing"))?;
    line_after(text, SEED_BEGINS).ok_or_else(|| format!("{SEED_BEGINS:?} is missing"))?;
    let claims = jwt.split('.').nth(1).ok_or("its JWT has no claims")?;
    let claims =
        BASE64URL_NOPAD.decode(claims.as_bytes()).map_err(|error| format!("its JWT is damaged: {error}"))?;
    let claims: Claims =
        serde_json::from_slice(&claims).map_err(|error| format!("its JWT is damaged: {error}"))?;
    let tag = |name: &str| {
        let value = claims.nats.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix(':'));
        value.ok_or_else(|| format!("its JWT carries no tag {name:?}, so it is not of an agent"))
    };
    Ok(SampleSubject {
        lane: Lane::Live,
        team: tag("team")?.parse().map_err(|error| format!("{error}"))?,
        shard: tag("shard")?.parse().map_err(|error| format!("{error}"))?,
        host: tag("host")?.parse().map_err(|error| format!("{error}"))?,
    })
}

fn line_after<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == title)?;
    lines.next().filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(claims: &str) -> String {
        let jwt = format!("eyJ0eXAiOiJKV1QifQ.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes()));
        format!(
            "{JWT_BEGINS}\n{jwt}\n------END NATS USER JWT------\n\n{SEED_BEGINS}\nSUAX\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn the_tags_tell_team_shard_and_host() {
        let claims = r#"{"sub":"U1","nats":{"type":"user","tags":["team:ops","shard:07","host:web-1"]}}"#;
        let read = parse(&creds(claims)).unwrap();
        assert_eq!([read.team.as_str(), &read.shard.to_string(), read.host.as_str()], ["ops", "07", "web-1"]);
    }

    #[test]
    fn what_is_wrong_with_a_credential_is_said() {
        let good = creds(r#"{"nats":{"tags":["team:ops","shard:07","host:web-1"]}}"#);
        let told = |text: &str| parse(text).unwrap_err();
        assert!(told("").contains("BEGIN NATS USER JWT"));
        assert!(told(&good[..good.find(SEED_BEGINS).unwrap()]).contains("NKEY SEED"));
        assert!(told(&good.replace(".c2ln", "").replace('.', "")).contains("no claims"));
        assert!(told(&good.replace("eyJ0eXAiOiJKV1QifQ.", "x.*")).contains("damaged"));
        assert!(told(&creds(r#"{"nats":{"tags":["team:ops","host:web-1"]}}"#)).contains("\"shard\""));
        assert!(told(&creds(r#"{"nats":{"tags":["team:o.ps","shard:07","host:web-1"]}}"#)).contains("o.ps"));
        assert!(told(&creds(r#"{"nats":{}}"#)).contains("not of an agent"));
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let told = read(Path::new("/nowhere/agent.creds")).unwrap_err().to_string();
        assert!(
            told.contains("/nowhere/agent.creds") && told.contains("watchkeeper-gateway nats agent"),
            "{told}"
        );
    }
}
