//! The agent: reads its host at every tick and brings the samples to the broker.
//!
//! Pure: `rates`, `clock`, `queue`, the parsers below `linux`. Thin: `sampler`, `publisher`, `run`. How a host becomes
//! and stays known: `enrolment` and `renewal`, over `gateway` (HTTP), `folder` and `credential`.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the agent reads Linux only: another system needs a module like `linux` with a `Host` of the same three methods"
);

pub mod check;
pub mod clock;
pub mod collectors;
pub mod credential;
pub mod enrolment;
pub mod folder;
pub mod gateway;
#[cfg(target_os = "linux")]
mod linux;
pub mod pace;
pub mod publisher;
pub mod queue;
pub mod rates;
pub mod renewal;
pub mod run;
pub mod sampler;
pub mod settings;
pub mod settings_file;
