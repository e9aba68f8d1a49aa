//! Brings QuestDB to the state in which rows may be written: durable commits, our tables in our shape, none suspended.

use super::http::{QuestDb, QuestDbError};
use super::schema::{self, Differs, FoundColumn, FoundTable, Table};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The only word with which an acknowledged row is on disk; QuestDB takes any other and is silently without.
const DURABLE: &str = "sync";
const COMMIT_MODE: &str = "SELECT value FROM (SHOW PARAMETERS) WHERE property_path = 'cairo.commit.mode'";
const TABLES: &str =
    "SELECT table_name, partitionBy, walEnabled, dedup, ttlValue, ttlUnit, table_suspended FROM tables()";
const UNAPPLIED: &str =
    "SELECT name, writerTxn, sequencerTxn FROM wal_tables() WHERE NOT suspended AND writerTxn < sequencerTxn";
/// Applying what was accepted takes 20 ms, 620 ms under load.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);
const APPLY_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why rows may not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnsureError {
    /// QuestDB is away or will not do what it is asked.
    #[error("cannot prepare the history tables")]
    QuestDb(#[from] QuestDbError),
    /// What it acknowledged could be lost in a power cut.
    #[error(
        "QuestDB at {address} runs with cairo.commit.mode={found:?}: its server.conf must have the line `cairo.commit.mode=sync`; then restart it"
    )]
    NotDurable {
        /// Where it is.
        address: String,
        /// The word that was found.
        found: String,
    },
    /// It accepted changes and does not carry them out.
    #[error("QuestDB has not applied what it accepted for table {table} within {} s", APPLY_TIMEOUT.as_secs())]
    Behind {
        /// One such table.
        table: String,
    },
    /// A table stands there in another shape.
    #[error(transparent)]
    Differs(#[from] Differs),
}

/// Makes, mends and resumes; changes nothing where all is well.
///
/// # Errors
/// When QuestDB is away, is not durable, or holds a table in a shape that needs a decision.
pub(super) fn ensure(questdb: &QuestDb, tables: &[Table], retention_hours: u32) -> Result<(), EnsureError> {
    check_durable(questdb)?;
    let found = find(questdb)?;
    for table in tables {
        let there = found.get(table.name);
        let shape = match there {
            Some(there) => Some(FoundTable { columns: columns(questdb, table)?, ..there.shape.clone() }),
            None => None,
        };
        for statement in schema::plan(table, retention_hours, shape.as_ref())? {
            questdb.execute(&statement)?;
            tracing::info!(statement, "history table changed");
        }
        if there.is_some_and(|there| there.suspended) {
            tracing::warn!(table = table.name, "QuestDB had suspended this table (full disk?): resuming it");
            questdb.execute(&format!("ALTER TABLE {} RESUME WAL", table.name))?;
        }
    }
    Ok(())
}

/// Waits until what QuestDB has accepted for these tables by now is applied. Until then a changed table shows its old
/// shape, while rows are judged by the new one.
///
/// # Errors
/// When QuestDB is away or takes too long.
pub(super) fn settle(questdb: &QuestDb, tables: &[Table]) -> Result<(), EnsureError> {
    type Row = (String, u64, u64);
    let give_up = Instant::now() + APPLY_TIMEOUT;
    let mut accepted: BTreeMap<String, u64> =
        questdb.query::<Row>(UNAPPLIED)?.into_iter().map(|(name, _, accepted)| (name, accepted)).collect();
    accepted.retain(|name, _| tables.iter().any(|table| table.name == name));
    loop {
        let now = questdb.query::<Row>(UNAPPLIED)?;
        let behind = |(name, applied, _): &Row| accepted.get(name).is_some_and(|accepted| applied < accepted);
        match now.into_iter().find(behind) {
            None => return Ok(()),
            Some((table, ..)) if Instant::now() > give_up => return Err(EnsureError::Behind { table }),
            Some(_) => std::thread::sleep(APPLY_LOOK_INTERVAL),
        }
    }
}

fn check_durable(questdb: &QuestDb) -> Result<(), EnsureError> {
    let values = questdb.query::<(String,)>(COMMIT_MODE)?;
    match values.first().map_or("", |(value,)| value.as_str()) {
        DURABLE => Ok(()),
        other => {
            Err(EnsureError::NotDurable { address: questdb.address().to_owned(), found: other.to_owned() })
        }
    }
}

struct There {
    /// Without columns.
    shape: FoundTable,
    suspended: bool,
}

fn find(questdb: &QuestDb) -> Result<BTreeMap<String, There>, QuestDbError> {
    type Row = (String, String, bool, bool, u32, String, bool);
    let rows = questdb.query::<Row>(TABLES)?;
    let there = rows.into_iter().map(|(name, partition, wal, dedup, ttl, unit, suspended)| {
        let shape =
            FoundTable { partition, wal, dedup, ttl_hours: hours(ttl, &unit), columns: BTreeMap::new() };
        (name, There { shape, suspended })
    });
    Ok(there.collect())
}

fn columns(questdb: &QuestDb, table: &Table) -> Result<BTreeMap<String, FoundColumn>, QuestDbError> {
    type Row = (String, String, bool, bool);
    let statement =
        format!("SELECT \"column\", type, designated, upsertKey FROM table_columns('{}')", table.name);
    let rows = questdb.query::<Row>(&statement)?;
    Ok(rows
        .into_iter()
        .map(|(name, kind, designated, key)| (name, FoundColumn { kind, designated, key }))
        .collect())
}

/// QuestDB shows a retention in the largest unit that divides it.
fn hours(value: u32, unit: &str) -> Option<u32> {
    match unit {
        "HOUR" => Some(value),
        "DAY" => value.checked_mul(24),
        "WEEK" => value.checked_mul(24 * 7),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_read_in_whatever_unit_it_is_shown() {
        assert_eq!([hours(25, "HOUR"), hours(2, "DAY"), hours(1, "WEEK")], [Some(25), Some(48), Some(168)]);
        assert_eq!([hours(1, "MONTH"), hours(u32::MAX, "DAY")], [None, None]);
    }
}
