//! How times are spread: what most and what nearly all stay below.

use std::time::Duration;

/// Times in order.
pub(super) struct Spread(Vec<Duration>);

impl Spread {
    pub(super) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share of all does not exceed, in milliseconds; none at all is not a number.
    pub(super) fn ms(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(place.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    pub(super) fn p50_ms(&self) -> f64 {
        self.ms(0.5)
    }

    pub(super) fn p99_ms(&self) -> f64 {
        self.ms(0.99)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_the_times_that_do_not_exceed_it() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_millis));
        assert_eq!((spread.p50_ms(), spread.p99_ms(), spread.ms(1.0)), (50.0, 99.0, 100.0));
        assert_eq!(Spread::of([Duration::from_millis(7)]).p99_ms(), 7.0);
        assert!(Spread::of([]).p50_ms().is_nan(), "a limit on nothing does not hold");
    }
}
