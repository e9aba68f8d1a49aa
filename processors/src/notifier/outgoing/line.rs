//! A connection to one of the addresses that were found and checked, whose every step ends at one moment.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, config::Config};

/// Nothing of the request has left: why, in words that may be shown.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unsent(pub(super) String);

/// The addresses that were found before: nothing is looked up a second time.
#[derive(Debug)]
pub(super) struct Found(pub(super) Vec<SocketAddr>);

impl Resolver for Found {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        self.0.iter().take(ADDRESSES_MAX).for_each(|address| found.push(*address));
        Ok(found)
    }
}

/// Addresses of one name that are tried.
pub(super) const ADDRESSES_MAX: usize = 8;

/// Makes the connection.
pub(super) struct Direct {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) deadline: Instant,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Connector for Direct {
    type Out = Line;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Line>, Error> {
        let unsent = |why: String| Error::Other(Box::new(Unsent(why)));
        let addresses: Vec<SocketAddr> = details.addrs.iter().copied().collect();
        let socket = connect(&addresses, self.deadline).map_err(|error| unsent(words(&error)))?;
        let bounded = Bounded { socket, deadline: self.deadline };
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let wire = if details.needs_tls() {
            let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            Wire::Tls(Box::new(self.greet(host, bounded).map_err(unsent)?))
        } else {
            Wire::Plain(bounded)
        };
        Ok(Some(Line { wire, buffers }))
    }
}

impl Direct {
    /// Agrees on TLS before anything else is said: what fails here has told nobody anything.
    fn greet(
        &self,
        host: String,
        mut socket: Bounded,
    ) -> Result<StreamOwned<ClientConnection, Bounded>, String> {
        let name = ServerName::try_from(host).map_err(|_| "the host's name cannot be in a certificate")?;
        let agreed = ClientConnection::new(Arc::clone(&self.tls), name);
        let mut agreed = agreed.map_err(|error| tls_words(&error).to_owned())?;
        while agreed.is_handshaking() {
            agreed.complete_io(&mut socket).map_err(|error| words(&error))?;
        }
        Ok(StreamOwned::new(agreed, socket))
    }
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for (tried, address) in addresses.iter().enumerate() {
        // One address that swallows everything leaves the others their share.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, remaining(deadline)? / left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    left.ok_or_else(|| ErrorKind::TimedOut.into())
}

/// Why a connection was not made, without a word of who was to be called.
fn words(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
        return tls_words(error).to_owned();
    }
    let kind = error.kind();
    if matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock) {
        return "no connection in time".to_owned();
    }
    if matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
        return "the connection was closed at once".to_owned();
    }
    kind.to_string()
}

/// Why there is no TLS; what a certificate says is not repeated.
pub(super) fn tls_words(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(bad) = error else {
        let no_tls = matches!(error, rustls::Error::InvalidMessage(_));
        return if no_tls { "it does not speak TLS" } else { "TLS could not be agreed on" };
    };
    if matches!(bad, Bad::UnknownIssuer) {
        "nobody that this host trusts vouches for its certificate"
    } else if matches!(bad, Bad::Expired | Bad::ExpiredContext { .. }) {
        "its certificate has expired"
    } else if matches!(bad, Bad::NotValidYet | Bad::NotValidYetContext { .. }) {
        "its certificate is not valid yet"
    } else if matches!(bad, Bad::NotValidForName | Bad::NotValidForNameContext { .. }) {
        "its certificate is for another name"
    } else {
        "its certificate is not good"
    }
}

/// A socket that nobody can hold open past the deadline by sending byte after byte.
#[derive(Debug)]
pub(super) struct Bounded {
    socket: TcpStream,
    deadline: Instant,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.socket.read(into)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The connection as the HTTP client uses it.
#[derive(Debug)]
pub(super) struct Line {
    wire: Wire,
    buffers: LazyBuffers,
}

#[derive(Debug)]
enum Wire {
    Plain(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(output)?,
            Wire::Tls(stream) => stream.write_all(output)?,
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let amount = match &mut self.wire {
            Wire::Plain(socket) => socket.read(input)?,
            Wire::Tls(stream) => stream.read(input)?,
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Never used twice.
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }
}
