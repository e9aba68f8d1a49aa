//! Whether alerts are so far behind the log that nobody watches, and since when. Pure.

use watchkeeper_schemas::journal::Behind;
use watchkeeper_schemas::quantity::UnixMs;

/// An input that is read so much later than it was stored came too late to wake anybody, in milliseconds.
const TOO_LATE_MS: u64 = 60_000;
/// Whoever reads inputs that are younger has caught up, in milliseconds.
const CAUGHT_UP_MS: u64 = 5_000;

/// Since when inputs come too late.
#[derive(Debug, Default)]
pub(super) struct Lateness(Option<UnixMs>);

impl Lateness {
    /// Inputs that the broker stored between `first` and `last` are read only now.
    pub(super) fn note(&mut self, first: UnixMs, now: UnixMs) {
        if self.0.is_none() && now.0.saturating_sub(first.0) > TOO_LATE_MS {
            self.0 = Some(first);
        }
    }

    /// What is to be told once it is over; it is over when an input that was stored at `last` is read now.
    pub(super) fn ended(&self, last: UnixMs, now: UnixMs) -> Option<Behind> {
        let caught_up = now.0.saturating_sub(last.0) < CAUGHT_UP_MS;
        self.0.filter(|_| caught_up).map(|from| Behind { from, until: last })
    }

    /// It was told.
    pub(super) fn told(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixMs {
        UnixMs(1_000_000 + 1000 * seconds)
    }

    #[test]
    fn lateness_is_told_from_the_first_late_input_until_it_is_over_and_once() {
        let mut lateness = Lateness::default();
        lateness.note(at(0), at(60));
        assert_eq!(lateness.ended(at(60), at(60)), None, "a minute is not too late");
        lateness.note(at(10), at(71));
        lateness.note(at(20), at(90));
        assert_eq!(lateness.ended(at(80), at(90)), None, "still behind");
        let behind = Behind { from: at(10), until: at(98) };
        assert_eq!(lateness.ended(at(98), at(100)), Some(behind));
        lateness.told();
        assert_eq!(lateness.ended(at(101), at(101)), None);
    }
}
