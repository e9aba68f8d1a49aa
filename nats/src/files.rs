//! Files that are either whole or absent, and secret ones that only their owner can read.

use crate::claims::ClaimsError;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// Only the owner enters.
const DIR_MODE: u32 = 0o700;
/// The bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Why keys, accounts or configuration could not be made or read, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A secret stands open.
    #[error("{} can be read by others (mode {mode:04o}): type `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{} cannot be used: {source}. {remedy}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What to do, as a sentence.
        remedy: &'static str,
        /// What is wrong with it.
        source: ClaimsError,
    },
    /// A file that must exist does not.
    #[error("{} is missing. {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do, as a sentence.
        remedy: String,
    },
    /// Others could listen to what is said.
    #[error(
        "a server on {listen} would be reached from outside without TLS: give --tls-cert and --tls-key, or \
         --behind-proxy where something before it speaks TLS, or listen on 127.0.0.1"
    )]
    Plain {
        /// Where the server was to listen.
        listen: SocketAddr,
    },
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was missing and now exists.
    Created,
    /// It said something else.
    Updated,
    /// It was as it should be and was not touched.
    Kept,
}

/// Keeps others of our commands out of a folder for as long as it lives.
pub(crate) struct Lock {
    _file: File,
}

/// Waits until no other command works on `dir`.
pub(crate) fn lock(dir: &Path) -> Result<Lock, SetupError> {
    let path = dir.join(".lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(&path);
    let file = open.map_err(failed("open", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(Lock { _file: file })
}

/// Makes a folder that only its owner enters, unless it exists.
pub(crate) fn ensure_dir(path: &Path) -> Result<(), SetupError> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path).map_err(failed("create the folder", path))
}

/// The text of a file, `None` when it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<String>, SetupError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SetupError::Io { doing: "read", path: path.to_owned(), source }),
    }
}

/// As [`read`], and an error when others than the owner could read it too.
pub(crate) fn read_secret(path: &Path) -> Result<Option<String>, SetupError> {
    let text = read(path)?;
    if text.is_some() {
        let mode = fs::metadata(path).map_err(failed("read the permissions of", path))?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(SetupError::Exposed { path: path.to_owned(), mode: mode & 0o7777 });
        }
    }
    Ok(text)
}

/// Makes `path` hold `text`: whole or not at all, on disk when this returns, untouched when it already does.
pub(crate) fn write(path: &Path, text: &str) -> Result<Outcome, SetupError> {
    let found = read(path)?;
    if found.as_deref() == Some(text) {
        return Ok(Outcome::Kept);
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    write_through(&draft, text).map_err(failed("write", &draft))?;
    fs::rename(&draft, path).map_err(failed("replace", path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync the folder", dir))?;
    Ok(if found.is_some() { Outcome::Updated } else { Outcome::Created })
}

/// A draft left by a crash is removed first, so that the new file has our mode and not that of the old one.
fn write_through(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), SetupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a folder, if it is there and nothing is in it.
pub(crate) fn remove_empty_dir(path: &Path) -> Result<(), SetupError> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        removed => removed.map_err(failed("remove", path)),
    }
}

/// Names of the files in a folder, sorted; none when it does not exist.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, SetupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", dir))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The whole path of an existing file or folder, free of symbolic links.
pub(crate) fn whole_path(path: &Path) -> Result<PathBuf, SetupError> {
    path.canonicalize().map_err(failed("find", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    move |source| SetupError::Io { doing, path: path.to_owned(), source }
}
