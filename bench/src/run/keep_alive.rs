//! One kept HTTP/1.1 connection that asks and waits: a client that costs as little as possible beside the server.

use anyhow::{Context, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const HEAD_END: &[u8] = b"\r\n\r\n";
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection and what came over it.
pub(super) struct Connection {
    stream: TcpStream,
    /// What stands in every head behind the path.
    head: String,
    buffer: Vec<u8>,
}

impl Connection {
    /// Asks with this token, which a server without a log-in passes over.
    pub(super) fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("sending at once")?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).context("limiting the wait for an answer")?;
        let head = format!(" HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
        Ok(Self { stream, head, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Status and body of the answer. The server must tell the body's length.
    pub(super) fn get(&mut self, path: &str) -> Result<(u16, &[u8])> {
        let told = || format!("GET {path}");
        let request = format!("GET {path}{}", self.head);
        self.stream.write_all(request.as_bytes()).with_context(told)?;
        let (mut read, mut head): (_, Option<Head>) = (0, None);
        loop {
            if let Some(head) = head.as_ref().filter(|head| read >= head.body + head.length) {
                return Ok((head.status, &self.buffer[head.body..head.body + head.length]));
            }
            if read == self.buffer.len() {
                self.buffer.resize(read * 2, 0);
            }
            match self.stream.read(&mut self.buffer[read..]).with_context(told)? {
                0 => bail!("GET {path}: the connection was closed after {read} bytes"),
                more => read += more,
            }
            if head.is_none() {
                head = read_head(&self.buffer[..read])?;
            }
        }
    }
}

/// What the head of an answer says.
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    length: usize,
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).context("the head of an answer is no text")?;
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let (status, length) = status.zip(length).with_context(|| format!("an answer's head: {text}"))?;
    Ok(Some(Head { status, body: end + HEAD_END.len(), length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_and_length_once_it_is_whole() {
        let bytes = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
        let head = read_head(bytes).unwrap().unwrap();
        assert_eq!((head.status, &bytes[head.body..], head.length), (404, &b"abc"[..], 3));
        assert!(read_head(&bytes[..30]).unwrap().is_none());
        assert!(read_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "without a length the end is not known");
    }
}
