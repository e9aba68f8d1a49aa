//! The two questions an agent ever asks a gateway: to be enrolled, and to have its credential signed anew.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use watchkeeper_schemas::ids::{HostId, Shard, TeamId};

/// Time for one question with its answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// Largest answer that is read; usual ones have 1 KiB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Longest part of a stranger's answer that is shown.
const SHOWN_CHARS_MAX: usize = 200;
/// Clocks further apart than this are told of.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);

/// What a new agent tells.
#[derive(Serialize)]
pub struct Enrol<'a> {
    /// From the gateway's page; good once.
    pub token: &'a str,
    /// Of the key that the agent made for itself.
    pub public_key: String,
    /// What it runs on.
    pub facts: Facts<'a>,
}

/// What an agent runs on.
#[derive(Serialize)]
pub struct Facts<'a> {
    /// The name that the host gives itself.
    pub hostname: &'a str,
    /// Name and version of the operating system.
    pub os: &'a str,
    /// Architecture of the processor.
    pub arch: &'a str,
    /// Version of the agent.
    pub agent_version: &'a str,
}

/// What an enrolled agent is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Enrolled {
    /// Its team.
    pub team: TeamId,
    /// The host it speaks for.
    pub host: HostId,
    /// The host's part of the stream.
    pub shard: Shard,
    /// Where it publishes.
    pub nats_url: String,
    /// Its credential, without the key.
    pub jwt: String,
    /// How it is to watch.
    #[serde(flatten)]
    pub watch: Watch,
}

/// How a host is to be watched, as people have set it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Watch {
    /// Time between samples, in milliseconds.
    pub interval_ms: u64,
    /// File systems to tell; empty: every real one.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// Collectors that are off.
    #[serde(default)]
    pub without: Vec<String>,
}

/// How an agent asks for a new JWT: the signature proves that it holds the key.
#[derive(Serialize)]
pub struct Renew<'a> {
    /// The one it has.
    pub jwt: &'a str,
    /// Of its key.
    pub public_key: String,
    /// Now, in Unix milliseconds.
    pub time: u64,
    /// Over [`Renew::signed`], base64url without padding.
    pub signature: String,
}

impl Renew<'_> {
    /// The text that is signed.
    #[must_use]
    pub fn signed(public_key: &str, time: u64) -> String {
        format!("watchkeeper-renew\n{public_key}\n{time}")
    }
}

/// A credential signed anew.
#[derive(Debug, Deserialize)]
pub struct Renewed {
    /// The new JWT, for the same key.
    pub jwt: String,
    /// How the host is to be watched now.
    #[serde(flatten)]
    pub watch: Watch,
}

/// Why a gateway gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// What it was asked with cannot be used.
    #[error("{what}")]
    Settings {
        /// What is wrong and what was expected.
        what: String,
        /// What went wrong with a file.
        source: Option<io::Error>,
    },
    /// No answer.
    #[error("cannot reach the gateway at {url}: {source}{hint}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
        /// What may be the reason.
        hint: &'static str,
    },
    /// It knows the question and says no, for good.
    #[error("the gateway refuses: {detail}")]
    Refused {
        /// In its words.
        detail: String,
    },
    /// It cannot or will not now.
    #[error("the gateway cannot do it now ({status}): {detail}")]
    NotNow {
        /// The HTTP status.
        status: u16,
        /// In its words.
        detail: String,
    },
    /// Something answers, but not as a gateway of Watchkeeper does.
    #[error("what answers at {url} is no gateway of Watchkeeper: {what}")]
    Stranger {
        /// Where it answers.
        url: String,
        /// What it said.
        what: String,
    },
}

/// How a gateway words its errors (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    #[serde(default)]
    expected: String,
}

/// A gateway to ask.
pub struct Gateway {
    url: String,
    http: ureq::Agent,
}

impl Gateway {
    /// The gateway at `url`, whose certificate the system vouches for, or an authority in the PEM file `authority`.
    ///
    /// # Errors
    /// When the address is none or not safe, or certificates cannot be read.
    pub fn new(url: &str, authority: Option<&Path>, allow_http: bool) -> Result<Self, GatewayError> {
        let url = address(url, allow_http).map_err(|what| GatewayError::Settings { what, source: None })?;
        let tls = TlsConfig::builder().root_certs(roots(authority)?).build();
        // A redirect would carry the token to whoever it names.
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WAIT_MAX))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("watchkeeper-agent/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .into();
        Ok(Self { url, http })
    }

    /// Where it is: scheme, host and port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a credential.
    ///
    /// # Errors
    /// When there is none; `Refused` says that the token is unknown, used or expired.
    pub fn enrol(&self, asked: &Enrol<'_>) -> Result<Enrolled, GatewayError> {
        self.ask("/api/v1/enrol", asked)
    }

    /// Asks for a new JWT.
    ///
    /// # Errors
    /// When there is none; `Refused` says that there will never be one.
    pub fn renew(&self, asked: &Renew<'_>) -> Result<Renewed, GatewayError> {
        self.ask("/api/v1/enrol/renew", asked)
    }

    fn ask<A: DeserializeOwned>(&self, path: &str, asked: &impl Serialize) -> Result<A, GatewayError> {
        let unreachable = |source: ureq::Error| {
            let hint = hint(&source);
            GatewayError::Unreachable { url: self.url.clone(), source: Box::new(source), hint }
        };
        let mut answer =
            self.http.post(format!("{}{path}", self.url)).send_json(asked).map_err(unreachable)?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let apart = header("date").and_then(|date| clocks_apart(date, Timestamp::now()));
        let elsewhere = header("location").map(ToOwned::to_owned);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(unreachable)?;
        self.judge(status, elsewhere, &body, &apart.unwrap_or_default())
    }

    /// What an answer means.
    fn judge<A: DeserializeOwned>(
        &self,
        status: u16,
        elsewhere: Option<String>,
        body: &[u8],
        clocks: &str,
    ) -> Result<A, GatewayError> {
        let stranger = |what: String| GatewayError::Stranger { url: self.url.clone(), what };
        if let Some(elsewhere) = elsewhere.filter(|_| (300..400).contains(&status)) {
            return Err(stranger(format!("it sends on to {}; give that address", shown(&elsewhere))));
        }
        if matches!(status, 200 | 201) {
            return serde_json::from_slice(body)
                .map_err(|error| stranger(format!("its answer has another form ({error})")));
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            let text = String::from_utf8_lossy(body);
            return Err(stranger(format!("it says {status} {}", shown(&text))));
        };
        let mut detail = if problem.detail.is_empty() { problem.title } else { problem.detail };
        for FieldError { field, expected } in problem.errors {
            detail.push_str(&format!("; {field}: expected {expected}"));
        }
        if !clocks.is_empty() {
            detail.push_str(&format!(" ({clocks})"));
        }
        let detail = shown(&detail);
        match status {
            401 | 410 => Err(GatewayError::Refused { detail }),
            404 => Err(stranger(format!("it has no such route: {detail}"))),
            _ => Err(GatewayError::NotNow { status, detail }),
        }
    }
}

/// Scheme, host and port of what a person typed.
fn address(text: &str, allow_http: bool) -> Result<String, String> {
    let wrong = || format!("{text:?} is no address of a gateway: expected such as https://watch.example.org");
    let uri: Uri = text.trim().parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') || uri.path() != "/" {
        return Err(wrong());
    }
    let host = authority.host().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if scheme == "http" && !loopback && !allow_http {
        return Err(format!(
            "{text} is not https: whoever listens in between could take the token and be this host; if nobody can, \
             add --allow-http"
        ));
    }
    Ok(format!("{scheme}://{authority}"))
}

/// What the system trusts (SSL_CERT_FILE is heard), and the certificates of a file.
fn roots(authority: Option<&Path>) -> Result<RootCerts, GatewayError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut trusted: Vec<Certificate<'static>> =
        system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if let Some(path) = authority {
        let told = |what: &str| format!("ca: {}: {what}", path.display());
        let pem = std::fs::read(path).map_err(|source| GatewayError::Settings {
            what: told(&format!("cannot be read: {source}")),
            source: Some(source),
        })?;
        let items = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        });
        let before = trusted.len();
        trusted.extend(items);
        if trusted.len() == before {
            let what = told("there is no certificate in it: expected PEM");
            return Err(GatewayError::Settings { what, source: None });
        }
    }
    Ok(RootCerts::Specific(Arc::new(trusted)))
}

/// What may be the reason of a connection that could not be made.
fn hint(error: &ureq::Error) -> &'static str {
    let told = error.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| told.contains(word));
    if says(&["notvalidyet", "expired", "not valid yet"]) {
        "; its certificate is not good at the time of this host's clock: is the clock right?"
    } else if says(&["unknownissuer"]) {
        "; nobody this host trusts vouches for its certificate: give the authority's with --ca FILE"
    } else if says(&["corrupt message", "invalidcontenttype"]) {
        "; it does not speak TLS: is the address http:// and on this machine?"
    } else {
        ""
    }
}

/// A sentence, where the gateway's clock and ours are too far apart.
fn clocks_apart(date: &str, now: Timestamp) -> Option<String> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let apart = now.duration_since(theirs);
    if apart.unsigned_abs() <= CLOCKS_APART_MAX {
        return None;
    }
    let seconds = apart.as_secs();
    let side = if seconds > 0 { "ahead of" } else { "behind" };
    Some(format!("the clock of this host is {} s {side} the gateway's: set it right", seconds.unsigned_abs()))
}

/// A text from outside, short and in one line.
fn shown(text: &str) -> String {
    let mut short: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS_MAX).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Renewed, GatewayError> {
        let gateway = Gateway::new("http://127.0.0.1:1", None, false).unwrap();
        gateway.judge(status, None, body.as_bytes(), "")
    }

    #[test]
    fn an_address_is_safe_or_refused() {
        for (text, whole) in [
            ("https://watch.example.org/", "https://watch.example.org"),
            ("https://watch.example.org:8443", "https://watch.example.org:8443"),
            ("http://127.0.0.1:7171/", "http://127.0.0.1:7171"),
            ("http://[::1]:7171", "http://[::1]:7171"),
            ("http://localhost:7171", "http://localhost:7171"),
        ] {
            assert_eq!(address(text, false).as_deref(), Ok(whole));
        }
        assert!(address("http://10.0.0.1:7171", false).unwrap_err().contains("--allow-http"));
        assert!(address("http://10.0.0.1:7171", true).is_ok());
        for bad in
            ["", "watch.example.org", "ftp://x", "https://", "https://a:b@c", "https://x/path", "http://\n"]
        {
            assert!(address(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_clear_no_of_a_gateway_is_for_good() {
        let problem = r#"{"title":"Unauthorized","status":401,"detail":"unknown, used or expired"}"#;
        assert!(
            matches!(judged(401, problem), Err(GatewayError::Refused { detail }) if detail.contains("used"))
        );
        assert!(matches!(judged(410, problem), Err(GatewayError::Refused { .. })));
        for status in [400, 403, 409, 429, 500, 503] {
            assert!(matches!(judged(status, problem), Err(GatewayError::NotNow { .. })), "{status}");
        }
        // A proxy's own page is nobody's word for the gateway.
        for (status, body) in
            [(401, "<html>sign in"), (404, problem), (502, ""), (200, "<html>"), (200, "{}")]
        {
            assert!(matches!(judged(status, body), Err(GatewayError::Stranger { .. })), "{status} {body}");
        }
        assert_eq!(judged(200, r#"{"jwt":"a.b.c","interval_ms":5000,"more":1}"#).unwrap().jwt, "a.b.c");
    }

    #[test]
    fn a_wrong_field_and_a_long_text_are_told_shortly() {
        let fields = r#"{"title":"Bad Request","errors":[{"field":"time","expected":"now"}]}"#;
        assert!(judged(400, fields).unwrap_err().to_string().contains("Bad Request; time: expected now"));
        let long = judged(500, &"x\n".repeat(5000)).unwrap_err().to_string();
        assert!(long.len() < 400 && !long.contains('\n'), "{long}");
    }

    #[test]
    fn a_wrong_clock_is_told() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(clocks_apart("Sat, 21 Nov 2026 12:00:59 GMT", now), None);
        assert!(clocks_apart("Sat, 21 Nov 2026 13:00:00 GMT", now).unwrap().contains("3600 s behind"));
        assert!(clocks_apart("Fri, 20 Nov 2026 12:00:00 GMT", now).unwrap().contains("86400 s ahead of"));
        assert_eq!(clocks_apart("yesterday", now), None);
    }
}
