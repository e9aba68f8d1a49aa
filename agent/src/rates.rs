//! Rates from counters: pure, never negative, never absurd; what cannot be known is `None`.

use std::time::Duration;

/// Two readings closer than this tell no rate.
const ELAPSED_MIN: Duration = Duration::from_millis(50);
/// More than any disk or interface moves in a second: a device was replaced by one that counted further.
pub const BYTES_PER_S_MAX: u64 = 100_000_000_000;
/// More than any device, or all processors together, do in a second.
pub const EVENTS_PER_S_MAX: u64 = 1_000_000_000;

/// How far a counter counts before it begins again at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// To 2^32.
    Bits32,
    /// To 2^64.
    Bits64,
}

/// What a counter grew by between two readings; `None` where it was reset or belongs to another device now.
#[must_use]
pub fn growth(before: u64, now: u64, width: Width) -> Option<u64> {
    let last = match width {
        Width::Bits32 => u64::from(u32::MAX),
        Width::Bits64 => u64::MAX,
    };
    if before > last || now > last {
        return None;
    }
    let edge = last / 8;
    let wrapped = before >= last - edge && now <= edge;
    now.checked_sub(before).or_else(|| wrapped.then(|| now.wrapping_sub(before) & last))
}

/// `growth` a second, rounded; `None` where the time is too short to tell or the rate is above `max`.
#[must_use]
pub fn per_second(growth: u64, elapsed: Duration, max: u64) -> Option<u64> {
    if elapsed < ELAPSED_MIN {
        return None;
    }
    let rate = (growth as f64 / elapsed.as_secs_f64()).round();
    (rate <= max as f64).then_some(rate as u64)
}

/// [`per_second`] of events, as samples hold it.
#[must_use]
pub fn events_per_second(growth: u64, elapsed: Duration) -> Option<u32> {
    per_second(growth, elapsed, EVENTS_PER_S_MAX).and_then(|rate| u32::try_from(rate).ok())
}

/// Mean time of an operation in microseconds; 0 where there was none.
#[must_use]
pub fn mean_us(time_ms: u64, operations: u64) -> u32 {
    let mean = u128::from(time_ms) * 1000 / u128::from(operations.max(1));
    if operations == 0 { 0 } else { u32::try_from(mean).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_counter_that_wraps_goes_on() {
        assert_eq!(growth(u64::from(u32::MAX) - 9, 90, Width::Bits32), Some(100));
        assert_eq!(growth(u64::MAX - 9, 90, Width::Bits64), Some(100));
    }

    #[test]
    fn a_counter_that_was_reset_tells_nothing() {
        assert_eq!(growth(5_000_000_000, 17, Width::Bits64), None);
        assert_eq!(growth(4_000_000, 17, Width::Bits32), None);
        assert_eq!(
            growth(u64::from(u32::MAX) - 9, 90, Width::Bits64),
            None,
            "a 64-bit counter does not wrap at 2^32"
        );
        assert_eq!(growth(1 << 40, 1 << 41, Width::Bits32), None, "no 32-bit counter stands there");
    }

    #[test]
    fn no_time_and_absurd_rates_tell_nothing() {
        assert_eq!(per_second(1000, Duration::ZERO, BYTES_PER_S_MAX), None);
        assert_eq!(per_second(u64::MAX, SECOND, BYTES_PER_S_MAX), None);
        assert_eq!(per_second(1000, SECOND * 4, BYTES_PER_S_MAX), Some(250));
    }

    #[test]
    fn the_mean_time_of_nothing_is_nothing() {
        assert_eq!([mean_us(7, 0), mean_us(3, 2), mean_us(u64::MAX, 1)], [0, 1500, u32::MAX]);
    }

    proptest! {
        #[test]
        fn a_rate_is_bounded_whatever_is_read(
            before: u64, now: u64, ms in 0_u64..100_000, narrow: bool,
        ) {
            let width = if narrow { Width::Bits32 } else { Width::Bits64 };
            let rate = growth(before, now, width)
                .and_then(|growth| per_second(growth, Duration::from_millis(ms), BYTES_PER_S_MAX));
            prop_assert!(rate.is_none_or(|rate| rate <= BYTES_PER_S_MAX));
        }

        #[test]
        fn a_wrap_is_told_from_a_reset(start: u32, step in 0_u32..=u32::MAX / 8) {
            let now = u64::from(start.wrapping_add(step));
            let told = growth(u64::from(start), now, Width::Bits32);
            prop_assert!(told.is_none() || told == Some(u64::from(step)));
            if now >= u64::from(start) {
                prop_assert_eq!(told, Some(u64::from(step)));
            }
        }
    }
}
