//! How a host does: what people decided, then whether it is heard, by the broker's clock, which stamped its samples.

use crate::fleet::watched::Watched;
use serde::Serialize;
use watchkeeper_schemas::journal::Enrolment;
use watchkeeper_schemas::quantity::UnixMs;

/// A host is silent after this many missed samples…
const MISSED_SAMPLES: u64 = 3;
/// …but never sooner than this, in milliseconds.
const SILENCE_MS_MIN: u64 = 30_000;

/// How a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No agent has a credential for it.
    Waiting,
    /// Its agent has a credential; its first sample must come in time.
    Activating,
    /// Its samples come.
    Active,
    /// Held back from watching by a person.
    Paused,
    /// No sample came for three intervals, and for 30 s at least.
    Silent,
}

/// How far the agent of a host has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No agent has a credential; a token may be out.
    Waiting,
    /// An agent has a credential; its first valid sample must come in time.
    Activating,
    /// The agent's credential is for good.
    Active,
}

impl Stage {
    /// Without keys and times.
    #[must_use]
    pub fn of(enrolment: &Enrolment) -> Self {
        match enrolment {
            Enrolment::Waiting { .. } => Self::Waiting,
            Enrolment::Activating { .. } => Self::Activating,
            Enrolment::Active { .. } => Self::Active,
        }
    }
}

impl Status {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Activating, Self::Active, Self::Paused, Self::Silent];

    /// The status of a host whose newest sample the broker stored at `received`; one that the journal does not know is
    /// judged by its samples alone.
    #[must_use]
    pub fn of(watched: Option<&Watched>, received: Option<UnixMs>, interval_ms: u32, now: UnixMs) -> Self {
        match watched.map(|watched| (watched.paused, watched.stage)) {
            Some((true, _)) => Self::Paused,
            Some((false, Stage::Waiting)) => Self::Waiting,
            Some((false, Stage::Activating)) => Self::Activating,
            Some((false, Stage::Active)) | None if is_heard(received, interval_ms, now) => Self::Active,
            Some((false, Stage::Active)) | None => Self::Silent,
        }
    }

    /// The word that JSON has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Silent => "silent",
        }
    }
}

fn is_heard(received: Option<UnixMs>, interval_ms: u32, now: UnixMs) -> bool {
    let allowed_ms = (MISSED_SAMPLES * u64::from(interval_ms)).max(SILENCE_MS_MIN);
    received.is_some_and(|received| now.0.saturating_sub(received.0) <= allowed_ms)
}

/// The broker's clock as seen from here: ours, moved by the difference that the newest entry showed.
///
/// Without it a gateway whose clock is a minute ahead would show every host as silent.
#[derive(Debug, Clone, Copy, Default)]
pub struct BrokerClock {
    ahead_ms: i64,
}

impl BrokerClock {
    /// An entry that the broker stored at `stored` has just come, at `now` by our clock.
    pub fn observe(&mut self, stored: UnixMs, now: UnixMs) {
        self.ahead_ms = signed(stored).saturating_sub(signed(now));
    }

    /// The broker's time at `now` by our clock.
    #[must_use]
    pub fn at(&self, now: UnixMs) -> UnixMs {
        UnixMs(now.0.saturating_add_signed(self.ahead_ms))
    }
}

fn signed(time: UnixMs) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_missed_samples_or_half_a_minute_whichever_is_longer() {
        let status = |received, interval_ms, now| Status::of(None, received, interval_ms, UnixMs(now));
        let at = |interval_ms, now_ms: u64| status(Some(UnixMs(1_000_000)), interval_ms, 1_000_000 + now_ms);
        assert_eq!([at(1000, 30_000), at(1000, 30_001)], [Status::Active, Status::Silent]);
        assert_eq!([at(60_000, 180_000), at(60_000, 180_001)], [Status::Active, Status::Silent]);
        assert_eq!(status(Some(UnixMs(9)), 1000, 0), Status::Active, "a sample of the future is no silence");
        assert_eq!(status(Some(UnixMs(0)), u32::MAX, u64::MAX), Status::Silent);
        assert_eq!(status(None, 1000, 0), Status::Silent);
    }

    #[test]
    fn a_gateway_whose_clock_is_wrong_judges_by_the_broker() {
        let mut clock = BrokerClock::default();
        clock.observe(UnixMs(1_000_000), UnixMs(1_600_000));
        assert_eq!(clock.at(UnixMs(1_605_000)), UnixMs(1_005_000));
        clock.observe(UnixMs(1_700_000), UnixMs(1_600_000));
        assert_eq!(clock.at(UnixMs(1_601_000)), UnixMs(1_701_000));
    }
}
