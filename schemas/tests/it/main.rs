//! What travels, held against its promises: round trips, damage, golden payloads, published schemas.
#![expect(clippy::unwrap_used, reason = "in tests a failed expectation is the message")]

mod any_sample;
mod codec;
mod golden;
mod published;
mod registry;
