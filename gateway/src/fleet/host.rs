//! One host as it is shown: everything that leaves the gateway about it, rendered once for each change.

use crate::fleet::place::Place;
use crate::fleet::status::Status;
use crate::fleet::summary::HostSummary;
use bytes::Bytes;
use std::io::Write as _;
use watchkeeper_schemas::quantity::UnixMs;

/// Bytes of a rendered summary event, for a first guess.
const EVENT_BYTES_USUAL: usize = 640;

/// One host as it is shown.
#[derive(Debug, Clone)]
pub struct Host {
    /// The few numbers that a table shows.
    pub summary: HostSummary,
    /// The revision of the bucket that it was read from; 0 where kept from an earlier bucket.
    pub revision: u64,
    /// Counts every change of any host in this process; the newest change of this one.
    pub change: u64,
    /// The whole view with its status.
    pub full: Bytes,
    event: Bytes,
    json_at: usize,
}

impl Host {
    /// A host as the bucket tells it.
    ///
    /// # Errors
    /// When the view cannot be read.
    pub fn read(view: &[u8], revision: u64, now: UnixMs) -> Result<Self, serde_json::Error> {
        let mut summary = HostSummary::of_view(view)?;
        summary.status = Status::of(summary.received, summary.interval_ms, now);
        let full = with_status(view, summary.status);
        Ok(Self { summary, revision, change: 0, full, event: Bytes::new(), json_at: 0 })
    }

    /// Judges again whether it is heard; tells whether that changed. Rendered later, by [`Host::render`].
    pub fn judge(&mut self, now: UnixMs) -> bool {
        let status = Status::of(self.summary.received, self.summary.interval_ms, now);
        if status == self.summary.status {
            return false;
        }
        self.full = with_status(without_status(&self.full, self.summary.status), status);
        self.summary.status = status;
        true
    }

    /// Renders the event that tells this change; `place` is where a client stands who has it.
    pub fn render(&mut self, place: Place) {
        let mut event = Vec::with_capacity(EVENT_BYTES_USUAL);
        let head = write!(event, "id: {place}\nevent: host\ndata: ");
        self.json_at = event.len();
        let json = serde_json::to_writer(&mut event, &self.summary);
        event.extend_from_slice(b"\n\n");
        debug_assert!(head.is_ok() && json.is_ok(), "memory takes every byte");
        self.event = Bytes::from(event);
    }

    /// The summary as JSON.
    #[must_use]
    pub fn summary_json(&self) -> &[u8] {
        &self.event[self.json_at..self.event.len() - 2]
    }

    /// The event that tells the newest change with the summary.
    #[must_use]
    pub fn summary_event(&self) -> &[u8] {
        &self.event
    }

    /// What stands before the JSON in that event; the same before the whole view.
    #[must_use]
    pub fn event_head(&self) -> &[u8] {
        &self.event[..self.json_at]
    }
}

/// The whole view as it is shown: the bytes of the bucket with the status put first.
///
/// The bucket's value is an object with at least one field, so this is `{"status":"…",` and what stands behind its `{`.
/// The copy also lets go of the network buffer that the bucket's bytes are a slice of.
fn with_status(view: &[u8], status: Status) -> Bytes {
    let head = head(status);
    let mut full = Vec::with_capacity(head.len() + view.len());
    full.extend_from_slice(head.as_bytes());
    let rest = view.trim_ascii_start().strip_prefix(b"{").unwrap_or(view);
    full.extend_from_slice(rest);
    // Line breaks in JSON are white space; in an event they would end the line.
    if rest.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        full.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
    Bytes::from(full)
}

/// Undoes [`with_status`], but for the `{`.
fn without_status(full: &Bytes, status: Status) -> &[u8] {
    full.strip_prefix(head(status).as_bytes()).unwrap_or(full)
}

fn head(status: Status) -> &'static str {
    match status {
        Status::Fine => r#"{"status":"fine","#,
        Status::Silent => r#"{"status":"silent","#,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &[u8] = br#" {"host":"a","sequence":1,"time":"2026-01-01T00:00:00.000Z","received":"2026-01-01T00:00:00.000Z","interval_ms":1000}"#;

    #[test]
    fn a_view_written_over_several_lines_stays_one_event() {
        let view = String::from_utf8_lossy(VIEW).replace(',', ",\r\n");
        let host = Host::read(view.as_bytes(), 1, UnixMs(0)).unwrap();
        assert!(!host.full.contains(&b'\n') && !host.full.contains(&b'\r'));
        assert!(serde_json::from_slice::<serde_json::Value>(&host.full).is_ok());
    }

    #[test]
    fn the_whole_view_says_its_status_first_and_again_when_it_changes() {
        let received = 1_767_225_600_000;
        let mut host = Host::read(VIEW, 3, UnixMs(received)).unwrap();
        host.render(Place { epoch: 1, revision: 3 });
        assert!(host.full.starts_with(br#"{"status":"fine","host":"a""#));
        assert!(host.summary_event().starts_with(b"id: 1-3\nevent: host\ndata: {\"host\":\"a\""));
        assert!(!host.judge(UnixMs(received + 30_000)));
        assert!(host.judge(UnixMs(received + 30_001)));
        let full: serde_json::Value = serde_json::from_slice(&host.full).unwrap();
        assert_eq!((&full["status"], &full["host"]), (&"silent".into(), &"a".into()));
        host.render(Place { epoch: 1, revision: 9 });
        let summary: serde_json::Value = serde_json::from_slice(host.summary_json()).unwrap();
        assert_eq!(summary["status"], "silent");
        assert_eq!(host.event_head(), b"id: 1-9\nevent: host\ndata: ");
    }
}
