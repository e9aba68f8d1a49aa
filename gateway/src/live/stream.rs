//! One client of the live stream: waits here, what it is told is decided by its cursor.

use crate::alerting::Alerting;
use crate::http::principal::Principal;
use crate::identity::Identity;
use crate::identity::authorize::{Bell, End};
use crate::live::Live;
use crate::live::alert_cursor::AlertCursor;
use crate::live::cursor::{Cursor, LagNews};
use crate::live::notice_cursor::NoticeCursor;
use crate::shutdown::stopped;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A sign of life at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a browser waits before it comes back.
const GREETING: &[u8] = b"retry: 1000\n\n";
/// A comment, which no client shows.
const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// Tells why the stream ends.
fn farewell(end: End) -> Bytes {
    Bytes::from(format!("event: end\ndata: {{\"reason\":\"{}\"}}\n\n", end.as_str()))
}

/// Whether whoever opened the stream may still have it.
pub struct Leave {
    /// Who opened it.
    pub principal: Principal,
    /// Knows what became of them.
    pub identity: Arc<Identity>,
    /// Rings when that may have changed.
    pub bell: Bell,
    /// When it was made sure of last, once it was; what ends by time rings no bell.
    pub checked: Option<Instant>,
}

impl Leave {
    fn check(&mut self) -> Result<(), End> {
        self.bell.hush();
        self.checked = Some(Instant::now());
        self.identity.still(&self.principal)
    }

    /// A client that is always behind never waits, and hears the bell here.
    fn check_in_passing(&mut self) -> Result<(), End> {
        let due = self.checked.is_none_or(|checked| checked.elapsed() >= KEEP_ALIVE);
        if due || self.bell.rang() { self.check() } else { Ok(()) }
    }
}

/// One client.
pub struct Client {
    /// Where changes come from.
    pub live: Arc<Live>,
    /// How far it has come.
    pub cursor: Cursor,
    /// Where alerts come from.
    pub alerting: Arc<Alerting>,
    /// How far it has come with them.
    pub alerts: AlertCursor,
    /// How far it has come with notices.
    pub notices: NoticeCursor,
    /// The newest lag.
    pub lag: watch::Receiver<LagNews>,
    /// Rings for changes.
    pub rounds: watch::Receiver<u64>,
    /// Ends the stream.
    pub shutdown: watch::Receiver<bool>,
    /// Its place among the clients.
    pub place: OwnedSemaphorePermit,
    /// Ends the stream, too.
    pub leave: Leave,
}

/// What the client gets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greet,
    Tell,
    Over,
}

impl Client {
    /// The body of its answer; the next part is made only once the client has taken the one before.
    pub fn into_body(self) -> Body {
        Body::from_stream(unfold((self, Step::Greet), |(mut client, step)| async move {
            let (bytes, next) = match step {
                Step::Greet => (Bytes::from_static(GREETING), Step::Tell),
                Step::Tell => match client.next().await? {
                    Ok(bytes) => (bytes, Step::Tell),
                    Err(end) => (farewell(end), Step::Over),
                },
                Step::Over => return None,
            };
            Some((Ok::<_, Infallible>(bytes), (client, next)))
        }))
    }

    /// What it is told next, of hosts before alerts before notices.
    fn told(&mut self) -> Option<Bytes> {
        let hosts = self.cursor.next(&self.live.fleet(), &self.lag.borrow_and_update());
        if !self.cursor.is_current() {
            return hosts;
        }
        let mut alerts = Vec::new();
        self.alerts.next(&self.alerting.episodes(), &mut alerts);
        self.notices.next(&self.alerting.notices(), &mut alerts);
        match (hosts, alerts.is_empty()) {
            (hosts, true) => hosts,
            (None, false) => Some(Bytes::from(alerts)),
            (Some(hosts), false) => Some(Bytes::from([&hosts[..], &alerts].concat())),
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, End>> {
        if let Err(end) = self.leave.check_in_passing() {
            return Some(Err(end));
        }
        let mut quiet = std::pin::pin!(tokio::time::sleep(KEEP_ALIVE));
        loop {
            self.rounds.mark_unchanged();
            let told = self.told();
            self.live.spend(told.is_some());
            if let Some(told) = told {
                return Some(Ok(told));
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.shutdown) => return None,
                () = self.leave.bell.rung() => match self.leave.check() {
                    Ok(()) => {}
                    Err(end) => return Some(Err(end)),
                },
                rung = self.rounds.changed() => rung.ok()?,
                news = self.lag.changed() => news.ok()?,
                () = &mut quiet => return Some(Ok(Bytes::from_static(SIGN_OF_LIFE))),
            }
        }
    }
}
