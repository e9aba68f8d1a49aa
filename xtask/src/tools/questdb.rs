//! The QuestDB jar from Maven Central, by version and checksum.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{QUESTDB_JAR_ENV, fetch, from_env, on_path};

const VERSION: &str = "9.3.4";
const SHA256: &str = "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062";
/// The version of Maven's own plugin is pinned too: the newest may ask for a newer Maven.
const COPY_GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";

pub(super) fn ensure() -> Result<PathBuf> {
    if let Some(named) = from_env(QUESTDB_JAR_ENV)? {
        return Ok(named);
    }
    let name = format!("questdb-{VERSION}.jar");
    fetch::into_tools(&name, &format!("QuestDB {VERSION} (30 MB) with mvn"), |staged| {
        let maven = on_path(&["mvn"]).map_or_else(
            || fetch::debian_package("Maven (mvn)", "maven").and_then(|()| fetch::program("mvn")),
            Ok,
        )?;
        let folder = staged.parent().context("the staging folder")?;
        let mut command = Command::new(maven);
        if !fetch::on_terminal() {
            command.args(["--batch-mode", "--no-transfer-progress"]);
        }
        command
            .current_dir(folder)
            .arg(COPY_GOAL)
            .arg(format!("-Dartifact=org.questdb:questdb:{VERSION}"))
            .arg(format!("-DoutputDirectory={}", folder.display()));
        fetch::client(&mut command)?;
        check_sum(staged, SHA256)
    })
}

fn check_sum(file: &Path, expected: &str) -> Result<()> {
    let told = || format!("reading {}", file.display());
    let mut hasher = Sha256::new();
    std::io::copy(&mut File::open(file).with_context(told)?, &mut HashWriter(&mut hasher))
        .with_context(told)?;
    let found = data_encoding::HEXLOWER.encode(&hasher.finalize());
    if found == expected {
        return Ok(());
    }
    fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    bail!("the jar has SHA-256 {found}, not the pinned {expected}: it was thrown away")
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jar_with_another_checksum_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let jar = dir.path().join("questdb.jar");
        fs::write(&jar, "abc").unwrap();
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check_sum(&jar, of_abc).unwrap();
        let message = check_sum(&jar, SHA256).unwrap_err().to_string();
        assert!(message.contains(of_abc) && message.contains(SHA256), "{message}");
        assert!(!jar.exists());
    }
}
