//! Where things lie in this workspace, and how the three programs were built.

use std::path::{Path, PathBuf};

use crate::shipped_agent::{self, AGENT};

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's output folder, `CARGO_TARGET_DIR` respected.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// How a program was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Fast to build: development and tests.
    Dev,
    /// Optimised without link-time optimisation: benchmarks and simulated fleets while developing.
    Quick,
    /// What is shipped.
    Release,
}

impl Profile {
    /// The profile which the running program itself was built with, told by the folder it lies in;
    /// a program outside cargo's folders counts as `Dev`.
    pub fn of_this_program() -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        Self::of_path(&exe)
    }

    fn of_path(exe: &Path) -> Self {
        let mut folders = exe.ancestors().skip(1).take(2).filter_map(Path::file_name);
        if folders.clone().any(|name| name == Self::Release.folder()) {
            Self::Release
        } else if folders.any(|name| name == Self::Quick.folder()) {
            Self::Quick
        } else {
            Self::Dev
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Quick => "quick",
            Self::Release => "release",
        }
    }

    /// What to give cargo to build with this profile.
    pub fn cargo_args(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Quick => &["--profile", "quick"],
            Self::Release => &["--release"],
        }
    }

    /// Whether the agent is the one that is shipped, built in a way of its own.
    pub fn runs_the_shipped_agent(self) -> bool {
        match self {
            Self::Dev => false,
            Self::Quick | Self::Release => true,
        }
    }

    /// The path of one of our built programs; it need not exist yet.
    pub fn binary(self, name: &str) -> PathBuf {
        if name == AGENT && self.runs_the_shipped_agent() {
            return shipped_agent::binary();
        }
        target_dir().join(self.folder()).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_told_by_the_folder() {
        assert_eq!(Profile::of_path(Path::new("/w/target/quick/watchkeeper-bench")), Profile::Quick);
        assert_eq!(Profile::of_path(Path::new("/w/target/release/deps/it-0a")), Profile::Release);
        assert_eq!(Profile::of_path(Path::new("/w/target/debug/deps/it-0a")), Profile::Dev);
        assert_eq!(Profile::of_path(Path::new("/release/w/target/debug/xtask")), Profile::Dev);
    }

    #[test]
    fn the_root_is_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
