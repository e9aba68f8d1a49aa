//! cargo-deny, which judges what we depend on: from PATH, or compiled once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::version::Version;
use super::{fetch, on_path};
use crate::compile;

/// `deny.toml` is written for it; 0.14 and older cannot read what today's cargo says.
const OLDEST: Version = Version([0, 18, 0]);
/// What is compiled where there is none.
const PINNED: Version = Version([0, 20, 2]);

/// The program.
pub fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) =
        on_path(&["cargo-deny"]).filter(|found| version_of(found).is_ok_and(|it| it >= OLDEST))
    {
        return Ok(found);
    }
    let name = format!("cargo-deny-{PINNED}");
    let told = format!("cargo-deny {PINNED} with cargo install (compiles for a minute or two)");
    let folder = fetch::into_tools(&name, &told, |staged| {
        let build = staged.with_extension("build");
        // It runs for seconds: what optimising costs never comes back.
        let mut install = compile::cargo();
        install
            .args([
                "install",
                "cargo-deny",
                "--locked",
                "--debug",
                "--version",
                &PINNED.to_string(),
                "--root",
            ])
            .arg(staged)
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        fetch::client(&mut install)?;
        std::fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))?;
        let version = version_of(&staged.join("bin/cargo-deny"))?;
        if version == PINNED { Ok(()) } else { bail!("cargo installed cargo-deny {version}, not {PINNED}") }
    })?;
    Ok(folder.join("bin/cargo-deny"))
}

fn version_of(program: &Path) -> Result<Version> {
    let told = || format!("asking {} for its version", program.display());
    let output = Command::new(program).arg("--version").output().with_context(told)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::find_in(&text)
        .with_context(|| format!("{} --version printed no version: {text}", program.display()))
}
