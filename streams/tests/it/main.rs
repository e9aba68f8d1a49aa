//! Streams, runner, rebuild and lag against a real nats-server with the configuration that we ship.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test they are the message")]

mod audit;
mod faults;
mod journal;
mod lag;
mod lease;
mod pieces;
mod probe;
mod rebuild;
mod runner;
mod snapshots;
mod stack;
mod topology;
