//! The settings of an enrolled host, `agent.toml`: flags of `run` and `renew`, written by `enroll`, kept as the page has
//! them by each renewal.

use crate::collectors::collector;
use crate::gateway::{Enrolled, Watch};
use crate::settings::{EnrollArguments, read_interval};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "# Written by `watchkeeper-agent enroll`; each line is a flag of `run` or `renew`. Interval, mounts and \
                    without follow\n# the page: what is set otherwise here is set back at the next renewal.\n";

/// The lines of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsFile(Map<String, Value>);

impl SettingsFile {
    /// Those of a host that was just enrolled by the gateway at this address.
    #[must_use]
    pub fn new(enrolled: &Enrolled, gateway: &str, arguments: &EnrollArguments) -> Self {
        let mut lines = Map::from_iter([
            ("gateway".to_owned(), gateway.into()),
            ("nats".to_owned(), enrolled.nats_url.as_str().into()),
        ]);
        if arguments.root != Path::new("/") {
            lines.insert("root".to_owned(), arguments.root.to_string_lossy().into());
        }
        if arguments.allow_http {
            lines.insert("allow_http".to_owned(), true.into());
        }
        let mut file = Self(lines);
        file.watch(&enrolled.watch);
        file
    }

    /// Those that a file holds.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text).map(Self)
    }

    /// Has the host watched like this.
    pub fn watch(&mut self, watch: &Watch) {
        let Self(lines) = self;
        let auto = ["auto".to_owned()];
        let mounts = if watch.mounts.is_empty() { &auto[..] } else { &watch.mounts };
        lines.insert("interval".to_owned(), interval(watch).into());
        lines.insert("mounts".to_owned(), mounts.into());
        lines.remove("without");
        if !watch.without.is_empty() {
            lines.insert("without".to_owned(), watch.without.as_slice().into());
        }
    }

    /// The text of the file. Strings and lists are written as in JSON, which TOML reads alike.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (key, value) in &self.0 {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{key} = {value}");
        }
        text
    }
}

/// Whether `run` can watch like this.
///
/// # Errors
/// What it cannot do.
pub fn check(watch: &Watch) -> Result<(), String> {
    read_interval(&interval(watch))?;
    watch.without.iter().try_for_each(|name| match collector(name) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
}

fn interval(watch: &Watch) -> String {
    format!("{}ms", watch.interval_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file() -> SettingsFile {
        let answer = json!({
            "team": "ops", "host": "web-1", "shard": "07", "nats_url": "tls://n.example.org:4222", "jwt": "a.b.c",
            "interval_ms": 10_000, "mounts": ["/", "/srv/\"a\" b"], "without": ["disk_io"], "expires": "later"
        });
        let enrolled: Enrolled = serde_json::from_value(answer).unwrap();
        let arguments = EnrollArguments {
            gateway: String::new(),
            token: None,
            dir: None,
            no_start: true,
            ca: None,
            allow_http: true,
            root: "/host".into(),
        };
        SettingsFile::new(&enrolled, "https://w.example.org", &arguments)
    }

    #[test]
    fn settings_are_a_configuration_that_run_reads() {
        let text = file().text();
        for line in [
            r#"gateway = "https://w.example.org""#,
            r#"nats = "tls://n.example.org:4222""#,
            r#"interval = "10000ms""#,
            r#"mounts = ["/","/srv/\"a\" b"]"#,
            r#"without = ["disk_io"]"#,
            r#"root = "/host""#,
            "allow_http = true",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
        assert_eq!(SettingsFile::read(&text).unwrap(), file());
    }

    #[test]
    fn what_people_changed_on_the_page_is_changed_and_nothing_else() {
        let mut changed = file();
        let watch = Watch { interval_ms: 60_000, mounts: Vec::new(), without: Vec::new() };
        changed.watch(&watch);
        let text = changed.text();
        for line in [r#"interval = "60000ms""#, r#"mounts = ["auto"]"#, r#"root = "/host""#] {
            assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("disk_io"), "{text}");
        assert!(SettingsFile::read("gateway = ").is_err());
    }

    #[test]
    fn what_run_cannot_do_is_told() {
        let watch = |interval_ms, without: &[&str]| Watch {
            interval_ms,
            mounts: Vec::new(),
            without: without.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(check(&watch(5000, &["disk_io"])), Ok(()));
        assert!(check(&watch(999, &[])).unwrap_err().contains("999ms"));
        assert!(check(&watch(5000, &["gpus"])).unwrap_err().contains("gpus"));
    }
}
