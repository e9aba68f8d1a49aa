//! Doubles of third parties, for tests and for trying things out by hand. They enforce what the real ones enforce.

pub mod http;
pub mod telegram;
