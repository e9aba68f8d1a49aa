//! Channels against receivers that hold us to their documented limits, and the guard on outgoing calls against whoever
//! would lead it astray.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests a failed expectation is the message"
)]

mod chatroom;
mod email;
mod guard;
mod hostile;
mod messages;
mod ntfy;
mod receiver;
mod verifier;
mod webhook;
