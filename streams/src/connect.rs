//! The one way our programs connect to NATS: jittered reconnects, an inbox of their own, events counted.

use crate::backoff::jittered;
use async_nats::{Auth, AuthError, Client, ConnectOptions, Event};
use nkeys::KeyPair;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// First wait before a reconnect.
const RECONNECT_WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait before a reconnect: a server that is back is found within this, and after a long outage those who come
/// back are spread over as long.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Waits before the next try of a credential that the server refuses: it may be made good, but not by hammering.
const REFUSED_WAIT_FIRST: Duration = Duration::from_secs(1);
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted longer was not refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// A connection that answers no ping for two of these is dead.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Time for one request; our programs retry on their own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that a subscription holds before the client drops; ours are drained faster.
const SUBSCRIPTION_MESSAGES_MAX: usize = 65_536;

/// Whom to connect to, as whom.
#[derive(Debug, Clone)]
pub struct Connect {
    /// `nats://host:port`, several joined by commas.
    pub url: String,
    /// The `.creds` file: a user JWT and its key. It is read at each connection, so a renewed one is picked up.
    pub creds: PathBuf,
    /// The name that the server shows for this connection.
    pub name: &'static str,
    /// The prefix below which replies arrive; the credential allows no other.
    pub inbox: String,
}

/// A connection and what happened to it.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The client; cheap to clone.
    pub client: Client,
    /// What happened to the connection so far.
    pub events: Arc<ClientEvents>,
}

/// What happened to a connection, counted.
#[derive(Debug)]
pub struct ClientEvents {
    connects: watch::Sender<u64>,
    disconnects: AtomicU64,
    slow_consumers: AtomicU64,
    errors: AtomicU64,
    /// The trouble that was told last; an outage repeats it with every try.
    trouble: watch::Sender<String>,
    /// How often in a row the server refused the credential.
    refusals: watch::Sender<u32>,
    connected_at: watch::Sender<Option<Instant>>,
}

impl ClientEvents {
    /// How often the connection was made; changes tell of a reconnect.
    #[must_use]
    pub fn connects(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// How often the connection was lost.
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Ordering::Relaxed)
    }

    /// How often messages were dropped because a subscription was full.
    #[must_use]
    pub fn slow_consumers(&self) -> u64 {
        self.slow_consumers.load(Ordering::Relaxed)
    }

    /// Errors that the server or the client told, refused permissions among them.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// How often in a row the server refused the credential.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        *self.refusals.borrow()
    }

    /// The same number; it changes with each refusal.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<u32> {
        self.refusals.subscribe()
    }

    fn note(&self, name: &'static str, event: &Event) {
        match event {
            Event::Connected => {
                self.connects.send_modify(|connects| *connects += 1);
                self.connected_at.send_replace(Some(Instant::now()));
                tracing::info!(connection = name, "connected to NATS");
            }
            Event::Disconnected => {
                self.disconnects.fetch_add(1, Ordering::Relaxed);
                // A connection is told as made before the server has looked at the credential.
                if self.connected_at.send_replace(None).is_some_and(|at| at.elapsed() > REFUSED_WITHIN) {
                    self.refusals.send_replace(0);
                    self.trouble.send_replace(String::new());
                }
                tracing::warn!(connection = name, "connection to NATS lost, trying again");
            }
            Event::SlowConsumer(subscription) => {
                self.slow_consumers.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(connection = name, subscription, "messages dropped: a subscription was full");
            }
            Event::ServerError(error) => self.note_trouble(name, &error.to_string()),
            Event::ClientError(error) => self.note_trouble(name, &error.to_string()),
            Event::LameDuckMode | Event::Draining | Event::Closed => {
                tracing::info!(connection = name, %event, "NATS connection");
            }
        }
    }

    /// Tells what is new, once.
    fn note_trouble(&self, name: &'static str, error: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let refused = error.to_lowercase().contains("authorization violation");
        if refused {
            self.refusals.send_modify(|refusals| *refusals = refusals.saturating_add(1));
        }
        if self.trouble.send_replace(error.to_owned()) == error {
            return;
        }
        if refused {
            tracing::warn!(
                connection = name,
                "the NATS server refuses this credential: it was revoked or made elsewhere; trying ever more slowly"
            );
        } else {
            tracing::warn!(connection = name, error, "NATS trouble");
        }
    }

    /// The wait before the next try: short after an outage, long where the credential is refused.
    fn reconnect_wait(&self, tries: usize) -> Duration {
        // The very first connection is asked for a wait, too.
        if tries <= 1 && *self.connects.borrow() == 0 {
            return Duration::ZERO;
        }
        match self.refusals() {
            0 => jittered(RECONNECT_WAIT_FIRST, RECONNECT_WAIT_MAX, u32::try_from(tries).unwrap_or(u32::MAX)),
            refusals => jittered(REFUSED_WAIT_FIRST, REFUSED_WAIT_MAX, refusals),
        }
    }
}

/// The user JWT and the key of a `.creds` file.
fn read(path: &Path) -> std::io::Result<(String, KeyPair)> {
    let text = std::fs::read_to_string(path)?;
    let below = |title: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(|line| *line != title);
        let missing = || std::io::Error::other(format!("there is no line {title}"));
        lines.nth(1).map(ToOwned::to_owned).ok_or_else(missing)
    };
    let jwt = below("-----BEGIN NATS USER JWT-----")?;
    let key = KeyPair::from_seed(&below("-----BEGIN USER NKEY SEED-----")?).map_err(std::io::Error::other)?;
    Ok((jwt, key))
}

/// What the server is answered: the JWT, and its nonce signed with the key.
fn answer(path: &Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let (jwt, key) = read(path).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.jwt = Some(jwt);
    auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
    Ok(auth)
}

/// Why no connection could even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The credentials cannot be read.
    #[error("cannot read the NATS credentials {}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The address is no address.
    #[error("cannot connect to {url}")]
    Connect {
        /// The address.
        url: String,
        /// What went wrong.
        source: async_nats::ConnectError,
    },
}

/// Connects, and stays connected: returns at once even where the server is away, then tries for ever.
///
/// # Errors
/// When the credentials cannot be read or the address is none.
pub async fn connect(settings: &Connect) -> Result<Connected, ConnectError> {
    connect_trusting(settings, None).await
}

/// Connects like [`connect`]; under TLS the server may also be vouched for by the certificates of the file `roots`.
///
/// # Errors
/// When the credentials cannot be read or the address is none.
pub async fn connect_trusting(settings: &Connect, roots: Option<&Path>) -> Result<Connected, ConnectError> {
    let events = Arc::new(ClientEvents {
        connects: watch::Sender::new(0),
        disconnects: AtomicU64::new(0),
        slow_consumers: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        trouble: watch::Sender::new(String::new()),
        refusals: watch::Sender::new(0),
        connected_at: watch::Sender::new(None),
    });
    let (name, noted, waiting) = (settings.name, Arc::clone(&events), Arc::clone(&events));
    let creds: Arc<Path> = settings.creds.as_path().into();
    read(&creds).map_err(|source| ConnectError::Credentials { path: settings.creds.clone(), source })?;
    let options = ConnectOptions::with_auth_callback(move |nonce| std::future::ready(answer(&creds, &nonce)))
        .name(settings.name)
        .custom_inbox_prefix(&settings.inbox)
        .retry_on_initial_connect()
        .reconnect_delay_callback(move |tries| waiting.reconnect_wait(tries))
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .event_callback(move |event| {
            noted.note(name, &event);
            std::future::ready(())
        });
    let options = match roots {
        Some(roots) => options.add_root_certificates(roots.to_owned()),
        None => options,
    };
    let client = options
        .connect(&settings.url)
        .await
        .map_err(|source| ConnectError::Connect { url: settings.url.clone(), source })?;
    Ok(Connected { client, events })
}
