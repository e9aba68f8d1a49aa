//! Samples as rows of the line protocol. Pure.
//!
//! Names come from our schema, values through the client library's buffer, which escapes them: nothing is pasted.

use super::schema::{Source, Table};
use questdb::ingress::{Buffer, ColumnName, ProtocolVersion, TableName, TimestampMicros};
use watchkeeper_schemas::catalogue::Row;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::Lane;

/// How far a host's clock may be ahead of the broker's before its time is not believed, in milliseconds. A row of the
/// future would stay for ever: retention never reaches it.
const AHEAD_MS_MAX: u64 = 10_000;
const HOUR_MS: u64 = 3_600_000;

/// A sample on its way into history.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its event's index in the batch.
    pub(super) index: usize,
    /// What the host reported.
    pub(super) sample: Sample,
    /// Which way it came.
    pub(super) lane: Lane,
    /// When the broker stored it.
    pub(super) received: UnixMs,
    /// Where it stands in history.
    pub(super) time: UnixMs,
}

impl Entry {
    /// An entry at the sample's own time, or at the edge of what is believed.
    #[must_use]
    pub(super) fn new(
        index: usize,
        sample: Sample,
        lane: Lane,
        received: UnixMs,
        retention_hours: u32,
    ) -> Self {
        let earliest = received.0.saturating_sub(u64::from(retention_hours) * HOUR_MS);
        let latest = received.0.saturating_add(AHEAD_MS_MAX);
        let time = UnixMs(sample.time.0.clamp(earliest, latest));
        Self { index, sample, lane, received, time }
    }

    /// Whether the host's time was not believed.
    #[must_use]
    pub(super) fn is_clamped(&self) -> bool {
        self.time != self.sample.time
    }

    /// Rows that it becomes, over all tables.
    #[must_use]
    pub(super) fn rows(&self) -> usize {
        let it = &self.sample;
        let labelled =
            [it.cores.len(), it.disks.len(), it.disk_io.len(), it.networks.len(), it.temperatures.len()];
        1 + labelled.iter().sum::<usize>() + it.custom.len()
    }
}

/// An empty buffer of the newest form of the line protocol: numbers travel in binary.
#[must_use]
pub(super) fn buffer() -> Buffer {
    Buffer::new(ProtocolVersion::V2)
}

/// Appends the rows of an entry; what the sample does not carry is not sent and reads as NULL.
///
/// # Errors
/// When the buffer does not take a value; it then holds half a row and is to be cleared.
pub(super) fn append(buffer: &mut Buffer, tables: &[Table], entry: &Entry) -> questdb::Result<()> {
    for table in tables {
        match table.source {
            Source::Section(section) => {
                let mut result = Ok(());
                section.rows(&entry.sample, |label, row| {
                    if result.is_ok() {
                        result = append_row(buffer, table, entry, label, row);
                    }
                });
                result?;
            }
            Source::Custom => {
                for custom in &entry.sample.custom {
                    begin(buffer, table, entry, custom.name.as_str())?;
                    buffer.column_f64(name("value"), custom.value)?;
                    buffer.at(micros(entry.time))?;
                }
            }
        }
    }
    Ok(())
}

fn append_row(
    buffer: &mut Buffer,
    table: &Table,
    entry: &Entry,
    label: &str,
    row: Row<'_>,
) -> questdb::Result<()> {
    begin(buffer, table, entry, label)?;
    if let Row::Host(sample) = row {
        buffer.column_str(name("boot"), sample.boot.to_string())?;
        buffer.column_ts(name("received"), micros(entry.received))?;
        buffer.column_bool(name("late"), entry.lane == Lane::Backfill)?;
    }
    for (column, metric) in &table.metrics {
        let value = metric.read(row);
        if value.is_finite() {
            buffer.column_f64(name(column), value)?;
        }
    }
    buffer.at(micros(entry.time))
}

fn begin(buffer: &mut Buffer, table: &Table, entry: &Entry, label: &str) -> questdb::Result<()> {
    buffer
        .table(TableName::new_unchecked(table.name))?
        .symbol(name("team"), entry.sample.team.as_str())?
        .symbol(name("host"), entry.sample.host.as_str())?;
    if let Some(column) = table.label {
        buffer.symbol(name(column), label)?;
    }
    buffer.column_i64(name("seq"), i64::try_from(entry.sample.seq).unwrap_or(i64::MAX))?;
    Ok(())
}

/// Our own names hold nothing to check for, which a test shows.
fn name(column: &str) -> ColumnName<'_> {
    ColumnName::new_unchecked(column)
}

fn micros(time: UnixMs) -> TimestampMicros {
    TimestampMicros::new(i64::try_from(time.0).unwrap_or(i64::MAX).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::schema::tables;
    use watchkeeper_schemas::ids::BootId;
    use watchkeeper_schemas::quantity::{Kib, Num, Pct, Text};
    use watchkeeper_schemas::sample::{Custom, Disk, Load, Temperature};
    use watchkeeper_schemas::subjects::SampleSubject;

    const NOON_MS: u64 = 1_700_000_000_000;

    fn sample(time_ms: u64) -> Sample {
        let subject = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        Sample::empty(&subject, BootId([7; 16]), 42, UnixMs(time_ms), 5000)
    }

    /// The rows in the older, readable form of the protocol.
    fn lines(sample: Sample, lane: Lane) -> String {
        let entry = Entry::new(0, sample, lane, UnixMs(NOON_MS + 20), 24);
        let mut buffer = Buffer::new(ProtocolVersion::V1);
        append(&mut buffer, &tables(), &entry).unwrap();
        assert_eq!(buffer.row_count(), entry.rows());
        String::from_utf8(buffer.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_sample_becomes_one_row_a_table_and_label_without_what_it_does_not_carry() {
        let mut sample = sample(NOON_MS);
        sample.load = Some(Load { avg_1: Num(0.25), avg_5: Num(f32::NAN), avg_15: Num(1.5) });
        sample.disks = vec![Disk {
            mount: Text::fit("/"),
            total: Kib(10),
            used: Kib(2),
            free: Kib(6),
            inodes_used_pct: Pct(15),
        }];
        sample.temperatures = vec![Temperature { sensor: Text::fit("cpu"), celsius: Num(41.5) }];
        sample.custom = vec![Custom { name: Text::fit("queue.depth"), value: 3.0 }];
        let boot = "07070707-0707-0707-0707-070707070707";
        assert_eq!(
            lines(sample, Lane::Backfill),
            format!(
                "host,team=default,host=web-1 seq=42i,boot=\"{boot}\",received=1700000000020000t,late=t,load_avg_1=0.25,load_avg_15=1.5 1700000000000000000\n\
                 disk,team=default,host=web-1,mount=/ seq=42i,total_bytes=10240.0,used_bytes=2048.0,free_bytes=6144.0,used_pct=25.0,inodes_used_pct=1.5 1700000000000000000\n\
                 temp,team=default,host=web-1,sensor=cpu seq=42i,celsius=41.5 1700000000000000000\n\
                 custom,team=default,host=web-1,name=queue.depth seq=42i,value=3.0 1700000000000000000\n"
            )
        );
    }

    #[test]
    fn a_hostile_label_stays_a_label() {
        let mut sample = sample(NOON_MS);
        sample.temperatures =
            vec![Temperature { sensor: Text::fit("a,host=other b=1 2\\"), celsius: Num(1.0) }];
        let lines = lines(sample, Lane::Live);
        assert!(lines.contains("sensor=a\\,host\\=other\\ b\\=1\\ 2\\\\ seq=42i"), "{lines}");
    }

    #[test]
    fn a_time_that_is_not_believed_moves_to_the_edge() {
        let check = |time_ms: u64, expected_ms: u64| {
            let entry = Entry::new(0, sample(time_ms), Lane::Live, UnixMs(NOON_MS), 24);
            assert_eq!((entry.time, entry.is_clamped()), (UnixMs(expected_ms), time_ms != expected_ms));
        };
        check(NOON_MS - 5, NOON_MS - 5);
        check(NOON_MS + 10_000, NOON_MS + 10_000);
        check(NOON_MS + HOUR_MS, NOON_MS + 10_000);
        check(NOON_MS - 24 * HOUR_MS, NOON_MS - 24 * HOUR_MS);
        check(NOON_MS - 25 * HOUR_MS, NOON_MS - 24 * HOUR_MS);
    }

    #[test]
    fn every_name_of_ours_needs_no_escape() {
        for table in tables() {
            TableName::new(table.name).unwrap();
            for column in &table.columns {
                ColumnName::new(&column.name).unwrap();
                assert!(
                    column.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                );
            }
        }
    }
}
