//! The gateway against a real nats-server: entries are written into LATEST as the processor does, HTTP is read.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests a failed expectation is the message"
)]

mod answers;
mod live;
mod sse;
mod stand;
