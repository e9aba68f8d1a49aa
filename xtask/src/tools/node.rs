//! Node.js and npm, with which the page is built.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::on_path;
use super::version::Version;

/// What the page's build tool asks for.
const OLDEST: Version = Version([20, 19, 0]);

/// An error that says what to install unless a new enough Node.js and npm are here.
pub fn require_node() -> Result<()> {
    let Some(node) = on_path(&["node"]) else {
        bail!(
            "Node.js {OLDEST} or later builds the page and is missing: install it (with npm) and start again"
        );
    };
    let output = Command::new(&node).arg("--version").output().context("asking node for its version")?;
    let version =
        Version::find_in(&String::from_utf8_lossy(&output.stdout)).context("node printed no version")?;
    if version < OLDEST {
        bail!("{} is Node.js {version}, and {OLDEST} or later is needed to build the page", node.display());
    }
    npm().map(drop)
}

/// The npm on PATH.
pub fn npm() -> Result<PathBuf> {
    on_path(&["npm"]).context("npm builds the page and is missing: install it beside Node.js and start again")
}
