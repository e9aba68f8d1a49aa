//! Stores a batch of events: decode, encode, send; what QuestDB refuses is searched out and set apart.

use super::ddl::{self, EnsureError};
use super::http::{QuestDb, QuestDbError};
use super::rows::{self, Entry};
use super::schema::{self, Table};
use questdb::ingress::Buffer;
use std::time::{Duration, Instant};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::subjects::{SampleSubject, TICK};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::processor::{Failure, Poisoned};

/// Rows in one request at most: larger ones make QuestDB crash on a full disk where these get an error.
const REQUEST_ROWS_MAX: usize = 10_000;
/// The tables are looked at again this often: a suspended one acknowledges rows and shows none.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Times that were not believed are logged at most this often.
const CLAMPED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a store did since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Samples that are on QuestDB's disk.
    pub samples: u64,
    /// Rows that are on QuestDB's disk.
    pub rows: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Samples whose time was not believed.
    pub clamped: u64,
    /// Events that can never be stored.
    pub poisoned: u64,
}

/// Why a batch is to come again.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("samples cannot be stored")]
    Write(#[source] QuestDbError),
    #[error(transparent)]
    Ensure(#[from] EnsureError),
}

/// The tables of one QuestDB and how samples get there.
pub(super) struct Store {
    questdb: QuestDb,
    tables: Vec<Table>,
    retention_hours: u32,
    buffer: Buffer,
    /// The tables are to be looked at before the next write from here on; at once where there is none.
    look_due: Option<Instant>,
    clamped_log_due: Option<Instant>,
    counts: Counts,
}

impl Store {
    /// A store; nothing is sent yet.
    #[must_use]
    pub(super) fn new(questdb: QuestDb, retention_hours: u32) -> Self {
        Self {
            questdb,
            tables: schema::tables(),
            retention_hours,
            buffer: rows::buffer(),
            look_due: None,
            clamped_log_due: None,
            counts: Counts::default(),
        }
    }

    /// What it did so far.
    #[must_use]
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Stores every event of a batch. An empty batch only brings the tables into shape.
    ///
    /// # Errors
    /// [`Failure::Retry`] where not all of it is on QuestDB's disk; [`Failure::Poison`] where all is but what never can be.
    pub(super) fn store(&mut self, batch: &[Event]) -> Result<(), Failure> {
        let (mut entries, mut poisoned) = self.decode(batch);
        // In order of time QuestDB appends; what is behind makes it merge.
        entries.sort_by_key(|entry| entry.time);
        if let Err(error) = self.write_all(&entries, &mut poisoned) {
            // Whatever comes back there need not be what was left.
            self.look_due = None;
            return Err(Failure::retry(error));
        }
        poisoned.sort_by_key(|poison| poison.index);
        self.count(&entries, &poisoned);
        Failure::unless_empty(poisoned)
    }

    fn decode(&self, batch: &[Event]) -> (Vec<Entry>, Vec<Poisoned>) {
        let (mut entries, mut poisoned) = (Vec::with_capacity(batch.len()), Vec::new());
        let samples = batch.iter().enumerate().filter(|(_, event)| event.subject.as_str() != TICK);
        for (index, event) in samples {
            match self.entry(index, event) {
                Ok(entry) => entries.push(entry),
                Err((reason, detail)) => poisoned.push(Poisoned { index, reason, detail }),
            }
        }
        (entries, poisoned)
    }

    fn entry(&self, index: usize, event: &Event) -> Result<Entry, (&'static str, String)> {
        let subject: SampleSubject =
            event.subject.parse().map_err(|error| ("bad_subject", format!("{error}")))?;
        let sample =
            codec::decode(&subject, &event.payload).map_err(|error| (error.reason(), error.to_string()))?;
        Ok(Entry::new(index, sample, subject.lane, event.received, self.retention_hours))
    }

    fn write_all(&mut self, entries: &[Entry], poisoned: &mut Vec<Poisoned>) -> Result<(), StoreError> {
        if self.look_due.is_none_or(|due| due <= Instant::now()) {
            self.look()?;
        }
        let mut rest = entries;
        while !rest.is_empty() {
            let (request, behind) = rest.split_at(fitting(rest));
            match self.send(request) {
                Err(QuestDbError::Refused { .. }) => {
                    // A table or column may have gone; only what tables of our shape refuse is a bad event.
                    ddl::settle(&self.questdb, &self.tables)?;
                    self.look()?;
                    self.isolate(request, poisoned)?;
                }
                sent => sent.map_err(StoreError::Write)?,
            }
            rest = behind;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), EnsureError> {
        ddl::ensure(&self.questdb, &self.tables, self.retention_hours)?;
        self.look_due = Some(Instant::now() + LOOK_INTERVAL);
        Ok(())
    }

    /// Sends entries of which some are refused, in halves, until those stand alone. Of a refused request nothing is
    /// stored.
    fn isolate(&mut self, entries: &[Entry], poisoned: &mut Vec<Poisoned>) -> Result<(), StoreError> {
        match (self.send(entries), entries) {
            (Err(QuestDbError::Refused { message, .. }), [alone]) => {
                poisoned.push(Poisoned { index: alone.index, reason: "refused_by_questdb", detail: message });
                Ok(())
            }
            (Err(QuestDbError::Refused { .. }), _) => {
                let (first, second) = entries.split_at(entries.len() / 2);
                self.isolate(first, poisoned)?;
                self.isolate(second, poisoned)
            }
            (sent, _) => sent.map_err(StoreError::Write),
        }
    }

    fn send(&mut self, entries: &[Entry]) -> Result<(), QuestDbError> {
        self.buffer.clear();
        for entry in entries {
            rows::append(&mut self.buffer, &self.tables, entry).map_err(|error| QuestDbError::Refused {
                what: "rows".to_owned(),
                message: error.to_string(),
            })?;
        }
        self.counts.requests += 1;
        self.questdb.write(self.buffer.as_bytes())
    }

    fn count(&mut self, entries: &[Entry], poisoned: &[Poisoned]) {
        let refused = |entry: &Entry| poisoned.iter().any(|poison| poison.index == entry.index);
        let stored = || entries.iter().filter(|entry| !refused(entry));
        self.counts.samples += stored().count() as u64;
        self.counts.rows += stored().map(Entry::rows).sum::<usize>() as u64;
        self.counts.poisoned += poisoned.len() as u64;
        let mut clamped = stored().filter(|entry| entry.is_clamped());
        if let Some(first) = clamped.next() {
            self.counts.clamped += 1 + clamped.count() as u64;
            self.tell_clamped(first);
        }
    }

    fn tell_clamped(&mut self, first: &Entry) {
        let now = Instant::now();
        if self.clamped_log_due.is_none_or(|due| due <= now) {
            self.clamped_log_due = Some(now + CLAMPED_LOG_INTERVAL);
            let (host, claimed, received) = (&first.sample.host, first.sample.time, first.received);
            let total = self.counts.clamped;
            tracing::warn!(%host, %claimed, %received, total, "a host's clock is not believed: its samples are stored at the edge");
        }
    }
}

/// How many entries from the first on make one request: at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut rows = 0;
    let fit = entries.iter().take_while(|entry| {
        rows += entry.rows();
        rows <= REQUEST_ROWS_MAX
    });
    fit.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::ids::BootId;
    use watchkeeper_schemas::quantity::{Pct, UnixMs};
    use watchkeeper_schemas::sample::{Core, Sample};
    use watchkeeper_schemas::subjects::Lane;

    fn entry(cores: usize) -> Entry {
        let subject = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        let mut sample = Sample::empty(&subject, BootId([1; 16]), 1, UnixMs(1_700_000_000_000), 5000);
        sample.cores = (0..cores).map(|core| Core { core: core as u16, usage_pct: Pct(0) }).collect();
        Entry::new(0, sample, Lane::Live, UnixMs(1_700_000_000_000), 24)
    }

    #[test]
    fn requests_hold_whole_samples_up_to_the_limit_and_always_one() {
        let check = |cores: &[usize], expected: usize| {
            let entries: Vec<_> = cores.iter().copied().map(entry).collect();
            assert_eq!(fitting(&entries), expected, "{cores:?}");
        };
        check(&[3], 1);
        check(&[4999, 4999, 0], 2);
        check(&[4999, 5000], 1);
        check(&[20_000, 1], 1);
    }
}
