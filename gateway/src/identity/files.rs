//! Files of the gateway's own folder: nobody else may read them, and each is written whole or not at all.

use anyhow::{Context as _, Result};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Only the owner reads and writes.
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_FOLDER: u32 = 0o700;
/// Rights of others, which no file here may give.
const OTHERS: u32 = 0o077;

/// Makes the folder, for its owner only.
///
/// # Errors
/// When it cannot be made.
pub fn folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(path);
    made.with_context(|| format!("cannot make the folder {}", path.display()))
}

/// A file's text, if it is there.
///
/// # Errors
/// When it cannot be read, or others may read it.
pub fn read(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mode =
        fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.permissions().mode();
    anyhow::ensure!(
        mode & OTHERS == 0,
        "{} can be read by others (mode {:o}): chmod 600",
        path.display(),
        mode & 0o777
    );
    Ok(Some(text))
}

/// Writes a file anew: until it is whole, the one before stays.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let _absent = fs::remove_file(&aside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a file that is not there yet; the text of whoever was first, which a second gateway reads, too.
///
/// # Errors
/// When it can neither be made nor read.
pub fn make(path: &Path, text: &str) -> Result<String> {
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let made = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, never takes the place of a file.
        let linked = fs::hard_link(&aside, path);
        fs::remove_file(&aside)?;
        linked
    };
    match made() {
        Ok(()) => return Ok(text.to_owned()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
    read(path)?.with_context(|| format!("{} was removed meanwhile", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_second_gets_the_first_ones_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        assert_eq!(make(&path, "one").unwrap(), "one");
        assert_eq!(make(&path, "two").unwrap(), "one");
        write(&path, "three").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("three"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
        assert!(read(&folder.path().join("none")).unwrap().is_none());
    }
}
