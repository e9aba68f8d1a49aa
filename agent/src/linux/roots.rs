//! Where the host's files lie: at `/`, or below a folder where a container sees its host.

use std::path::{Path, PathBuf};

/// Paths of the host as this program reaches them.
pub(super) struct Roots {
    root: PathBuf,
    /// The process whose network and mounts are the host's: this one, or the host's first as seen from a container.
    process: &'static str,
}

impl Roots {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), process: if root == Path::new("/") { "self" } else { "1" } }
    }

    /// Whether a container looks at its host.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.process == "1"
    }

    /// A path below the host's `/`, given with or without its leading slash.
    pub(super) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        let below = below.as_ref();
        self.root.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// A file of the process whose network and mounts are the host's.
    pub(super) fn of_process(&self, file: &str) -> PathBuf {
        self.path("proc").join(self.process).join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_reads_its_hosts_files() {
        let (own, host) = (Roots::new(Path::new("/")), Roots::new(Path::new("/host")));
        assert_eq!(own.path("/proc/stat"), Path::new("/proc/stat"));
        assert_eq!(host.path("/proc/stat"), Path::new("/host/proc/stat"));
        assert_eq!(own.of_process("net/dev"), Path::new("/proc/self/net/dev"));
        assert_eq!(host.of_process("net/dev"), Path::new("/host/proc/1/net/dev"));
    }
}
