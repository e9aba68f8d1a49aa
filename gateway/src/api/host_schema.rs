//! The schema of a host's whole view: its head as schemas describes it, its numbers as the catalogue does.

use crate::fleet::status::Status;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use watchkeeper_schemas::catalogue::{Metric, Section};
use watchkeeper_schemas::journal::{Collector, FlagReason};
use watchkeeper_schemas::view::HostHead;

/// A host's whole view. It is never made here: the bucket's bytes are what is shown.
pub struct HostView;

impl utoipa::PartialSchema for HostView {
    fn schema() -> RefOr<Schema> {
        match serde_json::from_value(host_view()) {
            Ok(schema) => RefOr::T(schema),
            Err(error) => {
                tracing::error!(%error, "the schema of a host cannot be described in OpenAPI");
                RefOr::T(Schema::default())
            }
        }
    }
}

impl utoipa::ToSchema for HostView {}

/// The schema as JSON.
#[must_use]
pub fn host_view() -> Value {
    let generator = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<HostHead>().to_value();
    let mut added = configuration();
    for section in Section::ALL {
        match (section.list(), section.label()) {
            (Some(list), Some(label)) => {
                let mut properties: Map<String, Value> = section.metrics().map(number).collect();
                properties.insert(label.to_owned(), json!({"type": "string"}));
                let row = json!({"type": "object", "properties": properties, "required": [label]});
                added.insert(list.to_owned(), json!({"type": "array", "items": row}));
            }
            (_, None) | (None, _) => groups(section, &mut added),
        }
    }
    let custom = json!({"name": {"type": "string"}, "value": {"type": "number"}});
    let custom = json!({"type": "object", "properties": custom, "required": ["name", "value"]});
    added.insert("custom".to_owned(), json!({"type": "array", "items": custom}));
    let first = ["status", "name", "tags", "paused", "flagged", "revision", "config"];
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(added);
        for unknown in ["boot", "time", "received"] {
            if let Some(property) = properties.get_mut(unknown) {
                *property = json!({"anyOf": [property.take(), {"type": "null"}]});
            }
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.insert("description".to_owned(), "A host with all its numbers; null where unknown.".into());
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.extend(first.map(Value::from));
    }
    spell_constants(&mut schema);
    schema
}

/// utoipa knows no `const` and would drop it; an `enum` of one says the same.
fn spell_constants(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(word @ Value::String(_)) = fields.get("const").cloned() {
                fields.remove("const");
                fields.insert("enum".to_owned(), json!([word]));
            }
            fields.values_mut().for_each(spell_constants);
        }
        Value::Array(items) => items.iter_mut().for_each(spell_constants),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What journal and clock say, which stands first.
fn configuration() -> Map<String, Value> {
    let words = Status::ALL.map(Status::as_str);
    let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
    let enrolment = json!({
        "type": "object", "required": ["state", "until"], "properties": {
            "state": {"type": "string", "enum": ["waiting", "activating", "active"]},
            "until": {"type": ["string", "null"], "format": "date-time", "description": "When the enrolment token ends, or when the first sample must have come."},
        },
    });
    let flag = json!({
        "type": ["object", "null"], "description": "Why it is held off.", "required": ["reason", "count", "until", "strikes"],
        "properties": {
            "reason": settings.clone().into_generator().into_root_schema_for::<FlagReason>(),
            "count": {"type": "integer", "minimum": 0}, "strikes": {"type": "integer", "minimum": 0},
            "until": {"type": "string", "format": "date-time"},
        },
    });
    let text = json!({"type": "array", "items": {"type": "string"}});
    let config = json!({
        "type": ["object", "null"], "description": "How it is configured; null where it is heard, but not configured.",
        "required": ["name", "tags", "interval_ms", "mounts", "without", "paused", "enrolment", "flag"],
        "properties": {
            "name": {"type": "string"}, "tags": text, "interval_ms": {"type": "integer", "minimum": 1000},
            "mounts": text, "without": settings.into_generator().into_root_schema_for::<Vec<Collector>>(),
            "paused": {"type": "boolean"}, "enrolment": enrolment, "flag": flag,
        },
    });
    let fields = [
        ("status", json!({"type": "string", "enum": words, "description": "How it does."})),
        (
            "name",
            json!({"type": "string", "description": "The name that people gave it, else its own, else its id."}),
        ),
        ("tags", json!({"type": "array", "items": {"type": "string"}})),
        ("paused", json!({"type": "boolean", "description": "Held back from watching by a person."})),
        ("flagged", json!({"type": "boolean", "description": "Held off because it floods."})),
        (
            "revision",
            json!({"type": "integer", "minimum": 0, "description": "What an edit must name; 0 where it is not configured."}),
        ),
        ("config", config),
    ];
    fields.map(|(name, schema)| (name.to_owned(), schema)).into_iter().collect()
}

/// Scalars stand under their group.
fn groups(section: Section, added: &mut Map<String, Value>) {
    for metric in section.metrics() {
        let group =
            added.entry(metric.parts().0).or_insert_with(|| json!({"type": "object", "properties": {}}));
        if let Some(properties) = group.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend([number(metric)]);
        }
    }
}

fn number(metric: &Metric) -> (String, Value) {
    let schema = json!({
        "type": ["number", "null"], "description": metric.description, "minimum": metric.min, "maximum": metric.max,
    });
    (metric.parts().1.to_owned(), schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::PartialSchema as _;
    use watchkeeper_schemas::catalogue::CATALOGUE;
    use watchkeeper_schemas::ids::BootId;
    use watchkeeper_schemas::quantity::UnixMs;
    use watchkeeper_schemas::sample::Sample;
    use watchkeeper_schemas::subjects::SampleSubject;
    use watchkeeper_schemas::view;

    #[test]
    fn it_describes_what_the_bucket_holds() {
        let subject = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        let sample = Sample::empty(&subject, BootId::default(), 1, UnixMs(1), 5000);
        let head = view::HostHead {
            v: 1,
            team: subject.team.clone(),
            host: subject.host.clone(),
            shard: subject.shard,
            sequence: 9,
            boot: BootId::default(),
            seq: 1,
            time: UnixMs(1),
            received: UnixMs(2),
            interval_ms: 5000,
            lost_samples: 0,
            dropped_values: 0,
            unreadable_samples: 0,
            inventory: None,
        };
        let stored =
            serde_json::to_vec(&view::HostView { head: &head, numbers: view::Numbers(&sample) }).unwrap();
        let mut host = crate::fleet::host::Host::read(&stored, 1, None, UnixMs(2)).unwrap();
        host.at(crate::fleet::place::Place::default());
        let shown: Value = serde_json::from_slice(host.full()).unwrap();
        jsonschema::validate(&host_view(), &shown).unwrap();
        for field in shown.as_object().unwrap().keys() {
            assert!(host_view()["properties"][field].is_object(), "{field} is not described");
        }
    }

    #[test]
    fn openapi_takes_it_whole() {
        let schema = serde_json::to_value(HostView::schema()).unwrap();
        let cpu = &schema["properties"]["cpu"]["properties"]["usage_pct"];
        assert_eq!(cpu["description"], CATALOGUE[0].description);
        assert!(
            schema["properties"]["inventory"].is_object()
                && schema["properties"]["disks"]["items"].is_object()
        );
        let config = &schema["properties"]["config"]["properties"];
        jsonschema::validate(&config["without"], &json!(["system", "load"])).unwrap();
        assert!(!jsonschema::is_valid(&config["without"], &json!(["weather"])));
        assert!(!jsonschema::is_valid(&config["flag"]["properties"]["reason"], &json!("weather")));
    }
}
