//! A client of the bare NATS protocol, so that no library is polite on an attacker's behalf.

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use watchkeeper_nats::creds;

const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One line of the server that matters to a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message on a subscription: subject, headers with body.
    Message(String, String),
    /// `-ERR`, in the server's words.
    Refused(String),
    /// The server has closed the connection.
    Closed,
    Pong,
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    subscriptions: u32,
}

impl Client {
    /// Connects with a credential; the error is what the server said.
    pub(crate) fn connect(address: &str, creds: &str) -> Result<Self, String> {
        let creds = creds::parse(creds).unwrap();
        Self::connect_as(address, &creds.jwt, &creds.key)
    }

    /// Connects with any JWT and any key.
    pub(crate) fn connect_as(address: &str, jwt: &str, key: &KeyPair) -> Result<Self, String> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SILENCE_MAX)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), subscriptions: 0 };
        let line = client.line().ok_or("the server hung up before a word")?;
        let info: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
        let connect = json!({
            "jwt": jwt, "sig": BASE64URL_NOPAD.encode(&signature), "verbose": false, "pedantic": false,
            "headers": true, "no_responders": true, "protocol": 1, "lang": "raw", "version": "1",
        });
        client.send(&format!("CONNECT {connect}\r\n"));
        match client.flush().into_iter().find(|heard| !matches!(heard, Heard::Message(..))) {
            None => Ok(client),
            Some(heard) => Err(format!("{heard:?}")),
        }
    }

    /// Sends bytes as they are; whether the server still takes them.
    pub(crate) fn send_raw(&mut self, raw: &[u8]) -> bool {
        self.stream.get_mut().write_all(raw).is_ok()
    }

    /// Sends bytes as they are; a server that has hung up is noticed when reading.
    pub(crate) fn send(&mut self, raw: &str) {
        drop(self.stream.get_mut().write_all(raw.as_bytes()));
    }

    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        let sid = self.subscriptions;
        self.send(&format!("SUB {subject} {sid}\r\n"));
    }

    pub(crate) fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        self.send(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()));
    }

    pub(crate) fn publish_with(&mut self, headers: &[(&str, &str)], subject: &str, reply: &str, body: &str) {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("NATS/1.0\r\n{lines}\r\n");
        let (head_len, len) = (head.len(), head.len() + body.len());
        self.send(&format!("HPUB {subject} {reply} {head_len} {len}\r\n{head}{body}\r\n"));
    }

    /// Everything the server says until it has handled all that was sent.
    pub(crate) fn flush(&mut self) -> Vec<Heard> {
        self.send("PING\r\n");
        let mut all = Vec::new();
        loop {
            match self.next() {
                Heard::Pong => return all,
                Heard::Closed => {
                    all.push(Heard::Closed);
                    return all;
                }
                heard @ (Heard::Message(..) | Heard::Refused(_)) => all.push(heard),
            }
        }
    }

    /// The next message on `subject`, as JSON; whatever else is heard meanwhile fails the test.
    pub(crate) fn answer_on(&mut self, subject: &str) -> Value {
        match self.next() {
            Heard::Message(on, body) if on == subject => {
                serde_json::from_str(body.rsplit("\r\n").next().unwrap()).unwrap_or(Value::String(body))
            }
            other @ (Heard::Message(..) | Heard::Refused(_) | Heard::Closed | Heard::Pong) => {
                panic!("waiting for an answer on {subject}, heard {other:?}")
            }
        }
    }

    /// What the server says when nothing more is sent.
    pub(crate) fn next(&mut self) -> Heard {
        loop {
            let Some(line) = self.line() else { return Heard::Closed };
            let mut words = line.split(' ');
            match words.next().unwrap() {
                "PONG" => return Heard::Pong,
                "-ERR" => return Heard::Refused(line[5..].to_owned()),
                "PING" => self.send("PONG\r\n"),
                "MSG" | "HMSG" => {
                    let subject = words.next().unwrap().to_owned();
                    let len: usize = words.next_back().unwrap().parse().unwrap();
                    let mut body = vec![0; len + 2];
                    self.stream.read_exact(&mut body).unwrap();
                    body.truncate(len);
                    return Heard::Message(subject, String::from_utf8_lossy(&body).into_owned());
                }
                _ => {}
            }
        }
    }

    /// As [`Self::next`], and nothing when the server is silent for so long.
    pub(crate) fn next_within(&mut self, wait: Duration) -> Option<Heard> {
        self.stream.get_ref().set_read_timeout(Some(wait)).unwrap();
        let is_there = match self.stream.fill_buf() {
            Ok(_) => true,
            Err(error) => {
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
            }
        };
        self.stream.get_ref().set_read_timeout(Some(SILENCE_MAX)).unwrap();
        is_there.then(|| self.next())
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            Ok(0) => None,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
                ) =>
            {
                None
            }
            Err(error) => panic!("the server has said nothing for {SILENCE_MAX:?}: {error}"),
        }
    }
}

/// Whether everything was refused as not permitted, `count` times.
pub(crate) fn all_refused(heard: &[Heard], count: usize) -> bool {
    let refused =
        |heard: &&Heard| matches!(heard, Heard::Refused(why) if why.contains("Permissions Violation"));
    heard.len() == count && heard.iter().filter(refused).count() == count
}
