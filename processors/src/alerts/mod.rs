//! Alerts: the machine that decides, and the ways to run it over files.

mod apply;
mod decision;
pub mod heartbeat;
mod line;
pub mod machine;
pub mod offline;
pub mod processor;
pub mod scenario;
mod wording;
