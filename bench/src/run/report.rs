//! One measurement beside its limit, and the table of all.

/// What a measurement is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// Must not be more.
    AtMost(f64),
    /// Must not be less.
    AtLeast(f64),
    /// Should not be more, on a machine with nothing else to do.
    GoalAtMost(f64),
    /// Should not be less, on a machine with nothing else to do.
    GoalAtLeast(f64),
    /// Only told.
    None,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) measured: f64,
    pub(super) unit: &'static str,
    pub(super) bound: Bound,
}

impl Row {
    fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) | Bound::GoalAtMost(limit) => self.measured <= limit,
            Bound::AtLeast(limit) | Bound::GoalAtLeast(limit) => self.measured >= limit,
            Bound::None => true,
        }
    }

    /// Whether a limit, not merely a goal, holds.
    pub(super) fn is_allowed(&self) -> bool {
        self.holds() || matches!(self.bound, Bound::GoalAtMost(_) | Bound::GoalAtLeast(_))
    }

    /// The line of the table: what, measured, limit, their ratio, verdict.
    fn cells(&self) -> [String; 5] {
        let (sign, limit, missed) = match self.bound {
            Bound::AtMost(limit) => ("≤", limit, "MISSED"),
            Bound::AtLeast(limit) => ("≥", limit, "MISSED"),
            Bound::GoalAtMost(limit) => ("goal ≤", limit, "goal missed"),
            Bound::GoalAtLeast(limit) => ("goal ≥", limit, "goal missed"),
            Bound::None => {
                return [
                    self.what.into(),
                    self.amount(self.measured),
                    String::new(),
                    String::new(),
                    String::new(),
                ];
            }
        };
        [
            self.what.into(),
            self.amount(self.measured),
            format!("{sign} {}", self.amount(limit)),
            if limit > 0.0 { format!("{:.2}", self.measured / limit) } else { String::new() },
            if self.holds() { "ok" } else { missed }.into(),
        ]
    }

    fn amount(&self, number: f64) -> String {
        let decimals = if number.abs() >= 100.0 { 0 } else { 2 };
        format!("{number:.decimals$} {}", self.unit).trim_end().to_owned()
    }
}

/// Tells one measurement as soon as it is there.
#[expect(clippy::print_stderr, reason = "progress of a command for people")]
pub(super) fn tell(row: &Row) {
    let [what, measured, limit, ratio, verdict] = row.cells();
    match row.bound {
        Bound::None => eprintln!("{what}: {measured}"),
        Bound::AtMost(_) | Bound::AtLeast(_) | Bound::GoalAtMost(_) | Bound::GoalAtLeast(_) => {
            eprintln!("{what}: {measured} ({limit}, ratio {ratio}) {verdict}");
        }
    }
}

/// Prints all, in columns.
#[expect(clippy::print_stdout, reason = "the table is the output of the command")]
pub(super) fn table(rows: &[Row]) {
    let head = ["benchmark", "measured", "limit", "ratio", "verdict"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    for [what, measured, limit, ratio, verdict] in &lines {
        println!(
            "{what:<0$}  {measured:>1$}  {limit:>2$}  {ratio:>3$}  {verdict:<4$}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_limit_fails_and_a_missed_goal_only_shows() {
        let row = |bound| Row { what: "x", measured: 2.0, unit: "s", bound };
        assert!(!row(Bound::AtMost(1.0)).is_allowed() && !row(Bound::AtLeast(3.0)).is_allowed());
        assert!(row(Bound::GoalAtMost(1.0)).is_allowed() && row(Bound::AtMost(2.0)).is_allowed());
        assert_eq!(row(Bound::AtMost(1.0)).cells(), ["x", "2.00 s", "≤ 1.00 s", "2.00", "MISSED"]);
    }
}
