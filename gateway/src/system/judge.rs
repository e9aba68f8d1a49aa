//! Whether a processor works, judged from how far it is behind. Pure.

use serde::Serialize;
use std::time::{Duration, Instant};
use watchkeeper_streams::lag::Lag;

/// A processor that is further behind is late, in seconds.
const BEHIND_S: f64 = 10.0;
/// A processor that has work, or does not even ask for it, and gets nothing done for this long is down.
const DOWN_AFTER: Duration = Duration::from_secs(10);

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Works, and keeps up.
    Ok,
    /// Works, but is late.
    Behind,
    /// Does not work.
    Down,
}

/// What is remembered of a processor between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judge {
    done_sequence: u64,
    idle_since: Option<Instant>,
}

impl Judge {
    /// Judges what is seen now.
    pub fn judge(&mut self, lag: &Lag, now: Instant) -> State {
        let gets_on = lag.done_sequence != self.done_sequence;
        let at_rest = lag.events == 0 && lag.attended;
        self.done_sequence = lag.done_sequence;
        if gets_on || at_rest {
            self.idle_since = None;
        } else {
            let since = *self.idle_since.get_or_insert(now);
            if now.duration_since(since) >= DOWN_AFTER {
                return State::Down;
            }
        }
        if lag.seconds >= BEHIND_S { State::Behind } else { State::Ok }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(looks: &[(u64, Lag)]) -> Vec<State> {
        let (start, mut judge) = (Instant::now(), Judge::default());
        looks.iter().map(|(s, lag)| judge.judge(lag, start + Duration::from_secs(*s))).collect()
    }

    fn lag(events: u64, seconds: f64, done_sequence: u64, attended: bool) -> Lag {
        Lag { events, seconds, done_sequence, attended }
    }

    #[test]
    fn a_processor_that_keeps_up_or_rests_is_fine() {
        let looks = [(0, lag(3, 0.1, 5, true)), (2, lag(2, 0.1, 9, true)), (100, lag(0, 0.0, 9, true))];
        assert_eq!(states(&looks), [State::Ok; 3]);
        let first_after_rest = [(0, lag(0, 0.0, 9, true)), (900, lag(1, 0.1, 9, true))];
        assert_eq!(states(&first_after_rest), [State::Ok; 2]);
    }

    #[test]
    fn one_that_works_through_old_events_is_behind() {
        let looks =
            [(0, lag(900, 40.0, 5, true)), (20, lag(500, 20.0, 90, true)), (40, lag(5, 1.0, 900, true))];
        assert_eq!(states(&looks), [State::Behind, State::Behind, State::Ok]);
    }

    #[test]
    fn one_that_gets_nothing_done_for_ten_seconds_is_down_with_work_or_without() {
        let stuck = [
            (0, lag(1, 1.0, 5, true)),
            (2, lag(9, 3.0, 5, true)),
            (11, lag(9, 12.0, 5, true)),
            (12, lag(9, 13.0, 5, true)),
        ];
        assert_eq!(states(&stuck), [State::Ok, State::Ok, State::Behind, State::Down]);
        let gone = [
            (0, lag(0, 0.0, 5, true)),
            (2, lag(0, 0.0, 5, false)),
            (12, lag(0, 0.0, 5, false)),
            (14, lag(0, 0.0, 5, true)),
        ];
        assert_eq!(states(&gone), [State::Ok, State::Ok, State::Down, State::Ok]);
    }
}
