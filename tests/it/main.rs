//! Everything that is tested with more than one of our programs, with real servers, broken on purpose.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in tests a failed expectation is the message"
)]

mod agent_faults;
mod alerts;
mod backtest;
mod containers;
mod cut_off;
mod enrolment;
mod faults;
mod idle;
mod journey;
mod load;
mod notices;
mod page;
mod payloads;
mod questdb_away;
mod rotation;
mod rules_apply;
mod running;
mod slow_client;
mod teams;
mod telegram;
mod third_party;
mod tidy;
mod tls;
mod wire;
