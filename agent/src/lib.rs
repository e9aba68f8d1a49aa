//! The agent: reads its host at every tick and brings the samples to the broker.
//!
//! Pure: `rates`, `clock`, `queue`, the parsers below `linux`. Thin: `sampler`, `publisher`, `run`.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the agent reads Linux only: another system needs a module like `linux` with a `Host` of the same three methods"
);

pub mod check;
pub mod clock;
pub mod collectors;
pub mod identity;
#[cfg(target_os = "linux")]
mod linux;
pub mod pace;
pub mod publisher;
pub mod queue;
pub mod rates;
pub mod run;
pub mod sampler;
pub mod settings;
