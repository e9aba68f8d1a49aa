//! Reads history back: the mean of each minute, of some metrics of some hosts of one team.

use super::http::{QuestDb, QuestDbError};
use super::schema::{CUSTOM_TABLE, TIME_COLUMN};
use serde_json::Value;
use std::collections::BTreeSet;
use watchkeeper_schemas::catalogue::{Metric, Section};
use watchkeeper_schemas::ids::{HostId, MetricName, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::CUSTOM_PREFIX;

/// Rows of one answer at most: some MiB.
const ROWS_MAX: usize = 20_000;
/// More hosts are not named in a question: all of the team are read.
const NAMED_HOSTS_MAX: usize = 50;
/// Rows that a host usually has in a table with a label.
const ROWS_USUAL: usize = 8;
const MINUTE_MS: u64 = 60_000;
/// Minutes that are asked for at once at most.
const MINUTES_MAX: usize = 60;

/// A metric whose means are wanted.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// Of the catalogue.
    Known(&'static Metric),
    /// By the name behind `custom.`.
    Custom(String),
}

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Minutes<'a> {
    pub(crate) team: &'a TeamId,
    pub(crate) hosts: &'a BTreeSet<HostId>,
    pub(crate) metrics: &'a [Wanted],
}

/// One mean, or that a host reported at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mean {
    /// When the minute began.
    pub(crate) minute: UnixMs,
    /// Whose.
    pub(crate) host: String,
    /// Of which of the metrics, in which row (empty for scalars), and what; nothing: only that it reported.
    pub(crate) value: Option<(usize, String, f64)>,
}

/// A question to one table, and which of the metrics its columns are.
#[derive(Debug, PartialEq)]
struct Question {
    sql: String,
    label: bool,
    columns: Vec<usize>,
    /// Metrics of the rows of custom gauges, by name.
    customs: Vec<(String, usize)>,
}

impl Minutes<'_> {
    /// How many minutes are best read at once.
    #[must_use]
    pub(crate) fn at_once(&self) -> u64 {
        let has_label = |wanted: &Wanted| match wanted {
            Wanted::Known(metric) => metric.section() != Section::Host,
            Wanted::Custom(_) => true,
        };
        let rows = if self.metrics.iter().any(has_label) { ROWS_USUAL } else { 1 };
        (ROWS_MAX / (self.hosts.len().max(1) * rows)).clamp(1, MINUTES_MAX) as u64
    }

    /// The means of whole minutes, in order of time; whether there are more than one answer holds.
    ///
    /// # Errors
    /// As [`QuestDbError`].
    pub(crate) fn read(
        &self,
        questdb: &QuestDb,
        (from, to): (UnixMs, UnixMs),
    ) -> Result<(Vec<Mean>, bool), QuestDbError> {
        let (mut means, mut cut) = (Vec::new(), false);
        for question in self.questions(from, to) {
            let rows: Vec<Vec<Value>> = questdb.query(&question.sql)?;
            cut |= rows.len() >= ROWS_MAX;
            rows.iter().for_each(|row| question.take(row, &mut means));
        }
        means.sort_by(|a, b| (a.minute, &a.host).cmp(&(b.minute, &b.host)));
        Ok((means, cut))
    }

    /// Which hosts reported, with their scalars; then each table that is read.
    fn questions(&self, from: UnixMs, to: UnixMs) -> Vec<Question> {
        let mut questions: Vec<Question> = Vec::new();
        for section in Section::ALL {
            let of = |wanted: &Wanted| matches!(wanted, Wanted::Known(metric) if metric.section() == section);
            let columns: Vec<usize> = (0..self.metrics.len()).filter(|at| of(&self.metrics[*at])).collect();
            if columns.is_empty() && section != Section::Host {
                continue;
            }
            let mut selected = section.label().map_or(String::new(), |label| format!(", {label}"));
            for at in &columns {
                if let Wanted::Known(metric) = &self.metrics[*at] {
                    selected += &format!(", cast(avg({}) AS DOUBLE)", metric.column());
                }
            }
            if columns.is_empty() {
                selected += ", count()";
            }
            let sql = self.sql(&selected, section.table(), "", (from, to));
            questions.push(Question { sql, label: section.label().is_some(), columns, customs: Vec::new() });
        }
        let customs: Vec<(String, usize)> = self
            .metrics
            .iter()
            .enumerate()
            .filter_map(|(at, wanted)| match wanted {
                Wanted::Custom(name) => {
                    // A name that was checked holds no quote.
                    format!("{CUSTOM_PREFIX}{name}").parse::<MetricName>().ok().map(|_| (name.clone(), at))
                }
                Wanted::Known(_) => None,
            })
            .collect();
        if !customs.is_empty() {
            let names: Vec<_> = customs.iter().map(|(name, _)| format!("'{name}'")).collect();
            let filter = format!(" AND name IN ({})", names.join(", "));
            let sql = self.sql(", name, avg(value)", CUSTOM_TABLE, &filter, (from, to));
            questions.push(Question { sql, label: true, columns: Vec::new(), customs });
        }
        questions
    }

    /// Ids and names hold letters, digits, `-`, `_` and dots only; times are ours.
    fn sql(&self, selected: &str, table: &str, filter: &str, (from, to): (UnixMs, UnixMs)) -> String {
        let team = self.team;
        let mut hosts = String::new();
        if self.hosts.len() <= NAMED_HOSTS_MAX {
            let names: Vec<_> = self.hosts.iter().map(|host| format!("'{host}'")).collect();
            hosts = format!(" AND host IN ({})", names.join(", "));
        }
        format!(
            "SELECT {TIME_COLUMN}, host{selected} FROM {table} WHERE team = '{team}'{hosts}{filter} \
             AND {TIME_COLUMN} >= '{from}' AND {TIME_COLUMN} < '{to}' \
             SAMPLE BY 60s ALIGN TO CALENDAR LIMIT {ROWS_MAX}"
        )
    }
}

impl Question {
    fn take(&self, row: &[Value], means: &mut Vec<Mean>) {
        let mut row = row.iter();
        let time = row.next().and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let time = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        let (Some(time), Some(host)) = (time, row.next().and_then(Value::as_str)) else { return };
        let minute = UnixMs(time / MINUTE_MS * MINUTE_MS);
        let mut add = |value| means.push(Mean { minute, host: host.to_owned(), value });
        let label = if self.label { row.next().and_then(Value::as_str).unwrap_or_default() } else { "" };
        if let Some((_, at)) = self.customs.iter().find(|(name, _)| name == label) {
            if let Some(number) = row.next().and_then(Value::as_f64) {
                add(Some((*at, String::new(), number)));
            }
            return;
        }
        if !self.label {
            add(None);
        }
        for (at, number) in self.columns.iter().zip(row) {
            if let Some(number) = number.as_f64() {
                add(Some((*at, label.to_owned(), number)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use watchkeeper_schemas::catalogue::metric;

    #[test]
    fn each_table_is_asked_once_and_every_row_finds_its_metric() {
        let (team, hosts) = ("default".parse().unwrap(), ["web-1".parse().unwrap()].into());
        let metrics = [
            Wanted::Known(metric("disk.used_pct").unwrap()),
            Wanted::Known(metric("cpu.usage_pct").unwrap()),
            Wanted::Custom("queue.depth".to_owned()),
            Wanted::Custom("x' OR 1".to_owned()),
        ];
        let minutes = Minutes { team: &team, hosts: &hosts, metrics: &metrics };
        let questions = minutes.questions(UnixMs(0), UnixMs(MINUTE_MS));
        assert_eq!(questions.len(), 3);
        assert_eq!(
            questions[1].sql,
            "SELECT ts, host, mount, cast(avg(used_pct) AS DOUBLE) FROM disk WHERE team = 'default' AND host IN ('web-1') \
             AND ts >= '1970-01-01T00:00:00.000Z' AND ts < '1970-01-01T00:01:00.000Z' SAMPLE BY 60s ALIGN TO CALENDAR LIMIT 20000"
        );
        assert!(questions[2].sql.contains("name IN ('queue.depth')"), "{}", questions[2].sql);
        let mut means = Vec::new();
        let time = "1970-01-01T00:01:00.000000Z";
        questions[0].take(&[json!(time), json!("web-1"), json!(91.5)], &mut means);
        questions[1].take(&[json!(time), json!("web-1"), json!("/"), json!(null)], &mut means);
        questions[1].take(&[json!(time), json!("web-1"), json!("/srv"), json!(80)], &mut means);
        questions[2].take(&[json!(time), json!("web-1"), json!("queue.depth"), json!(7)], &mut means);
        let values: Vec<_> = means.iter().map(|mean| mean.value.clone()).collect();
        let row = |at, label: &str, number| Some((at, label.to_owned(), number));
        assert_eq!(values, [None, row(1, "", 91.5), row(0, "/srv", 80.0), row(2, "", 7.0)]);
        assert!(means.iter().all(|mean| mean.minute == UnixMs(MINUTE_MS)));
    }
}
