//! Writes both lanes of samples to QuestDB's raw tables: acknowledged only once they are on its disk.
//!
//! Read `schema` (the tables), `rows` (a sample as rows), `store` (a batch), then `ddl` and `http`. Repeated events
//! change nothing: rows with the same keys are one.

mod ddl;
mod http;
pub(crate) mod minutes;
mod rows;
mod schema;
mod store;

pub use store::Counts;

use crate::config::Config;
pub(crate) use http::{QuestDb, QuestDbError};
use std::path::PathBuf;
use store::Store;
use tokio::sync::{mpsc, oneshot};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::processor::{Failure, Processor};

/// Why history cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No password was named.
    #[error("history needs --questdb-password-file")]
    NoPassword,
    /// The password cannot be read.
    #[error("cannot read the QuestDB password {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start the history writer's thread")]
    Thread(#[source] std::io::Error),
}

/// The thread that writes has ended, which only a defect can do.
#[derive(Debug, thiserror::Error)]
#[error("the history writer's thread has panicked; it was started anew")]
struct WriterPanicked;

/// The processor of history. The work is blocking, so a thread of its own does it and the connection to NATS is never
/// kept waiting. The thread ends with its channel; what it has under way then was not acknowledged and comes again.
pub struct History {
    connect: Connect,
    jobs: mpsc::Sender<Job>,
    counts: Counts,
}

/// Holds a password: never to be printed.
struct Connect {
    address: String,
    user: String,
    password: String,
    retention_hours: u32,
}

impl Connect {
    fn of(config: &Config) -> Result<Self, HistoryError> {
        let path = config.questdb_password_file.clone().ok_or(HistoryError::NoPassword)?;
        let password =
            std::fs::read_to_string(&path).map_err(|source| HistoryError::Password { path, source })?;
        Ok(Self {
            address: config.questdb_http.clone(),
            user: config.questdb_user.clone(),
            password: password.trim_end().to_owned(),
            retention_hours: config.raw_retention_hours,
        })
    }
}

/// QuestDB as the configuration names it; nothing is sent yet.
///
/// # Errors
/// When no password is named, or it cannot be read.
pub(crate) fn questdb(config: &Config) -> Result<QuestDb, HistoryError> {
    let Connect { address, user, password, .. } = Connect::of(config)?;
    Ok(QuestDb::new(&address, &user, &password))
}

/// A batch for the thread and where the outcome goes.
#[derive(Debug)]
struct Job {
    batch: Vec<Event>,
    outcome: oneshot::Sender<(Result<(), Failure>, Counts)>,
}

impl History {
    /// A processor that writes where the configuration says; QuestDB need not be there yet.
    ///
    /// # Errors
    /// When the password cannot be read or the thread not be started.
    pub fn new(config: &Config) -> Result<Self, HistoryError> {
        let connect = Connect::of(config)?;
        let jobs = start_writer(&connect).map_err(HistoryError::Thread)?;
        Ok(Self { connect, jobs, counts: Counts::default() })
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    async fn hand_over(&mut self, batch: Vec<Event>) -> Result<(), Failure> {
        let (outcome, awaited) = oneshot::channel();
        let handed_over = self.jobs.send(Job { batch, outcome }).await.is_ok();
        if handed_over && let Ok((result, counts)) = awaited.await {
            self.counts = counts;
            return result;
        }
        self.jobs = start_writer(&self.connect).map_err(Failure::retry)?;
        Err(Failure::retry(WriterPanicked))
    }
}

impl Processor for History {
    async fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        self.hand_over(batch.to_vec()).await
    }

    /// The tables stand before the first sample, so that history can be asked at once.
    async fn resume(&mut self) -> Result<(), Failure> {
        self.hand_over(Vec::new()).await
    }
}

/// Starts the thread that writes; the answer is where it takes its work from, one batch at a time.
fn start_writer(connect: &Connect) -> std::io::Result<mpsc::Sender<Job>> {
    let questdb = QuestDb::new(&connect.address, &connect.user, &connect.password);
    let mut store = Store::new(questdb, connect.retention_hours);
    let (jobs, mut waiting) = mpsc::channel::<Job>(1);
    std::thread::Builder::new().name("history-writer".to_owned()).spawn(move || {
        while let Some(Job { batch, outcome }) = waiting.blocking_recv() {
            let result = store.store(&batch);
            // Nobody waits any more where the processor was stopped meanwhile.
            drop(outcome.send((result, store.counts())));
        }
    })?;
    Ok(jobs)
}
