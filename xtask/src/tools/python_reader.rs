//! nats-py for tests of what third parties are promised: an interpreter and the folder that holds its packages.

use std::path::PathBuf;

use anyhow::Result;

use super::fetch;

/// The interpreter, and the folder to name in PYTHONPATH.
pub fn python_reader() -> Result<(PathBuf, PathBuf)> {
    let packages = fetch::into_tools("python-reader-2.16.0", "nats-py 2.16.0 (4 MB) with pip", |staged| {
        fetch::pip_install("python-reader.txt", staged)
    })?;
    Ok((fetch::program("python3")?, packages))
}
