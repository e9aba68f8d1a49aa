//! A place in the live view, as the id of an event: which bucket, and how far in it.

use std::fmt;
use std::str::FromStr;

/// A place in the live view: the LATEST bucket by its creation time, and a revision in it.
///
/// Written `<epoch>-<revision>`. Every gateway gives the same place the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// When the bucket was created, in milliseconds since 1970; 0 before any was seen.
    pub epoch: u64,
    /// The newest revision up to which everything is known.
    pub revision: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.revision)
    }
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the id of an earlier event, such as 1700000000000-42")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoPlace),
            false => Err(NoPlace),
        };
        let (epoch, revision) = text.split_once('-').ok_or(NoPlace)?;
        Ok(Self { epoch: number(epoch)?, revision: number(revision)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_anything_else_is_none() {
        let place = Place { epoch: 1_700_000_000_000, revision: 42 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "-", "1-", "-1", "1", "1-2-3", "+1-2", "1-99999999999999999999999", "a-b"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad:?}");
        }
    }
}
