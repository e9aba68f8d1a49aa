//! A server with nothing but axum's own event stream, as a process of its own: what a client costs at the least.
//!
//! A client gets one event of so many bytes as it asks for, then whatever is posted, to everybody alike.

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// Events that a client may be behind.
const BEHIND_MAX: usize = 1024;

/// Listens, tells the address, and serves until its standard input ends.
///
/// # Errors
/// When it cannot listen.
#[expect(clippy::print_stdout, reason = "whoever started it reads the address")]
pub fn serve() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        println!("{}", listener.local_addr().context("asking for the address")?);
        let (said, _) = broadcast::channel::<String>(BEHIND_MAX);
        let router = Router::new().route("/live", get(live).post(say)).with_state(said);
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            served = axum::serve(listener, router) => served.context("serving"),
            _ = ended => Ok(()),
        }
    })
}

#[derive(Deserialize)]
struct First {
    bytes: usize,
}

async fn say(State(said): State<broadcast::Sender<String>>, event: String) {
    // Nobody hears it where nobody listens.
    said.send(event).ok();
}

async fn live(
    State(said): State<broadcast::Sender<String>>,
    Query(first): Query<First>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = Event::default().event("snapshot").data("x".repeat(first.bytes));
    let rest = stream::unfold(said.subscribe(), |mut heard| async move {
        let event = heard.recv().await.ok()?;
        Some((Event::default().event("host").data(event), heard))
    });
    Sse::new(stream::iter([first]).chain(rest).map(Ok)).keep_alive(KeepAlive::default())
}

/// The running process; it ends when this is dropped.
pub(super) struct BareStream {
    child: Child,
    pub(super) address: SocketAddr,
}

impl BareStream {
    pub(super) fn start() -> Result<Self> {
        let program = std::env::current_exe().context("asking for this program")?;
        let mut command = Command::new(program);
        let command = command.arg("bare-stream").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the bare stream")?;
        let mut line = String::new();
        let Some(said) = child.stdout.take() else { bail!("the bare stream says nothing") };
        BufReader::new(said).read_line(&mut line).context("reading the address of the bare stream")?;
        let address = line.trim().parse().with_context(|| format!("the bare stream said {line:?}"))?;
        Ok(Self { child, address })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareStream {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A server with open streams waits for them; it has nothing to lose.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
