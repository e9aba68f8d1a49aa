//! The Dockerfile: its stages, what they copy from where, and what they run.

use super::{PROGRAMS, at_root};
use std::collections::BTreeMap;

/// The instructions of one stage.
#[derive(Debug, Default)]
pub(super) struct Stage {
    from: String,
    instructions: Vec<(String, String)>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Dockerfile {
    pub(super) text: String,
    pub(super) stages: BTreeMap<String, Stage>,
}

impl Stage {
    /// The words of an instruction in its JSON form; none if it has none.
    pub(super) fn words(&self, instruction: &str) -> Vec<String> {
        let found = self.instructions.iter().rev().find(|(name, _)| name == instruction);
        found.map(|(_, words)| serde_json::from_str(words).unwrap()).unwrap_or_default()
    }

    /// The stage that a COPY takes from, if any, its sources and its target.
    fn copies(&self) -> impl Iterator<Item = (Option<&str>, Vec<&str>, &str)> {
        self.instructions.iter().filter(|(name, _)| name == "COPY").map(|(_, rest)| {
            let (flags, mut paths): (Vec<&str>, Vec<&str>) =
                rest.split_whitespace().partition(|it| it.starts_with("--"));
            let target = paths.pop().unwrap();
            (flags.iter().find_map(|flag| flag.strip_prefix("--from=")), paths, target)
        })
    }
}

impl Dockerfile {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string(at_root("Dockerfile")).unwrap();
        let lines = text.replace("\\\n", " ");
        let mut stages = BTreeMap::new();
        let mut name = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (instruction, rest) = line.split_once(' ').unwrap();
            if instruction == "FROM" {
                let (from, stage) = rest.split_once(" AS ").unwrap_or_else(|| panic!("{line} has no name"));
                name = stage.to_owned();
                stages.insert(name.clone(), Stage { from: from.to_owned(), ..Stage::default() });
            } else {
                let stage = stages.get_mut(&name).unwrap_or_else(|| panic!("{line} stands before FROM"));
                stage.instructions.push((instruction.to_owned(), rest.to_owned()));
            }
        }
        Self { text, stages }
    }

    /// Whether everything that is copied or run is there, and nobody is root in what is shipped.
    pub(super) fn check(&self) {
        for (name, stage) in &self.stages {
            for (from, sources, _) in stage.copies() {
                for source in sources {
                    match from {
                        None => {
                            assert!(at_root(source).exists(), "{name} copies {source}, which is not there")
                        }
                        Some(from) => self.is_built(name, from, source),
                    }
                }
            }
        }
        for shipped in ["gateway", "processors", "agent"] {
            let stage = &self.stages[shipped];
            assert_eq!(stage.from, "base");
            assert_eq!(stage.words("ENTRYPOINT"), [format!("watchkeeper-{shipped}")]);
        }
        let base = &self.stages["base"].instructions;
        assert_eq!(
            base.last().map(|(name, user)| (name.as_str(), user.as_str())),
            Some(("USER", "10001:10001"))
        );
        for member in std::fs::read_to_string(at_root("Cargo.toml"))
            .unwrap()
            .lines()
            .find(|line| line.starts_with("members"))
            .unwrap()
            .split('"')
            .skip(1)
            .step_by(2)
        {
            assert!(self.text.contains(&format!("\nCOPY {member} {member}\n")), "the build lacks {member}");
        }
    }

    fn is_built(&self, name: &str, from: &str, source: &str) {
        assert!(self.stages.contains_key(from), "{name} copies from {from}, which is no stage");
        let file = source.rsplit('/').next().unwrap();
        let ours = PROGRAMS.contains(&file) && self.text.contains(&format!("--package {file}"));
        assert!(ours || file == "dist", "{name} copies {source}, which {from} does not make");
    }

    /// Paths in the image of a stage with where their files lie in the repository.
    pub(super) fn copied(&self, stage: &str) -> Vec<(String, String)> {
        let own = self.stages[stage].copies().filter(|(from, ..)| from.is_none());
        own.map(|(_, sources, target)| (target.to_owned(), at_root(sources[0]).to_str().unwrap().to_owned()))
            .collect()
    }
}
