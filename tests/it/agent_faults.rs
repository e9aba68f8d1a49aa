//! The real agent, cut off from acknowledgements and killed under load: its samples are counted one by one.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, as_processors, start};
use crate::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::subjects::{Lane, SampleSubject};
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::SAMPLES;
use xtask::ports::address;
use xtask::shipped_agent::AGENT;
use xtask::stack::Program;
use xtask::workspace::Profile;

const KILLS: usize = 2;
/// Of each start, before it is killed.
const SAMPLES_WANTED: usize = 4;

/// What the broker has acknowledged of one host, as it stands in the stream: boot and number of each sample, and what
/// came as that sample, each time it came.
type Acknowledged = BTreeMap<(String, u64), Vec<Vec<u8>>>;

#[test]
fn an_agent_without_acknowledgements_and_killed_has_every_acknowledged_sample_stored_once() {
    let running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, 50, Duration::from_millis(250));
    let wire = Wire::to(address(running.ports().nats));
    let mut agent = Agent::start(&running, wire.address());
    boots_in_stream(&running, 1);
    the_same_bytes_come_again(&running, &wire);
    for killed in 1..=KILLS {
        agent.kill9();
        agent = Agent::start(&running, wire.address());
        boots_in_stream(&running, killed + 1);
    }
    agent.kill9();
    let acknowledged = acknowledged(&running).unwrap();
    counted_one_by_one(&running, &acknowledged);
    crate::faults::all_is_stored_once_and_newest(&running, &load.stop());
}

/// The sample whose acknowledgement was lost is stored a second time, and it is the very same sample.
fn the_same_bytes_come_again(running: &Running, wire: &Wire) {
    let stored = acknowledged(running).unwrap().len();
    wire.swallow();
    running.wait("samples that arrive and whose acknowledgement does not", 20, |running| {
        let now = acknowledged(running)?.len();
        if now >= stored + SAMPLES_WANTED { Ok(Some(())) } else { Err(format!("{stored}, then {now}")) }
    });
    wire.heal();
    running.wait("each of them to come again", 30, |running| {
        let acknowledged = acknowledged(running)?;
        let again: Vec<_> = acknowledged.iter().filter(|(_, came)| came.len() > 1).collect();
        for (sample, came) in &again {
            assert!(came.iter().all(|bytes| *bytes == came[0]), "{sample:?} came again as another");
        }
        let numbers: Vec<u64> = again.iter().map(|((_, seq), _)| *seq).collect();
        if numbers.len() >= SAMPLES_WANTED { Ok(Some(())) } else { Err(format!("{numbers:?} came again")) }
    });
}

/// Waits until so many starts of the agent have some samples acknowledged each.
fn boots_in_stream(running: &Running, boots: usize) {
    running.wait("samples of each start of the agent", 30, |running| {
        let mut samples: BTreeMap<String, usize> = BTreeMap::new();
        for (boot, _) in acknowledged(running)?.into_keys() {
            *samples.entry(boot).or_default() += 1;
        }
        let enough = samples.values().filter(|count| **count >= SAMPLES_WANTED).count();
        if enough == boots { Ok(Some(())) } else { Err(format!("{samples:?}")) }
    });
}

/// No number is missing before the last of its start, each sample came as one sample, and QuestDB has each once.
fn counted_one_by_one(running: &Running, acknowledged: &Acknowledged) {
    let boots: BTreeSet<&String> = acknowledged.keys().map(|(boot, _)| boot).collect();
    assert_eq!(boots.len(), KILLS + 1);
    for boot in boots {
        let numbers: Vec<u64> =
            acknowledged.keys().filter(|(of, _)| of == boot).map(|(_, seq)| *seq).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "start {boot} has a hole");
    }
    for (sample, came) in acknowledged {
        assert!(came.iter().all(|bytes| *bytes == came[0]), "{sample:?} came as two different samples");
    }
    let wanted: BTreeSet<_> = acknowledged.keys().cloned().collect();
    let sql = format!("SELECT boot, seq FROM host WHERE host = '{}'", running.agent_host());
    let rows = running.wait("every acknowledged sample of the agent in QuestDB", 60, |running| {
        let rows = running.query(&sql)?;
        let found = rows.iter().map(|row| {
            let boot = row[0].as_str().ok_or_else(|| row[0].to_string())?;
            Ok((boot.to_owned(), row[1].as_u64().ok_or_else(|| row[1].to_string())?))
        });
        let found: BTreeSet<(String, u64)> = found.collect::<Result<_, String>>()?;
        let missing: Vec<_> = wanted.difference(&found).collect();
        if missing.is_empty() {
            assert_eq!(found, wanted, "QuestDB has samples that the broker never acknowledged");
            Ok(Some(rows.len()))
        } else {
            Err(format!("missing {missing:?}"))
        }
    });
    assert_eq!(rows, wanted.len(), "doubled rows");
}

fn acknowledged(running: &Running) -> Result<Acknowledged, String> {
    let subject = SampleSubject::live(running.team().parse().unwrap(), running.agent_host().parse().unwrap());
    let lanes = [Lane::Live, Lane::Backfill].map(|lane| subject.on(lane).to_string());
    let mut acknowledged = Acknowledged::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let read = runtime.block_on(async {
        let context = jetstream(as_processors(running, &running.creds().processors).await.client);
        let filters = [lanes[0].as_str(), lanes[1].as_str()];
        rebuild::read(&context, SAMPLES, &filters, Begin::First, |event| {
            let sample = codec::decode(&subject, &event.payload).unwrap();
            let came = acknowledged.entry((sample.boot.to_string(), sample.seq)).or_default();
            came.push(event.payload.to_vec());
        })
        .await
        .map_err(|error| error.to_string())
    });
    read.map(|_| acknowledged)
}

/// The agent as a process of its own, which speaks for this machine once a second.
struct Agent(Child);

impl Agent {
    fn start(running: &Running, nats: SocketAddr) -> Self {
        let log = File::options().create(true).append(true).open(running.log(Program::Agent)).unwrap();
        let mut command = Command::new(Profile::of_this_program().binary(AGENT));
        command.args(["run", "--interval", "1s", "--nats", &format!("nats://{nats}"), "--creds"]);
        Self(command.arg(&running.creds().agent).stderr(log).spawn().unwrap())
    }

    /// SIGKILL, as a crash.
    fn kill9(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have been killed already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
