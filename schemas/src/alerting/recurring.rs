//! Maintenance that comes again each week: written into JOURNAL as silences, 14 days ahead, in its own time zone.

use super::{Matcher, Silence};
use crate::ids::{MaintenanceId, SilenceId};
use crate::quantity::UnixMs;
use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far ahead silences are written, in days.
pub const DAYS_AHEAD: i64 = 14;

/// What a window's id has behind that of its maintenance: `-2026-10-18`.
const DAY_CHARS: usize = 11;

/// Maintenance on the same days of every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeeklyMaintenance {
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Time zone, as `Europe/Berlin`.
    pub zone: String,
    /// Days of the week on which it begins; 1 is Monday, 7 is Sunday.
    pub days: BTreeSet<u8>,
    /// When it begins, as `22:00` on the wall there.
    pub begin: String,
    /// When it ends, as `06:00` on the wall there; not after `begin`: on the next day.
    pub end: String,
    /// What must all be true of an alert.
    pub matchers: Vec<Matcher>,
}

/// Why weekly maintenance cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    /// The zone is none.
    #[error("{0:?} is no time zone; expected one such as Europe/Berlin")]
    Zone(String),
    /// The time is none.
    #[error("{0:?} is no time of day; expected one such as 22:00")]
    Time(String),
    /// The days are none.
    #[error("expected at least one day from 1 (Monday) to 7 (Sunday)")]
    Days,
    /// It would hold back nothing, or everything.
    #[error("expected at least one matcher: host, tag, rule, label or severity")]
    Matchers,
}

/// Maintenance that was read.
struct Plan {
    zone: TimeZone,
    begin: Time,
    end: Time,
}

impl WeeklyMaintenance {
    /// Everything that is wrong with it, by field.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, MaintenanceError)> {
        let zone = zone(&self.zone).err().map(|error| ("zone", error));
        let begin = time(&self.begin).err().map(|error| ("begin", error));
        let end = time(&self.end).err().map(|error| ("end", error));
        let days = (!self.has_days()).then_some(("days", MaintenanceError::Days));
        let matchers = self.matchers.is_empty().then_some(("matchers", MaintenanceError::Matchers));
        [zone, begin, end, days, matchers].into_iter().flatten().collect()
    }

    fn has_days(&self) -> bool {
        !self.days.is_empty() && self.days.iter().all(|day| (1..=7).contains(day))
    }

    /// The silences that are not over at `now` and begin within [`DAYS_AHEAD`] days, each with an id that is the same
    /// whenever it is asked for: the maintenance's and the local day.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn silences(
        &self,
        id: &MaintenanceId,
        now: UnixMs,
    ) -> Result<Vec<(SilenceId, Silence)>, MaintenanceError> {
        let plan = self.plan()?;
        let at = i64::try_from(now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let today = at.unwrap_or(Timestamp::MAX).to_zoned(plan.zone.clone()).date();
        let days = (-1..=DAYS_AHEAD).filter_map(|ahead| today.checked_add(ahead.days()).ok());
        let days = days.filter(|day| self.days.contains(&(day.weekday().to_monday_one_offset() as u8)));
        let silences = days.filter_map(|day| {
            let (from, until) = plan.on(day)?;
            let silence = Silence {
                author: self.author.clone(),
                reason: self.reason.clone(),
                from,
                until,
                matchers: self.matchers.clone(),
            };
            let id = format!("{id}-{day}").parse().ok()?;
            (until > now && from < until).then_some((id, silence))
        });
        Ok(silences.collect())
    }

    /// The maintenance that a silence would be a window of, by its id: that and the day.
    #[must_use]
    pub fn of_window(silence: &SilenceId) -> Option<MaintenanceId> {
        let text = silence.as_str();
        let (id, day) = text.split_at_checked(text.len().checked_sub(DAY_CHARS)?)?;
        day.strip_prefix('-')?.parse::<Date>().ok()?;
        id.parse().ok()
    }

    fn plan(&self) -> Result<Plan, MaintenanceError> {
        let (zone, begin, end) = (zone(&self.zone)?, time(&self.begin)?, time(&self.end)?);
        if !self.has_days() {
            return Err(MaintenanceError::Days);
        }
        if self.matchers.is_empty() {
            return Err(MaintenanceError::Matchers);
        }
        Ok(Plan { zone, begin, end })
    }
}

/// The table within: the same days everywhere, whatever the machine's own table says.
fn zone(name: &str) -> Result<TimeZone, MaintenanceError> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| MaintenanceError::Zone(name.to_owned()))
}

fn time(text: &str) -> Result<Time, MaintenanceError> {
    text.parse().map_err(|_| MaintenanceError::Time(text.to_owned()))
}

impl Plan {
    /// From when until when, on a day: a wall time that the clocks skip is the same time after they did, one that
    /// comes twice is the first.
    fn on(&self, day: Date) -> Option<(UnixMs, UnixMs)> {
        let ends = if self.end > self.begin { day } else { day.checked_add(1.day()).ok()? };
        let moment = |day: Date, time: Time| {
            let zoned = self.zone.to_ambiguous_zoned(day.to_datetime(time)).compatible().ok()?;
            u64::try_from(zoned.timestamp().as_millisecond()).ok().map(UnixMs)
        };
        Some((moment(day, self.begin)?, moment(ends, self.end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly(days: &[u8], begin: &str, end: &str) -> WeeklyMaintenance {
        WeeklyMaintenance {
            author: "ann".to_owned(),
            reason: "backup".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            days: days.iter().copied().collect(),
            begin: begin.to_owned(),
            end: end.to_owned(),
            matchers: vec![Matcher::Tag("db".to_owned())],
        }
    }

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond() as u64)
    }

    fn said(maintenance: &WeeklyMaintenance, now: &str) -> Vec<String> {
        let silences = maintenance.silences(&"m1".parse().unwrap(), at(now)).unwrap();
        silences.iter().map(|(id, silence)| format!("{id}: {} {}", silence.from, silence.until)).collect()
    }

    #[test]
    fn two_weeks_are_written_ahead_by_the_wall_clock_of_the_zone() {
        // Clocks go back on the 25th: the same wall time is an hour later in UTC.
        assert_eq!(
            said(&weekly(&[7], "22:00", "06:00"), "2026-10-12T12:00:00Z"),
            [
                "m1-2026-10-18: 2026-10-18T20:00:00.000Z 2026-10-19T04:00:00.000Z",
                "m1-2026-10-25: 2026-10-25T21:00:00.000Z 2026-10-26T05:00:00.000Z",
            ]
        );
    }

    #[test]
    fn a_window_that_runs_is_kept_until_it_ends() {
        let sunday = weekly(&[7], "22:00", "06:00");
        assert_eq!(said(&sunday, "2026-10-19T03:59:00Z").len(), 3);
        assert_eq!(said(&sunday, "2026-10-19T04:00:00Z").len(), 2);
    }

    #[test]
    fn a_night_in_which_clocks_skip_or_repeat_an_hour_has_one_window() {
        let skipped = weekly(&[7], "02:30", "04:00");
        assert_eq!(
            said(&skipped, "2026-03-28T12:00:00Z")[0],
            "m1-2026-03-29: 2026-03-29T01:30:00.000Z 2026-03-29T02:00:00.000Z"
        );
        assert_eq!(
            said(&skipped, "2026-10-24T12:00:00Z")[0],
            "m1-2026-10-25: 2026-10-25T00:30:00.000Z 2026-10-25T03:00:00.000Z"
        );
    }

    #[test]
    fn every_day_has_its_window_and_the_same_id_each_time() {
        let daily = weekly(&[1, 2, 3, 4, 5, 6, 7], "01:00", "02:00");
        let (first, next) = (said(&daily, "2026-06-01T12:00:00Z"), said(&daily, "2026-06-02T12:00:00Z"));
        assert_eq!((first.len(), next.len()), (14, 14));
        assert_eq!(first[1..], next[..13]);
    }

    #[test]
    fn a_window_is_known_by_its_id() {
        let of = |id: &str| WeeklyMaintenance::of_window(&id.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(of("m1-2026-10-18").as_deref(), Some("m1"));
        for other in ["abcdefgh", "m1-2026-13-18", "-2026-10-18x", "m1"] {
            if let Ok(id) = other.parse() {
                assert_eq!(WeeklyMaintenance::of_window(&id), None, "{other}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_was_expected() {
        let error = |change: fn(&mut WeeklyMaintenance)| {
            let mut maintenance = weekly(&[1], "22:00", "06:00");
            change(&mut maintenance);
            maintenance.mistakes().remove(0).1.to_string()
        };
        assert!(error(|it| it.zone = "Europe/Atlantis".to_owned()).contains("Europe/Berlin"));
        assert!(error(|it| it.begin = "25:00".to_owned()).contains("22:00"));
        assert!(error(|it| it.days = BTreeSet::from([0])).contains("1 (Monday)"));
        assert!(error(|it| it.matchers.clear()).contains("matcher"));
    }
}
