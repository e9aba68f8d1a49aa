//! Passwords: which are refused, and how they are kept. Argon2id in bounded memory, never in the way of answers.

use crate::identity::secret::{NoRandomness, random};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use watchkeeper_schemas::ids::UserId;

/// Characters of a password at least and at most.
pub const CHARS_MIN: usize = 10;
/// Longest password; longer input is refused before it costs anything.
pub const CHARS_MAX: usize = 128;
/// Log-ins that wait for a core; further ones are told to come again.
const QUEUE_MAX: usize = 32;
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Address space that is reserved for one hash, in KiB, most of it never touched: glibc gives back at once only what is
/// larger than 32 MiB, and would otherwise keep 19 MiB for each thread that ever hashed.
const RESERVED_BLOCKS: usize = 33 * 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// What a kept hash may cost at most, should its bucket hold nonsense.
const KEPT_MEMORY_KIB_MAX: u32 = 64 * 1024;
const KEPT_PASSES_MAX: u32 = 10;

/// The commonest passwords, in lower case.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("common_passwords.txt").lines().filter(|line| !line.starts_with("# ")).collect()
});

/// Why a password is refused, as what is expected of another.
///
/// # Errors
/// The first rule that it breaks.
pub fn acceptable(password: &str, user: &UserId) -> Result<(), &'static str> {
    let count = password.chars().count();
    if count < CHARS_MIN {
        return Err("at least 10 characters");
    }
    if count > CHARS_MAX {
        return Err("at most 128 characters");
    }
    let lower = password.to_lowercase();
    if lower.contains(user.as_str()) {
        return Err("a password that does not contain the user name");
    }
    if is_common(&lower) {
        return Err("a password that is not among the commonest: several words that do not belong together");
    }
    Ok(())
}

/// A common one, also between digits and signs, or said twice.
fn is_common(lower: &str) -> bool {
    let bare = lower.trim_matches(|c: char| !c.is_alphabetic());
    let half = lower.get(..lower.len() / 2).unwrap_or_default();
    let twice = !half.is_empty() && lower.strip_prefix(half) == Some(half);
    let one_sign = lower.chars().all(|c| lower.starts_with(c));
    COMMON.contains(lower)
        || COMMON.contains(bare)
        || bare.is_empty() && lower.len() < 16
        || one_sign
        || twice && is_common(half)
}

/// A password as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    hash: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(…)")
    }
}

/// What came of a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Wrong, or there is no such user.
    Wrong,
    /// Right.
    Right,
    /// Right, and to be hashed again because the parameters have risen since.
    RightButOld,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// More log-ins wait than may.
    #[error("too many log-ins at once")]
    Busy,
    /// What is kept is no hash of ours.
    #[error("the password cannot be hashed")]
    Failed,
    /// There is no randomness for a salt.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Hashes on as many cores as there are, and lets few wait.
#[derive(Debug)]
pub struct Hasher {
    /// Those who wait and those who are served.
    queue: Arc<Semaphore>,
    /// Those who are served: each takes 19 MiB.
    cores: Arc<Semaphore>,
    /// What the password of an unknown user is compared with.
    nobody: Kept,
}

impl Hasher {
    /// For so many cores.
    ///
    /// # Errors
    /// Without randomness.
    pub fn new(cores: usize) -> Result<Self, HashError> {
        let salt = BASE64.encode(&random::<SALT_BYTES>()?);
        let hash = BASE64.encode(&random::<HASH_BYTES>()?);
        let nobody = Kept { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash };
        let cores = cores.max(1);
        Ok(Self {
            queue: Arc::new(Semaphore::new(cores + QUEUE_MAX)),
            cores: Arc::new(Semaphore::new(cores)),
            nobody,
        })
    }

    /// A password as it is to be kept.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn keep(&self, password: String) -> Result<Kept, HashError> {
        self.work(move || keep(&password)).await
    }

    /// Whether a password is the one that is kept; where there is no user it takes as long and is wrong.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn verify(&self, password: String, kept: Option<Kept>) -> Result<Verdict, HashError> {
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        self.work(move || {
            let right = verify(&password, &kept)?;
            Ok(match (known && right, kept.is_old()) {
                (false, _) => Verdict::Wrong,
                (true, false) => Verdict::Right,
                (true, true) => Verdict::RightButOld,
            })
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _waiting = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| HashError::Busy)?;
        // Held by the work itself: it goes on when its client has left.
        let served = Arc::clone(&self.cores).acquire_owned().await.map_err(|_| HashError::Failed)?;
        let worked = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(served);
            done
        });
        worked.await.map_err(|_| HashError::Failed)?
    }
}

impl Kept {
    fn is_old(&self) -> bool {
        self.memory_kib < MEMORY_KIB || self.passes < PASSES
    }
}

fn keep(password: &str) -> Result<Kept, HashError> {
    let salt = random::<SALT_BYTES>()?;
    let hash = argon2id((MEMORY_KIB, PASSES, LANES), password, &salt)?;
    let (salt, hash) = (BASE64.encode(&salt), BASE64.encode(&hash));
    Ok(Kept { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash })
}

fn verify(password: &str, kept: &Kept) -> Result<bool, HashError> {
    let bounded = kept.memory_kib <= KEPT_MEMORY_KIB_MAX && kept.passes <= KEPT_PASSES_MAX;
    let read = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| HashError::Failed);
    if !bounded || password.chars().count() > CHARS_MAX {
        return Err(HashError::Failed);
    }
    let hash = argon2id((kept.memory_kib, kept.passes, kept.lanes), password, &read(&kept.salt)?)?;
    Ok(hash.ct_eq(read(&kept.hash)?.as_slice()).into())
}

fn argon2id(
    (memory_kib, passes, lanes): (u32, u32, u32),
    password: &str,
    salt: &[u8],
) -> Result<[u8; HASH_BYTES], HashError> {
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).map_err(|_| HashError::Failed)?;
    let mut hash = [0; HASH_BYTES];
    let mut memory = Vec::with_capacity(RESERVED_BLOCKS.max(params.block_count()));
    memory.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed = argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory[..]);
    hashed.map_err(|_| HashError::Failed)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_short_and_telling_passwords_are_refused() {
        let olga: UserId = "olga".parse().unwrap();
        for bad in [
            "short",
            "123456789",
            "qwertyuiop",
            "Password123",
            "PASSWORD2024!",
            "!!dragon1999",
            "dragondragon",
            "aaaaaaaaaaaa",
            "1029384756",
            "01.01.1990!",
            "my-Olga-is-here",
            "1q2w3e4r5t6y",
        ] {
            assert!(acceptable(bad, &olga).is_err(), "{bad}");
        }
        assert!(acceptable(&"x1".repeat(65), &olga).is_err());
        for good in ["correct horse battery", "пароль из слов", "ten-chars!", &"ab3".repeat(40)] {
            assert_eq!(acceptable(good, &olga), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_list_holds_at_least_three_thousand() {
        assert!(COMMON.len() >= 3000, "{}", COMMON.len());
        assert!(COMMON.iter().all(|it| **it == it.to_lowercase()));
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_an_old_hash_is_told() {
        let hasher = Hasher::new(1).unwrap();
        let kept = hasher.keep("correct horse".into()).await.unwrap();
        let verdict = async |password: &str, kept: &Kept| {
            hasher.verify(password.into(), Some(kept.clone())).await.unwrap()
        };
        assert_eq!(verdict("correct horse", &kept).await, Verdict::Right);
        assert_eq!(verdict("correct house", &kept).await, Verdict::Wrong);
        assert_eq!(hasher.verify("correct horse".into(), None).await, Ok(Verdict::Wrong));
        let (salt, cost) = (b"0123456789abcdef", (1024, 1, 1));
        let hash = BASE64.encode(&argon2id(cost, "old", salt).unwrap());
        let old = Kept { memory_kib: 1024, passes: 1, lanes: 1, salt: BASE64.encode(salt), hash };
        assert_eq!(verdict("old", &old).await, Verdict::RightButOld);
        let huge = Kept { memory_kib: u32::MAX, ..old };
        assert_eq!(hasher.verify("old".into(), Some(huge)).await, Err(HashError::Failed));
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_told_so_at_once() {
        let hasher = Hasher::new(1).unwrap();
        let _taken = Arc::clone(&hasher.queue).acquire_many_owned(1 + QUEUE_MAX as u32).await.unwrap();
        assert_eq!(hasher.verify("x".into(), None).await, Err(HashError::Busy));
    }

    /// As the reference implementation of RFC 9106 has it: time 2, 1 MiB, 1 lane, salt `0123456789abcdef`.
    #[test]
    fn it_is_argon2id() {
        let hash = argon2id((1024, 2, 1), "password", b"0123456789abcdef").unwrap();
        let text = data_encoding::HEXLOWER.encode(&hash);
        assert_eq!(text, REFERENCE);
    }
    const REFERENCE: &str = "fbb749b873e2a2f1da56305bbe809193f2cc30af6d2ef5fa09d69d9aa0a14d7b";
}
