//! Whether a host is heard: decided by the broker's clock, which stamped its samples.

use serde::Serialize;
use watchkeeper_schemas::quantity::UnixMs;

/// A host is silent after this many missed samples…
const MISSED_SAMPLES: u64 = 3;
/// …but never sooner than this, in milliseconds.
const SILENCE_MS_MIN: u64 = 30_000;

/// Whether a host is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its samples come.
    Fine,
    /// None came for three intervals, and for 30 s at least.
    Silent,
}

impl Status {
    /// The status of a host whose newest sample the broker stored at `received`.
    #[must_use]
    pub fn of(received: UnixMs, interval_ms: u32, now: UnixMs) -> Self {
        let allowed_ms = (MISSED_SAMPLES * u64::from(interval_ms)).max(SILENCE_MS_MIN);
        if now.0.saturating_sub(received.0) > allowed_ms { Self::Silent } else { Self::Fine }
    }

    /// The word that JSON has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Silent => "silent",
        }
    }
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
        let at =
            |interval_ms, now_ms: u64| Status::of(UnixMs(1_000_000), interval_ms, UnixMs(1_000_000 + now_ms));
        assert_eq!([at(1000, 30_000), at(1000, 30_001)], [Status::Fine, Status::Silent]);
        assert_eq!([at(60_000, 180_000), at(60_000, 180_001)], [Status::Fine, Status::Silent]);
        assert_eq!(
            Status::of(UnixMs(9), 1000, UnixMs(0)),
            Status::Fine,
            "a sample of the future is no silence"
        );
        assert_eq!(Status::of(UnixMs(0), u32::MAX, UnixMs(u64::MAX)), Status::Silent);
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
