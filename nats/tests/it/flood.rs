//! T9: whoever floods is limited, flagged and cut off; quiet hosts lose nothing, and the server's memory stays flat.

use crate::attacks::seen;
use crate::client::{Client, Heard};
use crate::jetstream::{self, stored};
use crate::keepers::{Enrolled, Journal, Keepers, SOON, until};
use crate::server::{Server, host};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use watchkeeper_nats::Program;
use watchkeeper_schemas::journal::{Flag, FlagReason};

const QUIET_HOSTS: usize = 10;
const QUIET_TICK: Duration = Duration::from_millis(100);
/// Two looks, the journal, the push: one to two seconds, and more where the machine is busy with other things.
const FLAGGED_MAX: Duration = Duration::from_secs(30);
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// What a quiet host had acknowledged: each sample, when it was tried first and how long that took.
type Acknowledged = Vec<(String, Instant, Duration)>;

/// A host that keeps each sample until it is acknowledged, as agents do.
fn quiet(agent: Enrolled, stop: Arc<AtomicBool>) -> JoinHandle<(String, Acknowledged)> {
    thread::spawn(move || {
        let mut client = agent.connect();
        let mut acknowledged = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let (sample, began) = (format!("sample {}", acknowledged.len()), Instant::now());
            while !is_acknowledged(&mut client, &agent, &sample) {
                thread::park_timeout(Duration::from_millis(20));
                assert!(began.elapsed() < SOON, "{}: {sample} is not taken", agent.subject);
            }
            acknowledged.push((sample, began, began.elapsed()));
            thread::park_timeout(QUIET_TICK.saturating_sub(began.elapsed()));
        }
        (agent.subject, acknowledged)
    })
}

fn is_acknowledged(client: &mut Client, agent: &Enrolled, sample: &str) -> bool {
    client.publish(&agent.subject, &agent.inbox, sample);
    match client.next_within(SOON) {
        // A refusal names the stream, too.
        Some(Heard::Message(_, answer)) => answer.starts_with("{\"stream\":\"SAMPLES\""),
        other @ (Some(Heard::Refused(_) | Heard::Closed | Heard::Pong) | None) => {
            panic!("{}: a quiet host heard {other:?}", agent.subject)
        }
    }
}

/// Floods from some threads at once, coming back as often as it is let in, until it is told to stop; each thread tells
/// how often it came in and how often it sent.
fn flood(
    agent: Enrolled,
    stop: &Arc<AtomicBool>,
    threads: usize,
    attack: Attack,
) -> Vec<JoinHandle<(u64, u64)>> {
    let agent = Arc::new(agent);
    let spawn = |_| {
        let (agent, stop) = (Arc::clone(&agent), Arc::clone(stop));
        thread::spawn(move || {
            let (mut entered, mut sent) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut client) = agent.try_connect() else {
                    thread::park_timeout(Duration::from_millis(10));
                    continue;
                };
                entered += 1;
                while !stop.load(Ordering::Relaxed) && client.send_raw(&attack(&agent, sent)) {
                    sent += 1;
                }
            }
            (entered, sent)
        })
    };
    (0..threads).map(spawn).collect()
}

/// A hundred messages at once on its own subject, 600 bytes each.
fn too_fast(agent: &Enrolled, _: u64) -> Vec<u8> {
    let body = "x".repeat(600);
    format!("PUB {} {}\r\n{body}\r\n", agent.subject, body.len()).repeat(100).into_bytes()
}

/// One message of a mebibyte.
fn too_large(agent: &Enrolled, _: u64) -> Vec<u8> {
    let body = "x".repeat(1 << 20);
    format!("PUB {} {}\r\n{body}\r\n", agent.subject, body.len()).into_bytes()
}

/// A hundred subjects below its own, no two alike.
fn too_many_subjects(agent: &Enrolled, sent: u64) -> Vec<u8> {
    (0..100).map(|n| format!("PUB {}.{sent}-{n} 1\r\nx\r\n", agent.subject)).collect::<String>().into_bytes()
}

/// The bytes of the nth burst.
type Attack = fn(&Enrolled, u64) -> Vec<u8>;
/// Each attack by its host's name, with the connections it is made over at once.
const ATTACKS: [(&str, usize, Attack); 3] =
    [("too-fast", 1, too_fast), ("too-large", 4, too_large), ("too-many-subjects", 1, too_many_subjects)];

#[tokio::test(flavor = "multi_thread")]
async fn t9_floods_are_cut_off_and_quiet_hosts_lose_nothing() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start(&server).await;
    let mut journal = Journal::open(&server).await;
    for team in ["a", "b"] {
        journal.team(&server, team).await;
    }
    let (stop, mut hosts) = (Arc::new(AtomicBool::new(false)), Vec::new());
    for index in 0..QUIET_HOSTS {
        let agent = journal.host(&server, ["a", "b"][index % 2], &format!("quiet-{index}")).await;
        hosts.push(quiet(agent, Arc::clone(&stop)));
    }
    let mut flooders = Vec::new();
    for (id, threads, attack) in ATTACKS {
        flooders.push((journal.host(&server, "a", id).await, threads, attack));
    }
    // So that there is something to compare with.
    thread::park_timeout(Duration::from_secs(2));
    let (before, began) = (server.memory_bytes(), Instant::now());
    let begin = |(agent, threads, attack)| flood(agent, &stop, threads, attack);
    let floods: Vec<_> = flooders.into_iter().map(begin).collect();
    let flagged = all_flagged(&journal, began);
    // Held off they stay: the quiet hosts go on beside refused attempts.
    thread::park_timeout(Duration::from_secs(5).saturating_sub(began.elapsed()));
    let grown = server.memory_bytes().saturating_sub(before);
    stop.store(true, Ordering::Relaxed);

    for ((id, ..), flood) in ATTACKS.iter().zip(floods) {
        let did: Vec<(u64, u64)> = flood.into_iter().map(|thread| thread.join().unwrap()).collect();
        let (entered, sent): (u64, u64) =
            (did.iter().map(|did| did.0).sum(), did.iter().map(|did| did.1).sum());
        let (after, flag) = &flagged[id];
        let (tried, after_ms) =
            (format!("{id}: {sent} bursts over {entered} connections"), after.as_millis());
        seen(
            "T9",
            &tried,
            &format!("flagged after {after_ms} ms for {:?} of {}, kept out", flag.reason, flag.count),
        );
        assert!(*after < FLAGGED_MAX && flag.strikes == 1, "{id}: {after:?} {flag:?}");
        let reason = if *id == "too-large" { FlagReason::ManyConnections } else { FlagReason::Flood };
        assert_eq!(flag.reason, reason, "{id}");
    }
    nothing_is_lost(&server, hosts, began).await;
    seen("T9", "the server's memory beside these floods", &format!("+{} MiB", grown >> 20));
    assert!(grown < GROWTH_BYTES_MAX, "the server's memory grew by {grown} bytes");
}

/// When each attacker was flagged after `began`, and how.
fn all_flagged(journal: &Journal, began: Instant) -> BTreeMap<&'static str, (Duration, Flag)> {
    let mut flagged = BTreeMap::new();
    until("every attacker is flagged", || {
        let registry = journal.registry();
        let team = registry.team(&"a".parse().unwrap()).ok_or("there is no team")?;
        for (id, ..) in ATTACKS {
            if let Some(flag) = team.flags.get(&host(id)) {
                flagged.entry(id).or_insert((began.elapsed(), flag.clone()));
            }
        }
        if flagged.len() == ATTACKS.len() { Ok(()) } else { Err(format!("only {:?}", flagged.keys())) }
    });
    flagged
}

async fn nothing_is_lost(server: &Server, hosts: Vec<JoinHandle<(String, Acknowledged)>>, began: Instant) {
    let js = jetstream::of(server, Program::Processors).await;
    let (mut samples, mut longest) = (0, [Duration::ZERO; 2]);
    for quiet in hosts {
        let (subject, acknowledged) = quiet.join().unwrap();
        let found: BTreeSet<String> = stored(&js, &subject).await.into_iter().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|(sample, ..)| !found.contains(sample)).collect();
        assert!(lost.is_empty(), "{subject} lost {lost:?}");
        samples += acknowledged.len();
        for (_, tried, waited) in acknowledged {
            let beside = usize::from(tried + waited >= began);
            longest[beside] = longest[beside].max(waited);
        }
    }
    let tried = format!("{QUIET_HOSTS} quiet hosts of two teams beside these floods");
    let [before, beside] = longest.map(|wait| wait.as_millis());
    let waits = format!("longest wait {beside} ms, {before} ms before");
    seen("T9", &tried, &format!("{samples} samples acknowledged, 0 lost, {waits}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_of_simulated_hosts_is_no_flood() {
    let server = Server::start(&["a"]);
    let _keepers = Keepers::start(&server).await;
    let journal = Journal::open(&server).await;
    let mut fleet = Client::connect(&server.address, &server.fleet("a")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut sent = 0_u32;
    while Instant::now() < deadline {
        for id in 0..50 {
            let id = format!("sim-{id}");
            fleet.publish(
                &format!("sample.v1.a.{}.{id}", watchkeeper_schemas::ids::Shard::of(&host(&id))),
                "",
                "x",
            );
            sent += 1;
        }
        assert_eq!(fleet.flush(), [], "after {sent} messages");
        thread::park_timeout(Duration::from_millis(5));
    }
    assert!(sent > 1500, "only {sent} messages in 3 s");
    assert!(
        journal.registry().team(&"a".parse().unwrap()).is_none_or(|team| team.flags.iter().next().is_none())
    );
}
