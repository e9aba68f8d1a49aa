//! A team's rules from a file, and maintenance that a processor turns into silences.

use crate::running::{Running, WITHOUT_AGENT, start};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use xtask::workspace::Profile;

/// What `rules apply` said and how it ended.
struct Applied {
    code: Option<i32>,
    out: String,
    err: String,
}

fn apply(running: &Running, file: &Path, rules: &Value, args: &[&str], token: Option<&str>) -> Applied {
    std::fs::write(file, rules.to_string()).unwrap();
    let mut command = Command::new(Profile::of_this_program().binary("watchkeeper-processors"));
    command.args(["rules", "apply", "--url", &running.http_url()]).arg(file).args(args).stdin(Stdio::null());
    command.env_remove("WATCHKEEPER_TOKEN");
    token.into_iter().for_each(|token| _ = command.env("WATCHKEEPER_TOKEN", token));
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Applied { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The texts of the team's own rules by id.
fn texts(running: &Running) -> Vec<(String, String)> {
    let rules = running.get("/api/v1/rules");
    let own = rules["items"].as_array().unwrap().iter().filter(|rule| rule["built_in"] == false);
    own.map(|it| (it["id"].as_str().unwrap().to_owned(), it["text"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_teams_rules_become_those_of_a_file_and_every_difference_is_shown_first() {
    let running = start(&WITHOUT_AGENT);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    let token = Some(running.token());
    running.receiver("ops");
    running.receiver("boss");
    for (id, text) in [("busy", "cpu.usage_pct > 90"), ("old", "swap.used_pct > 5")] {
        assert_eq!(running.post("/api/v1/rules", &json!({"name": id, "id": id, "text": text})).0, 201);
    }
    let rules = json!([
        {"id": "busy", "text": "cpu.usage_pct>95", "receivers": ["ops"], "escalation": [{"receivers": ["boss"], "wait_s": 0}]},
        {"id": "full", "name": "Disk full", "text": "disk.used_pct > 90", "scope": {"tags": ["db"]}},
    ]);
    let looked = apply(&running, &file, &rules, &["--dry-run"], token);
    assert_eq!(looked.code, Some(1), "{}", looked.err);
    for line in
        ["~ busy", "- text: cpu.usage_pct > 90", "+ text: cpu.usage_pct > 95", "+ full: disk", "- old: swap"]
    {
        assert!(looked.out.contains(line), "{line} is not in {}", looked.out);
    }
    assert_eq!(texts(&running)[0].1, "cpu.usage_pct > 90", "a dry run changed a rule");
    let unasked = apply(&running, &file, &rules, &[], token);
    assert_eq!(unasked.code, Some(2));
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let done = apply(&running, &file, &rules, &["--yes"], token);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    let own = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    assert_eq!(texts(&running), [own("busy", "cpu.usage_pct > 95"), own("full", "disk.used_pct > 90")]);
    let again = apply(&running, &file, &rules, &["--yes"], token);
    assert_eq!((again.code, again.out.starts_with("nothing to do")), (Some(0), true), "{}", again.out);

    // What the gateway refuses is told, and stops no other rule.
    let some = json!([
        {"id": "busy", "text": "cpu.usage_pct > 96", "receivers": ["No Such"]},
        {"id": "full", "text": "disk.used_pct > 91"},
    ]);
    let partly = apply(&running, &file, &some, &["--yes"], token);
    assert_eq!(partly.code, Some(1), "{}", partly.out);
    assert!(partly.out.contains("refused: busy:") && partly.out.contains("receivers"), "{}", partly.out);
    assert_eq!(texts(&running)[1].1, "disk.used_pct > 91");
    let unknown = apply(&running, &file, &some, &["--yes"], Some("wkp_never_was"));
    assert_eq!(unknown.code, Some(2), "{}", unknown.out);
    assert!(apply(&running, &file, &some, &["--yes"], None).err.contains("WATCHKEEPER_TOKEN"));
}

#[test]
fn weekly_maintenance_becomes_silences_which_end_with_it() {
    let running = start(&WITHOUT_AGENT);
    let weekly = json!({
        "reason": "backup", "zone": "Europe/Berlin", "days": [1, 2, 3, 4, 5, 6, 7], "begin": "00:00", "end": "00:00",
        "matchers": [{"tag": "db"}],
    });
    let (status, made) = running.post("/api/v1/maintenance", &weekly);
    assert_eq!(status, 201, "{made}");
    let windows = |running: &Running, wanted: fn(usize) -> bool| {
        let silences = running.get("/api/v1/silences")["items"].clone();
        let count = silences.as_array().unwrap().iter().filter(|it| it["maintenance"] == made["id"]).count();
        if wanted(count) { Ok(Some(silences)) } else { Err(format!("{count} windows")) }
    };
    let silences = running.wait("windows for two weeks", 20, |running| windows(running, |count| count >= 14));
    assert_eq!((&silences[0]["author"], &silences[0]["reason"]), (&made["author"], &json!("backup")));
    let current = running.get("/api/v1/silences?state=current")["items"].clone();
    assert_eq!(current.as_array().unwrap().len(), 1, "only the window that runs: {current}");
    let path = format!("/api/v1/maintenance/{}?revision={}", made["id"].as_str().unwrap(), made["revision"]);
    assert_eq!(running.delete(&path).0, 204);
    running.wait("no window", 20, |running| windows(running, |count| count == 0));
}
