//! promtool of Prometheus 2.42 or later, by which the alert machine is measured: older ones lack `keep_firing_for`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{PROMTOOL_ENV, fetch, from_env, on_path};

/// The Debian package that holds it, unpacked and not installed: its service must not start.
const PACKAGE: &str = "prometheus";

/// Finds promtool; fetches Debian's where there is none.
pub fn promtool() -> Result<PathBuf> {
    if let Some(named) = from_env(PROMTOOL_ENV)? {
        return Ok(named);
    }
    if let Some(found) = on_path(&["promtool"]) {
        return Ok(found);
    }
    let folder = fetch::into_tools("promtool", "promtool (19 MB) with apt-get", |staged| {
        let Some(apt) = on_path(&["apt-get"]) else {
            bail!("promtool is missing: install Prometheus or name promtool with {PROMTOOL_ENV}");
        };
        std::fs::create_dir_all(staged)?;
        let download = || {
            let mut client = Command::new(&apt);
            // Whoever apt becomes for a download may not write here.
            client.args(["-o", "APT::Sandbox::User=root", "download", PACKAGE]).current_dir(staged);
            fetch::client(client.stdout(std::io::stderr()))
        };
        if download().is_err() {
            fetch::client(Command::new(&apt).arg("update").stdout(std::io::stderr()))?;
            download()?;
        }
        let packages = std::fs::read_dir(staged)?.filter_map(Result::ok).map(|entry| entry.path());
        let package = packages.into_iter().find(|path| path.extension().is_some_and(|it| it == "deb"));
        let package = package.with_context(|| format!("apt-get download {PACKAGE} left no package"))?;
        fetch::client(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(staged))?;
        Ok(std::fs::remove_file(package)?)
    })?;
    Ok(folder.join("usr/bin/promtool"))
}
