//! An event that can never be handled, kept with its reason.

use crate::ids::ProcessorName;
use crate::quantity::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of a parked event that are kept.
pub const PARKED_BYTES_MAX: usize = 4096;

/// What PARKED holds of an event that can never be handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Version of this form; 1.
    pub v: u8,
    /// Who could not handle it.
    pub processor: ProcessorName,
    /// The stream it stood in.
    pub stream: String,
    /// Its place there.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// When the broker stored it.
    pub received: UnixMs,
    /// A word of a closed set, for counting.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// How many bytes it had.
    pub bytes: u64,
    /// Its first bytes, at most 4,096, in hexadecimal.
    pub head_hex: String,
}
