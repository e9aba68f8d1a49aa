//! The page: `npm ci` only when the lock file changed, the build only when a source changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::tools::{npm, require_node};
use crate::{compile, console, workspace};

/// Folders of the page that are made, not written; those whose names start with a dot are made too.
const MADE: &[&str] = &["node_modules", "dist"];
/// What was installed, and what was built, the last time; inside node_modules, so that both go with it.
const INSTALLED: &str = "node_modules/.watchkeeper-installed";
const BUILT: &str = "node_modules/.watchkeeper-built";

/// Brings `gateway/web/dist` up to date, which the gateway embeds when it is compiled.
pub fn build() -> Result<()> {
    let web = folder()?;
    let digest = digest_of(&web)?;
    if same(&web.join(BUILT), &digest) && web.join("dist/index.html").is_file() {
        return Ok(());
    }
    install()?;
    console::line("building the page ...");
    script("build")?;
    fs::write(web.join(BUILT), digest).context("noting what the page was built from")
}

/// Brings `node_modules` up to date with the lock file.
pub fn install() -> Result<()> {
    let web = folder()?;
    let lock = web.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
    if same(&web.join(INSTALLED), &wanted) {
        return Ok(());
    }
    require_node()?;
    console::line("installing what builds the page (npm ci) ...");
    let mut command = Command::new(npm()?);
    command.current_dir(&web).args(["ci", "--no-audit", "--no-fund"]);
    compile::run(&mut command, "npm ci")?;
    fs::write(web.join(INSTALLED), wanted).context("noting what was installed")
}

/// Runs one script of the page's package.json.
pub fn script(name: &str) -> Result<()> {
    require_node()?;
    let mut command = Command::new(npm()?);
    command.current_dir(folder()?).args(["run", "--silent", name]);
    compile::run(&mut command, &format!("npm run {name}"))
}

fn folder() -> Result<PathBuf> {
    let web = workspace::root().join("gateway/web");
    if web.join("package.json").is_file() { Ok(web) } else { bail!("{} has no package.json", web.display()) }
}

fn same(note: &Path, wanted: &str) -> bool {
    fs::read_to_string(note).is_ok_and(|noted| noted == wanted)
}

/// A hash over the names and contents of everything that was written by hand.
fn digest_of(web: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(web, &mut files)?;
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        hasher.update(file.strip_prefix(web).unwrap_or(&file).as_os_str().as_encoded_bytes());
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    Ok(data_encoding::HEXLOWER.encode(&hasher.finalize()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let told = || format!("listing {}", folder.display());
    for entry in fs::read_dir(folder).with_context(told)? {
        let entry = entry.with_context(told)?;
        let name = entry.file_name();
        let made = MADE.iter().any(|made| name == *made) || name.as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type().with_context(told)?;
        if kind.is_dir() && !made {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_by_hand_changes_the_digest() {
        let web = tempfile::tempdir().unwrap();
        for folder in ["src", "dist", "node_modules"] {
            fs::create_dir(web.path().join(folder)).unwrap();
        }
        let write = |file: &str, text: &str| fs::write(web.path().join(file), text).unwrap();
        write("src/app.ts", "one");
        let first = digest_of(web.path()).unwrap();
        write("dist/app.js", "made");
        write("node_modules/x.js", "made");
        assert_eq!(digest_of(web.path()).unwrap(), first);
        write("src/app.ts", "two");
        let second = digest_of(web.path()).unwrap();
        assert_ne!(second, first);
        fs::rename(web.path().join("src/app.ts"), web.path().join("src/main.ts")).unwrap();
        assert_ne!(digest_of(web.path()).unwrap(), second);
    }
}
