//! Compose files as an engine reads them: variables filled in, merges and `extends` resolved.

use super::{at_root, text};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use yaml_rust2::{Yaml, YamlLoader};

/// A service with everything it inherits.
#[derive(Debug, Clone)]
pub(super) struct Service(pub(super) Value);

/// The services of a file with these variables set.
pub(super) fn services(file: &str, variables: &[(String, String)]) -> BTreeMap<String, Service> {
    let written = std::fs::read_to_string(at_root(file)).unwrap();
    let documents = YamlLoader::load_from_str(&written).unwrap_or_else(|error| panic!("{file}: {error}"));
    let [document] = documents.as_slice() else { panic!("{file} is not one document") };
    let Value::Object(services) = value(document, variables)["services"].clone() else {
        panic!("{file} has no services")
    };
    services.into_iter().map(|(name, service)| (name, Service(extended(service, variables)))).collect()
}

/// The variables of a block ```` ```env NAME ```` in docs/deploy.md.
pub(super) fn example(name: &str) -> Vec<(String, String)> {
    let docs = std::fs::read_to_string(at_root("docs/deploy.md")).unwrap();
    let block = docs.split(&format!("```env {name}\n")).nth(1).and_then(|rest| rest.split("```").next());
    let lines = block.unwrap_or_else(|| panic!("docs/deploy.md has no example {name}")).lines();
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn extended(mut service: Value, variables: &[(String, String)]) -> Value {
    if let Some(environment) = service.get_mut("environment").and_then(Value::as_object_mut) {
        // A variable without a value is handed on if it is set.
        for (name, value) in environment.iter_mut().filter(|(_, value)| value.is_null()) {
            let given = variables.iter().find(|(key, _)| key == name);
            *value = given.map_or(Value::Null, |(_, value)| value.as_str().into());
        }
    }
    let Some(from) = service.get("extends") else { return service };
    let base = services(text(&from["file"]), variables)[text(&from["service"])].0.clone();
    let (Value::Object(mut base), Value::Object(own)) = (base, service) else {
        panic!("a service is no table")
    };
    base.extend(own);
    Value::Object(base)
}

fn value(yaml: &Yaml, variables: &[(String, String)]) -> Value {
    match yaml {
        Yaml::String(written) => Value::String(filled(written, variables)),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Real(number) => number.parse::<f64>().unwrap().into(),
        Yaml::Boolean(flag) => (*flag).into(),
        Yaml::Array(items) => items.iter().map(|item| value(item, variables)).collect(),
        Yaml::Hash(table) => {
            let mut read = Map::new();
            for (key, item) in table {
                match (key.as_str().unwrap(), value(item, variables)) {
                    // What a table says itself wins over what it takes over.
                    ("<<", Value::Object(merged)) => merged.into_iter().for_each(|(key, item)| {
                        read.entry(key).or_insert(item);
                    }),
                    (key, item) => {
                        read.insert(key.to_owned(), item);
                    }
                }
            }
            Value::Object(read)
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?} cannot be read"),
    }
}

/// A text with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` filled in, and `$$` as `$`.
fn filled(written: &str, variables: &[(String, String)]) -> String {
    let mut filled = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
            continue;
        }
        let (inner, after) = after
            .strip_prefix('{')
            .and_then(|it| it.split_once('}'))
            .unwrap_or_else(|| panic!("{written:?}: expected ${{NAME}}, or $$ for a dollar"));
        let name = inner.split(':').next().unwrap();
        let given = variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let default = inner.strip_prefix(name).and_then(|it| it.strip_prefix(":-"));
        filled.push_str(
            given.or(default).unwrap_or_else(|| panic!("{name} is not in the example of docs/deploy.md")),
        );
        rest = after;
    }
    filled + rest
}

impl Service {
    /// Source, and target with whether it is read-only, of each mount; a source with `/` or `.` is a path of this machine.
    pub(super) fn mounts(&self) -> impl Iterator<Item = (String, (String, bool))> {
        let mounts = self.0["volumes"].as_array().cloned().unwrap_or_default();
        mounts.into_iter().map(|mount| match mount.as_str() {
            Some(short) => {
                let mut parts = short.split(':').map(str::to_owned);
                let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
                (source, (target, parts.next().as_deref() == Some("ro")))
            }
            None => {
                let of = |key: &str| text(&mount[key]).to_owned();
                (of("source"), (of("target"), mount["read_only"] == true))
            }
        })
    }

    /// The names of its variables, also of those that are only handed on.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let table = self.0["environment"].as_object().cloned().unwrap_or_default();
        table.into_iter().map(|(name, _)| name)
    }

    /// Its variables that are set.
    pub(super) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let table = self.0["environment"].as_object().cloned().unwrap_or_default();
        table
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, text(&value).to_owned()))
    }

    /// The words of `entrypoint` or `command`.
    pub(super) fn words(&self, key: &str) -> Vec<String> {
        self.words_of(&self.0[key])
    }

    pub(super) fn words_of(&self, list: &Value) -> Vec<String> {
        list.as_array().into_iter().flatten().map(|word| text(word).to_owned()).collect()
    }
}
