//! A real nats-server in a folder of its own, our connections to it, and a fleet that publishes.

use async_nats::jetstream::Context;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use watchkeeper_nats::{Layout, Program, SetupOptions, Tls, issue_fleet, setup};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::subjects::{self, SampleSubject};
use watchkeeper_schemas::usual_host::usual_host;
use watchkeeper_streams::connect::{Connect, Connected, connect};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{Limits, ensure};

/// Longest wait for anything that a test waits for, unless it says otherwise.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The server refuses more than 500 messages that wait for the disk.
const PUBLISHES_AT_ONCE: usize = 200;

pub(crate) struct Server {
    layout: Layout,
    address: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Server {
    /// The configuration as it is shipped.
    pub(crate) fn start() -> Self {
        Self::start_with(|conf| conf)
    }

    /// Writes to the disk now and then only: where a test fills a stream with more than the disk takes in its time.
    pub(crate) fn start_with_lazy_disk() -> Self {
        Self::start_with(|conf| {
            assert!(conf.contains("sync_interval: always"));
            conf.replace("sync_interval: always", "sync_interval: 1m").replace("max_buffered_msgs: 500", "")
        })
    }

    fn start_with(change: impl FnOnce(String) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:4222".parse().unwrap();
        let options = SetupOptions { dir: dir.path().to_owned(), listen, tls: Tls::Off, teams: vec![team()] };
        let layout = setup(&options).unwrap().layout;
        let conf = change(fs::read_to_string(layout.conf()).unwrap());
        fs::write(layout.conf(), conf).unwrap();
        let (child, address) = run(&layout, "-1");
        Self { layout, address, child, _dir: dir }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, on what it has stored.
    pub(crate) fn start_again(&mut self) {
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        (self.child, self.address) = run(&self.layout, &port);
    }

    /// Stops it (SIGSTOP) or lets it go on (SIGCONT).
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) async fn connect(&self, program: Program) -> Connected {
        let inbox = subjects::program_inbox(&program.to_string().parse().unwrap());
        let url = format!("nats://{}", self.address);
        connect(&Connect { url, creds: self.layout.program_creds(program), name: "test", inbox })
            .await
            .unwrap()
    }

    /// A connection with another installation's credential, which this server cannot know.
    pub(crate) async fn connect_as_stranger(&self, strangers: &Server) -> Connected {
        let inbox = subjects::program_inbox(&Program::Processors.to_string().parse().unwrap());
        let (url, creds) =
            (format!("nats://{}", self.address), strangers.layout.program_creds(Program::Processors));
        connect(&Connect { url, creds, name: "stranger", inbox }).await.unwrap()
    }

    /// JetStream as the processors have it, with everything in the table made.
    pub(crate) async fn ready(&self) -> Context {
        let context = jetstream(self.connect(Program::Processors).await.client);
        ensure(&context, &Limits::default()).await.unwrap();
        context
    }

    pub(crate) async fn fleet(&self) -> Fleet {
        let creds = issue_fleet(&self.layout, &team()).unwrap().creds;
        let url = format!("nats://{}", self.address);
        let inbox = subjects::agent_inbox(&team(), &"fleet".parse().unwrap());
        Fleet { connected: connect(&Connect { url, creds, name: "fleet", inbox }).await.unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed already, perhaps.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Publishes numbered events as agents do.
pub(crate) struct Fleet {
    connected: Connected,
}

impl Fleet {
    /// Publishes these numbers, one after the other in the stream's order; all are acknowledged.
    pub(crate) async fn publish_in_order(&self, numbers: Range<u64>) {
        for number in numbers {
            assert!(self.try_publish(number, 8).await, "event {number} was not acknowledged");
        }
    }

    /// Publishes these numbers with payloads of this length, in no certain order; all are acknowledged.
    pub(crate) async fn publish(&self, numbers: Range<u64>, bytes: usize) {
        let publish = |number| async move {
            assert!(self.try_publish(number, bytes).await, "event {number} was not acknowledged");
        };
        stream::iter(numbers).map(publish).buffer_unordered(PUBLISHES_AT_ONCE).collect::<()>().await;
    }

    /// Publishes this many samples of usual hosts.
    pub(crate) async fn publish_samples(&self, count: u64) {
        let hosts: Vec<_> = (0..1000).map(|host| usual(&format!("host-{host}"))).collect();
        let publish = |number: u64| {
            let (subject, frame) = &hosts[(number % 1000) as usize];
            self.connected.client.request(subject.clone(), frame.clone())
        };
        let mut answers = stream::iter(0..count).map(publish).buffer_unordered(PUBLISHES_AT_ONCE);
        while let Some(answer) = answers.next().await {
            let answer = answer.unwrap().payload;
            assert!(answer.starts_with(br#"{"stream":"SAMPLES""#), "{answer:?}");
        }
    }

    /// Publishes one number; whether it was acknowledged.
    pub(crate) async fn try_publish(&self, number: u64, bytes: usize) -> bool {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(bytes, 0);
        match self.connected.client.request(sample(number), payload.into()).await {
            Ok(answer) => answer.payload.starts_with(br#"{"stream":"SAMPLES""#),
            Err(_) => false,
        }
    }
}

fn usual(host: &str) -> (String, Bytes) {
    let (sample, mut frame) = (usual_host(host).unwrap(), Vec::new());
    codec::encode(&sample, &mut frame).unwrap();
    (SampleSubject::live(sample.team, sample.host).to_string(), frame.into())
}

/// Ten hosts take turns.
pub(crate) fn sample(number: u64) -> String {
    SampleSubject::live(team(), format!("host-{}", number % 10).parse().unwrap()).to_string()
}

/// The number in a payload.
pub(crate) fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().unwrap())
}

fn team() -> TeamId {
    "default".parse().unwrap()
}

/// Looks until `look` finds what is awaited; fails with what it saw last.
pub(crate) async fn until<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "{what}: not within {SOON:?}, at last {last}"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn run(layout: &Layout, port: &str) -> (Child, String) {
    let log = layout.dir.join("server.log");
    let mut child = Command::new(binary())
        .arg("-c")
        .arg(layout.conf())
        .args(["-p", port, "--ports_file_dir"])
        .arg(&layout.dir)
        .stderr(File::options().create(true).append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let ports = layout.dir.join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(address) = fs::read_to_string(&ports).ok().as_deref().and_then(address_in) {
            return (child, address);
        }
        let ended = child.try_wait().unwrap();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "nats-server is not up ({ended:?}):\n{}",
            said()
        );
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

fn address_in(ports: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(ports).ok()?;
    Some(ports["nats"][0].as_str()?.strip_prefix("nats://")?.to_owned())
}

/// The server to test with; a test without one has failed.
fn binary() -> PathBuf {
    let given = std::env::var_os("WATCHKEEPER_NATS_SERVER").map(PathBuf::from);
    given.expect("WATCHKEEPER_NATS_SERVER names no nats-server: run `cargo xtask test`, which brings one")
}
