//! The raw tables of history, made from the catalogue, and what it takes to bring QuestDB's to the same shape. Pure.
//!
//! Numbers are FLOAT unless somebody takes differences of them: shares travel in tenths, rates and temperatures are not
//! measured to one part in ten million, and a FLOAT costs half the disk. Amounts of bytes, seconds and counters are
//! DOUBLE, which holds every value that a sample may carry exactly.

use std::borrow::Cow;
use std::collections::BTreeMap;
use watchkeeper_schemas::catalogue::{Kind, Metric, Section, Unit};

/// The designated timestamp of every table.
pub(super) const TIME_COLUMN: &str = "ts";
/// The table of custom gauges.
pub(super) const CUSTOM_TABLE: &str = "custom";
const PARTITION: &str = "HOUR";

/// Types of columns, as few as do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// Microseconds since 1970.
    Timestamp,
    /// A text of few different values.
    Symbol,
    /// 128 bits.
    Uuid,
    /// A whole number.
    Long,
    /// Yes or no; absent reads no.
    Boolean,
    /// A number of which seven digits matter.
    Float,
    /// A number that is kept as it came.
    Double,
}

impl ColumnType {
    /// The word that QuestDB uses.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Timestamp => "TIMESTAMP",
            Self::Symbol => "SYMBOL",
            Self::Uuid => "UUID",
            Self::Long => "LONG",
            Self::Boolean => "BOOLEAN",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
        }
    }

    fn of(metric: &Metric) -> Self {
        match (metric.kind, metric.unit) {
            (Kind::Counter, _) | (_, Unit::Bytes | Unit::Seconds) => Self::Double,
            (Kind::Gauge, Unit::Percent | Unit::BytesPerSecond | Unit::PerSecond | Unit::Count)
            | (Kind::Gauge, Unit::Celsius | Unit::Megahertz | Unit::Microseconds) => Self::Float,
        }
    }
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: Cow<'static, str>,
    /// Its type.
    pub(super) kind: ColumnType,
    /// Whether rows that agree in it (and in the other keys) are one row.
    pub(super) key: bool,
}

impl Column {
    fn key(name: &'static str, kind: ColumnType) -> Self {
        Self { name: Cow::Borrowed(name), kind, key: true }
    }

    fn value(name: impl Into<Cow<'static, str>>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind, key: false }
    }
}

/// What the rows of a table are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A section of the catalogue.
    Section(Section),
    /// The gauges that hosts' owners added.
    Custom,
}

/// One table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What its rows are made of.
    pub(super) source: Source,
    /// The column that tells rows of one sample apart.
    pub(super) label: Option<&'static str>,
    /// All columns, in order.
    pub(super) columns: Vec<Column>,
    /// Metrics of the catalogue with their columns.
    pub(super) metrics: Vec<(String, &'static Metric)>,
}

impl Table {
    fn new(source: Source) -> Self {
        let (name, label) = match source {
            Source::Section(section) => (section.table(), section.label()),
            Source::Custom => (CUSTOM_TABLE, Some("name")),
        };
        let mut columns = vec![
            Column::key(TIME_COLUMN, ColumnType::Timestamp),
            Column::key("team", ColumnType::Symbol),
            Column::key("host", ColumnType::Symbol),
        ];
        columns.extend(label.map(|label| Column::key(label, ColumnType::Symbol)));
        let mut metrics = Vec::new();
        match source {
            Source::Section(section) => {
                metrics.extend(section.metrics().map(|metric| (metric.column(), metric)));
                if section == Section::Host {
                    columns.push(Column::key("boot", ColumnType::Uuid));
                }
                columns.push(Column::key("seq", ColumnType::Long));
                if section == Section::Host {
                    columns.push(Column::value("received", ColumnType::Timestamp));
                    columns.push(Column::value("late", ColumnType::Boolean));
                }
            }
            Source::Custom => {
                columns.push(Column::key("seq", ColumnType::Long));
                columns.push(Column::value("value", ColumnType::Double));
            }
        }
        columns
            .extend(metrics.iter().map(|(name, metric)| Column::value(name.clone(), ColumnType::of(metric))));
        Self { name, source, label, columns, metrics }
    }

    /// The names of the columns in which rows are compared, joined by commas.
    fn keys(&self) -> String {
        let keys: Vec<_> =
            self.columns.iter().filter(|column| column.key).map(|column| &*column.name).collect();
        keys.join(", ")
    }

    /// The statement that makes the table.
    #[must_use]
    pub(super) fn create(&self, retention_hours: u32) -> String {
        let columns: Vec<_> =
            self.columns.iter().map(|column| format!("{} {}", column.name, column.kind.word())).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}) TIMESTAMP({TIME_COLUMN}) PARTITION BY {PARTITION} \
             TTL {retention_hours} HOURS WAL DEDUP UPSERT KEYS({})",
            self.name,
            columns.join(", "),
            self.keys()
        )
    }
}

/// Every raw table.
#[must_use]
pub(super) fn tables() -> Vec<Table> {
    Section::ALL.into_iter().map(Source::Section).chain([Source::Custom]).map(Table::new).collect()
}

/// A table as it stands in QuestDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundTable {
    /// The unit of its partitions.
    pub(super) partition: String,
    /// Whether it has a write-ahead log.
    pub(super) wal: bool,
    /// Whether repeated rows are one.
    pub(super) dedup: bool,
    /// How long rows are kept; nothing where for ever or counted in months.
    pub(super) ttl_hours: Option<u32>,
    /// Its columns by name.
    pub(super) columns: BTreeMap<String, FoundColumn>,
}

/// A column as it stands in QuestDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundColumn {
    /// The word for its type.
    pub(super) kind: String,
    /// Whether it is the designated timestamp.
    pub(super) designated: bool,
    /// Whether it is one of the keys.
    pub(super) key: bool,
}

/// A table that stands in QuestDB in another shape, which cannot be mended without a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "table {table} in QuestDB: {difference}; {}move it away with `RENAME TABLE '{table}' TO '{table}_old'` and a new one is made",
    mending(.remedy)
)]
pub(super) struct Differs {
    /// The table.
    pub(super) table: &'static str,
    /// What is there and what was expected.
    pub(super) difference: String,
    /// The statement that mends it, where there is one.
    pub(super) remedy: Option<String>,
}

fn mending(remedy: &Option<String>) -> String {
    remedy.as_ref().map(|statement| format!("mend it with `{statement}`, or ")).unwrap_or_default()
}

/// The statements that bring a table to its shape; none where it has it. Columns that we do not know are left alone.
///
/// # Errors
/// When it stands in a shape that would lose or double rows: the difference is named with what to do.
pub(super) fn plan(
    table: &Table,
    retention_hours: u32,
    found: Option<&FoundTable>,
) -> Result<Vec<String>, Differs> {
    let Some(found) = found else {
        return Ok(vec![table.create(retention_hours)]);
    };
    let name = table.name;
    let differs =
        |difference: String, remedy: Option<String>| Err(Differs { table: name, difference, remedy });
    if !found.wal {
        return differs("it has no write-ahead log".into(), Some(format!("ALTER TABLE {name} SET TYPE WAL")));
    }
    if found.partition != PARTITION {
        let difference = format!("its partitions are by {}, expected {PARTITION}", found.partition);
        return differs(difference, None);
    }
    let mut statements = Vec::new();
    for column in &table.columns {
        let (column_name, word) = (&column.name, column.kind.word());
        match found.columns.get(&**column_name) {
            None if column.key => {
                return differs(format!("the key column {column_name} is missing"), None);
            }
            None => {
                statements.push(format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column_name} {word}"))
            }
            Some(there) if there.kind != word => {
                let difference = format!("column {column_name} is {}, expected {word}", there.kind);
                return differs(
                    difference,
                    Some(format!("ALTER TABLE {name} ALTER COLUMN {column_name} TYPE {word}")),
                );
            }
            Some(there) if there.designated != (column_name == TIME_COLUMN) => {
                let difference = format!("the designated timestamp is not {TIME_COLUMN}");
                return differs(difference, None);
            }
            Some(_) => {}
        }
    }
    let key_there = |column: &Column| found.columns.get(&*column.name).is_some_and(|there| there.key);
    if !found.dedup || table.columns.iter().any(|column| column.key != key_there(column)) {
        let difference = format!("repeated rows are not told by ({})", table.keys());
        return differs(
            difference,
            Some(format!("ALTER TABLE {name} DEDUP ENABLE UPSERT KEYS({})", table.keys())),
        );
    }
    if found.ttl_hours != Some(retention_hours) {
        statements.push(format!("ALTER TABLE {name} SET TTL {retention_hours} HOURS"));
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::catalogue::CATALOGUE;

    const DAY_HOURS: u32 = 24;

    fn table(name: &str) -> Table {
        tables().into_iter().find(|table| table.name == name).unwrap()
    }

    /// What QuestDB would report of a table made by us.
    fn as_made(table: &Table) -> FoundTable {
        let column = |column: &Column| FoundColumn {
            kind: column.kind.word().to_owned(),
            designated: column.name == TIME_COLUMN,
            key: column.key,
        };
        FoundTable {
            partition: PARTITION.to_owned(),
            wal: true,
            dedup: true,
            ttl_hours: Some(DAY_HOURS),
            columns: table.columns.iter().map(|it| (it.name.to_string(), column(it))).collect(),
        }
    }

    #[test]
    fn the_tables_are_those_of_the_golden_file() {
        let in_lines = |table: &Table| {
            let statement = table.create(DAY_HOURS);
            let (columns, rest) = statement.split_once(") TIMESTAMP(").unwrap();
            let columns = columns.replace(" (", " (\n    ").replace(", ", ",\n    ");
            format!("{columns}\n) TIMESTAMP({rest};\n")
        };
        let text: String = tables().iter().map(in_lines).collect();
        assert_eq!(
            text,
            include_str!("schema.sql"),
            "where the change is meant, schema.sql becomes:\n{text}"
        );
    }

    #[test]
    fn a_table_of_the_right_shape_is_left_alone() {
        for table in tables() {
            assert_eq!(plan(&table, DAY_HOURS, Some(&as_made(&table))), Ok(vec![]), "{}", table.name);
        }
    }

    #[test]
    fn a_missing_table_is_made_a_missing_column_added_and_another_retention_set() {
        let disk = table("disk");
        assert_eq!(plan(&disk, 48, None).unwrap(), [disk.create(48)]);
        let mut found = as_made(&disk);
        found.columns.remove("used_pct");
        found.columns.remove("free_bytes");
        let statements = plan(&disk, 48, Some(&found)).unwrap();
        assert_eq!(
            statements,
            [
                "ALTER TABLE disk ADD COLUMN IF NOT EXISTS free_bytes DOUBLE",
                "ALTER TABLE disk ADD COLUMN IF NOT EXISTS used_pct FLOAT",
                "ALTER TABLE disk SET TTL 48 HOURS",
            ]
        );
    }

    #[test]
    fn a_column_of_somebody_else_is_left_alone() {
        let disk = table("disk");
        let mut found = as_made(&disk);
        found
            .columns
            .insert("note".into(), FoundColumn { kind: "VARCHAR".into(), designated: false, key: false });
        assert_eq!(plan(&disk, DAY_HOURS, Some(&found)), Ok(vec![]));
    }

    #[test]
    fn what_would_lose_or_double_rows_is_refused_with_the_remedy() {
        let check = |change: fn(&mut FoundTable), expected: &[&str]| {
            let disk = table("disk");
            let mut found = as_made(&disk);
            change(&mut found);
            let message = plan(&disk, DAY_HOURS, Some(&found)).unwrap_err().to_string();
            for part in expected {
                assert!(message.contains(part), "{message}");
            }
        };
        check(|it| it.wal = false, &["table disk", "no write-ahead log", "SET TYPE WAL"]);
        check(
            |it| it.partition = "DAY".into(),
            &["by DAY, expected HOUR", "; move it away with `RENAME TABLE 'disk' TO 'disk_old'`"],
        );
        check(|it| it.dedup = false, &["DEDUP ENABLE UPSERT KEYS(ts, team, host, mount, seq)"]);
        check(
            |it| it.columns.get_mut("mount").unwrap().key = false,
            &["told by (ts, team, host, mount, seq)"],
        );
        check(
            |it| it.columns.get_mut("used_pct").unwrap().kind = "DOUBLE".into(),
            &["used_pct is DOUBLE, expected FLOAT", "ALTER TABLE disk ALTER COLUMN used_pct TYPE FLOAT"],
        );
        check(|it| drop(it.columns.remove("mount")), &["the key column mount is missing"]);
    }

    #[test]
    fn no_value_of_a_float_column_becomes_infinite() {
        for metric in CATALOGUE.iter().filter(|metric| ColumnType::of(metric) == ColumnType::Float) {
            assert!((metric.max as f32).is_finite() && (metric.min as f32).is_finite(), "{}", metric.name);
        }
    }
}
