//! The credential of this host: who it is, as its tags say, how long it is good, and the file that holds it.

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use watchkeeper_schemas::subjects::{Lane, SampleSubject};

/// Largest credential that is read; usual ones have 1 KiB.
const CREDS_BYTES_MAX: usize = 64 * 1024;
const JWT_BEGINS: &str = "-----BEGIN NATS USER JWT-----";
const SEED_BEGINS: &str = "-----BEGIN USER NKEY SEED-----";

/// A credential as its file holds it.
#[derive(Debug)]
pub struct Credential {
    /// What the server is shown; its signature is the server's to check.
    pub jwt: String,
    /// The host's key; the JWT was made for it.
    pub key: KeyPair,
    /// Which host this is.
    pub subject: SampleSubject,
    /// How long the JWT is good; none: for ever.
    pub lifetime: Option<Lifetime>,
}

/// How long a JWT is good, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// It was signed then.
    pub issued: u64,
    /// The server refuses it from then on.
    pub expires: u64,
}

/// Why a credential cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error(
        "cannot read the credential {path}: {source}; `watchkeeper-agent enroll URL` makes one with a token from \
         the gateway's page",
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

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: Option<u64>,
    exp: Option<u64>,
    nats: NatsClaims,
}

#[derive(Deserialize)]
struct NatsClaims {
    #[serde(default)]
    tags: Vec<String>,
}

impl Credential {
    /// Reads a `.creds` file.
    ///
    /// # Errors
    /// When the file cannot be read or is no credential of an agent.
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CredentialError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|what| CredentialError::Garbled { path: path.to_owned(), what })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > CREDS_BYTES_MAX {
            return Err(format!("it has {} bytes, a credential at most {CREDS_BYTES_MAX}", text.len()));
        }
        let jwt = line_after(text, JWT_BEGINS).ok_or_else(|| format!("{JWT_BEGINS:?} is missing"))?;
        let seed = line_after(text, SEED_BEGINS).ok_or_else(|| format!("{SEED_BEGINS:?} is missing"))?;
        let key = KeyPair::from_seed(seed).map_err(|error| format!("its key is damaged: {error}"))?;
        Self::new(jwt, key)
    }

    /// A JWT with the key that it was made for.
    ///
    /// # Errors
    /// What is wrong with the JWT.
    pub fn new(jwt: &str, key: KeyPair) -> Result<Self, String> {
        let damaged = |error: &dyn std::fmt::Display| format!("its JWT is damaged: {error}");
        let claims = jwt.split('.').nth(1).ok_or("its JWT has no claims")?;
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).map_err(|error| damaged(&error))?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|error| damaged(&error))?;
        if claims.sub != key.public_key() {
            return Err("its JWT was made for another key".to_owned());
        }
        let tag = |name: &str| {
            let value = claims.nats.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix(':'));
            value.ok_or_else(|| format!("its JWT carries no tag {name:?}, so it is not of an agent"))
        };
        let subject = SampleSubject {
            lane: Lane::Live,
            team: tag("team")?.parse().map_err(|error| format!("{error}"))?,
            shard: tag("shard")?.parse().map_err(|error| format!("{error}"))?,
            host: tag("host")?.parse().map_err(|error| format!("{error}"))?,
        };
        let lifetime = claims.iat.zip(claims.exp).map(|(issued, expires)| Lifetime { issued, expires });
        Ok(Self { jwt: jwt.to_owned(), key, subject, lifetime })
    }

    /// The text of its file, in NATS' own format.
    ///
    /// # Errors
    /// When the key is only a public one.
    pub fn text(&self) -> Result<String, nkeys::error::Error> {
        Ok(format!(
            "{JWT_BEGINS}\n{}\n------END NATS USER JWT------\n\n\
             The seed below is the secret half of this credential: whoever reads it can be this host.\n\n\
             {SEED_BEGINS}\n{}\n------END USER NKEY SEED------\n",
            self.jwt,
            self.key.seed()?
        ))
    }
}

fn line_after<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == title)?;
    lines.next().filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: &str = r#"["team:ops","shard:07","host:web-1"]"#;

    fn jwt(sub: &str, rest: &str) -> String {
        let claims = format!(r#"{{"sub":"{sub}",{rest}}}"#);
        format!("eyJ0eXAiOiJKV1QifQ.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes()))
    }

    /// The text of a credential with these claims.
    fn creds(rest: &str) -> String {
        let key = KeyPair::new_user();
        let (jwt, seed) = (jwt(&key.public_key(), rest), key.seed().unwrap());
        format!("{JWT_BEGINS}\n{jwt}\n------END\n\n{SEED_BEGINS}\n{seed}\n------END\n")
    }

    #[test]
    fn the_claims_tell_host_and_lifetime_and_the_text_can_be_read_back() {
        let rest = format!(r#""iat":100,"exp":200,"nats":{{"type":"user","tags":{TAGS}}}"#);
        let read = Credential::parse(&creds(&rest)).unwrap();
        let SampleSubject { team, shard, host, .. } = &read.subject;
        assert_eq!([team.as_str(), &shard.to_string(), host.as_str()], ["ops", "07", "web-1"]);
        assert_eq!(read.lifetime, Some(Lifetime { issued: 100, expires: 200 }));
        let again = Credential::parse(&read.text().unwrap()).unwrap();
        assert_eq!((again.jwt, again.key.public_key()), (read.jwt, read.key.public_key()));
    }

    #[test]
    fn what_is_wrong_with_a_credential_is_said() {
        let good = creds(&format!(r#""nats":{{"tags":{TAGS}}}"#));
        assert_eq!(Credential::parse(&good).unwrap().lifetime, None);
        let told = |text: &str| Credential::parse(text).unwrap_err();
        assert!(told("").contains("BEGIN NATS USER JWT"));
        assert!(told(&good[..good.find(SEED_BEGINS).unwrap()]).contains("NKEY SEED"));
        assert!(told(&good.replace(".c2ln", "").replace('.', "")).contains("no claims"));
        assert!(told(&good.replace("eyJ0eXAiOiJKV1QifQ.", "x.*")).contains("damaged"));
        assert!(told(&creds(r#""nats":{"tags":["team:ops","host:web-1"]}"#)).contains("\"shard\""));
        assert!(told(&creds(r#""nats":{"tags":["team:o.ps","shard:07","host:web-1"]}"#)).contains("o.ps"));
        assert!(told(&creds(r#""nats":{}"#)).contains("not of an agent"));
        let foreign = jwt("UOTHER", &format!(r#""nats":{{"tags":{TAGS}}}"#));
        assert!(Credential::new(&foreign, KeyPair::new_user()).unwrap_err().contains("another key"));
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let told = Credential::read(Path::new("/nowhere/agent.creds")).unwrap_err().to_string();
        assert!(told.contains("/nowhere/agent.creds") && told.contains("watchkeeper-agent enroll"), "{told}");
    }
}
