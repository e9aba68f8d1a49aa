//! What buttons carry: what to do, and which episodes by short hashes, so that nothing must be remembered for them. Pure.

use crate::notifier::episodes::Episodes;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use watchkeeper_schemas::ids::{EpisodeId, TeamId};

/// Bytes of an episode's hash: among a hundred thousand open ones, one in ten million buttons names two.
const HASH_BYTES: usize = 5;
/// The same as text.
const HASH_CHARS: usize = 7;
/// Episodes of one button: Telegram takes 64 bytes.
pub const EPISODES_MAX: usize = 9;

/// What a button asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Somebody looks after them.
    Acknowledge,
    /// Nobody wants to hear of them for an hour.
    Silence,
}

impl Press {
    fn letter(self) -> char {
        match self {
            Self::Acknowledge => 'a',
            Self::Silence => 's',
        }
    }

    /// What the button carries.
    #[must_use]
    pub fn data(self, episodes: &[&EpisodeId]) -> String {
        let hashes = episodes.iter().take(EPISODES_MAX).map(|id| hash(id));
        std::iter::once(self.letter().to_string()).chain(hashes).collect()
    }

    /// Reads what a button carries; nothing where it is none of ours.
    #[must_use]
    pub fn read(data: &str) -> Option<(Self, BTreeSet<String>)> {
        let press =
            [Self::Acknowledge, Self::Silence].into_iter().find(|it| data.starts_with(it.letter()))?;
        let hashes = data.get(1..).filter(|rest| rest.is_ascii() && !rest.is_empty())?;
        let hashes = hashes.as_bytes().chunks(HASH_CHARS);
        let hashes: BTreeSet<String> = hashes.map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        hashes.iter().all(|it| it.len() == HASH_CHARS).then_some((press, hashes))
    }
}

/// The open episodes of a team that a button means; one hash that two of them share means neither.
#[must_use]
pub fn meant(episodes: &Episodes, team: &TeamId, hashes: &BTreeSet<String>) -> Vec<EpisodeId> {
    let mut found: Vec<(String, EpisodeId)> = episodes
        .of(team)
        .map(|(id, _)| (hash(id), id.clone()))
        .filter(|(hash, _)| hashes.contains(hash))
        .collect();
    found.sort();
    let is_alone = |index: usize| {
        let hash = found.get(index).map(|(hash, _)| hash);
        let same = found.iter().filter(|(other, _)| Some(other) == hash).count();
        same == 1
    };
    (0..found.len())
        .filter(|index| is_alone(*index))
        .filter_map(|index| Some(found.get(index)?.1.clone()))
        .collect()
}

fn hash(id: &EpisodeId) -> String {
    let hash = Sha256::digest(id.as_str().as_bytes());
    BASE64URL_NOPAD.encode(hash.get(..HASH_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> EpisodeId {
        format!("{}~{}~{n}~e3b0c44298fc1c14", "r".repeat(64), "h".repeat(63)).parse().unwrap()
    }

    #[test]
    fn a_button_carries_nine_episodes_in_64_bytes_and_reads_back() {
        let ids: Vec<EpisodeId> = (0..20).map(id).collect();
        let data = Press::Acknowledge.data(&ids.iter().collect::<Vec<_>>());
        assert_eq!(data.len(), 64);
        let (press, hashes) = Press::read(&data).unwrap();
        assert_eq!((press, hashes.len()), (Press::Acknowledge, EPISODES_MAX));
        assert_eq!(hashes, ids[..EPISODES_MAX].iter().map(hash).collect());
        assert_eq!(Press::read(&Press::Silence.data(&[&ids[3]])).unwrap().0, Press::Silence);
    }

    #[test]
    fn what_is_no_button_of_ours_is_nothing() {
        for bad in ["", "a", "s", "x1234567", "a123456", "a12345678", "aäääääää", "acknowledge"] {
            assert_eq!(Press::read(bad), None, "{bad:?}");
        }
    }
}
