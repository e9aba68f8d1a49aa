//! Real servers for development: fetched, started, watched and stopped. `cargo xtask`, tests/ and bench/ share it.
//!
//! Read in this order: `stack` (what runs and how it is started), `process` and `reaper` (one program, and that none
//! is left behind), `tools` (where the servers come from), then the commands `up`, `check` and `load`.

pub mod check;
pub mod compile;
pub mod console;
pub mod http;
pub mod load;
pub mod page;
pub mod ports;
pub mod process;
pub mod reaper;
pub mod shipped_agent;
pub mod stack;
pub mod tools;
pub mod up;
pub mod wait;
pub mod workspace;
