//! The one-time code by which the first owner shows that they are the one who started this gateway.
//!
//! It lies in the gateway's folder, so that several gateways of one folder take the same code.

use crate::identity::files;
use crate::identity::secret::{random, same};
use anyhow::{Context as _, Result};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use watchkeeper_schemas::quantity::UnixMs;

/// How long a code is good, in milliseconds.
pub const LIFE_MS: u64 = 15 * 60 * 1000;
/// 80 random bits are 16 characters to type.
const CODE_BYTES: usize = 10;
const GROUP_CHARS: usize = 4;
const CODE_FILE: &str = "bootstrap.code";

/// A code and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Four groups of four characters.
    pub code: String,
    /// When it ends.
    pub expires: UnixMs,
}

fn path(folder: &Path) -> PathBuf {
    folder.join(CODE_FILE)
}

/// Makes a new code; the one before is good no more.
///
/// # Errors
/// When it cannot be written.
pub fn renew(folder: &Path, now: UnixMs) -> Result<Code> {
    let text = BASE32_NOPAD.encode(&random::<CODE_BYTES>()?);
    let groups: Vec<&str> =
        text.as_bytes().chunks(GROUP_CHARS).filter_map(|it| std::str::from_utf8(it).ok()).collect();
    let code = Code { code: groups.join("-"), expires: UnixMs(now.0 + LIFE_MS) };
    files::write(&path(folder), &serde_json::to_string(&code)?)?;
    Ok(code)
}

/// The present code, if there is one that is still good.
///
/// # Errors
/// When the file cannot be read.
pub fn present(folder: &Path, now: UnixMs) -> Result<Option<Code>> {
    let path = path(folder);
    let Some(text) = files::read(&path)? else { return Ok(None) };
    let code: Code =
        serde_json::from_str(&text).with_context(|| format!("{} holds no code", path.display()))?;
    Ok(Some(code).filter(|code| code.expires >= now))
}

/// Whether somebody typed the present code; spaces, dashes and case do not matter.
///
/// # Errors
/// When the file cannot be read.
pub fn is_present(folder: &Path, typed: &str, now: UnixMs) -> Result<bool> {
    let bare = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
    };
    Ok(present(folder, now)?.is_some_and(|code| same(&bare(&code.code), &bare(typed))))
}

/// There is an owner: no code is needed any more.
///
/// # Errors
/// When the file cannot be removed.
pub fn end(folder: &Path) -> Result<()> {
    let path = path(folder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_code_is_good_and_for_a_quarter_of_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let old = renew(folder.path(), UnixMs(0)).unwrap();
        let code = renew(folder.path(), UnixMs(0)).unwrap();
        let good = |typed: &str, now| is_present(folder.path(), typed, UnixMs(now)).unwrap();
        assert!(good(&code.code, 0));
        assert!(good(&code.code.to_lowercase().replace('-', " "), LIFE_MS));
        assert!(!good(&code.code, LIFE_MS + 1));
        assert!(!good(&old.code, 0));
        assert!(!good("", 0));
        assert_eq!(code.code.len(), 19);
        end(folder.path()).unwrap();
        assert!(!good(&code.code, 0));
        end(folder.path()).unwrap();
    }
}
