//! The folder of an enrolled host: its credential, its settings, the authority it trusts; its owner's to read alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where root's agent keeps what it needs.
const OF_ROOT: &str = "/var/lib/watchkeeper-agent";
/// Below a user's state folder.
const OF_USERS: &str = "watchkeeper-agent";

/// The folder of an enrolled host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, which need not be there.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self(std::path::absolute(&path).unwrap_or(path))
    }

    /// Where it lies unless told otherwise: `/var/lib/watchkeeper-agent` for root, else in the user's state folder.
    #[must_use]
    pub fn usual() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::at(OF_ROOT);
        }
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Self::at(state.or_else(home).unwrap_or_default().join(OF_USERS))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The credential.
    #[must_use]
    pub fn creds(&self) -> PathBuf {
        self.0.join("agent.creds")
    }

    /// The settings: flags of `run` and `renew`, as a configuration file.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join("agent.toml")
    }

    /// Certificates that are trusted besides the system's; the file is there only if some were given.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Makes the folder if needed and sees whether files can be made in it.
    ///
    /// # Errors
    /// When they cannot.
    pub fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let probe = self.0.join(".writable");
        private(&probe)?;
        fs::remove_file(probe)
    }

    /// Puts a whole file in place of the one that was there, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be written; the old one then stays.
    pub fn put(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = private(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A new file that only its owner may read; a left-over of the same name goes first, whatever its rights.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_their_owners_alone_and_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::at(parent.path().join("a/b"));
        folder.prepare().unwrap();
        let path = folder.creds();
        // A left-over that everybody may read does not lend its rights.
        fs::write(path.with_extension("new"), "old").unwrap();
        folder.put(&path, b"one").unwrap();
        folder.put(&path, b"two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!((mode(&path), mode(folder.path())), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
        folder.remove(&path).unwrap();
        folder.remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_out_before_the_token_is_spent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Folder::at(file.path().join("below")).prepare().is_err());
    }
}
