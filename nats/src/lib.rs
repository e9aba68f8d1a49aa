//! The NATS server's configuration, accounts and keys: the same files in development, tests and production.
//!
//! [`setup()`] makes a server's folder, [`issue_agent`], [`issue_reader`] and [`issue_fleet`] add credentials to it,
//! [`rotate`] replaces one of ours. Who may do what stands in [`accounts`] alone. Nothing here talks to a server and
//! nothing prints.

pub mod accounts;
pub mod claims;
mod conf;
pub mod creds;
mod files;
mod issue;
mod keys;
mod layout;
mod setup;

pub use accounts::Program;
pub use files::{Outcome, SetupError};
pub use issue::{Issued, Rotation, issue_agent, issue_fleet, issue_reader, rotate};
pub use layout::Layout;
pub use setup::{SetupOptions, SetupReport, setup};
