//! Many clients of an event stream in one process, each of which counts what it hears and of which host.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const READ_BYTES: usize = 4096;
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(60);

/// What all clients together have heard.
#[derive(Debug, Default)]
struct Heard {
    snapshots: AtomicU64,
    hosts: AtomicU64,
    foreign: AtomicU64,
    bytes: AtomicU64,
}

/// Clients that listen until this is dropped.
pub(super) struct Many {
    heard: Arc<Heard>,
    clients: JoinSet<Result<()>>,
}

impl Many {
    pub(super) fn new() -> Self {
        Self { heard: Arc::default(), clients: JoinSet::new() }
    }

    /// Connects one that expects to hear of hosts with these numbers and no others; of any where there are none.
    pub(super) async fn join(
        &mut self,
        server: SocketAddr,
        path: &str,
        token: &str,
        own: Range<u32>,
    ) -> Result<()> {
        let mut stream =
            TcpStream::connect(server).await.with_context(|| format!("connecting to {server}"))?;
        // HTTP/1.0: the body comes as it is, not cut into chunks.
        let request =
            format!("GET {path} HTTP/1.0\r\nhost: {server}\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.context("asking for the live stream")?;
        let heard = Arc::clone(&self.heard);
        self.clients.spawn(async move {
            let (mut text, mut part) = (Vec::new(), vec![0; READ_BYTES]);
            loop {
                let read = stream.read(&mut part).await.context("reading the live stream")?;
                ensure!(read > 0, "the live stream ended: {}", String::from_utf8_lossy(&text));
                heard.bytes.fetch_add(read as u64, Ordering::Relaxed);
                text.extend_from_slice(&part[..read]);
                while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                    heard.note(std::str::from_utf8(&text[..end]).context("an event is no text")?, &own);
                    text.drain(..end + 2);
                }
                // What a snapshot needed is not kept.
                text.shrink_to(READ_BYTES);
            }
        });
        Ok(())
    }

    /// Waits until all together have heard so many snapshots and changes of hosts.
    pub(super) async fn wait_for(&mut self, snapshots: u64, hosts: u64) -> Result<()> {
        let begin = Instant::now();
        loop {
            let (seen, heard) = (self.heard.snapshots.load(Ordering::Relaxed), self.hosts());
            if seen >= snapshots && heard >= hosts {
                return Ok(());
            }
            if let Some(ended) = self.clients.try_join_next() {
                ended.context("a client broke down")??;
            }
            ensure!(
                begin.elapsed() < DEADLINE,
                "{seen} of {snapshots} snapshots, {heard} of {hosts} changes"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Changes of hosts that were heard.
    pub(super) fn hosts(&self) -> u64 {
        self.heard.hosts.load(Ordering::Relaxed)
    }

    /// Those among them that were not for whoever heard them.
    pub(super) fn foreign(&self) -> u64 {
        self.heard.foreign.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.heard.bytes.load(Ordering::Relaxed)
    }
}

impl Heard {
    fn note(&self, event: &str, own: &Range<u32>) {
        #[derive(Deserialize)]
        struct Host<'a> {
            #[serde(borrow)]
            host: &'a str,
        }
        if event.contains("event: snapshot") {
            self.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        if !event.lines().any(|line| line == "event: host") {
            return;
        }
        self.hosts.fetch_add(1, Ordering::Relaxed);
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
        let host: Option<Host<'_>> = serde_json::from_str(data).ok();
        let number = host.and_then(|it| it.host.strip_prefix("sim-")?.parse::<u32>().ok());
        if !own.is_empty() && !number.is_some_and(|number| own.contains(&number)) {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_another_teams_host_is_noticed() {
        let heard = Heard::default();
        heard.note("id: 1-1\nevent: host\ndata: {\"host\":\"sim-00105\",\"name\":\"x\"}", &(100..200));
        assert_eq!((heard.hosts.load(Ordering::Relaxed), heard.foreign.load(Ordering::Relaxed)), (1, 0));
        heard.note("event: host\ndata: {\"host\":\"sim-00205\"}", &(100..200));
        heard.note("event: host\ndata: {\"no\":\"host\"}", &(100..200));
        heard.note("event: lag\ndata: {}", &(100..200));
        assert_eq!((heard.hosts.load(Ordering::Relaxed), heard.foreign.load(Ordering::Relaxed)), (3, 2));
    }
}
