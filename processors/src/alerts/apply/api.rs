//! The gateway's rules over HTTP, for whoever holds a personal token.

use super::plan::{Change, Content, Present};
use crate::http;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{Response, Uri};
use ureq::{Body, Error};

/// Longest wait for an answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer at most: a thousand rules.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const CONFLICT: u16 = 409;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The gateway says so, in words.
    Said(String),
    /// It cannot be said whether it was done.
    NoAnswer(anyhow::Error),
}

/// The rules of one team.
pub(super) struct Api {
    http: Agent,
    url: String,
    /// What follows every path.
    query: String,
    authorization: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Present>,
}

/// As RFC 9457 has it.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    expected: String,
}

#[derive(Serialize)]
struct New<'a> {
    id: &'a str,
    #[serde(flatten)]
    content: &'a Content,
}

#[derive(Serialize)]
struct Edit<'a> {
    revision: u64,
    #[serde(flatten)]
    content: &'a Content,
}

impl Api {
    /// # Errors
    /// When the address is none, or not safe for a token.
    pub(super) fn new(url: &str, team: Option<&str>, token: &str, allow_http: bool) -> anyhow::Result<Self> {
        let url = address(url, allow_http)?;
        let http = http::agent(ANSWER_WAIT_MAX);
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the token is none: expected one line without spaces");
        }
        if team.is_some_and(|team| team.parse::<watchkeeper_schemas::ids::TeamId>().is_err()) {
            bail!("--team: expected the id of a team");
        }
        let query = team.map(|team| format!("team={team}")).unwrap_or_default();
        Ok(Self { http, url, query, authorization: format!("Bearer {token}") })
    }

    /// Every rule of the team, the built-in ones, too.
    ///
    /// # Errors
    /// When the gateway does not answer, or refuses.
    pub(super) fn rules(&self) -> anyhow::Result<Vec<Present>> {
        let request = self.http.get(self.address("", None)).header(AUTHORIZATION, &self.authorization);
        match self.answer(request.call()) {
            Ok(body) => Ok(serde_json::from_slice::<List>(&body)
                .context("the gateway's answer has another form")?
                .items),
            Err(Refusal::Said(why)) => bail!("{}: {why}", self.url),
            Err(Refusal::NoAnswer(error)) => Err(error),
        }
    }

    /// Does one thing, over the revision that was seen.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) fn make(&self, change: &Change) -> Result<(), Refusal> {
        let path = format!("/{}", change.id());
        let authorization = (AUTHORIZATION, self.authorization.as_str());
        let answer = match change {
            Change::Create { id, after } => {
                let body = New { id: id.as_str(), content: after };
                self.http
                    .post(self.address("", None))
                    .header(authorization.0, authorization.1)
                    .send_json(body)
            }
            Change::Edit { after, revision, .. } => {
                let body = Edit { revision: *revision, content: after };
                self.http
                    .put(self.address(&path, None))
                    .header(authorization.0, authorization.1)
                    .send_json(body)
            }
            Change::Delete { revision, .. } => {
                let address = self.address(&path, Some(*revision));
                self.http.delete(address).header(authorization.0, authorization.1).call()
            }
        };
        self.answer(answer).map(|_| ())
    }

    fn address(&self, path: &str, revision: Option<u64>) -> String {
        let revision = revision.map(|revision| format!("revision={revision}")).unwrap_or_default();
        let query: Vec<&str> =
            [self.query.as_str(), &revision].into_iter().filter(|it| !it.is_empty()).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/api/v1/rules{path}{mark}{}", self.url, query.join("&"))
    }

    fn answer(&self, answer: Result<Response<Body>, Error>) -> Result<Vec<u8>, Refusal> {
        let lost = |error: Error| {
            Refusal::NoAnswer(anyhow::Error::from(error).context(format!("no answer from {}", self.url)))
        };
        let mut answer = answer.map_err(lost)?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(lost)?;
        if status.is_success() {
            return Ok(body);
        }
        let Ok(Problem { detail, errors }) = serde_json::from_slice(&body) else {
            return Err(Refusal::Said(format!("the gateway answers {status}")));
        };
        let fields = errors.into_iter().map(|it| format!("; {}: expected {}", it.field, it.expected));
        let again = if status.as_u16() == CONFLICT { "; look at the difference again" } else { "" };
        Err(Refusal::Said(format!("{detail}{}{again}", fields.collect::<String>())))
    }
}

/// Scheme, host and port of what a person typed.
fn address(text: &str, allow_http: bool) -> anyhow::Result<String> {
    let wrong = || format!("{text:?} is no address of a gateway: expected such as https://watch.example.org");
    let uri: Uri = text.trim().parse().with_context(wrong)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { bail!(wrong()) };
    if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') || uri.path() != "/" {
        bail!(wrong());
    }
    let host = authority.host().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if scheme == "http" && !loopback && !allow_http {
        bail!(
            "{text} is not https: whoever listens in between could take the token; if nobody can, add --allow-http"
        );
    }
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_safe_addresses_only() {
        assert_eq!(address("https://watch.example.org/", false).unwrap(), "https://watch.example.org");
        assert_eq!(address("http://127.0.0.1:7171", false).unwrap(), "http://127.0.0.1:7171");
        assert_eq!(address("http://watch.example.org", true).unwrap(), "http://watch.example.org");
        for bad in
            ["http://watch.example.org", "watch.example.org", "ftp://x", "https://a@b", "https://x/path"]
        {
            assert!(address(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn team_and_revision_stand_in_the_address() {
        let api = |team| Api::new("http://localhost", team, "t", false).unwrap();
        assert_eq!(api(None).address("", None), "http://localhost/api/v1/rules");
        assert_eq!(
            api(Some("ours")).address("/a", Some(7)),
            "http://localhost/api/v1/rules/a?team=ours&revision=7"
        );
        assert!(Api::new("http://localhost", Some("a&b"), "t", false).is_err());
        assert!(Api::new("http://localhost", None, "a b", false).is_err());
    }
}
