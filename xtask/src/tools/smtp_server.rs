//! aiosmtpd, the SMTP server that tests of e-mail write to: an interpreter and the folder that holds its packages.

use std::path::PathBuf;

use anyhow::Result;

use super::fetch;

/// The interpreter, and the folder to name in PYTHONPATH.
pub fn smtp_server() -> Result<(PathBuf, PathBuf)> {
    let packages = fetch::into_tools("smtp-server-1.4.6", "aiosmtpd 1.4.6 (1 MB) with pip", |staged| {
        fetch::pip_install("smtp-server.txt", staged)
    })?;
    Ok((fetch::program("python3")?, packages))
}
