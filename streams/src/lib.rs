//! Event sourcing on JetStream: connect, topology, processors and their runner, snapshots, rebuild, lag.
//!
//! Read `processor.rs` first, then `runner.rs`. Nothing here knows what an event means.

pub mod audit;
pub mod backoff;
pub mod connect;
pub mod event;
pub mod journal;
pub mod lag;
pub mod lease;
pub mod once;
pub mod parking;
pub mod pieces;
pub mod processor;
pub mod program;
mod reading;
pub mod rebuild;
pub mod runner;
pub mod snapshots;
pub mod tail;
pub mod topology;
