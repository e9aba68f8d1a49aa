//! The NATS server's configuration, accounts and keys: the same files in development, tests and production.
//!
//! [`setup()`] makes a server's folder; [`ensure_account`] and [`remove_team`] keep its accounts while the server runs.
//! [`issue_agent`], [`issue_reader`] and [`issue_fleet`] put credentials into it, [`rotate`] replaces one of ours;
//! [`sign_agent`] and [`make_reader`] make credentials that no file keeps. Who may do what stands in [`accounts`] alone.
//! What only the processors may see and what the gateway may lies in folders of their own: [`Layout`].
//! Nothing here talks to a server and nothing prints.

pub mod accounts;
pub mod claims;
mod conf;
pub mod creds;
mod files;
mod holder;
mod issue;
mod keys;
mod layout;
mod live;
mod sealed;
mod setup;
mod sign;

pub use accounts::{AccountName, Program};
pub use conf::Tls;
pub use files::{Outcome, SetupError};
pub use holder::{Holder, UnknownHolder};
pub use issue::{Issued, Rotation, issue_agent, issue_fleet, issue_reader, rotate};
pub use layout::{CHANNELS_KEY, Layout};
pub use live::{AccountState, ensure_account, remove_team, team_removal};
pub use sealed::{OpeningKey, SealError, SealingKey};
pub use setup::{SetupOptions, SetupReport, setup};
pub use sign::{AgentCredential, ReaderCreds, UserKey, make_reader, read_agent, sign_agent};
