//! What is wrong with the text of a rule, and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first thing wrong with a rule's text.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema, thiserror::Error,
)]
pub struct RuleError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What stands there; empty at the end.
    pub found: String,
    /// What could stand there, in words.
    pub expected: String,
    /// The nearest thing that is known.
    pub nearest: Option<String>,
}

/// Characters of the text that an error repeats.
const FOUND_CHARS_MAX: usize = 40;

impl RuleError {
    pub(super) fn new(column: usize, found: &str, expected: impl Into<String>) -> Self {
        let found = found.chars().take(FOUND_CHARS_MAX).collect();
        Self { column, found, expected: expected.into(), nearest: None }
    }

    pub(super) fn nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: expected {}, found ", self.column, self.expected)?;
        if self.found.is_empty() {
            f.write_str("the end")?
        } else {
            write!(f, "{:?}", self.found)?
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}
