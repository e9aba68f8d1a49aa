//! A nats-server and a gateway of one test's own; both end with it.

use async_nats::jetstream::{self, kv};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use watchkeeper_gateway::config::Config;
use watchkeeper_gateway::http::site::Site;
use watchkeeper_gateway::run;
use watchkeeper_nats::{Layout, Program, SetupOptions, Tls, setup};
use watchkeeper_schemas::ids::{BootId, HostId, TeamId};
use watchkeeper_schemas::quantity::{Pct, UnixMs};
use watchkeeper_schemas::sample::{Cpu, Sample};
use watchkeeper_schemas::subjects::{GATEWAY_INBOX, PROCESSORS_INBOX, SampleSubject, latest_key};
use watchkeeper_schemas::view::{HostHead, HostView, Numbers};
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::topology::{LATEST, Limits, ensure};

/// Names the nats-server to test with.
const NATS_SERVER: &str = "WATCHKEEPER_NATS_SERVER";
/// Lets the server choose one.
const ANY_PORT: &str = "-1";
/// Nothing takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Who sets a stand up.
pub(crate) const FIRST_OWNER: &str = "olga";
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct-horse-7-battery";
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// A nats-server and a gateway.
pub(crate) struct Stand {
    /// Signed in as `olga`, owner of the team `default`.
    pub(crate) http: reqwest::Client,
    /// Not signed in.
    pub(crate) anonymous: reqwest::Client,
    /// The access token of `olga`.
    pub(crate) token: String,
    base: String,
    metrics: String,
    folder: tempfile::TempDir,
    port: u16,
    server: Child,
    bucket: kv::Store,
    /// JetStream as the processors have it.
    pub(crate) processors: jetstream::Context,
    gateway: Option<JoinHandle<anyhow::Result<()>>>,
    stop: watch::Sender<bool>,
    sequence: u64,
}

/// A second gateway of the same folder; ends with the test.
pub(crate) struct Another {
    pub(crate) base: String,
    _stop: watch::Sender<bool>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.server.kill().expect("the server of this test can be ended");
        self.server.wait().expect("the server of this test has ended");
    }
}

impl Stand {
    /// JetStream as the gateway has it.
    pub(crate) async fn as_gateway(&self) -> jetstream::Context {
        let layout = Layout::new(self.folder.path().join("nats"));
        as_program(&layout, self.port, Program::Gateway, GATEWAY_INBOX).await
    }

    /// Both, with an empty fleet, once the gateway is ready.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = folder.path().join("nats");
        let team: TeamId = "default".parse().unwrap();
        let listen = ([127, 0, 0, 1], 4222).into();
        setup(&SetupOptions { dir: nats.clone(), listen, tls: Tls::Off, teams: vec![team] }).unwrap();
        let server = start_server(&nats, ANY_PORT);
        let port = port_of(&nats).await;
        let (processors, bucket) = open_bucket(&Layout::new(&nats), port).await;
        let (stop, stopped) = watch::channel(false);
        let gateway = run::start(&config(folder.path(), port), stopped).await.unwrap();
        let (base, metrics) =
            (format!("http://{}", gateway.listen), format!("http://{}", gateway.metrics_listen));
        let mut stand = Self {
            http: reqwest::Client::new(),
            anonymous: reqwest::Client::new(),
            token: String::new(),
            base,
            metrics,
            folder,
            port,
            server,
            bucket,
            processors,
            gateway: Some(tokio::spawn(gateway.wait())),
            stop,
            sequence: 0,
        };
        stand.ready().await;
        stand.set_up().await;
        stand
    }

    /// Makes the first owner with the code of the gateway's folder.
    async fn set_up(&mut self) {
        let file = self.secrets().join("bootstrap.code");
        let mut code = Value::Null;
        until("there is a code for the first owner", async || {
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            code = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok(())
        })
        .await;
        until("the first team is there", async || {
            let (user, password) = (FIRST_OWNER, PASSWORD);
            let asked = json!({"code": code["code"], "user": user, "password": password, "bearer": true});
            let answer =
                self.anonymous.post(self.url("/api/v1/auth/setup")).json(&asked).send().await.unwrap();
            let (status, session): (_, Value) = (answer.status(), answer.json().await.unwrap());
            if status != 201 {
                return Err(session.to_string());
            }
            self.token = session["access_token"].as_str().unwrap().to_owned();
            Ok(())
        })
        .await;
        self.http = bearer(&self.token);
    }

    /// Another gateway beside the first, or in its place.
    pub(crate) async fn another(&self) -> Another {
        let (stop, stopped) = watch::channel(false);
        let gateway = run::start(&config(self.folder.path(), self.port), stopped).await.unwrap();
        let base = format!("http://{}", gateway.listen);
        tokio::spawn(gateway.wait());
        until("the other gateway is ready", async || {
            let answer = self.anonymous.get(format!("{base}/readyz")).send().await.unwrap();
            if answer.status() == 200 { Ok(()) } else { Err(answer.text().await.unwrap()) }
        })
        .await;
        Another { base, _stop: stop }
    }

    /// The gateway's own folder.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.folder.path().join("gateway")
    }

    /// The NATS server's folder.
    pub(crate) fn nats(&self) -> PathBuf {
        self.folder.path().join("nats")
    }

    /// Where the NATS server listens.
    pub(crate) fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Logs somebody in with the password of everybody in these tests; their access token.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        let asked = json!({"user": user, "password": PASSWORD, "bearer": true});
        let answer = self.anonymous.post(self.url("/api/v1/auth/login")).json(&asked).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{user}");
        let session: Value = answer.json().await.unwrap();
        session["access_token"].as_str().unwrap().to_owned()
    }

    /// Invites somebody to a team, has them accept; their access token.
    pub(crate) async fn invite(&self, owner: &reqwest::Client, user: &str, role: &str) -> String {
        let asked = json!({"role": role});
        let invited = owner.post(self.url("/api/v1/invitations")).json(&asked).send().await.unwrap();
        assert_eq!(invited.status(), 201);
        let invited: Value = invited.json().await.unwrap();
        let asked = json!({"token": invited["token"], "user": user, "password": PASSWORD, "bearer": true});
        let accepted =
            self.anonymous.post(self.url("/api/v1/auth/accept")).json(&asked).send().await.unwrap();
        let (status, session): (_, Value) = (accepted.status(), accepted.json().await.unwrap());
        assert!(status.is_success(), "{session}");
        session["access_token"].as_str().unwrap().to_owned()
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What Prometheus reads.
    pub(crate) async fn scrape(&self) -> String {
        let answer = self.http.get(format!("{}/metrics", self.metrics)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// Writes the next view of a host, as the processor does; its sequence.
    pub(crate) async fn put(&mut self, host: &str) -> u64 {
        self.put_of("default", host).await
    }

    /// Writes the next view of a host of a team, as the processor does; its sequence.
    pub(crate) async fn put_of(&mut self, team: &str, host: &str) -> u64 {
        self.sequence += 1;
        let (team, id): (TeamId, HostId) = (team.parse().unwrap(), host.parse().unwrap());
        let view = view(&team, &id, self.sequence);
        self.bucket.put(latest_key(&team, &id), view.into()).await.unwrap();
        self.sequence
    }

    pub(crate) async fn remove(&mut self, host: &str) {
        let (team, id): (TeamId, HostId) = ("default".parse().unwrap(), host.parse().unwrap());
        self.bucket.purge(latest_key(&team, &id)).await.unwrap();
    }

    /// The sequence of a host as the list shows it.
    pub(crate) async fn shown(&self, host: &str) -> Option<u64> {
        let list = self.json("/api/v1/hosts").await;
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["host"] == host)?["sequence"].as_u64()
    }

    /// Waits until the list shows a host at a sequence.
    pub(crate) async fn shows(&self, host: &str, sequence: u64) {
        until(&format!("{host} is shown at {sequence}"), async || {
            let shown = self.shown(host).await;
            if shown == Some(sequence) { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
    }

    /// Waits until the gateway is ready.
    pub(crate) async fn ready(&self) {
        until("the gateway is ready", async || {
            let answer = self.get("/readyz").await;
            if answer.status() == 200 { Ok(()) } else { Err(answer.text().await.unwrap()) }
        })
        .await;
    }

    /// Kills the server, which forgets the bucket, and starts it with another, as the processors do.
    pub(crate) async fn restart_server(&mut self) {
        self.kill_server();
        let nats = self.folder.path().join("nats");
        self.server = start_server(&nats, &self.port.to_string());
        (self.processors, self.bucket) = open_bucket(&Layout::new(&nats), self.port).await;
    }

    pub(crate) fn kill_server(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Tells the gateway to end, and waits until it has.
    pub(crate) async fn end_gateway(&mut self) {
        self.stop.send_replace(true);
        self.gateway.take().unwrap().await.unwrap().unwrap();
    }
}

/// Looks at a condition until it holds; at the deadline says what was last seen.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let Err(seen) = look().await else { return };
        assert!(Instant::now() < deadline, "not in time: {what}; last seen: {seen}");
        sleep(LOOK).await;
    }
}

/// A client that is signed in by a token.
pub(crate) fn bearer(token: &str) -> reqwest::Client {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    value.set_sensitive(true);
    let headers = [(AUTHORIZATION, value)].into_iter().collect();
    reqwest::Client::builder().default_headers(headers).build().unwrap()
}

fn config(folder: &Path, port: u16) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        metrics_listen: ([127, 0, 0, 1], 0).into(),
        // Tests say as the proxy would from where they come.
        site: Site::new("http://127.0.0.1:7171", true).unwrap(),
        tls: None,
        secrets_dir: folder.join("gateway"),
        open_registration: true,
        nats_dir: folder.join("nats"),
        nats_public_url: format!("nats://127.0.0.1:{port}"),
        nats: format!("nats://127.0.0.1:{port}"),
        nats_creds: Layout::new(folder.join("nats")).program_creds(Program::Gateway),
        questdb_host: "127.0.0.1".to_owned(),
        // Nobody listens there: history is away in these tests.
        questdb_port: free_port(),
        questdb_user: "reader".to_owned(),
        questdb_password: "none".to_owned(),
    }
}

fn view(team: &TeamId, host: &HostId, sequence: u64) -> Vec<u8> {
    let now = watchkeeper_gateway::fleet::watch::now();
    let subject = SampleSubject::live(team.clone(), host.clone());
    let mut sample = Sample::empty(&subject, BootId::default(), sequence, now, 5000);
    sample.cpu = Some(Cpu { usage_pct: Pct((sequence % 1000) as u16), ..Cpu::default() });
    let head = HostHead {
        v: 1,
        team: team.clone(),
        host: host.clone(),
        shard: subject.shard,
        sequence,
        boot: BootId::default(),
        seq: sequence,
        time: now,
        received: UnixMs(now.0),
        interval_ms: 5000,
        lost_samples: 0,
        dropped_values: 0,
        unreadable_samples: 0,
        inventory: None,
    };
    serde_json::to_vec(&HostView { head: &head, numbers: Numbers(&sample) }).unwrap()
}

fn start_server(nats: &Path, port: &str) -> Child {
    let Some(binary) = std::env::var_os(NATS_SERVER).map(PathBuf::from) else {
        panic!("{NATS_SERVER} names no nats-server: run `cargo xtask test`");
    };
    let conf = Layout::new(nats).conf();
    let log = std::fs::File::create(nats.join("server.log")).unwrap();
    let mut command = Command::new(binary);
    command.arg("-c").arg(conf).args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"]).arg(nats);
    command.stdout(Stdio::null()).stderr(log);
    command.spawn().expect("nats-server starts")
}

/// The port that the server chose, once it listens.
async fn port_of(nats: &Path) -> u16 {
    let mut port = None;
    until("the server listens", async || {
        let files = std::fs::read_dir(nats).unwrap().map(|file| file.unwrap().path());
        let ports = files.filter(|file| file.extension().is_some_and(|it| it == "ports"));
        let text: String = ports.map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let digits = text.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
        port = digits.and_then(|digits| digits.parse().ok());
        if port.is_some() { Ok(()) } else { Err(text) }
    })
    .await;
    port.unwrap()
}

/// The bucket, made as the processors make it.
/// JetStream with the rights of a program.
async fn as_program(layout: &Layout, port: u16, program: Program, inbox: &str) -> jetstream::Context {
    let settings = Connect {
        url: format!("nats://127.0.0.1:{port}"),
        creds: layout.program_creds(program),
        name: "test",
        inbox: inbox.trim_end_matches(".>").to_owned(),
    };
    jetstream::new(connect(&settings).await.unwrap().client)
}

async fn open_bucket(layout: &Layout, port: u16) -> (jetstream::Context, kv::Store) {
    let context = as_program(layout, port, Program::Processors, PROCESSORS_INBOX).await;
    until("the topology is ensured", async || {
        ensure(&context, &Limits::default()).await.map_err(|error| format!("{error:?}"))
    })
    .await;
    let bucket = context.get_key_value(LATEST).await.unwrap();
    (context, bucket)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
