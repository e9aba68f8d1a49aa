//! One host as it is shown: everything that leaves the gateway about it, rendered once for each change, when it is looked at.

use crate::fleet::place::Place;
use crate::fleet::status::Status;
use crate::fleet::summary::{Heard, HostSummary};
use crate::fleet::watched::Watched;
use bytes::Bytes;
use serde::Serialize;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use watchkeeper_schemas::ids::{BootId, HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::view::{HostHead, HostView, Numbers};

/// Bytes of a rendered summary event, for a first guess.
const EVENT_BYTES_USUAL: usize = 700;
/// Bytes of what stands before the bucket's view, for a first guess.
const HEAD_BYTES_USUAL: usize = 400;

/// One host as it is shown. What nobody looks at is not rendered.
#[derive(Debug, Clone)]
pub struct Host {
    /// Whose view it is, and of when.
    pub heard: Heard,
    /// How it does.
    pub status: Status,
    /// The revision of the bucket that it was read from; 0 where kept from an earlier bucket, or never heard.
    pub revision: u64,
    /// Counts every change of any host in this process; the newest change of this one.
    pub change: u64,
    /// Where a client stands who has the newest change.
    place: Place,
    flagged: bool,
    watched: Option<Arc<Watched>>,
    /// The bucket's view behind its `{`.
    view: Bytes,
    line: OnceLock<Line>,
    full: OnceLock<Bytes>,
}

/// The event that tells the newest change with the summary.
#[derive(Debug, Clone)]
struct Line {
    event: Bytes,
    json_at: usize,
    name: String,
    /// Whether the whole view can be shown, too.
    sound: bool,
}

impl Host {
    /// A host as the bucket tells it.
    ///
    /// # Errors
    /// When the view does not tell whose and of when it is.
    pub fn read(
        view: &[u8],
        revision: u64,
        watched: Option<Arc<Watched>>,
        now: UnixMs,
    ) -> Result<Self, serde_json::Error> {
        let heard = Heard::of_view(view)?;
        let view = view.trim_ascii_start().strip_prefix(b"{").unwrap_or(view);
        let (status, flagged) = judged(&heard, watched.as_deref(), now);
        Ok(Self {
            heard,
            status,
            revision,
            change: 0,
            place: Place::default(),
            flagged,
            watched,
            // The copy lets go of the network buffer that the bucket's bytes are a slice of.
            view: Bytes::copy_from_slice(view),
            line: OnceLock::new(),
            full: OnceLock::new(),
        })
    }

    /// A host that is configured and was never heard.
    ///
    /// # Errors
    /// Never: such a view can be read.
    pub fn unheard(
        team: &TeamId,
        id: &HostId,
        watched: Arc<Watched>,
        now: UnixMs,
    ) -> Result<Self, serde_json::Error> {
        let subject = SampleSubject::live(team.clone(), id.clone());
        let never = UnixMs(0);
        let sample = Sample::empty(&subject, BootId::default(), 0, never, watched.interval_ms);
        let head = HostHead {
            v: 1,
            team: team.clone(),
            host: id.clone(),
            shard: subject.shard,
            sequence: 0,
            boot: BootId::default(),
            seq: 0,
            time: never,
            received: never,
            interval_ms: watched.interval_ms,
            lost_samples: 0,
            dropped_values: 0,
            unreadable_samples: 0,
            inventory: None,
        };
        let mut view = serde_json::to_value(HostView { head: &head, numbers: Numbers(&sample) })?;
        for unknown in ["boot", "time", "received"] {
            view[unknown] = serde_json::Value::Null;
        }
        Self::read(&serde_json::to_vec(&view)?, 0, Some(watched), now)
    }

    /// Judges again how it does; tells whether that changed.
    pub fn judge(&mut self, now: UnixMs) -> bool {
        let judged = judged(&self.heard, self.watched.as_deref(), now);
        let changed = judged != (self.status, self.flagged);
        (self.status, self.flagged) = judged;
        changed
    }

    /// Takes over another configuration. Told with the next [`Host::at`].
    pub fn configure(&mut self, watched: Option<Arc<Watched>>, now: UnixMs) {
        (self.status, self.flagged) = judged(&self.heard, watched.as_deref(), now);
        self.watched = watched;
    }

    /// What is known now is told as a change that brings a client to `place`.
    pub fn at(&mut self, place: Place) {
        self.place = place;
        self.line = OnceLock::new();
        self.full = OnceLock::new();
    }

    /// How it is configured; nothing where the journal does not know it.
    #[must_use]
    pub fn watched(&self) -> Option<&Arc<Watched>> {
        self.watched.as_ref()
    }

    /// Whether only the clock told what it is now: then no place tells who knows of it.
    #[must_use]
    pub fn is_of_time(&self) -> bool {
        let flag = self.watched.as_ref().and_then(|watched| watched.flagged_until);
        self.status == Status::Silent || flag.is_some()
    }

    /// Whether it was stored before the host was configured: of another with the same id.
    #[must_use]
    pub fn is_of_another(&self, watched: &Watched) -> bool {
        self.heard.received.is_none_or(|received| received <= watched.since)
    }

    /// The summary as JSON.
    #[must_use]
    pub fn summary_json(&self) -> &[u8] {
        let line = self.line();
        &line.event[line.json_at..line.event.len() - 2]
    }

    /// The event that tells the newest change with the summary.
    #[must_use]
    pub fn summary_event(&self) -> &[u8] {
        &self.line().event
    }

    /// What stands before the JSON in that event; the same before the whole view.
    #[must_use]
    pub fn event_head(&self) -> &[u8] {
        let line = self.line();
        &line.event[..line.json_at]
    }

    /// The whole view: what the journal and the clock say, then what the bucket says.
    #[must_use]
    pub fn full(&self) -> &Bytes {
        self.full.get_or_init(|| self.rendered_view())
    }

    fn line(&self) -> &Line {
        self.line.get_or_init(|| self.rendered_line())
    }

    fn rendered_line(&self) -> Line {
        let read = HostSummary::of_view(&[b"{", &self.view[..]].concat());
        let sound = read.is_ok();
        let mut summary = read.unwrap_or_else(|error| {
            tracing::warn!(%error, host = %self.heard.host, "the numbers of a view cannot be read");
            HostSummary::without_numbers(&self.heard)
        });
        (summary.status, summary.flagged) = (self.status, self.flagged);
        if let Some(watched) = self.watched.as_deref() {
            summary.name.clone_from(&watched.name);
            summary.tags.clone_from(&watched.tags);
            summary.paused = watched.paused;
            summary.revision = watched.revision;
        }
        let mut event = Vec::with_capacity(EVENT_BYTES_USUAL);
        let head = write!(event, "id: {}\nevent: host\ndata: ", self.place);
        let json_at = event.len();
        let json = serde_json::to_writer(&mut event, &summary);
        event.extend_from_slice(b"\n\n");
        debug_assert!(head.is_ok() && json.is_ok(), "memory takes every byte");
        Line { event: event.into(), json_at, name: summary.name, sound }
    }

    /// Puts status and configuration before the bucket's view.
    ///
    /// The bucket's value is an object with at least one field, so this is `{"status":"…",…,` and what stands behind
    /// its `{`.
    fn rendered_view(&self) -> Bytes {
        let line = self.line();
        if !line.sound {
            return Bytes::copy_from_slice(self.summary_json());
        }
        let watched = self.watched.as_deref();
        let config = watched.map_or(&b"null"[..], |watched| &watched.json);
        let mut full = Vec::with_capacity(HEAD_BYTES_USUAL + config.len() + self.view.len());
        let written = serde_json::to_writer(
            &mut full,
            &Head {
                status: self.status,
                name: &line.name,
                tags: watched.map_or(&[], |watched| &watched.tags),
                paused: watched.is_some_and(|watched| watched.paused),
                flagged: self.flagged,
                revision: watched.map_or(0, |watched| watched.revision),
            },
        );
        debug_assert!(written.is_ok(), "memory takes every byte");
        full.pop();
        full.extend_from_slice(b",\"config\":");
        full.extend_from_slice(config);
        full.push(b',');
        full.extend_from_slice(&self.view);
        // Line breaks in JSON are white space; in an event they would end the line.
        if self.view.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            full.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        full.into()
    }
}

fn judged(heard: &Heard, watched: Option<&Watched>, now: UnixMs) -> (Status, bool) {
    let status = Status::of(watched, heard.received, heard.interval_ms, now);
    let flag = watched.and_then(|watched| watched.flagged_until);
    (status, flag.is_some_and(|until| now < until))
}

/// What the whole view says first.
#[derive(Serialize)]
struct Head<'a> {
    status: Status,
    name: &'a str,
    tags: &'a [String],
    paused: bool,
    flagged: bool,
    revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: &[u8] = br#" {"host":"a","sequence":1,"time":"2026-01-01T00:00:00.000Z","received":"2026-01-01T00:00:00.000Z","interval_ms":1000}"#;

    #[test]
    fn a_view_written_over_several_lines_stays_one_event() {
        let view = String::from_utf8_lossy(VIEW).replace(',', ",\r\n");
        let host = Host::read(view.as_bytes(), 1, None, UnixMs(0)).unwrap();
        assert!(!host.full().contains(&b'\n') && !host.full().contains(&b'\r'));
        assert!(serde_json::from_slice::<serde_json::Value>(host.full()).is_ok());
    }

    #[test]
    fn the_whole_view_says_its_status_first_and_again_when_it_changes() {
        let received = 1_767_225_600_000;
        let mut host = Host::read(VIEW, 3, None, UnixMs(received)).unwrap();
        host.at(Place { epoch: 1, revision: 3, journal: 2 });
        assert!(host.full().starts_with(br#"{"status":"active","name":"a""#));
        assert!(host.summary_event().starts_with(b"id: 1-3-2\nevent: host\ndata: {\"host\":\"a\""));
        assert!(!host.judge(UnixMs(received + 30_000)));
        assert!(host.judge(UnixMs(received + 30_001)));
        host.at(Place { epoch: 1, revision: 9, journal: 2 });
        let full: serde_json::Value = serde_json::from_slice(host.full()).unwrap();
        assert_eq!((&full["status"], &full["host"]), (&"silent".into(), &"a".into()));
        let summary: serde_json::Value = serde_json::from_slice(host.summary_json()).unwrap();
        assert_eq!(summary["status"], "silent");
        assert_eq!(host.event_head(), b"id: 1-9-2\nevent: host\ndata: ");
    }

    #[test]
    fn a_view_whose_numbers_cannot_be_read_breaks_no_list() {
        for rest in [r#","cpu":"#, r#","cpu":{"usage_pct":"x"}}"#, ""] {
            let view = String::from_utf8_lossy(VIEW).replace('}', rest);
            let host = Host::read(view.as_bytes(), 1, None, UnixMs(0)).unwrap();
            for shown in [host.summary_json(), host.full()] {
                let json: serde_json::Value = serde_json::from_slice(shown).unwrap();
                assert_eq!((&json["host"], &json["sequence"]), (&"a".into(), &1.into()), "{view}");
            }
        }
    }
}
