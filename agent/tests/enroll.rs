//! `enroll` and `renew` by the built program against a double that answers as gateways, proxies and strangers do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in tests a failed expectation is the message")]

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const TOKEN: &str = "tok-3c5Qy0Zt2mWvX8";
const REFUSED: &str = r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"the token is unknown, used or expired"}"#;

/// What the double answers: status, further headers, body.
type Answer = (u16, &'static str, String);

/// A gateway's place on the network; hands over each request's path and body.
struct Double {
    url: String,
    requests: mpsc::Receiver<(String, Value)>,
}

impl Double {
    fn start(answer: impl Fn(&str, &Value) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (path, body) = request(&stream);
                let (status, headers, text) = answer(&path, &body);
                let length = text.len();
                let head = format!(
                    "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
                );
                stream.write_all((head + &text).as_bytes()).unwrap();
                if seen.send((path, body)).is_err() {
                    return;
                }
            }
        });
        Self { url, requests }
    }
}

fn request(stream: &TcpStream) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (path, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A JWT as its claims would stand in it; its signature is the broker's to check.
fn jwt(public_key: &str, issued: u64) -> String {
    let claims = json!({"sub": public_key, "iat": issued, "exp": issued + 2_592_000,
        "nats": {"type": "user", "tags": ["team:ops", "shard:07", "host:web-1"]}});
    format!("eyJ0eXAiOiJKV1QifQ.{}.c2ln", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn enrols(_path: &str, body: &Value) -> Answer {
    let key = body["public_key"].as_str().unwrap();
    let answer = json!({"team": "ops", "host": "web-1", "shard": "07", "name": "web 1", "jwt": jwt(key, now()),
        "nats_url": "nats://127.0.0.1:4222", "interval_ms": 10_000, "mounts": ["/"], "without": ["disk_io"],
        "expires": "2026-12-21T12:00:00.000Z"});
    (200, "", answer.to_string())
}

fn agent(arguments: &[&str], token_variable: Option<&str>, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchkeeper-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    if let Some(token) = token_variable {
        command.env("WATCHKEEPER_ENROL_TOKEN", token);
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that wants no input may have ended.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap_or_default();
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn file(dir: &TempDir, name: &str) -> String {
    std::fs::read_to_string(dir.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// An enrolled folder.
fn enrolled(double: &Double) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = agent(&["enroll", &double.url, "-", "--no-start", "--dir", path], None, TOKEN);
    assert!(output.status.success(), "{}", told(&output));
    dir
}

#[test]
fn a_token_becomes_a_credential_whose_key_never_left_this_host() {
    let double = Double::start(enrols);
    for (by_argument, by_variable, by_input) in
        [(Some(TOKEN), None, ""), (None, Some(TOKEN), ""), (None, None, TOKEN), (Some("-"), None, TOKEN)]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut arguments = vec!["enroll", &double.url];
        arguments.extend(by_argument);
        arguments.extend(["--no-start", "--dir", path.to_str().unwrap()]);
        let output = agent(&arguments, by_variable, by_input);
        assert!(output.status.success(), "{}", told(&output));
        assert!(told(&output).contains("web-1") && told(&output).contains("run --dir"), "{}", told(&output));

        let (asked, body) = double.requests.recv().unwrap();
        assert_eq!((asked.as_str(), &body["token"]), ("/api/v1/enrol", &json!(TOKEN)));
        assert_eq!(body["facts"]["agent_version"], env!("CARGO_PKG_VERSION"));
        assert!(body["facts"]["hostname"].as_str().is_some_and(|name| !name.is_empty()), "{body}");
        let creds = std::fs::read_to_string(path.join("agent.creds")).unwrap();
        let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap();
        assert_eq!(KeyPair::from_seed(seed).unwrap().public_key(), body["public_key"]);
        assert!(!body.to_string().contains(seed), "the key left this host");
        for kept in std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()) {
            let mode = std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", kept.display());
            assert!(!std::fs::read_to_string(&kept).unwrap().contains(TOKEN), "{}", kept.display());
        }
        assert!(!told(&output).contains(TOKEN) && !told(&output).contains(seed), "{}", told(&output));
    }
}

#[test]
fn run_takes_its_settings_from_the_folder_and_flags_win() {
    let dir = enrolled(&Double::start(enrols));
    let path = dir.path().to_str().unwrap();
    let fits = |more: &[&str]| agent(&[&["run", "--check-config", "--dir", path], more].concat(), None, "");
    let output = fits(&[]);
    assert!(output.status.success() && told(&output).contains("host web-1, team ops"), "{}", told(&output));
    assert_eq!(fits(&["--interval", "7"]).status.code(), Some(2));
    let settings = file(&dir, "agent.toml");
    for line in [r#"interval = "10000ms""#, r#"mounts = ["/"]"#, r#"without = ["disk_io"]"#] {
        assert!(settings.contains(line), "{line} is missing in\n{settings}");
    }
}

#[test]
fn each_failure_says_what_to_do_and_keeps_nothing() {
    let cases: [(Answer, &str); 6] = [
        ((401, "", REFUSED.to_owned()), "make a new one"),
        ((401, "", "<html>please sign in</html>".to_owned()), "no gateway of Watchkeeper"),
        ((200, "", "<html>welcome</html>".to_owned()), "no gateway of Watchkeeper"),
        ((302, "location: https://evil.example.org/\r\n", String::new()), "https://evil.example.org/"),
        ((503, "", r#"{"title":"Service Unavailable","detail":"NATS is away"}"#.to_owned()), "NATS is away"),
        (
            (401, "date: Sat, 01 Jan 2000 00:00:00 GMT\r\n", REFUSED.to_owned()),
            "ahead of the gateway's: set it right",
        ),
    ];
    for (answer, expected) in cases {
        let answers = answer.clone();
        let double = Double::start(move |_, _| answers.clone());
        failed(&["enroll", &double.url, TOKEN], expected);
        assert_eq!(double.requests.try_iter().count(), 1, "asked again, or sent on: {answer:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    failed(&["enroll", &format!("http://{nobody}"), TOKEN], "cannot reach the gateway");
    failed(&["enroll", "http://192.0.2.1:7171", TOKEN], "not https");
    failed(&["enroll", "https://127.0.0.1:7171/x", TOKEN], "no address");
    failed(&["enroll", "https://127.0.0.1:7171", TOKEN, "--ca", "/nowhere.pem"], "/nowhere.pem");
    failed(&["enroll", "http://127.0.0.1:7171", ""], "no token");
}

fn failed(arguments: &[&str], expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = agent(&[arguments, &["--no-start", "--dir", path]].concat(), None, "");
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(expected), "{expected:?} is missing in {told}");
    assert!(!told.contains(TOKEN), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{expected}: something was kept");
}

#[test]
fn a_credential_of_another_key_or_host_is_not_kept() {
    let foreign = |_: &str, _: &Value| enrols("", &json!({"public_key": KeyPair::new_user().public_key()}));
    failed(&["enroll", &Double::start(foreign).url, TOKEN], "another key");
    let other_host = |_: &str, body: &Value| {
        let (status, headers, text) = enrols("", body);
        (status, headers, text.replace(r#""host":"web-1""#, r#""host":"web-2""#))
    };
    failed(&["enroll", &Double::start(other_host).url, TOKEN], "another host");
}

#[test]
fn renewal_proves_the_key_and_only_a_clear_no_is_for_good() {
    let later = now() + 60;
    let double = Double::start(move |path, body| match (path, body["time"].as_u64()) {
        ("/api/v1/enrol", _) => enrols(path, body),
        (_, time) if proves(body, time.unwrap()) => {
            let jwt = jwt(body["public_key"].as_str().unwrap(), later);
            (200, "", json!({"jwt": jwt, "interval_ms": 60_000, "mounts": [], "without": []}).to_string())
        }
        _ => (400, "", r#"{"title":"the signature is wrong"}"#.to_owned()),
    });
    let dir = enrolled(&double);
    let renew = || agent(&["renew", "--dir", dir.path().to_str().unwrap()], None, "");
    let (creds, settings) = (file(&dir, "agent.creds"), file(&dir, "agent.toml"));
    let output = renew();
    assert!(output.status.success(), "{}", told(&output));
    let renewed = file(&dir, "agent.creds");
    let seed = |text: &str| text.lines().find(|line| line.starts_with("SU")).map(ToOwned::to_owned);
    assert!(renewed != creds && seed(&renewed) == seed(&creds), "{renewed}");
    let (before, settings) = (settings, file(&dir, "agent.toml"));
    assert!(before.contains(r#"interval = "10000ms""#) && before.contains("disk_io"), "{before}");
    assert!(settings.contains(r#"interval = "60000ms""#) && !settings.contains("disk_io"), "{settings}");

    let gone = REFUSED.to_owned();
    let busy = r#"{"title":"Conflict","status":409,"detail":"held off for flooding"}"#.to_owned();
    for (answer, code) in [((401, "", gone), 4), ((409, "", busy), 1), ((401, "", "<html>".to_owned()), 1)] {
        let elsewhere = Double::start(move |_, _| answer.clone());
        std::fs::write(dir.path().join("agent.toml"), settings.replace(&double.url, &elsewhere.url)).unwrap();
        let output = renew();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert_eq!(file(&dir, "agent.creds"), renewed, "a credential was lost");
    }
}

/// As the gateway checks it.
fn proves(body: &Value, time: u64) -> bool {
    let key = KeyPair::from_public_key(body["public_key"].as_str().unwrap()).unwrap();
    let text = format!("watchkeeper-renew\n{}\n{time}", key.public_key());
    let signature = BASE64URL_NOPAD.decode(body["signature"].as_str().unwrap().as_bytes()).unwrap();
    key.verify(text.as_bytes(), &signature).is_ok() && body["jwt"].is_string() && time / 1000 >= now() - 60
}

#[test]
fn the_token_is_gone_from_the_arguments_of_the_agent_that_follows() {
    let double = Double::start(enrols);
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchkeeper-agent"))
        .args(["enroll", &double.url, TOKEN, "--dir"])
        .arg(dir.path())
        .env("WATCHKEEPER_NATS", "nats://127.0.0.1:1")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("agent started"));
    let proc = |name: &str| {
        let bytes = std::fs::read(Path::new("/proc").join(child.id().to_string()).join(name)).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let (arguments, environment) = (proc("cmdline"), proc("environ"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(started.is_some_and(|line| line.contains("web-1")), "it did not start");
    assert!(arguments.starts_with("watchkeeper-agent run --dir"), "{arguments}");
    assert!(!arguments.contains(TOKEN) && !environment.contains(TOKEN), "{arguments}");
}
