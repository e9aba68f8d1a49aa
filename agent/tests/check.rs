//! `check` against what /proc, df and free say at the same moment, by the built program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in tests a failed expectation is the message")]

use serde_json::Value;
use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchkeeper-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn checked(arguments: &[&str]) -> Value {
    let output = agent(&[&["check"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {value:#}"))
}

fn near(what: &str, told: f64, expected: f64, tolerance: f64) {
    assert!((told - expected).abs() <= tolerance, "{what}: told {told}, expected {expected} ± {tolerance}");
}

fn text_of(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn memory_is_what_free_says() {
    let told = checked(&[]);
    let free = text_of("free", &["-b"]);
    let memory = numbers(free.lines().find(|line| line.starts_with("Mem:")).unwrap());
    let swap = numbers(free.lines().find(|line| line.starts_with("Swap:")).unwrap());
    near("total", number(&told, "/memory/total_bytes"), memory[0], 0.0);
    near("available", number(&told, "/memory/available_bytes"), memory[5], 0.1 * memory[0] + 512.0 * MIB);
    near("swap total", number(&told, "/swap/total_bytes"), swap[0], 0.0);
    near("swap used", number(&told, "/swap/used_bytes"), swap[1], 0.1 * swap[0]);
}

#[test]
fn file_systems_are_what_df_says() {
    let told = checked(&["--mounts", "/"]);
    let df = text_of("df", &["--block-size=1", "--output=size,used,avail,pcent", "/"]);
    let space = numbers(&df.lines().nth(1).unwrap().replace('%', ""));
    let disk = &told["disks"][0];
    assert_eq!(disk["mount"], "/");
    near("size", number(disk, "/total_bytes"), space[0], 1024.0);
    near("used", number(disk, "/used_bytes"), space[1], 2048.0 * MIB);
    near("free", number(disk, "/free_bytes"), space[2], 2048.0 * MIB);
    near("used share, which df rounds up", number(disk, "/used_pct"), space[3], 2.0);
}

#[test]
fn the_rest_is_what_proc_says() {
    let told = checked(&[]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let stat = read("/proc/stat");
    let cores = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    assert_eq!(told["cores"].as_array().unwrap().len(), cores);
    assert_eq!(told["inventory"]["cores"], cores);
    let parts = ["user_pct", "system_pct", "nice_pct", "irq_pct", "steal_pct"]
        .map(|part| number(&told["cpu"], &format!("/{part}")));
    near("usage", number(&told, "/cpu/usage_pct"), parts.iter().sum(), 0.4);
    near("uptime", number(&told, "/system/uptime_s"), numbers(&read("/proc/uptime"))[0], 5.0);
    near("load", number(&told, "/load/avg_15"), numbers(&read("/proc/loadavg"))[2], 2.0);
    let walked = std::fs::read_dir("/proc").unwrap().filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
    });
    near("processes", number(&told, "/processes/total"), walked.count() as f64, 60.0);
    assert_eq!(told["inventory"]["kernel"], read("/proc/sys/kernel/osrelease").trim());
    for interface in told["networks"].as_array().unwrap() {
        let name = interface["interface"].as_str().unwrap();
        let dev = read("/proc/net/dev");
        let line =
            dev.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':')).unwrap();
        near(name, number(interface, "/rx_errors"), numbers(line)[2], 10.0);
    }
}

#[test]
fn collectors_that_are_off_tell_nothing() {
    let told = checked(&["--without", "disks,networks,cores,memory"]);
    for list in ["disks", "networks", "cores"] {
        assert_eq!(told[list].as_array().map(Vec::len), Some(0), "{list}");
    }
    assert!(told["memory"]["total_bytes"].is_null() && told["cpu"]["usage_pct"].is_number());
}

#[test]
fn a_table_for_people_names_every_metric_with_its_unit() {
    let output = agent(&["check", "--human"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && table.contains("memory.used_pct") && table.contains(" %  Share of memory"),
        "{table}"
    );
}

#[test]
fn mistakes_are_told_together_with_their_own_exit_code() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "interval = \"7\"\nmounts = [\"/\", \"srv\"]\ncreds = \"/nowhere.creds\"\n")
        .unwrap();
    let output = agent(&["run", "--check-config", "--config", file.path().to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["interval: \"7\"", "mounts: \"srv\"", "/nowhere.creds", "watchkeeper-agent enroll"] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    assert_eq!(agent(&["run", "--no-such-flag"]).status.code(), Some(2));
}
