//! What is published beside the code: JSON Schemas and the page about metrics are as the code makes them, and true.

use crate::golden::{
    alert_event, answer, attempt, audit_entry, check_json, head_of, intent, journal, notice_event, parked,
    path, result, test_event, test_notice, updating, view_of,
};
use serde_json::{Value, json};
use std::fs;
use watchkeeper_schemas::tick::Tick;
use watchkeeper_schemas::usual_host::{usual_host, usual_inventory};
use watchkeeper_schemas::{json_schema, metric_docs, public};

#[test]
fn the_published_schemas_are_those_of_the_code() {
    for (name, schema) in json_schema::all() {
        check_json(&format!("json/{name}"), &schema);
    }
    let listed = fs::read_dir(path("json")).unwrap().count();
    assert_eq!(listed, json_schema::all().len(), "a file in json/ belongs to no schema");
}

#[test]
fn the_page_about_metrics_is_that_of_the_catalogue() {
    let file = path("../docs/metrics.md");
    if updating() {
        fs::write(&file, metric_docs::page()).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap() == metric_docs::page(),
        "docs/metrics.md is old: UPDATE=1 writes it"
    );
}

/// Readers may meet new fields, so the published schemas are open; here every field must be described.
fn closed(mut schema: Value) -> Value {
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    if schema.get("properties").is_some() {
        schema["additionalProperties"] = json!(false);
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(close),
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check(name: &str, instance: &Value) {
    let schema = json_schema::all().into_iter().find(|(file, _)| *file == name).unwrap().1;
    // Facts of the journal are one-of by kind: their branches repeat the properties and are closed by the type itself.
    let schema = if name == "journal-event.json" { schema } else { closed(schema) };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}");
}

#[test]
fn what_we_write_is_valid_by_the_published_schemas() {
    let mut sample = usual_host("web-1").unwrap();
    check("host-view.json", &view_of(&sample));
    sample.inventory = Some(Box::new(usual_inventory()));
    sample.cpu = None;
    sample.disks.clear();
    check("host-view.json", &view_of(&sample));
    let head = head_of(&sample);
    check("host-head.json", &serde_json::to_value(&head).unwrap());
    check("parked.json", &serde_json::to_value(parked()).unwrap());
    check("audit-entry.json", &serde_json::to_value(audit_entry()).unwrap());
    check("alert-event.json", &serde_json::to_value(alert_event()).unwrap());
    check("notice-intent.json", &serde_json::to_value(intent()).unwrap());
    check("notice-test.json", &serde_json::to_value(test_notice()).unwrap());
    check("notice-attempt.json", &serde_json::to_value(attempt()).unwrap());
    check("notice-answer.json", &serde_json::to_value(answer()).unwrap());
    check("notice-result.json", &serde_json::to_value(result()).unwrap());
    check("notice-event.json", &serde_json::to_value(notice_event()).unwrap());
    check("notice-test-event.json", &serde_json::to_value(test_event()).unwrap());
    check("tick.json", &serde_json::to_value(Tick::at(42)).unwrap());
    for (_, event) in journal() {
        check("journal-event.json", &serde_json::to_value(event).unwrap());
    }
    let headers: serde_json::Map<_, _> = public::host_event_headers(&head)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    check("public-host-event.json", &json!({ "headers": headers, "data": view_of(&sample) }));
}

#[test]
fn a_view_with_an_impossible_number_is_not_valid() {
    let mut view = view_of(&usual_host("web-1").unwrap());
    view["cpu"]["usage_pct"] = json!(101);
    assert!(!jsonschema::is_valid(&json_schema::host_view(), &view));
    view["cpu"]["usage_pct"] = json!(null);
    assert!(jsonschema::is_valid(&json_schema::host_view(), &view));
    view["disks"][0].as_object_mut().unwrap().remove("mount");
    assert!(!jsonschema::is_valid(&json_schema::host_view(), &view));
}
