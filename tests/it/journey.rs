//! This machine, from its own agent to the API: what is shown agrees with what the machine says of itself.

use crate::running::{Running, start};
use serde_json::Value;
use std::process::Command;
use xtask::stack::Program;

#[test]
fn the_host_that_is_shown_is_this_machine() {
    let mut running = start(&Program::ALL);
    let path = format!("/api/v1/hosts/{}", running.agent_host());
    let view = running.wait("a second sample of this machine", 30, |running| {
        let (status, view) = running.try_get(&path)?;
        if view["seq"].as_u64() >= Some(2) { Ok(Some(view)) } else { Err(format!("{status} {view}")) }
    });
    agrees_with_this_machine(&view);
    history_follows(&running, &path);
    the_agent_comes_back(&mut running, &path, &view);
}

fn output(command: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(command).args(arguments).output().unwrap_or_else(|error| panic!("{command}: {error}"));
    String::from_utf8(output.stdout).unwrap()
}

/// The number behind a key of /proc/meminfo, in bytes.
fn meminfo(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

fn near(what: &str, shown: &Value, real: f64, tolerance: f64) {
    let shown = shown.as_f64().unwrap_or_else(|| panic!("{what} is not shown"));
    assert!((shown - real).abs() <= tolerance, "{what}: shown {shown}, the machine says {real}");
}

fn agrees_with_this_machine(view: &Value) {
    let total = meminfo("MemTotal");
    near("memory", &view["memory"]["total_bytes"], total, 1024.0);
    near("available memory", &view["memory"]["available_bytes"], meminfo("MemAvailable"), 0.25 * total);
    let free = output("free", &["-b"]);
    let free_total: f64 = free.lines().nth(1).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    near("memory as free tells it", &view["memory"]["total_bytes"], free_total, 1024.0);

    let cores: f64 = output("nproc", &["--all"]).trim().parse().unwrap();
    near("processors", &view["inventory"]["cores"], cores, 0.0);
    assert_eq!(view["cores"].as_array().map(Vec::len), Some(cores as usize));
    let hostname = output("uname", &["-n"]);
    assert_eq!(view["inventory"]["hostname"], hostname.trim());
    let uptime: f64 =
        std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    near("uptime", &view["system"]["uptime_s"], uptime, 30.0);

    let df = output("df", &["-k", "--output=size,used,avail", "/"]);
    let df: Vec<f64> =
        df.lines().nth(1).unwrap().split_whitespace().map(|n| n.parse::<f64>().unwrap() * 1024.0).collect();
    let root = find(view, "disks", "mount", "/");
    near("size of /", &root["total_bytes"], df[0], 0.001 * df[0]);
    near("used on /", &root["used_bytes"], df[1], 0.05 * df[0]);
    near("free on /", &root["free_bytes"], df[2], 0.05 * df[0]);
    for interface in view["networks"].as_array().unwrap() {
        let name = interface["interface"].as_str().unwrap();
        let link = output("ip", &["-s", "link", "show", "dev", name]);
        let received = numbers_below(&link, "RX:");
        near(&format!("receive errors of {name}"), &interface["rx_errors"], received[2], 5.0);
    }
}

fn find<'a>(view: &'a Value, list: &str, label: &str, value: &str) -> &'a Value {
    let rows = view[list].as_array().unwrap();
    rows.iter()
        .find(|row| row[label] == value)
        .unwrap_or_else(|| panic!("{list} has no {label} {value}: {rows:?}"))
}

fn numbers_below(text: &str, heading: &str) -> Vec<f64> {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(heading));
    lines.nth(1).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn history_follows(running: &Running, path: &str) {
    running.wait("history of this machine", 30, |running| {
        let (status, history) =
            running.try_get(&format!("{path}/history?metric=memory.total_bytes&from=-5m&step=5s"))?;
        let values = history["series"][0]["avg"].as_array().cloned().unwrap_or_default();
        let newest = values.iter().rev().find_map(Value::as_f64);
        if newest == Some(meminfo("MemTotal")) { Ok(Some(())) } else { Err(format!("{status} {history}")) }
    });
}

/// A killed agent is started again: its samples go on as a new boot, and nothing acknowledged before is gone.
fn the_agent_comes_back(running: &mut Running, path: &str, before: &Value) {
    running.kill9(Program::Agent).unwrap();
    let rows = |running: &Running| running.query("SELECT count() FROM host").map(|rows| rows[0][0].as_u64());
    running.start(Program::Agent).unwrap();
    let stored = rows(running).unwrap();
    running.wait("the view follows the new agent", 30, |running| {
        let (_, view) = running.try_get(path)?;
        let newer = view["boot"] != before["boot"] && view["sequence"].as_u64() > before["sequence"].as_u64();
        if newer && rows(running)? > stored { Ok(Some(())) } else { Err(view["seq"].to_string()) }
    });
    assert_eq!(
        running.get(path)["inventory"],
        before["inventory"],
        "the inventory of the host was forgotten"
    );
}
