//! Tidiness is a test: crate arrows, pure projections, first lines, short functions, subjects in one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Who may know whom of ours; DESIGN's arrows and no others.
const ARROWS: [(&str, &[&str]); 9] = [
    ("schemas", &[]),
    ("nats", &["watchkeeper-schemas"]),
    ("streams", &["watchkeeper-schemas"]),
    ("processors", &["watchkeeper-nats", "watchkeeper-schemas", "watchkeeper-streams"]),
    ("gateway", &["watchkeeper-nats", "watchkeeper-schemas", "watchkeeper-streams"]),
    ("agent", &["watchkeeper-schemas", "watchkeeper-streams"]),
    ("xtask", &[]),
    (
        "bench",
        &[
            "watchkeeper-gateway",
            "watchkeeper-nats",
            "watchkeeper-processors",
            "watchkeeper-schemas",
            "watchkeeper-streams",
            "xtask",
        ],
    ),
    ("tests", &[]),
];
/// What has no place where decisions are made.
const IMPURE: [&str; 12] = [
    "async ",
    ".await",
    "tokio",
    "async_nats",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "rand::",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net",
];
/// How subjects begin; only one file spells them out.
const SUBJECTS: [&str; 14] = [
    "\"sample.v1",
    "\"backfill.v1",
    "\"tick.v1",
    "\"journal.v1",
    "\"alert.v1",
    "\"notice.v1",
    "\"parked.v1",
    "\"backtest.v1",
    "\"public.v1",
    "\"cmd.v1",
    "\"void.v1",
    "\"$JS.",
    "\"$KV.",
    "\"_INBOX",
];
const VAGUE_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "types", "manager", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of ours with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (member, _) in ARROWS {
        collect(&root().join(member), &mut found);
    }
    assert!(found.len() > 30, "only {} files were found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "node_modules" | "target" | "dist" | "web") {
            collect(&path, found);
        } else if name.ends_with(".rs") {
            let shown = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((shown, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The part of a file that ships: what stands before its tests.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn is_shipped(path: &str) -> bool {
    let in_a_shipped_crate =
        ["schemas/src", "streams/src", "processors/src", "gateway/src", "agent/src", "nats/src"];
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    in_a_shipped_crate.iter().any(|folder| path.starts_with(folder)) && !is_test
}

fn none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}

fn manifest(member: &str) -> toml::Table {
    std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap().parse().unwrap()
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let table = manifest.get("dependencies").and_then(|table| table.as_table());
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn crates_know_only_whom_the_design_lets_them_know() {
    let ours: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for member in ours.keys() {
        assert!(workspace.contains(&format!("\"{member}\"")), "{member} is not a member of the workspace");
    }
    let mut offences = Vec::new();
    for (member, allowed) in ours {
        for dependency in dependencies(&manifest(member)) {
            let is_ours = dependency.starts_with("watchkeeper-") || dependency == "xtask";
            if is_ours && !allowed.contains(&dependency.as_str()) {
                offences.push(format!("{member} knows {dependency}"));
            }
        }
    }
    none("arrows that the design does not have", &offences);
}

#[test]
fn schemas_know_no_runtime_no_broker_and_no_clock() {
    let known = dependencies(&manifest("schemas"));
    for stranger in ["tokio", "async-nats", "axum", "rand", "questdb-rs", "tokio-postgres"] {
        assert!(!known.iter().any(|name| name == stranger), "schemas knows {stranger}");
    }
}

#[test]
fn the_agent_carries_no_server_and_no_database() {
    let known = dependencies(&manifest("agent"));
    for stranger in ["axum", "questdb-rs", "tokio-postgres", "watchkeeper-nats"] {
        assert!(!known.iter().any(|name| name == stranger), "the agent knows {stranger}");
    }
}

#[test]
fn decisions_are_pure() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        let decides = ["schemas/src", "processors/src/alerts/machine/"].iter().any(|it| path.starts_with(it));
        if (decides && is_shipped(&path)) || path.ends_with("projection.rs") {
            for (number, line) in shipped(&text).lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                for impure in IMPURE.iter().filter(|impure| has_word(code, impure)) {
                    offences.push(format!("{path}:{} has {impure:?}", number + 1));
                }
            }
        }
    }
    none("impure code where decisions are made", &offences);
}

/// Whether a word stands there, and not only the end of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let begins = |at: usize| !(word.starts_with(is_part) && code[..at].ends_with(is_part));
    code.match_indices(word).any(|(at, _)| begins(at))
}

#[test]
fn the_first_line_of_every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    none("files without a first line", &silent);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let vague = |path: &str| path.split(['/', '.']).any(|part| VAGUE_NAMES.contains(&part));
    let offences: Vec<_> = sources().into_iter().map(|(path, _)| path).filter(|path| vague(path)).collect();
    none("vague names", &offences);
}

#[test]
fn functions_are_short() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        for (name, line, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                offences.push(format!("{path}:{line} {name} has {length} lines"));
            }
        }
    }
    none("functions that are too long", &offences);
}

/// Name, first line and length of every function; rustfmt puts the closing brace below the beginning of the line.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let mut words = code.split_whitespace().skip_while(|word| {
            matches!(*word, "pub" | "async" | "const" | "unsafe" | "extern") || word.starts_with("pub(")
        });
        if words.next() != Some("fn") || code.starts_with("//") {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let closing = format!("{indent}}}");
        let Some(length) = lines[index..].iter().position(|below| *below == closing || below.ends_with("{}"))
        else {
            continue;
        };
        let name = words.next().unwrap_or_default().split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), index + 1, length + 1));
    }
    found
}

#[test]
fn subjects_are_spelled_out_in_one_file() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if is_shipped(&path) && path != "schemas/src/subjects.rs" {
            for (number, line) in shipped(&text).lines().enumerate() {
                if !line.trim_start().starts_with("//")
                    && SUBJECTS.iter().any(|subject| line.contains(subject))
                {
                    offences.push(format!("{path}:{} {}", number + 1, line.trim()));
                }
            }
        }
    }
    none("subjects outside schemas/src/subjects.rs", &offences);
}

#[test]
fn nothing_that_ships_unwraps() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if is_shipped(&path) {
            for (number, line) in shipped(&text).lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                if [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("]
                    .iter()
                    .any(|it| code.contains(it))
                {
                    offences.push(format!("{path}:{} {}", number + 1, line.trim()));
                }
            }
        }
    }
    none("places that may panic", &offences);
}
