//! Which moments are asked for: times, spans, and the regular grid that an answer stands on. Pure.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use watchkeeper_schemas::quantity::UnixMs;

/// Points of one series.
pub const POINTS_MAX: u64 = 1000;
/// What the raw tier holds by default; longer ranges are for tiers that do not exist yet.
pub const RAW_RANGE_MAX_S: u64 = 24 * 3600;
/// The longest step.
const STEP_S_MAX: u64 = 3600;
/// Steps that are chosen from where none is asked for, in seconds.
const STEPS_S: [u64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
/// The range where none is asked for.
const RANGE_S: u64 = 3600;
const MS: u64 = 1000;

/// A moment as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As long ago.
    Ago(Duration),
    /// At this time.
    At(UnixMs),
}

impl Moment {
    /// Reads `now`, `-1h` or RFC 3339.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text == "now" {
            return Ok(Self::Ago(Duration::ZERO));
        }
        let time = match text.strip_prefix('-') {
            Some(span) => parse_span(span).map(|seconds| Self::Ago(Duration::from_secs(seconds))),
            None => text
                .parse::<jiff::Timestamp>()
                .ok()
                .and_then(|time| u64::try_from(time.as_millisecond()).ok().map(|ms| Self::At(UnixMs(ms)))),
        };
        time.ok_or_else(|| "now, a span such as -1h, or a time such as 2026-01-31T12:00:00Z".into())
    }

    /// The time that it is.
    #[must_use]
    pub fn at(self, now: UnixMs) -> UnixMs {
        match self {
            Self::Ago(span) => {
                UnixMs(now.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
            }
            Self::At(time) => time,
        }
    }
}

/// Reads a step: a span of whole seconds, an hour at most.
///
/// # Errors
/// What was expected instead.
pub fn parse_step(text: &str) -> Result<u64, Cow<'static, str>> {
    let step = parse_span(text).filter(|step_s| (1..=STEP_S_MAX).contains(step_s));
    step.ok_or_else(|| "a duration in whole seconds such as 10s, 1m, 1h at most".into())
}

/// `10s`, `5m`, `1h`, `7d` in seconds.
fn parse_span(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit_s)
}

/// What is asked for, as it stands in the query; absent parts are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeAsk {
    /// The beginning, inclusive.
    pub from: Option<Moment>,
    /// The end, exclusive.
    pub to: Option<Moment>,
    /// Seconds from one point to the next.
    pub step_s: Option<u64>,
}

/// A regular grid over a range: point i stands for the step that begins at `start_s` + i × `step_s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grid {
    /// The beginning that was asked for.
    pub from: UnixMs,
    /// The end that was asked for.
    pub to: UnixMs,
    /// Where the first step begins: a multiple of the step, in seconds since 1970.
    pub start_s: u64,
    /// The step.
    pub step_s: u64,
    /// Steps.
    pub points: usize,
}

/// A field of a range that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeError {
    /// Which.
    pub field: &'static str,
    /// What would have been answered.
    pub expected: String,
}

impl Grid {
    /// Lays the grid. `interval_s`: a chosen step is not finer than samples come.
    ///
    /// # Errors
    /// When the range is empty, longer than the raw tier, or the step too fine for it.
    pub fn lay(ask: &RangeAsk, now: UnixMs, interval_s: u64) -> Result<Self, RangeError> {
        let refuse = |field, expected: String| Err(RangeError { field, expected });
        let to = ask.to.unwrap_or(Moment::Ago(Duration::ZERO)).at(now);
        let from = match ask.from {
            Some(from) => from.at(now),
            None => UnixMs(to.0.saturating_sub(RANGE_S * MS)),
        };
        if from >= to {
            return refuse("from", format!("a time before to, which is {to}"));
        }
        let range_ms = to.0 - from.0;
        if range_ms > RAW_RANGE_MAX_S * MS {
            return refuse("from", "at most 24h before to: the raw tier keeps no more".to_owned());
        }
        let finest_s = range_ms.div_ceil(POINTS_MAX * MS);
        let step_s = match ask.step_s {
            Some(step_s) if step_s < finest_s => {
                return refuse(
                    "step",
                    format!("{finest_s}s or longer for this range: at most {POINTS_MAX} points"),
                );
            }
            Some(step_s) => step_s,
            None => {
                let wanted_s = finest_s.max(interval_s);
                STEPS_S.into_iter().find(|step_s| *step_s >= wanted_s).unwrap_or(STEP_S_MAX)
            }
        };
        let start_s = from.0 / MS / step_s * step_s;
        let points = (to.0 - start_s * MS).div_ceil(step_s * MS);
        Ok(Self { from, to, start_s, step_s, points: usize::try_from(points).unwrap_or(0) })
    }

    /// Where the first step begins.
    #[must_use]
    pub fn start(&self) -> UnixMs {
        UnixMs(self.start_s * MS)
    }

    /// The point that stands for a time; `None` outside the grid.
    #[must_use]
    pub fn index(&self, time: SystemTime) -> Option<usize> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let index = usize::try_from(since.checked_sub(self.start_s)? / self.step_s).ok()?;
        (index < self.points).then_some(index)
    }
}

/// A time as the database reads it.
#[must_use]
pub fn system_time(time: UnixMs) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(1_767_225_600_123);

    fn ask(from: &str, to: &str, step: &str) -> RangeAsk {
        let moment = |text: &str| (!text.is_empty()).then(|| Moment::parse(text).unwrap());
        let step_s = (!step.is_empty()).then(|| parse_step(step).unwrap());
        RangeAsk { from: moment(from), to: moment(to), step_s }
    }

    fn lay(from: &str, to: &str, step: &str) -> Result<Grid, &'static str> {
        Grid::lay(&ask(from, to, step), NOW, 1).map_err(|error| error.field)
    }

    #[test]
    fn the_last_hour_is_answered_where_nothing_is_asked() {
        let grid = lay("", "", "").unwrap();
        assert_eq!((grid.step_s, grid.points), (5, 721));
        assert_eq!((grid.to, grid.to.0 - grid.from.0), (NOW, 3_600_000));
        assert_eq!(Grid::lay(&ask("", "", ""), NOW, 10).unwrap().step_s, 10, "not finer than samples come");
    }

    #[test]
    fn a_day_is_the_most_and_a_thousand_points() {
        assert_eq!(lay("-24h", "now", "").unwrap().step_s, 120);
        assert_eq!(lay("-25h", "now", ""), Err("from"));
        assert_eq!(lay("-1h", "now", "3s"), Err("step"));
        assert_eq!(lay("-1h", "-2h", ""), Err("from"));
        assert_eq!(lay("now", "now", ""), Err("from"));
        assert!(lay("1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "").is_ok());
    }

    #[test]
    fn words_that_are_no_time_are_refused() {
        for bad in [
            "",
            "-",
            "-1",
            "1h",
            "-1w",
            "-h",
            "-1.5h",
            "-99999999999999999999d",
            "yesterday",
            "-1h ",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(Moment::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "0s", "2h", "1", "s", "-1s", "1e3s", "٣s"] {
            assert!(parse_step(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_step("90s"), Ok(90));
    }

    proptest! {
        #[test]
        fn every_moment_of_a_range_has_its_point(from in 0_u64..2_000_000_000_000, range_ms in 1_u64..86_400_000, step in 0_u64..3600) {
            let at = |ms| Some(Moment::At(UnixMs(ms)));
            let ask = RangeAsk { from: at(from), to: at(from + range_ms), step_s: Some(step).filter(|step| *step > 0) };
            let Ok(grid) = Grid::lay(&ask, NOW, 1) else { return Ok(()) };
            prop_assert!(grid.points as u64 <= POINTS_MAX + 1 && grid.points > 0);
            prop_assert_eq!(grid.index(system_time(UnixMs(from))), Some(0));
            prop_assert_eq!(grid.index(system_time(UnixMs(from + range_ms - 1))), Some(grid.points - 1));
            prop_assert_eq!(grid.start_s % grid.step_s, 0);
        }
    }
}
