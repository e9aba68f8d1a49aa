//! Commands for the person at the machine, who needs no log-in: they can read the gateway's folder.

use crate::fleet::watch::now;
use crate::identity::{bootstrap, keys};
use anyhow::{Context as _, Result};
use std::io::Write;
use std::path::Path;

/// Prints the code of the first owner.
///
/// # Errors
/// When there is none at present.
pub fn bootstrap(folder: &Path, out: &mut impl Write) -> Result<()> {
    let code = bootstrap::present(folder, now())?.with_context(|| {
        format!(
            "there is no code in {}: there is an owner already, or the last code is over (a restart of the gateway makes \
             another while there is no owner)",
            folder.display()
        )
    })?;
    Ok(writeln!(out, "{}", code.code)?)
}

/// Has new access tokens signed with a new key, which running gateways take up within a second.
///
/// # Errors
/// When the file of keys cannot be written.
pub fn rotate(folder: &Path, out: &mut impl Write) -> Result<()> {
    Ok(writeln!(out, "new tokens are signed with {}", keys::rotate(folder)?)?)
}
