//! The fleet's values are what FLEET.md says: the Python verifier, which shares no code, comes to the same numbers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in tests a failed expectation is the message")]

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use watchkeeper_bench::fleet::values::{Fleet, sample};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::view::Numbers;

fn fleet(seed: u64) -> Fleet {
    Fleet { team: "default".parse().unwrap(), seed, start_ms: 1_790_000_000_123, tick_ms: 2_500 }
}

fn cases() -> Vec<(u32, u64)> {
    let mut cases: Vec<_> = (0..400_u64).map(|n| ((n * 37 % 1000) as u32, 1 + n * n)).collect();
    cases.extend([(0, 1), (99_999, 1 << 40), (100_123, 86_400)]);
    cases
}

fn from_python(fleet: &Fleet, cases: &[(u32, u64)]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fleet_check.py");
    let mut python = Command::new("python3")
        .args([script, &fleet.seed.to_string(), &fleet.start_ms.to_string(), &fleet.tick_ms.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs the verifier");
    let mut input = python.stdin.take().unwrap();
    let lines: String = cases.iter().map(|(index, seq)| format!("{index} {seq}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whole and broken numbers that are equal count as equal.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn the_python_verifier_comes_to_the_same_numbers() {
    for seed in [1, u64::MAX] {
        let (fleet, cases) = (fleet(seed), cases());
        let python = from_python(&fleet, &cases);
        assert_eq!(python.len(), cases.len());
        for ((index, seq), expected) in cases.into_iter().zip(python) {
            let sample = sample(&fleet, index, seq).unwrap();
            let mut found = serde_json::to_value(Numbers(&sample)).unwrap();
            found["host"] = json!(sample.host);
            found["seq"] = json!(sample.seq);
            found["time_ms"] = json!(sample.time.0);
            found["boot"] = json!(sample.boot.to_string().replace('-', ""));
            assert!(same(&found, &expected), "host {index} seq {seq}:\n{found}\n{expected}");
        }
    }
}

#[test]
fn every_sample_of_the_fleet_is_a_true_one_of_usual_size() {
    let fleet = fleet(7);
    let mut frame = Vec::new();
    for (index, seq) in cases() {
        let sample = sample(&fleet, index, seq % (1 << 32) + 1).unwrap();
        codec::encode(&sample, &mut frame).unwrap();
        assert_eq!(codec::decode_any_host(&frame).unwrap(), sample, "host {index} seq {seq}");
        assert!(sample.inventory.is_some() || frame.len() <= 400, "{} bytes", frame.len());
    }
}
