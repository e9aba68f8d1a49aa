//! Waiting before the next try: growing, bounded, with full jitter so that many do not come back together.

use rand::RngExt as _;
use std::time::Duration;

/// A growing wait with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits of up to `first`, then up to twice that, never more than `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, tries: 0 }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = jittered(self.first, self.max, self.tries);
        self.tries = self.tries.saturating_add(1);
        wait
    }

    /// It worked: the next failure waits shortly again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Between half and all of `first` × 2^`tries`, never more than `max`.
#[must_use]
pub fn jittered(first: Duration, max: Duration, tries: u32) -> Duration {
    let ceiling = first.saturating_mul(1_u32.checked_shl(tries.min(20)).unwrap_or(u32::MAX)).min(max);
    ceiling.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_again() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, max);
        assert!(backoff.next_wait() <= first);
        let later = (0..100).map(|_| backoff.next_wait()).last().unwrap();
        assert!(later >= max / 2 && later <= max, "{later:?}");
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }
}
