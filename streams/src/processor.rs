//! The two traits that everything downstream of a stream is made of.

use crate::event::Event;
use std::error::Error;
use std::future::Future;

/// State folded from events: no I/O, no clock, no randomness.
pub trait Projection {
    /// What is folded in: a decoded event with its place in the log.
    type Input;

    /// Folds one input into the state. An input that was folded before changes nothing.
    fn apply(&mut self, input: Self::Input);
}

/// What a durable consumer does with its events.
pub trait Processor: Send {
    /// Handles a batch in stream order; `Ok` only once all of it is durable elsewhere.
    ///
    /// The same events may come again (after a failure, a restart, a reconnect): handling them twice changes nothing.
    fn process(&mut self, batch: &[Event]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Called before the first batch and again whenever the connection was lost in between:
    /// the server may have come back without what it kept in memory.
    fn resume(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// What the runner needs to know of a batch that was not simply handled.
#[derive(Debug)]
pub enum Failure {
    /// Not all of it is durable: the whole batch comes again after a back-off.
    Retry(Box<dyn Error + Send + Sync>),
    /// These can never be handled and are to be parked; all others are durable.
    Poison(Vec<Poisoned>),
}

impl Failure {
    /// The batch is to come again, because of `error`.
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry(error.into())
    }

    /// Nothing but durable events, or the ones that can never be.
    ///
    /// # Errors
    /// When there is one to park.
    pub fn unless_empty(poisoned: Vec<Poisoned>) -> Result<(), Self> {
        if poisoned.is_empty() { Ok(()) } else { Err(Self::Poison(poisoned)) }
    }
}

/// An event that can never be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// Its index in the batch.
    pub index: usize,
    /// A word of a closed set, for counting.
    pub reason: &'static str,
    /// What exactly was wrong.
    pub detail: String,
}
