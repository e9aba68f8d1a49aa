//! The guard on calls to addresses that people chose: names are resolved once and the connection goes to what was found;
//! nothing private, local or of a cloud's own is called unless the installation allows its network; no redirects, no
//! proxy; an answer is bounded in time and size.

mod address;
mod line;

use crate::http;
use crate::notifier::channel::Reply;
use jiff::Timestamp;
use line::{ADDRESSES_MAX, Direct, Found, Unsent};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ureq::http::Uri;
use ureq::{Agent, Error};

/// Longest wait for a channel's answer, the look-up of its name included.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of an answer's headers, and of what is read and written at once.
const BUFFER_BYTES: usize = 16 << 10;
/// Calls that wait for an answer at once.
const CALLS_AT_ONCE_MAX: usize = 64;
/// Longest wait for one of them to end.
const TURN_MAX: Duration = Duration::from_secs(5);
/// Longest wait that is granted to who asks for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2048;

/// A network that receivers may be in, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a network as 10.0.0.0/8 or fd00::/8, or one address")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| NoNetwork)?;
        if bits <= all { Ok(Self { address, bits }) } else { Err(NoNetwork) }
    }
}

/// Calls what may be called.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Private networks that may be called.
    allowed: Arc<[Network]>,
    trusted: Arc<[CertificateDer<'static>]>,
    tls: Arc<ClientConfig>,
    turns: Arc<Semaphore>,
}

/// A POST.
#[derive(Debug)]
pub struct Call {
    /// Where it goes.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// The status of HTTP.
    pub status: u16,
    /// When to ask again.
    pub retry_after: Option<Duration>,
    /// The first 64 kB of what was said. Never to be shown: a person chose who says it.
    pub body: Vec<u8>,
}

/// What a URL names.
struct Place {
    uri: Uri,
    host: String,
    port: u16,
    is_https: bool,
}

impl Outgoing {
    /// A guard that lets calls into these networks though they are private, and trusts what the system trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(allowed: Vec<Network>) -> Result<Self, rustls::Error> {
        Self::trusting(allowed, http::roots())
    }

    /// The same, with authorities of one's own.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn trusting(
        allowed: Vec<Network>,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self {
            allowed: allowed.into(),
            trusted: trusted.into(),
            tls: Arc::new(tls.with_root_certificates(roots).with_no_client_auth()),
            turns: Arc::new(Semaphore::new(CALLS_AT_ONCE_MAX)),
        })
    }

    /// Makes one call. What keeps it from an answer is a reply for the channel to hand on.
    ///
    /// # Errors
    /// When there is no answer of HTTP.
    pub async fn post(&self, call: Call) -> Result<Answered, Reply> {
        let turn = self.turn().await?;
        let deadline = Instant::now() + ANSWER_MAX;
        let place = Place::of(&call.url)?;
        let (turn, addresses) = self.find(turn, &place.host, place.port, place.is_https, deadline).await?;
        let tls = Arc::clone(&self.tls);
        let made = spawn_blocking(move || {
            // Held to the end, whoever still waits for it.
            let _turn = turn;
            make(call, place.uri, addresses, Direct { tls, deadline })
        });
        made.await.unwrap_or_else(|_| Err(Reply::unknown("the call was broken off")))
    }

    /// The addresses of a name that may be called, and the right to call them; looked up this once.
    ///
    /// # Errors
    /// When there are none.
    pub async fn reach(
        &self,
        host: &str,
        port: u16,
        is_protected: bool,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Vec<SocketAddr>), Reply> {
        let turn = self.turn().await?;
        self.find(turn, host, port, is_protected, deadline).await
    }

    /// The authorities that are trusted.
    pub fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Reply> {
        match timeout(TURN_MAX, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Reply::not_now("too many other calls wait for an answer")),
        }
    }

    async fn find(
        &self,
        turn: OwnedSemaphorePermit,
        host: &str,
        port: u16,
        is_protected: bool,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Vec<SocketAddr>), Reply> {
        let asked = host.to_owned();
        // A look-up cannot be stopped: the turn goes with it, so that hanging ones do not pile up.
        let looked = spawn_blocking(move || {
            let found = (asked.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            (turn, found)
        });
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(Ok((turn, found))) = timeout(left, looked).await else {
            return Err(Reply::not_now(format!("the name {host} was not resolved in time")));
        };
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Err(Reply::not_now(format!("the name {host} does not resolve")));
        }
        self.callable(&found, is_protected)
            .map(|callable| (turn, callable))
            .map_err(|why| Reply::refused(format!("{host} {why}")))
    }

    /// Those that may be called, or why none may.
    fn callable(&self, found: &[SocketAddr], is_protected: bool) -> Result<Vec<SocketAddr>, &'static str> {
        let is_allowed = |it: &&SocketAddr| self.allowed.iter().any(|network| network.contains(it.ip()));
        let may_be_called = |it: &&SocketAddr| is_allowed(it) || address::is_open(it.ip());
        let callable: Vec<&SocketAddr> = found.iter().filter(may_be_called).take(ADDRESSES_MAX).collect();
        if callable.is_empty() {
            return Err("is at an address that is private, local or reserved, which is not called: \
                        the owner of this installation can allow its network with --receiver-networks");
        }
        let callable: Vec<SocketAddr> =
            callable.into_iter().filter(|it| is_protected || is_allowed(it)).copied().collect();
        if callable.is_empty() {
            return Err(
                "is called with TLS only, as by https://: without are called networks that the owner of this \
                 installation allows with --receiver-networks",
            );
        }
        Ok(callable)
    }
}

impl Place {
    fn of(url: &str) -> Result<Self, Reply> {
        let wrong = |what: &str| Reply::refused(format!("the address cannot be called: {what}"));
        if url.len() > URL_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("expected such as https://example.org/path"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong("expected https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user name or password in it is not sent"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if authority.host().starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
            return Err(wrong("what stands in brackets is no address of IPv6"));
        }
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() != authority.host() => 0,
            None if is_https => 443,
            None => 80,
        };
        if port == 0 {
            return Err(wrong("its port is none"));
        }
        Ok(Self { uri, host, port, is_https })
    }
}

fn make(call: Call, uri: Uri, addresses: Vec<SocketAddr>, direct: Direct) -> Result<Answered, Reply> {
    // A connection of its own for each call: none that was closed meanwhile makes it unknown whether a message arrived.
    let settings = http::settings()
        .proxy(None)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_response_header_size(BUFFER_BYTES)
        .build();
    let agent = Agent::with_parts(settings, direct, Found(addresses));
    let mut request = agent.post(uri);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    let answer = request.send(&call.body[..]).map_err(|error| unanswered(&error))?;
    let retry_after = answer.headers().get("retry-after").and_then(|it| it.to_str().ok());
    let retry_after = retry_after.and_then(|text| retry_after_of(text, Timestamp::now()));
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    // The status has said it: a body that is cut or never ends changes nothing.
    let _cut = answer.into_body().into_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut body).is_err();
    Ok(Answered { status, retry_after, body })
}

/// What it means that no answer came.
fn unanswered(error: &Error) -> Reply {
    if let Error::Other(inner) = error
        && inner.is::<Unsent>()
    {
        return Reply::not_now(inner.to_string());
    }
    if let Error::Http(_) | Error::BadUri(_) = error {
        return Reply::refused("the address or a token holds what cannot be sent");
    }
    if let Error::Io(error) = error {
        let broken = || Reply::unknown("the connection broke before an answer came");
        return if is_late(error) { late() } else { broken() };
    }
    Reply::unknown("what it answered is no HTTP")
}

/// Why TLS was not agreed on, where that is what went wrong.
pub(super) fn tls_reason(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error.downcast_ref::<rustls::Error>();
        if let Some(found) = found.or_else(|| inner.and_then(|it| it.downcast_ref())) {
            return Some(line::tls_words(found));
        }
        next = error.source();
    }
    None
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn late() -> Reply {
    Reply::unknown(format!("no answer within {} s", ANSWER_MAX.as_secs()))
}

/// Seconds or a date, as RFC 9110 has it.
fn retry_after_of(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
