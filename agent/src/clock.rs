//! When samples are taken and what time they carry: pure; the moment is always an argument.

use std::time::Duration;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::quantity::UnixMs;

/// The wall clock further than this from where it should be was set, not trimmed.
const STEP_MIN_MS: i64 = 1000;
/// A trimmed wall clock (NTP) is followed by this part of the difference at each tick.
const TRIM_PART: i64 = 4;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    /// Time since the host started, suspension included.
    pub since_boot: Duration,
}

/// The time of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The event time.
    pub time: UnixMs,
    /// How far the wall clock was set since the stamp before, in milliseconds.
    pub step_ms: i64,
}

/// Event times: the wall clock at an anchor, carried on by the clock that cannot be set. They grow strictly, but
/// where the wall clock was set back: then they follow it, and the stamp says so.
#[derive(Debug)]
pub struct Clock {
    anchor: Moment,
    last_ms: i64,
}

impl Clock {
    /// A clock anchored at `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { anchor: now, last_ms: now.wall_ms }
    }

    /// The event time of `now`.
    pub fn stamp(&mut self, now: Moment) -> Stamp {
        let since_anchor = now.since_boot.saturating_sub(self.anchor.since_boot);
        let expected =
            self.anchor.wall_ms.saturating_add(i64::try_from(since_anchor.as_millis()).unwrap_or(i64::MAX));
        let ahead = now.wall_ms.saturating_sub(expected);
        let step_ms = if ahead.abs() > STEP_MIN_MS { ahead } else { 0 };
        let time_ms =
            if step_ms == 0 { (expected + ahead / TRIM_PART).max(self.last_ms + 1) } else { now.wall_ms };
        self.anchor = Moment { wall_ms: time_ms, since_boot: now.since_boot };
        self.last_ms = time_ms;
        Stamp { time: UnixMs(u64::try_from(time_ms).unwrap_or_default()), step_ms }
    }
}

/// How long to wait until the next tick: ticks stand at multiples of the interval by the wall clock, moved by
/// `offset_ms`, and at least half an interval after `wall_ms`, so that an early wake does not tick twice.
#[must_use]
pub fn until_next_tick(wall_ms: i64, interval_ms: u32, offset_ms: u32) -> Duration {
    let interval = i64::from(interval_ms);
    let soonest = wall_ms + interval / 2;
    let behind = (soonest - i64::from(offset_ms)).rem_euclid(interval);
    let next = soonest + (interval - behind) % interval;
    Duration::from_millis(u64::try_from(next - wall_ms).unwrap_or_default())
}

/// Where in the interval a host ticks: fixed per host, so that a fleet spreads evenly over it. Milliseconds.
#[must_use]
pub fn tick_offset_ms(host: &HostId, interval_ms: u32) -> u32 {
    let hash = host.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits choose the shard; the high ones spread within it.
    ((hash >> 32) % u64::from(interval_ms.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(wall_ms: i64, since_boot_ms: u64) -> Moment {
        Moment { wall_ms, since_boot: Duration::from_millis(since_boot_ms) }
    }

    #[test]
    fn event_times_follow_a_clock_that_was_set_and_say_so() {
        let mut clock = Clock::new(at(1_000_000, 0));
        assert_eq!(clock.stamp(at(1_005_000, 5_000)), Stamp { time: UnixMs(1_005_000), step_ms: 0 });
        let ahead = clock.stamp(at(4_610_000, 10_000));
        assert_eq!(ahead, Stamp { time: UnixMs(4_610_000), step_ms: 3_600_000 });
        assert_eq!(clock.stamp(at(4_615_000, 15_000)), Stamp { time: UnixMs(4_615_000), step_ms: 0 });
        let back = clock.stamp(at(1_020_000, 20_000));
        assert_eq!(back, Stamp { time: UnixMs(1_020_000), step_ms: -3_600_000 });
    }

    #[test]
    fn a_trimmed_clock_is_followed_without_a_step() {
        let mut clock = Clock::new(at(0, 0));
        let stamps: Vec<_> =
            (1..=50).map(|tick| clock.stamp(at(tick * 4_900, tick as u64 * 5_000))).collect();
        assert!(stamps.iter().all(|stamp| stamp.step_ms == 0));
        assert!(stamps.last().unwrap().time.0.abs_diff(50 * 4_900) < 500, "{stamps:?}");
    }

    #[test]
    fn a_fleet_spreads_over_the_interval() {
        let offsets = (0..1000).map(|n| tick_offset_ms(&format!("host-{n}").parse().unwrap(), 5000));
        let mut tenths = [0; 10];
        offsets.for_each(|offset| tenths[offset as usize / 500] += 1);
        assert!(tenths.iter().all(|hosts| (60..140).contains(hosts)), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn ticks_stand_on_their_grid(
            wall_ms in 0_i64..4_000_000_000_000, interval_ms in 1_000_u32..3_600_000, share in 0.0..1.0_f64,
        ) {
            let offset_ms = (f64::from(interval_ms) * share) as u32;
            let wait = until_next_tick(wall_ms, interval_ms, offset_ms).as_millis() as i64;
            prop_assert_eq!((wall_ms + wait).rem_euclid(i64::from(interval_ms)), i64::from(offset_ms));
            prop_assert!(wait >= i64::from(interval_ms) / 2 && wait <= i64::from(interval_ms) * 3 / 2);
        }

        #[test]
        fn event_times_grow_while_no_step_back_is_told(
            moves in prop::collection::vec((1_000_i64..10_000, -800_i64..800), 1..100),
        ) {
            let (mut wall, mut boot) = (1_700_000_000_000, 0);
            let mut clock = Clock::new(at(wall, boot));
            let mut last = 0;
            for (ms, trim) in moves {
                wall += ms + trim;
                boot += ms as u64;
                let stamp = clock.stamp(at(wall, boot));
                prop_assert!(stamp.time.0 > last || stamp.step_ms < 0);
                last = stamp.time.0;
            }
        }
    }
}
