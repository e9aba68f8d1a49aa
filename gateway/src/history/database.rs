//! QuestDB over its PostgreSQL wire: two connections of a user who can only read, bounded in time, rows and queue.

use crate::history::statement::Statement;
use futures_util::TryStreamExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Client, Config, NoTls, Row};

/// Queries at one time; the database has as many readers.
const RUNNING_MAX: usize = 2;
/// Queries that wait for one of them.
const WAITING_MAX: usize = 32;
/// Longest wait for a connection to be free.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest wait for a connection to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// After this the database itself stops a query.
const STATEMENT_MAX: &str = "-c statement_timeout=8000";
/// After this we do.
const QUERY_MAX: Duration = Duration::from_secs(9);
/// Longest wait for a look whether it is there.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Rows of one answer.
pub const ROWS_MAX: usize = 500_000;

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Too many ask at once.
    #[error("too many history queries at once")]
    Busy,
    /// It cannot be reached, or refused.
    #[error("cannot ask QuestDB")]
    Away(#[from] tokio_postgres::Error),
    /// It takes too long.
    #[error("QuestDB did not answer in time")]
    Slow,
    /// The answer is too large.
    #[error("the answer has more than {ROWS_MAX} rows")]
    Rows,
    /// A row is not as asked for.
    #[error("QuestDB answered with other columns than asked for")]
    Columns(#[source] tokio_postgres::Error),
}

/// The database of history.
#[derive(Debug)]
pub struct Database {
    config: Config,
    idle: Mutex<Vec<Client>>,
    running: Semaphore,
    waiting: Semaphore,
}

impl Database {
    /// A database that is connected to when it is first asked.
    #[must_use]
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Self {
        let mut config = Config::new();
        config.host(host).port(port).user(user).password(password).dbname("qdb");
        config.application_name("watchkeeper-gateway").options(STATEMENT_MAX).connect_timeout(CONNECT_MAX);
        Self {
            config,
            idle: Mutex::default(),
            running: Semaphore::new(RUNNING_MAX),
            waiting: Semaphore::new(RUNNING_MAX + WAITING_MAX),
        }
    }

    /// Asks, and gives every row of the answer to `take`. Whoever stops waiting stops the query.
    ///
    /// # Errors
    /// When the database is away, slow or too busy, or the answer too large.
    pub async fn ask(
        &self,
        statement: &Statement,
        mut take: impl FnMut(&Row) -> Result<(), tokio_postgres::Error>,
    ) -> Result<(), DatabaseError> {
        let _place = self.waiting.try_acquire().map_err(|_| DatabaseError::Busy)?;
        let Ok(Ok(running)) = timeout(WAIT_MAX, self.running.acquire()).await else {
            return Err(DatabaseError::Busy);
        };
        let mut query = Running::start(self, running).await?;
        let rows = async {
            let rows = query.client()?.query_typed_raw(&statement.sql, statement.values()).await?;
            let mut rows = std::pin::pin!(rows);
            let mut count = 0;
            while let Some(row) = rows.try_next().await? {
                count += 1;
                if count > ROWS_MAX {
                    return Err(DatabaseError::Rows);
                }
                take(&row).map_err(DatabaseError::Columns)?;
            }
            Ok(())
        };
        let answered = timeout(QUERY_MAX, rows).await.unwrap_or(Err(DatabaseError::Slow));
        if answered.is_ok() {
            query.finished();
        }
        answered
    }

    /// Looks whether the database answers, and which build it is; `None` while all connections are at work.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn build(&self) -> Result<Option<String>, DatabaseError> {
        let Ok(running) = self.running.try_acquire() else { return Ok(None) };
        let look = async {
            let mut query = Running::start(self, running).await?;
            let row = query.client()?.query_typed("SELECT build()", &[]).await?;
            query.finished();
            let build = row.first().map(|row| row.try_get(0)).transpose();
            build.map_err(DatabaseError::Columns)
        };
        timeout(LOOK_MAX, look).await.unwrap_or(Err(DatabaseError::Slow))
    }

    fn idle(&self) -> Option<Client> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|client| !client.is_closed());
        idle.pop()
    }
}

/// A connection at work. Dropped before it has finished, it cancels what runs and is not used again.
struct Running<'a> {
    database: &'a Database,
    client: Option<Client>,
    cancel: CancelToken,
    _running: SemaphorePermit<'a>,
}

impl<'a> Running<'a> {
    async fn start(database: &'a Database, running: SemaphorePermit<'a>) -> Result<Self, DatabaseError> {
        let client = match database.idle() {
            Some(client) => client,
            None => {
                let connecting = timeout(CONNECT_MAX, database.config.connect(NoTls));
                let (client, connection) = connecting.await.map_err(|_| DatabaseError::Slow)??;
                // Ends by itself once the client is dropped or the server has gone.
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection to QuestDB ended");
                    }
                });
                client
            }
        };
        Ok(Self { database, cancel: client.cancel_token(), client: Some(client), _running: running })
    }

    fn client(&self) -> Result<&Client, DatabaseError> {
        self.client.as_ref().ok_or(DatabaseError::Slow)
    }

    fn finished(&mut self) {
        if let Some(client) = self.client.take() {
            self.database.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take().filter(|client| !client.is_closed()) {
            let cancel = self.cancel.clone();
            tokio::spawn(async move {
                if let Ok(Err(error)) = timeout(CONNECT_MAX, cancel.cancel_query(NoTls)).await {
                    tracing::debug!(%error, "a history query could not be cancelled");
                }
                drop(client);
            });
        }
    }
}

/// The database as everybody shares it.
pub type Shared = Arc<Database>;
