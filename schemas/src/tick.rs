//! A tick: the clock of the log, and the place in JOURNAL that it speaks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands on the subject of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tick {
    /// Version of this form; 1.
    pub v: u8,
    /// Everything up to here in JOURNAL holds from this tick on.
    pub journal_seq: u64,
}

impl Tick {
    /// A tick that speaks for everything up to this place in JOURNAL.
    #[must_use]
    pub fn at(journal_seq: u64) -> Self {
        Self { v: 1, journal_seq }
    }
}
