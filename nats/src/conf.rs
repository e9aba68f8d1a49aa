//! The configuration file of nats-server: one text for development, tests, containers and production.

use crate::layout::Layout;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The text of `nats-server.conf`.
///
/// # Errors
/// The path that cannot be written into it, and why.
pub(crate) fn render(
    layout: &Layout,
    listen: SocketAddr,
    system_account: &str,
) -> Result<String, (PathBuf, io::Error)> {
    let operator = quoted(&layout.operator_jwt())?;
    let accounts = quoted(&layout.accounts())?;
    let jetstream = quoted(&layout.jetstream())?;
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

# Closed, because nothing above opens them: websocket, MQTT, leaf nodes, clusters and HTTP monitoring.
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
