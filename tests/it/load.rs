//! Simulated hosts that behave as agents do: a sample is kept and sent again until it is acknowledged.

use crate::running::Running;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::quantity::{Pct, UnixMs};
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::usual_host::usual_host;
use watchkeeper_streams::connect::{Connect, Connected, connect};

/// Time for one acknowledgement before the same sample is sent again.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Hosts that publish until they are stopped.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

/// A connection that may publish the samples of every host.
pub(crate) async fn fleet_connection(url: &str, creds: &std::path::Path) -> Connected {
    let settings = Connect {
        url: url.to_owned(),
        creds: creds.to_owned(),
        name: "test load",
        inbox: watchkeeper_schemas::subjects::agent_inbox(
            &"default".parse().unwrap(),
            &"fleet".parse().unwrap(),
        ),
    };
    connect(&settings).await.unwrap()
}

/// The sample number `seq` of a host, taken now; its CPU usage tells the number modulo 1000 in tenths of a percent.
pub(crate) fn sample(host: &str, seq: u64) -> Sample {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut sample = usual_host(host).unwrap();
    sample.seq = seq;
    sample.time = UnixMs(now.as_millis() as u64);
    if let Some(cpu) = &mut sample.cpu {
        cpu.usage_pct = Pct((seq % 1000) as u16);
    }
    sample
}

/// The frame of a sample and its live subject.
pub(crate) fn frame(sample: &Sample) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    codec::encode(sample, &mut bytes).unwrap();
    (SampleSubject::live(sample.team.clone(), sample.host.clone()).to_string(), bytes)
}

impl Load {
    /// `hosts` hosts named `load-00`, `load-01`, … that publish once a `tick`.
    pub(crate) fn start(running: &Running, hosts: usize, tick: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (counter, url, creds) =
            (Arc::clone(&acknowledged), running.nats_url(), running.creds().fleet.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let connected = fleet_connection(&url, &creds).await;
                let tasks: Vec<_> = (0..hosts)
                    .map(|index| {
                        let host = format!("load-{index:02}");
                        let (connected, stopped, counter) =
                            (connected.clone(), stopped.clone(), Arc::clone(&counter));
                        tokio::spawn(publish(connected, host, tick, stopped, counter))
                    })
                    .collect();
                let mut last = BTreeMap::new();
                for task in tasks {
                    last.extend([task.await.unwrap()]);
                }
                last
            })
        });
        Self { stop, acknowledged, thread }
    }

    /// Samples acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops; the last acknowledged number of each host. All before it were acknowledged, too.
    pub(crate) fn stop(self) -> BTreeMap<String, u64> {
        self.stop.send_replace(true);
        self.thread.join().unwrap()
    }
}

async fn publish(
    connected: Connected,
    host: String,
    tick: Duration,
    stopped: watch::Receiver<bool>,
    counter: Arc<AtomicU64>,
) -> (String, u64) {
    let id: HostId = host.parse().unwrap();
    let mut seq = 0;
    let mut ticks = tokio::time::interval(tick);
    let mut waiting: Option<(String, Vec<u8>)> = None;
    while !*stopped.borrow() {
        ticks.tick().await;
        let (subject, bytes) = waiting.take().unwrap_or_else(|| frame(&sample(id.as_str(), seq + 1)));
        let request = connected.client.request(subject.clone(), bytes.clone().into());
        let answer = tokio::time::timeout(ACKNOWLEDGEMENT_TIMEOUT, request).await;
        if let Ok(Ok(answer)) = answer
            && serde_json::from_slice::<serde_json::Value>(&answer.payload)
                .is_ok_and(|ack| ack["error"].is_null() && ack["seq"].is_u64())
        {
            seq += 1;
            counter.fetch_add(1, Ordering::Relaxed);
        } else {
            // It may be stored though its acknowledgement was lost: only the very same bytes are the same sample.
            waiting = Some((subject, bytes));
        }
    }
    (host, seq)
}
