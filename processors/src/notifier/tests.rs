//! Telling without a network: scenarios as text, and random worlds.

mod random;
mod scenario;
mod world;

/// `UPDATE=1` writes what happens into the scenarios.
#[test]
fn every_scenario_goes_as_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/notifier");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "no scenarios in {}", folder.display());
    let mut failures = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let found = scenario::run(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, &found).unwrap();
        } else if found != text {
            let differs = text.lines().zip(found.lines()).find(|(expected, found)| expected != found);
            failures.push(format!("{}: {differs:?}", file.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
