//! The scenarios as tests; `UPDATE=1` writes what happens into them.

mod evidence;
mod invariants;
mod limits;
mod outages;
mod promtool;
pub(super) mod random_log;
mod reference;
mod small;
mod watcher;

use crate::alerts::scenario;

#[test]
fn every_scenario_goes_as_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/alerts");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failures = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let verdicts = scenario::run(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, &verdicts.text).unwrap();
            continue;
        }
        for case in verdicts.cases.iter().filter(|case| !case.differences.is_empty()) {
            failures.push(format!(
                "{}: {}\n    {}",
                file.display(),
                case.name,
                case.differences.join("\n    ")
            ));
        }
    }
    assert!(files.len() > 3, "no scenarios in {}", folder.display());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
