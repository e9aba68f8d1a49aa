//! The published JSON Schemas of everything that people or other programs read, made from the types and the catalogue.

use crate::audit::AuditEntry;
use crate::catalogue::{Metric, Section};
use crate::episode::AlertEvent;
use crate::journal::JournalEvent;
use crate::notice::{Answer, Attempt, Intent, NoticeResult, TestNotice};
use crate::notice_event::{NOTICE_EVENT_TYPE, NoticeEvent, TEST_EVENT_TYPE, TestEvent};
use crate::parked::Parked;
use crate::public::HOST_EVENT_TYPE;
use crate::tick::Tick;
use crate::view::HostHead;
use serde_json::{Map, Value, json};

/// Every schema with the name of its file in `schemas/json/`.
#[must_use]
pub fn all() -> [(&'static str, Value); 15] {
    [
        ("alert-event.json", schemars::schema_for!(AlertEvent).into()),
        ("audit-entry.json", schemars::schema_for!(AuditEntry).into()),
        ("host-head.json", schemars::schema_for!(HostHead).into()),
        ("host-view.json", host_view()),
        ("journal-event.json", schemars::schema_for!(JournalEvent).into()),
        ("notice-answer.json", schemars::schema_for!(Answer).into()),
        ("notice-attempt.json", schemars::schema_for!(Attempt).into()),
        (
            "notice-event.json",
            cloud_event(schemars::schema_for!(NoticeEvent).into(), "NoticeEvent", NOTICE_EVENT_TYPE),
        ),
        ("notice-intent.json", schemars::schema_for!(Intent).into()),
        ("notice-result.json", schemars::schema_for!(NoticeResult).into()),
        (
            "notice-test-event.json",
            cloud_event(schemars::schema_for!(TestEvent).into(), "TestEvent", TEST_EVENT_TYPE),
        ),
        ("notice-test.json", schemars::schema_for!(TestNotice).into()),
        ("parked.json", schemars::schema_for!(Parked).into()),
        ("public-host-event.json", public_host_event()),
        ("tick.json", schemars::schema_for!(Tick).into()),
    ]
}

/// An event for a webhook, with the words that it always carries.
fn cloud_event(mut schema: Value, title: &str, kind: &str) -> Value {
    schema["title"] = json!(title);
    for (attribute, word) in [("specversion", "1.0"), ("type", kind), ("datacontenttype", "application/json")]
    {
        schema["properties"][attribute]["const"] = json!(word);
    }
    schema
}

/// The view of a host: its head, then every metric of the catalogue where a view holds it.
#[must_use]
pub fn host_view() -> Value {
    let mut schema: Value = schemars::schema_for!(HostHead).into();
    schema["title"] = json!("HostView");
    schema["description"] = json!(
        "The newest state of a host: whose it is, where it stands in the log, and its numbers; null is unknown."
    );
    let mut numbers = Map::new();
    for metric in Section::Host.metrics() {
        let (group, field) = metric.parts();
        let object = numbers
            .entry(group)
            .or_insert_with(|| json!({ "type": "object", "properties": {}, "required": [] }));
        add_number(object, field, metric);
    }
    for section in Section::ALL {
        if let (Some(list), Some(label)) = (section.list(), section.label()) {
            let mut row = json!({ "type": "object", "properties": { label: { "type": "string" } }, "required": [label] });
            section.metrics().for_each(|metric| add_number(&mut row, metric.parts().1, metric));
            numbers.insert(list.to_owned(), json!({ "type": "array", "items": row }));
        }
    }
    numbers.insert("custom".to_owned(), custom());
    for (name, part) in numbers {
        require(&mut schema, &name);
        schema["properties"][name] = part;
    }
    schema
}

fn add_number(object: &mut Value, field: &str, metric: &Metric) {
    object["properties"][field] = json!({
        "type": ["number", "null"],
        "description": metric.description,
        "unit": metric.unit,
        "kind": metric.kind,
        "minimum": metric.min,
        "maximum": metric.max,
    });
    require(object, field);
}

fn require(object: &mut Value, field: &str) {
    if let Some(required) = object["required"].as_array_mut() {
        required.push(json!(field));
    }
}

fn custom() -> Value {
    json!({
        "type": "array",
        "description": "Gauges that the host's owner added; the metric is `custom.<name>`.",
        "items": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "pattern": "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)*$", "maxLength": 89 },
                "value": { "type": "number" },
            },
            "required": ["name", "value"],
        },
    })
}

/// An event of the public feed: its headers as strings, its body as the view of a host.
fn public_host_event() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let word = |value: &str| json!({ "const": value });
    // References point to the root of a document: what the body defines moves there.
    let mut data = host_view();
    let defs = data.as_object_mut().and_then(|data| data.remove("$defs"));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PublicHostEvent",
        "description": "A NATS message of the public feed: CloudEvents 1.0 in binary mode, attributes as headers.",
        "type": "object",
        "properties": {
            "headers": {
                "type": "object",
                "properties": {
                    "ce-specversion": word("1.0"),
                    "ce-type": word(HOST_EVENT_TYPE),
                    "ce-source": text("/teams/<team>/hosts/<host>"),
                    "ce-id": text("Place of the sample in SAMPLES, a decimal; grows for each host. Unique with ce-source."),
                    "ce-time": { "type": "string", "format": "date-time", "description": "When the broker stored the sample." },
                    "content-type": word("application/json"),
                },
                "required": ["ce-specversion", "ce-type", "ce-source", "ce-id", "ce-time", "content-type"],
            },
            "data": data,
        },
        "$defs": defs,
        "required": ["headers", "data"],
    })
}
