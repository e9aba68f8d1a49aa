//! The processors: each folds the log into a view of its own.

pub mod config;
pub mod history;
pub mod latest;
