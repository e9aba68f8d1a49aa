//! A client of the live stream that stamps what comes on its socket, and reads it only afterwards.

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The gateway sends something at least every ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 * 1024;
const EVENT_END: &[u8] = b"\n\n";

/// A client that listens on a thread of its own.
pub(super) struct Listener {
    stream: TcpStream,
    thread: JoinHandle<Heard>,
}

/// Bytes as they came, and for each read where it ended and when.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    reads: Vec<(usize, Instant)>,
}

impl Listener {
    /// Connects and waits for the snapshot of all hosts.
    pub(super) fn start(address: SocketAddr, token: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(SILENCE_MAX)).context("limiting the wait for an event")?;
        // HTTP/1.0: the body comes as it is, not cut into chunks.
        let request =
            format!("GET /api/v1/live HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).context("asking for the live stream")?;
        let mut first = Heard::default();
        while !first.bytes.ends_with(EVENT_END) || !contains(&first.bytes, b"event: snapshot") {
            if !first.read(&mut stream) {
                bail!("no snapshot came: {}", String::from_utf8_lossy(&first.bytes));
            }
        }
        let mut reading = stream.try_clone().context("sharing a socket")?;
        let thread = std::thread::spawn(move || {
            let mut heard = Heard::default();
            while heard.read(&mut reading) {}
            heard
        });
        Ok(Self { stream, thread })
    }

    /// Ends; for each event of a host its number in the stream and when it stood on the socket.
    pub(super) fn stop(self) -> Result<Vec<(u64, Instant)>> {
        self.stream.shutdown(Shutdown::Both).context("leaving the live stream")?;
        self.thread.join().map_err(|_| anyhow!("a client of the live stream broke down"))?.hosts()
    }
}

impl Heard {
    /// Reads once; false at the end of the stream.
    fn read(&mut self, stream: &mut TcpStream) -> bool {
        let before = self.bytes.len();
        self.bytes.resize(before + READ_BYTES, 0);
        let read = stream.read(&mut self.bytes[before..]).unwrap_or(0);
        self.bytes.truncate(before + read);
        self.reads.push((self.bytes.len(), Instant::now()));
        read > 0
    }

    fn hosts(&self) -> Result<Vec<(u64, Instant)>> {
        #[derive(Deserialize)]
        struct Host {
            sequence: u64,
        }
        let (mut found, mut reads, mut begin) = (Vec::new(), self.reads.iter().peekable(), 0);
        let ends = self.bytes.windows(EVENT_END.len()).enumerate();
        for end in ends.filter(|(_, window)| *window == EVENT_END).map(|(at, _)| at + EVENT_END.len()) {
            let event = std::str::from_utf8(&self.bytes[begin..end]).context("an event is no text")?;
            begin = end;
            while reads.next_if(|(until, _)| *until < end).is_some() {}
            let came = reads.peek().map(|(_, when)| *when).context("an event that was not read")?;
            if event.lines().any(|line| line == "event: host") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let host: Host = serde_json::from_str(data.unwrap_or_default())
                    .with_context(|| format!("an event of a host: {event}"))?;
                found.push((host.sequence, came));
            }
        }
        Ok(found)
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_came_with_the_read_that_held_its_last_byte() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let parts = [
            ("event: host\ndata: {\"sequence\":7}\n\nevent: lag\ndata: {}\n\nev", at(1)),
            ("ent: host\ndata: {\"sequence\":8}\n", at(2)),
            ("\n: still here\n\nevent: host\nda", at(3)),
        ];
        let mut heard = Heard::default();
        for (text, when) in parts {
            heard.bytes.extend_from_slice(text.as_bytes());
            heard.reads.push((heard.bytes.len(), when));
        }
        assert_eq!(heard.hosts().unwrap(), [(7, at(1)), (8, at(3))]);
    }
}
