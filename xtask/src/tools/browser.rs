//! Chromium, in which the tests look at the page.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{CHROMIUM_ENV, fetch, from_env, on_path};

const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// A Chromium from the environment or PATH; installed where that is possible without asking.
pub fn chromium() -> Result<PathBuf> {
    if let Some(named) = from_env(CHROMIUM_ENV)? {
        return Ok(named);
    }
    if let Some(found) = on_path(NAMES) {
        return Ok(found);
    }
    fetch::debian_package("Chromium", "chromium")?;
    on_path(NAMES).context("Chromium is still not on PATH after installing it")
}
