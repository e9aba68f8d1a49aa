//! @nats-io/transport-node for tests of what third parties are promised: the folder that holds the package.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{fetch, node};
use crate::workspace;

/// A folder in which a program can import the package.
pub fn node_reader() -> Result<PathBuf> {
    node::require_node()?;
    fetch::into_tools("node-reader-3.4.0", "@nats-io/transport-node 3.4.0 (1 MB) with npm", |staged| {
        let pins = workspace::root().join("xtask/pins/node-reader");
        fs::create_dir_all(staged).context("making the package's folder")?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(pins.join(file), staged.join(file)).with_context(|| format!("copying {file}"))?;
        }
        fetch::client(Command::new(node::npm()?).current_dir(staged).args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ]))
    })
}
