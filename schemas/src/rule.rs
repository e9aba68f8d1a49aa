//! The rule language: text and JSON are one tree, checked against the catalogue when it is read.

mod check;
mod error;
mod nearest;
mod number;
mod operand;
mod parse;
mod print;
mod promql;
#[cfg(test)]
mod tests;
mod tree;
mod word;

pub use check::Series;
pub use error::RuleError;
pub use number::{Number, UnitWord};
pub use promql::{NotPrometheus, PrometheusRule};
pub use tree::{
    Clear, Cmp, Comparison, Condition, Critical, Expr, Fold, MetricRef, NoData, NoDataPolicy, Operand, Rule,
    Severity, Threshold,
};

/// Longest text of a rule, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Operators, comparisons and operands in a rule.
pub const NODES_MAX: usize = 64;
/// Windows in a rule.
pub const WINDOWS_MAX: usize = 4;
/// Parentheses inside one another.
pub const DEPTH_MAX: usize = 32;
/// Longest window, in milliseconds.
pub const WINDOW_MS_MAX: u32 = 15 * 60_000;
/// Longest `for`, `keep` and `cooldown`, in milliseconds.
pub const HOLD_MS_MAX: u32 = 24 * 3_600_000;
/// Shortest `repeat` that is not 0, in milliseconds.
pub const REPEAT_MS_MIN: u32 = 60_000;
/// Longest `repeat` and `no-data … after`, in milliseconds.
pub const LONG_MS_MAX: u32 = 30 * 24 * 3_600_000;
/// What a gauge of the host's owner is called in front of its name.
pub const CUSTOM_PREFIX: &str = "custom.";
