//! How many tests passed and failed, read from what the test runners print.

use std::fmt;

/// Counts over all runners so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    /// The names of the failed tests, as their runner writes them.
    pub(super) failures: Vec<String>,
}

impl Tally {
    /// Counts a closing line of cargo's runner (`test result: ok. 3 passed; 0 failed; ...`) or of Node's (`# pass 3`,
    /// `ℹ fail 0`), and remembers the name of a failed test (`test NAME ... FAILED`, `not ok 3 - NAME`).
    pub(super) fn read(&mut self, line: &str) {
        if let Some(result) = line.trim_start().strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some(count) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            let number =
                |word| count.strip_prefix(word).and_then(|text: &str| text.trim().parse().ok()).unwrap_or(0);
            self.passed += number("pass ");
            self.failed += number("fail ");
        } else if let Some(name) =
            line.trim_end().strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        } else if let Some(name) = line.strip_prefix("not ok ") {
            self.failures.push(name.split_once(" - ").map_or(name, |(_, name)| name).trim_end().to_owned());
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_runners_are_added_up() {
        let printed = "running 2 tests\n\
            test a ... ok\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n\
            # tests 5\n# pass 4\n# fail 1\n\
            ℹ pass 7\nℹ fail 0\n\
            # passing remark\n\
            test stack::restarts ... FAILED\n\
            not ok 3 - sorts by name\n";
        let mut tally = Tally::default();
        printed.lines().for_each(|line| tally.read(line));
        assert_eq!(tally.to_string(), "26 passed, 3 failed");
        assert_eq!(tally.failures, ["stack::restarts", "sorts by name"]);
    }
}
