//! The configuration file of nats-server: one text for development, tests, containers and production.

use crate::files::SetupError;
use crate::layout::Layout;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How the port that clients connect to is kept from eavesdroppers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// It is not: good on loopback alone.
    Off,
    /// By the server itself.
    Files {
        /// Certificate and chain, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
    /// By something before the server, or because its network holds nobody else.
    Elsewhere,
}

impl Tls {
    /// The same with whole paths: the server takes relative ones from wherever it was started. Links stay, because a
    /// renewed certificate lies behind the same one.
    pub(crate) fn whole(&self) -> Result<Self, SetupError> {
        let whole = |path: &Path| {
            let found = std::path::absolute(path);
            found.map_err(|source| SetupError::Io { doing: "find", path: path.to_owned(), source })
        };
        Ok(match self {
            Self::Files { cert, key } => Self::Files { cert: whole(cert)?, key: whole(key)? },
            Self::Off | Self::Elsewhere => self.clone(),
        })
    }
}

/// The text of `nats-server.conf`.
///
/// # Errors
/// The path that cannot be written into it, and why.
pub(crate) fn render(
    layout: &Layout,
    listen: SocketAddr,
    tls: &Tls,
    system_account: &str,
) -> Result<String, (PathBuf, io::Error)> {
    let operator = quoted(&layout.operator_jwt())?;
    let accounts = quoted(&layout.accounts())?;
    let jetstream = quoted(&layout.jetstream())?;
    let tls = tls_block(tls)?;
    Ok(format!(
        r#"# The NATS server of Watchkeeper. Written by `watchkeeper-gateway nats setup`, which overwrites changes.

# Where agents and our programs connect.
listen: "{listen}"
# Operator mode: who may connect, and as what, stands in signed claims; there are no passwords.
operator: {operator}
# Where the server answers questions about itself.
system_account: {system_account}
# One JWT for each account. Pushed ones, with their revocations, are kept here;
# no resolver_preload, which would bring older ones back at every start.
resolver: {{ type: full, dir: {accounts}, allow_delete: true }}

jetstream {{
  store_dir: {jetstream}
  # An acknowledged message is on disk, not in a buffer that a power cut empties.
  sync_interval: always
  # Ceilings above those of the streams themselves.
  max_memory_store: 1GB
  max_file_store: 64GB
  # A flood is refused before it fills the server's memory.
  max_buffered_msgs: 500
  max_buffered_size: 8MB
}}

# Who reads too slowly is cut off before others pay for it.
max_pending: 4MB
write_deadline: "2s"
# Who connects proves its identity within one second.
authorization {{ timeout: 1 }}
{tls}
# Closed, because nothing above opens them: websocket, MQTT, leaf nodes, clusters and HTTP monitoring.
"#
    ))
}

/// What the client port says about TLS; nothing where it speaks none.
fn tls_block(tls: &Tls) -> Result<String, (PathBuf, io::Error)> {
    let Tls::Files { cert, key } = tls else { return Ok(String::new()) };
    let (cert, key) = (quoted(cert)?, quoted(key)?);
    Ok(format!(
        r#"
# Nobody listens in between: a client that does not speak TLS is not answered.
tls {{
  cert_file: {cert}
  key_file: {key}
  timeout: 5
}}
"#
    ))
}

/// A path as a string of the configuration language.
fn quoted(path: &Path) -> Result<String, (PathBuf, io::Error)> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| {
        let reason = "nats-server reads only paths of UTF-8 without control characters";
        (path.to_owned(), io::Error::new(io::ErrorKind::InvalidFilename, reason))
    })?;
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_a_path_end_no_string() {
        assert_eq!(quoted(Path::new(r#"/a "b"\c"#)).unwrap(), r#""/a \"b\"\\c""#);
        assert!(quoted(Path::new("/a\nb")).is_err());
    }
}
