//! Version numbers as programs print them.

use std::fmt;

/// Major, minor and patch; what is missing counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) [u32; 3]);

impl Version {
    /// The first word of the text that starts with a digit, after an optional `v`: `nats-server: v2.15.1`,
    /// `openjdk version "17.0.15"`, `v20.20.2`.
    pub(super) fn find_in(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == '"').find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        let mut parts = [0; 3];
        let mut found = false;
        for (part, text) in parts.iter_mut().zip(word.split(['.', '_', '-', '+'])) {
            match text.parse() {
                Ok(number) => (*part, found) = (number, true),
                Err(_) => break,
            }
        }
        found.then_some(Self(parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<[u32; 3]>) {
        assert_eq!(Version::find_in(text), expected.map(Version), "{text}");
    }

    #[test]
    fn versions_are_found_in_what_programs_print() {
        check("nats-server: v2.15.1\n", Some([2, 15, 1]));
        check("nats-server: v2.9.10", Some([2, 9, 10]));
        check("nats-server: v2.16.0-RC.1", Some([2, 16, 0]));
        check("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some([17, 0, 15]));
        check("java version \"1.8.0_292\"", Some([1, 8, 0]));
        check("openjdk version \"25\" 2025-09-16", Some([25, 0, 0]));
        check("v20.20.2", Some([20, 20, 2]));
        check("command not found", None);
    }

    #[test]
    fn minor_versions_are_compared_as_numbers() {
        assert!(Version([2, 9, 10]) < Version([2, 15, 1]));
        assert!(Version([2, 15, 1]) >= Version([2, 15, 1]));
    }
}
