//! One client of the live stream: waits here, what it is told is decided by its cursor.

use crate::live::Live;
use crate::live::cursor::{Cursor, LagNews};
use crate::shutdown::stopped;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A sign of life at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a browser waits before it comes back.
const GREETING: &[u8] = b"retry: 1000\n\n";
/// A comment, which no client shows.
const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// One client.
pub struct Client {
    /// Where changes come from.
    pub live: Arc<Live>,
    /// How far it has come.
    pub cursor: Cursor,
    /// The newest lag.
    pub lag: watch::Receiver<LagNews>,
    /// Rings for changes.
    pub rounds: watch::Receiver<u64>,
    /// Ends the stream.
    pub shutdown: watch::Receiver<bool>,
    /// Its place among the clients.
    pub place: OwnedSemaphorePermit,
}

impl Client {
    /// The body of its answer; the next part is made only once the client has taken the one before.
    pub fn into_body(self) -> Body {
        Body::from_stream(unfold((self, false), |(mut client, greeted)| async move {
            let bytes = if greeted { client.next().await? } else { Bytes::from_static(GREETING) };
            Some((Ok::<_, Infallible>(bytes), (client, true)))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut quiet = std::pin::pin!(tokio::time::sleep(KEEP_ALIVE));
        loop {
            self.rounds.mark_unchanged();
            let told = self.cursor.next(&self.live.fleet(), &self.lag.borrow_and_update());
            self.live.spend(told.is_some());
            if told.is_some() {
                return told;
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.shutdown) => return None,
                rung = self.rounds.changed() => rung.ok()?,
                news = self.lag.changed() => news.ok()?,
                () = &mut quiet => return Some(Bytes::from_static(SIGN_OF_LIFE)),
            }
        }
    }
}
