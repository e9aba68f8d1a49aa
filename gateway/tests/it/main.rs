//! The gateway against a real nats-server: entries are written into LATEST as the processor does, HTTP is read.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests a failed expectation is the message"
)]

mod account;
mod alerting;
mod answers;
mod asking;
mod browser;
mod enrol;
mod hosts_config;
mod live;
mod matrix;
mod openapi;
mod readers;
mod receivers;
mod revocation;
mod sessions;
mod sse;
mod stand;
mod teams;
mod two_teams;
