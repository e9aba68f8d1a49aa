//! The one place that waits: looks until a condition holds or the deadline passes, and then says the last state.

use std::fmt;
use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The deadline passed.
#[derive(Debug)]
pub struct NotReached {
    what: String,
    deadline: Duration,
    last_state: String,
}

impl fmt::Display for NotReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "waited {:.1} s for {}; last state: {}",
            self.deadline.as_secs_f64(),
            self.what,
            self.last_state
        )
    }
}

impl std::error::Error for NotReached {}

/// Looks every 20 ms until `look` gives `Ok(Some(value))`.
///
/// `Ok(None)` means "not yet", `Err(state)` means "not yet, and this is what I saw": the newest such state is what the
/// error reports. A failure that no waiting can mend belongs into the value: `Ok(Some(Err(...)))`.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Option<T>, String>,
) -> Result<T, NotReached> {
    let start = Instant::now();
    let mut last_state = String::from("nothing seen yet");
    loop {
        match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(state) => last_state = state,
        }
        if start.elapsed() >= deadline {
            return Err(NotReached { what: what.to_owned(), deadline, last_state });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_of_the_first_look_that_has_one() {
        let mut looks = 0;
        let value = wait_until("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_passed_deadline_says_what_was_awaited_and_what_was_seen_last() {
        let mut looks = 0;
        let waited = wait_until::<()>("the impossible", Duration::from_millis(50), || {
            looks += 1;
            if looks == 1 { Err("connection refused".to_owned()) } else { Ok(None) }
        });
        let message = waited.unwrap_err().to_string();
        assert!(message.contains("the impossible"), "{message}");
        assert!(message.contains("connection refused"), "{message}");
    }
}
