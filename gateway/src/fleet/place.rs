//! A place in the live view, as the id of an event: which bucket, and how far in it.

use std::fmt;
use std::str::FromStr;

/// A place in the live view: the LATEST bucket by its creation time, a revision in it, and a place in JOURNAL.
///
/// Written `<epoch>-<revision>-<journal>`. Every gateway gives the same place the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// When the bucket was created, in milliseconds since 1970; 0 before any was seen.
    pub epoch: u64,
    /// The newest revision up to which everything is known.
    pub revision: u64,
    /// The newest place in JOURNAL up to which everything is known.
    pub journal: u64,
}

impl Place {
    /// Whether something up to `other` in the same bucket is not known here.
    #[must_use]
    pub fn is_behind(self, other: Self) -> bool {
        self.revision < other.revision || self.journal < other.journal
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.revision, self.journal)
    }
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of an earlier event, such as 1700000000000-42-7")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoPlace),
            false => Err(NoPlace),
        };
        let mut parts = text.split('-');
        let mut part = || number(parts.next().ok_or(NoPlace)?);
        let place = Self { epoch: part()?, revision: part()?, journal: part()? };
        if parts.next().is_some() { Err(NoPlace) } else { Ok(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_anything_else_is_none() {
        let place = Place { epoch: 1_700_000_000_000, revision: 42, journal: 7 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in [
            "",
            "--",
            "1-2-",
            "-1-2",
            "1",
            "1-2",
            "1-2-3-4",
            "+1-2-3",
            "1-99999999999999999999999-3",
            "a-b-c",
        ] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad:?}");
        }
    }
}
