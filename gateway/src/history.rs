//! What is asked of QuestDB: one metric over a range, of one host or of the whole fleet.

pub mod answer;
pub mod database;
pub mod grid;
pub mod selector;
pub mod statement;

use crate::http::problem::{FieldError, Problem};
use crate::metrics::Metrics;
use answer::{FleetRows, HistoryView, HostRows};
use bytes::Bytes;
use database::{DatabaseError, ROWS_MAX};
use grid::{Grid, RangeAsk, RangeError};
use selector::Selector;
use statement::Statement;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;

/// How long an answer for the whole fleet serves others who ask the same.
const FLEET_AGE_MAX: Duration = Duration::from_secs(4);
/// Answers for the whole fleet that are kept.
const FLEET_ANSWERS_MAX: usize = 8;
/// When to come again while the database is away, in seconds.
const AWAY_RETRY_S: u32 = 5;

/// Why history gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The range cannot be answered.
    #[error("the range cannot be answered")]
    Range(RangeError),
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Write(#[from] serde_json::Error),
}

/// History, as handlers ask it.
pub struct History {
    database: database::Shared,
    metrics: Arc<Metrics>,
    fleet: Mutex<Vec<FleetAnswer>>,
}

/// What the answer for a whole fleet depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FleetKey {
    team: TeamId,
    selector: Selector,
    start_s: u64,
    step_s: u64,
    points: usize,
}

struct FleetAnswer {
    key: FleetKey,
    asked: Instant,
    json: Arc<OnceCell<Bytes>>,
}

impl History {
    /// History kept by this database.
    #[must_use]
    pub fn new(database: database::Shared, metrics: Arc<Metrics>) -> Self {
        Self { database, metrics, fleet: Mutex::default() }
    }

    /// One metric of one host.
    ///
    /// # Errors
    /// When the range cannot be answered, or the database does not answer.
    pub async fn of_host(
        &self,
        team: &TeamId,
        host: HostId,
        ask: (Selector, RangeAsk),
        interval_ms: u32,
        now: UnixMs,
    ) -> Result<HistoryView, HistoryError> {
        let (selector, range) = ask;
        let interval_s = u64::from(interval_ms.div_ceil(1000));
        let grid = Grid::lay(&range, now, interval_s).map_err(HistoryError::Range)?;
        let statement = Statement::of_host(&selector, team, &host, &grid);
        let mut rows = HostRows::new(&selector, grid);
        let labelled = usize::from(selector.shown_label().is_some());
        let asked = Instant::now();
        let answered = self.database.ask(&statement, |row| {
            let label =
                if labelled == 1 { row.try_get::<_, Option<&str>>(1)?.unwrap_or_default() } else { "" };
            let step = [row.try_get(1 + labelled)?, row.try_get(2 + labelled)?, row.try_get(3 + labelled)?];
            rows.add(row.try_get(0)?, label, step);
            Ok(())
        });
        answered.await?;
        self.metrics.history_seconds.observe(asked.elapsed().as_secs_f64());
        Ok(rows.finish(host, selector))
    }

    /// One metric of every host of a team, as JSON. Those who ask the same within seconds share one query.
    ///
    /// # Errors
    /// When the range cannot be answered, or the database does not answer.
    pub async fn of_fleet(
        &self,
        team: &TeamId,
        ask: (Selector, RangeAsk),
        now: UnixMs,
    ) -> Result<Bytes, HistoryError> {
        let (selector, range) = ask;
        let grid = Grid::lay(&range, now, 1).map_err(HistoryError::Range)?;
        let key = FleetKey {
            team: team.clone(),
            selector: selector.clone(),
            start_s: grid.start_s,
            step_s: grid.step_s,
            points: grid.points,
        };
        let cell = self.fleet_cell(key);
        let json = cell.get_or_try_init(async || {
            let statement = Statement::of_fleet(&selector, team, &grid);
            let mut rows = FleetRows::new(grid);
            let asked = Instant::now();
            let answered = self.database.ask(&statement, |row| {
                rows.add(
                    row.try_get(0)?,
                    row.try_get::<_, Option<&str>>(1)?.unwrap_or_default(),
                    row.try_get(2)?,
                );
                Ok(())
            });
            answered.await?;
            self.metrics.history_seconds.observe(asked.elapsed().as_secs_f64());
            let json = serde_json::to_vec(&rows.finish(selector))?;
            Ok::<_, HistoryError>(Bytes::from(json))
        });
        json.await.cloned()
    }

    /// The place of an answer: one that is young enough, or a new one.
    fn fleet_cell(&self, key: FleetKey) -> Arc<OnceCell<Bytes>> {
        let mut answers = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.asked.elapsed() < FLEET_AGE_MAX);
        if let Some(answer) = answers.iter().find(|answer| answer.key == key) {
            return Arc::clone(&answer.json);
        }
        if answers.len() >= FLEET_ANSWERS_MAX {
            answers.remove(0);
        }
        let json = Arc::new(OnceCell::new());
        answers.push(FleetAnswer { key, asked: Instant::now(), json: Arc::clone(&json) });
        json
    }
}

impl HistoryError {
    /// The refusal that a client reads; `from` and `step` are what it asked for.
    #[must_use]
    pub fn into_problem(self, from: &str, step: &str) -> Problem {
        let error = match self {
            Self::Range(RangeError { field, expected }) => {
                let found = if field == "step" { step } else { from };
                return Problem::fields(vec![FieldError::new(field, expected, found)]);
            }
            Self::Database(DatabaseError::Rows) => {
                let expected = format!("a longer step: the answer would have more than {ROWS_MAX} values");
                return Problem::fields(vec![FieldError::new("step", expected, step)]);
            }
            Self::Database(error) => error,
            Self::Write(error) => {
                tracing::error!(%error, "history cannot be written as JSON");
                return Problem::unavailable("the answer cannot be written", AWAY_RETRY_S);
            }
        };
        tracing::warn!(error = &error as &dyn Error, "history cannot be read");
        let detail = match error {
            DatabaseError::Busy => "too many ask for history at once",
            DatabaseError::Slow => "QuestDB does not answer in time; live values are not affected",
            DatabaseError::Away(error) if error.as_db_error().is_none() => {
                "QuestDB does not answer; live values are not affected"
            }
            DatabaseError::Away(_) | DatabaseError::Rows | DatabaseError::Columns(_) => {
                "QuestDB has no such table or column yet: the history processor makes them when it starts"
            }
        };
        Problem::unavailable(detail, AWAY_RETRY_S)
    }
}
