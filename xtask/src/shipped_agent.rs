//! The agent as it is shipped: a program without shared libraries, optimised for size.
//!
//! What an agent costs its host is mostly its own program in memory, and the shared libraries that it pulls in. So it
//! has a cargo profile of its own and is linked statically. It is built for a named target: flags then reach neither
//! build scripts nor macros, and cargo keeps its output apart from everybody else's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{compile, workspace};

/// The package, and the program in it.
pub const AGENT: &str = "watchkeeper-agent";
/// In the workspace's `Cargo.toml`.
const PROFILE: &str = "agent";
/// As cargo reads them from the environment, between separators: whatever flags a machine is configured with, what is
/// shipped is built with these. It stays position-independent, which costs 100 KiB: an attacker of somebody else's host
/// is not to know where its code lies.
const FLAGS: &[&str] = &["-C", "target-feature=+crt-static"];
const FLAGS_SEPARATOR: &str = "\x1f";
const LIBC: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
const STATIC_LIBC: &str = "libc.a";

/// Builds it; some minutes the first time.
pub fn build() -> Result<()> {
    if let Some(compiler) = compiler_without_static_libc() {
        bail!(
            "the agent is linked statically, and {compiler} finds no {STATIC_LIBC} on this machine: install it \
             (Debian and Ubuntu: `apt-get install libc6-dev`, Fedora: `dnf install glibc-static`)"
        );
    }
    let mut command = compile::cargo();
    command.args(["build", "--package", AGENT, "--profile", PROFILE, "--target", &target()]);
    command.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join(FLAGS_SEPARATOR));
    compile::run(&mut command, "building the agent as it is shipped")
}

/// Where it lies once it is built.
pub fn binary() -> PathBuf {
    workspace::target_dir().join(target()).join(PROFILE).join(AGENT)
}

/// This machine's, as rustc names it.
fn target() -> String {
    format!("{}-unknown-linux-{LIBC}", std::env::consts::ARCH)
}

/// The name of the C compiler if it says that there is nothing to link statically with. Told before minutes are spent
/// on compiling; without a compiler the linker's own message is the better one.
fn compiler_without_static_libc() -> Option<&'static str> {
    const COMPILER: &str = "cc";
    let output = Command::new(COMPILER).arg(format!("-print-file-name={STATIC_LIBC}")).output().ok()?;
    (!names_a_file(&String::from_utf8_lossy(&output.stdout))).then_some(COMPILER)
}

/// A compiler answers with a path, or with the bare name of what it does not find.
fn names_a_file(answer: &str) -> bool {
    Path::new(answer.trim()).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Profile;

    #[test]
    fn optimised_stacks_run_what_is_shipped_and_development_what_it_builds_anyhow() {
        assert_eq!(Profile::Release.binary(AGENT), binary());
        assert_eq!(Profile::Quick.binary(AGENT), binary());
        assert!(Profile::Dev.binary(AGENT).ends_with(format!("debug/{AGENT}")));
    }

    #[test]
    fn a_compiler_without_the_library_only_repeats_its_name() {
        assert!(names_a_file("/usr/lib/x86_64-linux-gnu/libc.a\n"));
        assert!(!names_a_file("libc.a\n"));
    }
}
