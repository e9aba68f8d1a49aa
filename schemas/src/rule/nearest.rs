//! The known name that a mistyped one is most like.

/// Longest name that is compared, in bytes: no known name is longer.
const NAME_BYTES_MAX: usize = 96;

/// The known name with the fewest letters to change, if these are not more than about a third of it, or two.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let allowed = |candidate: &str| (candidate.len() / 3).max(1 + usize::from(candidate.len() > 2));
    known
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed(candidate))
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Letters to insert, remove or replace.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = || ["cpu.usage_pct", "cpu.user_pct", "memory.used_pct"].into_iter();
        assert_eq!(nearest("cpu.usag_pct", known()).as_deref(), Some("cpu.usage_pct"));
        assert_eq!(nearest("CPU.user_pct", known()).as_deref(), Some("cpu.user_pct"));
        assert_eq!(nearest("banana", known()), None);
        assert_eq!(nearest("", known()), None);
    }
}
