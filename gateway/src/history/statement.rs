//! The two questions that history is asked, as SQL. Names come from the catalogue, values are bound. Pure.

use crate::history::grid::{Grid, system_time};
use crate::history::selector::Selector;
use tokio_postgres::types::{ToSql, Type};
use watchkeeper_schemas::ids::{HostId, TeamId};

/// A question with its values.
pub struct Statement {
    /// The text; `$1` and so on stand for the values.
    pub sql: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Statement {
    /// Average, smallest and largest value of each step, for each series of a host:
    /// columns `ts`, label where the selector shows one, `avg`, `min`, `max`.
    #[must_use]
    pub fn of_host(selector: &Selector, team: &TeamId, host: &HostId, grid: &Grid) -> Self {
        let mut statement = Self { sql: String::from("SELECT ts, "), values: Vec::new() };
        if let Some(label) = selector.shown_label() {
            statement.push(&[label, ", "]);
        }
        let column = selector.stored.column.as_str();
        statement.push(&["cast(avg(", column, ") AS DOUBLE), cast(min(", column, ") AS DOUBLE), "]);
        statement.push(&["cast(max(", column, ") AS DOUBLE) FROM ", selector.stored.table, " WHERE team = "]);
        statement.text(team.as_str());
        statement.push(&[" AND host = "]);
        statement.text(host.as_str());
        statement.range(selector, grid);
        statement
    }

    /// Average of each step for each host of a team: columns `ts`, `host`, `avg`.
    #[must_use]
    pub fn of_fleet(selector: &Selector, team: &TeamId, grid: &Grid) -> Self {
        let mut statement = Self { sql: String::from("SELECT ts, host, "), values: Vec::new() };
        let (column, table) = (selector.stored.column.as_str(), selector.stored.table);
        statement.push(&["cast(avg(", column, ") AS DOUBLE) FROM ", table, " WHERE team = "]);
        statement.text(team.as_str());
        statement.range(selector, grid);
        statement
    }

    /// The values with their types, as the driver takes them.
    #[must_use]
    pub fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
    }

    fn range(&mut self, selector: &Selector, grid: &Grid) {
        for (comparison, time) in [(" AND ts >= ", grid.start()), (" AND ts < ", grid.to)] {
            self.push(&[comparison]);
            self.bind(Box::new(system_time(time)), Type::TIMESTAMP);
        }
        if let (Some(label), Some(value)) = (selector.stored.label, &selector.pinned) {
            self.push(&[" AND ", label, " = "]);
            self.text(value);
        }
        // A step cannot be bound; it is a whole number of ours.
        self.push(&[" SAMPLE BY ", &grid.step_s.to_string(), "s ALIGN TO CALENDAR"]);
    }

    fn push(&mut self, words: &[&str]) {
        for word in words {
            self.sql.push_str(word);
        }
    }

    fn text(&mut self, value: &str) {
        self.bind(Box::new(value.to_owned()), Type::VARCHAR);
    }

    fn bind(&mut self, value: Box<dyn ToSql + Sync + Send>, kind: Type) {
        self.values.push((value, kind));
        self.push(&["$", &self.values.len().to_string()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::grid::RangeAsk;
    use watchkeeper_schemas::quantity::UnixMs;

    fn grid() -> Grid {
        Grid::lay(&RangeAsk::default(), UnixMs(1_767_225_600_000), 1).unwrap()
    }

    #[test]
    fn what_a_client_says_is_bound_and_never_part_of_the_text() {
        let selector = Selector::parse(r#"disk.used_pct{mount="/'; drop"}"#).unwrap();
        let statement =
            Statement::of_host(&selector, &"default".parse().unwrap(), &"web-1".parse().unwrap(), &grid());
        assert_eq!(
            statement.sql,
            "SELECT ts, mount, cast(avg(used_pct) AS DOUBLE), cast(min(used_pct) AS DOUBLE), \
             cast(max(used_pct) AS DOUBLE) FROM disk WHERE team = $1 AND host = $2 AND ts >= $3 AND ts < $4 \
             AND mount = $5 SAMPLE BY 5s ALIGN TO CALENDAR"
        );
        assert_eq!(statement.values().len(), 5);
    }

    #[test]
    fn a_custom_gauge_is_one_series_of_its_own_table() {
        let selector = Selector::parse("custom.queue.depth").unwrap();
        let statement = Statement::of_fleet(&selector, &"default".parse().unwrap(), &grid());
        assert_eq!(
            statement.sql,
            "SELECT ts, host, cast(avg(value) AS DOUBLE) FROM custom WHERE team = $1 AND ts >= $2 AND ts < $3 \
             AND name = $4 SAMPLE BY 5s ALIGN TO CALENDAR"
        );
    }
}
