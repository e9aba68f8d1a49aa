//! The shipped configuration against a real nats-server: what each credential can do, and what it cannot.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are the message")]

mod attacks;
mod bodies;
mod client;
mod cut_off;
mod flood;
mod folder;
mod jetstream;
mod keepers;
mod live;
mod rights;
mod server;
mod tls;
mod tokens;
