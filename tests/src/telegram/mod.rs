//! A double of Telegram's HTTP interface for bots. It keeps Telegram's limits, reads HTML as strictly, and writes down
//! everything that arrives; people and tests speak to it through `/control`.

mod control;
pub mod html;
mod limits;
mod state;

pub use control::HELP;
pub use state::{Entry, Fault, State, Wrong};

use crate::http::{Asked, Said, serve};
use serde_json::Value;
use state::Outcome;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Longest that a call for updates is kept.
const POLL_MAX: Duration = Duration::from_secs(50);

/// What is shared by all connections.
#[derive(Debug, Clone)]
pub struct Shared {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())), changed: Arc::default() }
    }
}

impl Shared {
    /// Changes or asks it; whoever waits looks again.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.lock());
        self.changed.notify_waiters();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, asked: Asked) -> Said {
        let path = asked.path.replace("%3A", ":");
        if let Some((token, method)) = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) {
            // As Telegram does, whatever the case of the first letter.
            let mut method = method.to_owned();
            if let Some(first) = method.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            let body = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
            if method == "getUpdates" {
                return self.poll(token, &body).await;
            }
            return match self.with(|state| state.call(token, &method, &body)) {
                Outcome::Answer(code, answer) => Said::Json(code, answer),
                Outcome::Plain(code, text) => Said::Text(code, text.to_owned()),
                Outcome::Hang => Said::Hang,
                Outcome::Reset => Said::Reset,
            };
        }
        control::answer(self, &asked)
    }

    async fn poll(&self, token: &str, body: &Value) -> Said {
        let fault = self.lock().poll_fault();
        if let Some(fault) = fault {
            return match fault.what {
                Wrong::Hang => Said::Hang,
                Wrong::Reset => Said::Reset,
                Wrong::TooMany => Said::Json(
                    429,
                    serde_json::json!({ "ok": false, "error_code": 429, "description": "Too Many Requests",
                        "parameters": { "retry_after": fault.retry_after } }),
                ),
                Wrong::Failed | Wrong::BadGateway | Wrong::Bad | Wrong::Blocked | Wrong::Entities => {
                    Said::Text(502, "<html>502 Bad Gateway</html>".to_owned())
                }
            };
        }
        let wait = Duration::from_secs(body["timeout"].as_u64().unwrap_or_default()).min(POLL_MAX);
        let limit = body["limit"].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(100);
        let begun = self.with(|state| state.begin_poll(token, body));
        let (bot, poller) = match begun {
            Ok(begun) => begun,
            Err((code, answer)) => return Said::Json(code, answer),
        };
        let polling = Polling { shared: self, bot, poller };
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some((code, answer)) = polling.shared.lock().look(bot, poller, limit) {
                return Said::Json(code, answer);
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Said::Json(200, serde_json::json!({ "ok": true, "result": [] }));
            }
        }
    }
}

/// A call for updates; however it ends, nobody polls then.
struct Polling<'a> {
    shared: &'a Shared,
    bot: i64,
    poller: u64,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.shared.lock().end_poll(self.bot, self.poller);
    }
}

/// A double on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Double {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Shared,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Double {
    /// Listens on a loopback port; 0 is a free one.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Shared::default();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answering = shared.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let serving = serve(listener, move |asked, _| {
                    let shared = answering.clone();
                    async move { shared.answer(asked).await }
                });
                tokio::select! {
                    () = serving => {}
                    // Told or dropped: both mean the end.
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes or asks it.
    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(act)
    }

    /// Everything that arrived for a method; of every one if it is empty. Calls for updates are not among it.
    #[must_use]
    pub fn journal(&self, method: &str) -> Vec<Entry> {
        let state = self.shared.lock();
        state.journal.iter().filter(|entry| method.is_empty() || entry.method == method).cloned().collect()
    }

    /// Messages that took effect in a chat, as people see them.
    #[must_use]
    pub fn messages(&self, chat: i64) -> Vec<String> {
        let sent = self.journal("sendMessage").into_iter();
        let to_chat = sent.filter(|entry| entry.done && entry.body["chat_id"].as_i64() == Some(chat));
        to_chat.filter_map(|entry| entry.text).collect()
    }

    /// Limits that were broken.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }

    /// How often a call for updates ended another one.
    #[must_use]
    pub fn conflicts(&self) -> u32 {
        self.shared.lock().conflicts
    }

    /// Waits for the thread; only a stop from elsewhere ends it.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
