//! A file of the kernel that stays open and is read anew at each tick.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Room that is made at first; it doubles as needed.
const BUFFER_BYTES_FIRST: usize = 8 * 1024;
/// No file of ours is longer, also with thousands of processors or mounts.
const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A file of the kernel. What cannot be read is absent; that a file which was there went away is logged once.
pub(super) struct Source {
    path: PathBuf,
    file: Option<File>,
    was_there: bool,
}

impl Source {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, was_there: false }
    }

    /// The whole content, in `buffer`.
    pub(super) fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Option<Cow<'b, str>> {
        self.read_up_to(BUFFER_BYTES_MAX, buffer)
    }

    /// The first `bytes` of the content, in `buffer`.
    pub(super) fn read_up_to<'b>(&mut self, bytes: usize, buffer: &'b mut Vec<u8>) -> Option<Cow<'b, str>> {
        match self.fill(bytes, buffer) {
            Ok(length) => {
                self.was_there = true;
                Some(String::from_utf8_lossy(&buffer[..length]))
            }
            Err(error) => {
                self.file = None;
                if std::mem::take(&mut self.was_there) {
                    tracing::warn!(path = %self.path.display(), %error, "can no longer be read, its values are absent");
                }
                None
            }
        }
    }

    fn fill(&mut self, enough: usize, buffer: &mut Vec<u8>) -> Result<usize, Error> {
        let file = match &mut self.file {
            Some(file) => file,
            closed => closed.insert(File::open(&self.path)?),
        };
        let mut length = 0;
        loop {
            if length == buffer.len() {
                buffer.resize((length * 2).max(BUFFER_BYTES_FIRST), 0);
            }
            let room = buffer.len().min(enough);
            match file.read_at(&mut buffer[length..room], length as u64) {
                Ok(0) => return Ok(length),
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if length >= enough {
                return if enough < BUFFER_BYTES_MAX {
                    Ok(length)
                } else {
                    Err(ErrorKind::FileTooLarge.into())
                };
            }
        }
    }
}

/// Reads a small file once.
pub(super) fn read_once(path: PathBuf, buffer: &mut Vec<u8>) -> Option<String> {
    Source::new(path).read(buffer).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_is_read_anew_and_however_long_it_is() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (mut source, mut buffer) = (Source::new(file.path().to_owned()), Vec::new());
        assert_eq!(source.read(&mut buffer).unwrap(), "");
        let long = "x".repeat(3 * BUFFER_BYTES_FIRST + 7);
        file.write_all(long.as_bytes()).unwrap();
        assert_eq!(source.read(&mut buffer).unwrap(), long);
        assert_eq!(source.read_up_to(700, &mut buffer).unwrap().len(), 700);
        file.as_file().set_len(2).unwrap();
        assert_eq!(source.read(&mut buffer).unwrap(), "xx");
    }

    #[test]
    fn what_is_not_there_is_absent_and_may_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late");
        let (mut source, mut buffer) = (Source::new(path.clone()), Vec::new());
        assert!(source.read(&mut buffer).is_none());
        std::fs::write(path, "7").unwrap();
        assert_eq!(source.read(&mut buffer).unwrap(), "7");
    }
}
