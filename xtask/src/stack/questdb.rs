//! QuestDB's configuration: the shared file with this stack's addresses.

use std::fs;

use anyhow::{Context, Result, bail};

use super::builder::Settings;
use crate::ports::address;
use crate::workspace;

/// Writes `<data>/questdb/conf/server.conf`.
pub(super) fn write_conf(settings: &Settings) -> Result<()> {
    let shared = workspace::root().join("processors/questdb.conf");
    let shared = fs::read_to_string(&shared).with_context(|| format!("reading {}", shared.display()))?;
    let ports = settings.ports;
    let conf = render(
        &shared,
        &[
            ("http.net.bind.to", address(ports.questdb_http).to_string()),
            ("http.min.net.bind.to", address(ports.questdb_min).to_string()),
            ("pg.net.bind.to", address(ports.questdb_pg).to_string()),
        ],
    )?;
    let folder = settings.data.join("questdb/conf");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join("server.conf");
    fs::write(&path, conf).with_context(|| format!("writing {}", path.display()))
}

/// The text with the values of these keys replaced; each must stand in it exactly once.
fn render(text: &str, values: &[(&str, String)]) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in values {
        let mut places =
            lines.iter_mut().filter(|line| line.split_once('=').is_some_and(|(name, _)| name == *key));
        match (places.next(), places.next()) {
            (Some(line), None) => *line = format!("{key}={value}"),
            _ => bail!("`{key}` must stand exactly once in questdb.conf"),
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = include_str!("../../../processors/questdb.conf");

    #[test]
    fn replaces_the_value_and_nothing_else() {
        let text = "# a=b\nx.y=1\nx=2\n";
        assert_eq!(render(text, &[("x", "9".to_owned())]).unwrap(), "# a=b\nx.y=1\nx=9\n");
    }

    #[test]
    fn a_key_that_is_not_there_once_is_an_error() {
        assert!(render("x=1\n", &[("y", String::new())]).unwrap_err().to_string().contains("`y`"));
        assert!(render("x=1\nx=2\n", &[("x", String::new())]).is_err());
    }

    #[test]
    fn what_was_acknowledged_is_on_disk_and_nothing_listens_beyond_loopback() {
        // Another word than `sync` is accepted by QuestDB and loses data.
        assert!(SHARED.lines().any(|line| line == "cairo.commit.mode=sync"));
        assert!(SHARED.lines().any(|line| line == "config.validation.strict=true"));
        for line in SHARED.lines().filter(|line| line.contains("bind.to")) {
            assert!(line.contains("=127.0.0.1:"), "{line}");
        }
    }
}
