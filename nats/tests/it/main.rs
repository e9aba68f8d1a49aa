//! The shipped configuration against a real nats-server: what each credential can do, and what it cannot.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are the message")]

mod attacks;
mod client;
mod folder;
mod jetstream;
mod rights;
mod server;
mod tokens;
