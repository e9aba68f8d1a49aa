//! What became of every message: totals, acknowledged ranges by host, and the log for outside verifiers.

use super::values::{Fleet, host_id};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Messages by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Handed to NATS.
    pub published: u64,
    /// Stored, says the server.
    pub acknowledged: u64,
    /// Not stored, says the server.
    pub refused: u64,
    /// No answer in time: may be stored or not.
    pub unanswered: u64,
    /// Largest sequence in the stream that an acknowledgement named.
    pub stream_sequence: u64,
}

/// Keeps count; the log is written through a buffer and flushed at every report.
pub(super) struct Ledger {
    fleet: Fleet,
    totals: Totals,
    ranges: BTreeMap<u32, Vec<[u64; 2]>>,
    log: Option<(PathBuf, BufWriter<File>)>,
}

impl Ledger {
    pub(super) fn new(fleet: &Fleet, log: Option<&Path>) -> Result<Self> {
        let log = log.map(|path| {
            let told = || format!("creating {}", path.display());
            let mut file = BufWriter::new(File::create(path).with_context(told)?);
            writeln!(file, "# {}", serde_json::to_string(fleet).with_context(told)?).with_context(told)?;
            anyhow::Ok((path.to_owned(), file))
        });
        Ok(Self {
            fleet: fleet.clone(),
            totals: Totals::default(),
            ranges: BTreeMap::new(),
            log: log.transpose()?,
        })
    }

    pub(super) fn published(&mut self) {
        self.totals.published += 1;
    }

    pub(super) fn refused(&mut self) {
        self.totals.refused += 1;
    }

    pub(super) fn unanswered(&mut self) {
        self.totals.unanswered += 1;
    }

    /// A late answer: the message counted as unanswered before.
    pub(super) fn answered_late(&mut self) {
        self.totals.unanswered = self.totals.unanswered.saturating_sub(1);
    }

    pub(super) fn acknowledged(&mut self, index: u32, seq: u64, stream_sequence: u64) -> Result<()> {
        self.totals.acknowledged += 1;
        self.totals.stream_sequence = self.totals.stream_sequence.max(stream_sequence);
        insert(self.ranges.entry(index).or_default(), seq);
        if let Some((path, log)) = &mut self.log {
            writeln!(log, "{} {seq} {}", host_id(index), self.fleet.time_ms(seq))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.log
            .as_mut()
            .map_or(Ok(()), |(path, log)| log.flush().with_context(|| format!("writing {}", path.display())))
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn ranges(&self) -> BTreeMap<String, Vec<[u64; 2]>> {
        self.ranges.iter().map(|(index, ranges)| (host_id(*index), ranges.clone())).collect()
    }
}

/// Adds a sequence to sorted ranges that neither touch nor overlap.
fn insert(ranges: &mut Vec<[u64; 2]>, seq: u64) {
    let after = ranges.partition_point(|range| range[0] <= seq);
    let joins_before = after > 0 && ranges[after - 1][1] + 1 >= seq;
    let joins_after = ranges.get(after).is_some_and(|range| range[0] == seq + 1);
    match (joins_before, joins_after) {
        (true, true) => {
            ranges[after - 1][1] = ranges[after][1];
            ranges.remove(after);
        }
        (true, false) => ranges[after - 1][1] = ranges[after - 1][1].max(seq),
        (false, true) => ranges[after][0] = seq,
        (false, false) => ranges.insert(after, [seq, seq]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_whatever_the_order_of_answers() {
        let mut ranges = Vec::new();
        for seq in [5, 1, 3, 2, 9, 4, 4, 8] {
            insert(&mut ranges, seq);
        }
        assert_eq!(ranges, [[1, 5], [8, 9]]);
    }
}
