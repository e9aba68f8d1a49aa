//! How often something slow is done again.

use std::time::{Duration, Instant};

/// Due at once, then every so often.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// Due at once and then whenever `every` has passed.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Whether it is due at `now`; then it begins to wait again.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_once_and_then_after_its_time() {
        let (mut pace, start) = (Pace::every(Duration::from_secs(60)), Instant::now());
        let due = [0, 1, 59, 60, 61, 119, 120].map(|s| pace.is_due(start + Duration::from_secs(s)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
