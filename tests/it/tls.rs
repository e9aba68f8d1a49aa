//! Everything beyond loopback speaks TLS: a gateway and a NATS server with a certificate of an authority of one's own, an
//! agent that is given that authority, and nobody who is let in without.

use crate::enrolment::{Agent, agent_command, said};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use xtask::ports::free_port;
use xtask::tools::Servers;
use xtask::wait::wait_until;
use xtask::workspace::Profile;

/// Time for something to start on a busy machine.
const START_S_MAX: u64 = 60;
const PASSWORD: &str = "a night watch of nine bells";

#[test]
fn an_agent_is_enrolled_and_publishes_over_tls_alone() {
    let stand = Stand::start();
    let code = stand.wait("the code of the first owner", |stand| {
        let (status, state) = stand.get("/api/v1/auth/state", "")?;
        if state["needs_setup"] != true {
            return Err(format!("{status} {state}"));
        }
        let text =
            std::fs::read_to_string(stand.path("secrets/bootstrap.code")).map_err(|it| it.to_string())?;
        let written: Value = serde_json::from_str(&text).map_err(|it| it.to_string())?;
        Ok(written["code"].as_str().map(str::to_owned))
    });
    let asked = json!({"code": code, "user": "olga", "password": PASSWORD, "bearer": true});
    let (status, session) = stand.post("/api/v1/auth/setup", "", &asked).unwrap();
    assert_eq!(status, 201, "{session}");
    stand.browsers_are_told_to_stay_with_tls();
    let access = session["access_token"].as_str().unwrap();
    let asked = json!({"name": "Far away", "interval_ms": 1000});
    let (status, made) = stand.post("/api/v1/hosts", access, &asked).unwrap();
    assert_eq!(status, 201, "{made}");
    let token = made["enrolment"]["token"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let enroll = |more: &[&str]| {
        let mut command = agent_command(&["enroll", &stand.url, token, "--no-start", "--dir"]);
        command.arg(folder.path()).args(more).output().unwrap()
    };
    let stranger = enroll(&[]);
    assert!(!stranger.status.success() && said(&stranger).contains("--ca"), "{}", said(&stranger));
    let ca = stand.path("ca.pem");
    let enrolled = stand.wait("the account of the team", |_| match enroll(&["--ca", ca.to_str().unwrap()]) {
        output if said(&output).contains("(503)") => Err(said(&output)),
        output => Ok(Some(output)),
    });
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let settings = std::fs::read_to_string(folder.path().join("agent.toml")).unwrap();
    assert!(settings.contains("nats = \"tls://") && settings.contains("gateway = \"https://"), "{settings}");

    let agent = Agent::run(&folder);
    stand.wait("samples over TLS", |stand| {
        let (status, view) = stand.get("/api/v1/hosts/far-away", access)?;
        let told = || format!("{status} {view}\n{}", agent.log());
        if view["status"] == "active" && view["seq"].as_u64() > Some(1) { Ok(Some(())) } else { Err(told()) }
    });
    let renewed = agent_command(&["renew", "--dir"]).arg(folder.path()).output().unwrap();
    assert!(renewed.status.success(), "{}", said(&renewed));

    // The same agent without the authority reaches neither of them.
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let renewed = agent_command(&["renew", "--dir"]).arg(folder.path()).output().unwrap();
    assert!(renewed.status.code() == Some(1) && said(&renewed).contains("certificate"), "{}", said(&renewed));
}

/// NATS, processors and gateway, with one certificate for 127.0.0.1.
struct Stand {
    folder: TempDir,
    url: String,
    http: ureq::Agent,
    children: Vec<Child>,
}

impl Stand {
    fn start() -> Self {
        let folder = TempDir::with_prefix("watchkeeper-tls-").unwrap();
        certify(folder.path());
        let pem = std::fs::read(folder.path().join("ca.pem")).unwrap();
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&pem).unwrap()]);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(15)))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        let (gateway, metrics, nats) = (port(), port(), port());
        let url = format!("https://127.0.0.1:{gateway}");
        let mut stand = Self { folder, url, http: config.build().into(), children: Vec::new() };
        std::fs::write(stand.path("password"), "unused: there is no QuestDB here").unwrap();
        stand.set_up(&nats);
        let servers = Servers::ensure().expect("the servers that `cargo xtask test` brings");
        stand.run(
            "nats",
            Command::new(servers.nats_server).arg("--config").arg(stand.path("nats/nats-server.conf")),
        );
        let nats_url = format!("tls://127.0.0.1:{nats}");
        stand.run(
            "processors",
            program("watchkeeper-processors")
                .args(["--only", "latest,accounts", "--nats", &nats_url, "--nats-creds"])
                .arg(stand.path("nats/operator/processors.creds"))
                .arg("--nats-dir")
                .arg(stand.path("nats"))
                .env("SSL_CERT_FILE", stand.path("ca.pem")),
        );
        stand.run(
            "gateway",
            program("watchkeeper-gateway")
                .args(["run", "--listen", &format!("127.0.0.1:{gateway}"), "--public-url", &stand.url])
                .args([
                    "--metrics-listen",
                    &format!("127.0.0.1:{metrics}"),
                    "--nats",
                    &nats_url,
                    "--tls-cert",
                ])
                .arg(stand.path("cert.pem"))
                .arg("--tls-key")
                .arg(stand.path("key.pem"))
                .arg("--secrets-dir")
                .arg(stand.path("secrets"))
                .arg("--nats-dir")
                .arg(stand.path("nats"))
                .arg("--nats-creds")
                .arg(stand.path("nats/gateway/gateway.creds"))
                .arg("--questdb-password-file")
                .arg(stand.path("password"))
                .env("SSL_CERT_FILE", stand.path("ca.pem")),
        );
        stand
    }

    fn set_up(&self, nats_port: &str) {
        let mut command = program("watchkeeper-gateway");
        command.args(["nats", "setup", "--listen", &format!("127.0.0.1:{nats_port}"), "--dir"]);
        command.arg(self.path("nats")).arg("--tls-cert").arg(self.path("cert.pem"));
        let output = command.arg("--tls-key").arg(self.path("key.pem")).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    fn browsers_are_told_to_stay_with_tls(&self) {
        let request = self.http.post(format!("{}/api/v1/auth/login", self.url));
        let request = request.header("sec-fetch-site", "same-origin");
        let answer = request.send_json(json!({"user": "olga", "password": PASSWORD})).unwrap();
        let headers = answer.headers();
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
        let cookies: Vec<&str> =
            headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
        assert!(cookies[0].starts_with("__Host-wk_access=") && cookies.len() == 2, "{cookies:?}");
        assert!(cookies.iter().all(|it| it.ends_with("; HttpOnly; SameSite=Strict; Secure")), "{cookies:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&mut self, name: &str, command: &mut Command) {
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        self.children.push(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn get(&self, path: &str, access: &str) -> Result<(u16, Value), String> {
        let request = self.http.get(format!("{}{path}", self.url));
        answer(bearer(request, access).call())
    }

    fn post(&self, path: &str, access: &str, body: &Value) -> Result<(u16, Value), String> {
        let request = self.http.post(format!("{}{path}", self.url));
        answer(bearer(request, access).send_json(body))
    }

    /// Waits for a condition; panics with the last state and the logs.
    fn wait<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Result<Option<T>, String>) -> T {
        wait_until(what, Duration::from_secs(START_S_MAX), || look(self)).unwrap_or_else(|error| {
            let logs = ["nats", "processors", "gateway"]
                .map(|name| std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default());
            panic!("{error}\n{}", logs.join("\n"))
        })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // It may have ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn port() -> String {
    free_port().unwrap().to_string()
}

fn program(name: &str) -> Command {
    let mut command = Command::new(Profile::of_this_program().binary(name));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    command
}

/// The request of whoever holds this access token, or of nobody.
fn bearer<B>(request: ureq::RequestBuilder<B>, access: &str) -> ureq::RequestBuilder<B> {
    if access.is_empty() { request } else { request.header("authorization", format!("Bearer {access}")) }
}

fn answer(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, Value), String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let json = answer.body_mut().read_json().map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), json))
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certify(folder: &Path) {
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).current_dir(folder).output();
        let output = output.expect("openssl, which every development machine has");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    };
    let new = ["req", "-newkey", "ed25519", "-nodes", "-days", "2"];
    let authority = ["-x509", "-subj", "/CN=test authority", "-out", "ca.pem", "-keyout", "ca.key"];
    openssl(&[&new[..], &authority].concat());
    let own = [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-out",
        "request.pem",
        "-keyout",
        "key.pem",
    ];
    openssl(&[&["req", "-newkey", "ed25519", "-nodes"], &own[..]].concat());
    let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"];
    openssl(&[&sign[..], &["-copy_extensions", "copy", "-out", "cert.pem"]].concat());
}
