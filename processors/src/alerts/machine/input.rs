//! What the machine reads: samples and ticks, in the order of the log.

use super::values::Values;
use watchkeeper_schemas::alerting::AlertFact;
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::sample::Sample;

/// One input, at its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its place in SAMPLES; becomes the number of the episodes that it opens.
    pub sequence: u64,
    /// When the broker stored it, in milliseconds since 1970.
    pub time: u64,
    /// What it is.
    pub kind: Kind,
}

/// What an input can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A sample of the live lane.
    Live(Box<Report>),
    /// A sample of the back-fill lane.
    Backfill(Box<Report>),
    /// A message on the live lane of a host that could not be read.
    Unreadable(String),
    /// The log's clock, and what people decided since the tick before.
    Tick(Vec<AlertFact>),
}

/// A sample, as far as alerts are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whose.
    pub host: String,
    /// In which boot.
    pub boot: BootId,
    /// Its number in the boot.
    pub seq: u64,
    /// When it was taken, in milliseconds since 1970 by the host's clock.
    pub time: u64,
    /// Until the next one, in milliseconds.
    pub interval_ms: u32,
    /// How far the host's clock was set, in milliseconds.
    pub clock_step_ms: i64,
    /// Its numbers.
    pub values: Values,
}

impl Report {
    /// What alerts need of a sample.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        Self::with(sample, Values::of(sample))
    }

    /// The same with these numbers of it.
    #[must_use]
    pub fn with(sample: &Sample, values: Values) -> Self {
        Self {
            host: sample.host.to_string(),
            boot: sample.boot,
            seq: sample.seq,
            time: sample.time.0,
            interval_ms: sample.interval_ms,
            clock_step_ms: sample.clock_step_ms,
            values,
        }
    }
}
