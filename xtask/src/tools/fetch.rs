//! Bringing something into `.tools/` with the platform's package clients: once, whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::on_path;
use crate::{console, workspace};

/// Free space that must be there before anything is fetched; the largest (a Java runtime) takes 110 MB twice over.
const FREE_BYTES_MIN: u64 = 400 * 1024 * 1024;

/// The path of `.tools/<name>`; if it is missing, `bring` puts it into an empty staging folder under the same name.
///
/// A lock lets two starts at once fetch once; the rename at the end lets nobody see half of it.
pub(super) fn into_tools(name: &str, told: &str, bring: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = workspace::root().join(".tools");
    into_folder(&tools, name, told, bring)
}

fn into_folder(
    tools: &Path,
    name: &str,
    told: &str,
    bring: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let wanted = tools.join(name);
    if wanted.exists() {
        return Ok(wanted);
    }
    fs::create_dir_all(tools).with_context(|| format!("creating {}", tools.display()))?;
    let _lock = lock(&tools.join("lock"))?;
    if wanted.exists() {
        return Ok(wanted);
    }
    require_space(tools)?;
    console::line(format!("fetching {told} ..."));
    let start = Instant::now();
    let staging = tempfile::Builder::new().prefix("fetching-").tempdir_in(tools)?;
    let staged = staging.path().join(name);
    bring(&staged).map_err(|failure| match require_space(tools) {
        Ok(()) => failure.context(format!("fetching {told}")),
        Err(full) => full.context(format!("fetching {told}")),
    })?;
    fs::rename(&staged, &wanted).with_context(|| format!("moving {name} to {}", wanted.display()))?;
    console::line(format!("fetched {told} in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(wanted)
}

fn lock(path: &Path) -> Result<File> {
    let told = || format!("locking {}", path.display());
    let file = File::create(path).with_context(told)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            console::line("another start is fetching servers; waiting for it ...");
            file.lock().with_context(told)?;
        }
        Err(TryLockError::Error(failure)) => return Err(failure).with_context(told),
    }
    Ok(file)
}

fn require_space(folder: &Path) -> Result<()> {
    let space = rustix::fs::statvfs(folder)
        .with_context(|| format!("asking for free space in {}", folder.display()))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < FREE_BYTES_MIN {
        bail!(
            "the disk of {} has {} MB left and {} MB are needed: free some space and start again",
            folder.display(),
            free / 1_000_000,
            FREE_BYTES_MIN / 1_000_000
        );
    }
    Ok(())
}

/// Installs a pinned, hash-checked package with pip into `target`.
pub(super) fn pip_install(pins: &str, target: &Path) -> Result<()> {
    let python = on_path(&["python3"])
        .map_or_else(|| debian_package("python3", "python3-pip").and_then(|()| program("python3")), Ok)?;
    let has_pip = Command::new(&python).args(["-m", "pip", "--version"]).output();
    if !has_pip.is_ok_and(|output| output.status.success()) {
        debian_package("pip (of python3)", "python3-pip")?;
    }
    let pins = workspace::root().join("xtask/pins").join(pins);
    client(
        Command::new(python)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore"])
            .args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(pins)
            .arg("--target")
            .arg(target),
    )
}

/// Runs a package client with its own progress on the terminal.
pub(super) fn client(command: &mut Command) -> Result<()> {
    let shown = format!("{} {}", command.get_program().display(), joined(command.get_args()));
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("running `{shown}`"))?;
    if status.success() {
        return Ok(());
    }
    Err(anyhow!(
        "`{shown}` failed ({status}): what it printed says why; without a network, name the program with a \
         WATCHKEEPER_... variable (cargo xtask tools --help)"
    ))
}

fn joined<'a>(args: impl Iterator<Item = &'a OsStr>) -> String {
    args.map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Installs a Debian package where that is possible without asking (root on Debian); else the error says what to type.
pub(super) fn debian_package(what: &str, package: &str) -> Result<()> {
    let apt = on_path(&["apt-get"]).filter(|_| Path::new("/etc/debian_version").exists());
    let Some(apt) = apt else {
        bail!("{what} is missing: install it with your system's package manager and start again");
    };
    if !rustix::process::geteuid().is_root() {
        bail!("{what} is missing: install it with `sudo apt-get install {package}` and start again");
    }
    console::line(format!("{what} is missing and this is root on Debian: apt-get install {package}"));
    let install = || {
        let mut command = Command::new(&apt);
        command.args(["install", "--yes", "--no-install-recommends", package]);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        // Scripts read our standard output; a package's chatter belongs beside it.
        command.stdout(std::io::stderr());
        client(&mut command)
    };
    if install().is_ok() {
        return Ok(());
    }
    client(Command::new(&apt).arg("update").stdout(std::io::stderr()))?;
    install()
}

/// A program that was just installed.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    on_path(&[name]).with_context(|| format!("{name} is still not on PATH after installing it"))
}

/// Whether progress bars make sense.
pub(super) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_fetched_again() {
        let tools = tempfile::tempdir().unwrap();
        let mut fetched = 0;
        for _ in 0..2 {
            let path = into_folder(tools.path(), "thing-1", "a thing", |staged| {
                fetched += 1;
                Ok(fs::write(staged, "content")?)
            });
            assert_eq!(fs::read_to_string(path.unwrap()).unwrap(), "content");
        }
        assert_eq!(fetched, 1);
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_half_done() {
        let tools = tempfile::tempdir().unwrap();
        let failed = into_folder(tools.path(), "thing-1", "a thing", |staged| {
            fs::write(staged, "half")?;
            bail!("connection lost")
        });
        let message = format!("{:#}", failed.unwrap_err());
        assert!(message.contains("a thing") && message.contains("connection lost"), "{message}");
        let left: Vec<_> =
            fs::read_dir(tools.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn two_starts_at_once_fetch_once() {
        let tools = tempfile::tempdir().unwrap();
        let fetched = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    into_folder(tools.path(), "thing-1", "a thing", |staged| {
                        fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        Ok(fs::write(staged, "content")?)
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(fetched.into_inner(), 1);
    }

    #[test]
    fn a_failing_client_says_what_was_run() {
        let message = client(Command::new("sh").args(["-c", "exit 9"])).unwrap_err().to_string();
        assert!(message.contains("sh -c exit 9") && message.contains('9'), "{message}");
    }
}
