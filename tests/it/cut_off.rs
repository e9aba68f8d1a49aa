//! What is taken back through the API is of no use any more: the NATS server itself cuts readers and agents off.

use crate::enrolment::{Agent, CUT_OFF, Watched, goes_on};
use crate::load::{frame, sample};
use crate::running::{Running, WITHOUT_AGENT, as_of_team, as_processors, start};
use futures_util::StreamExt as _;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_streams::connect::Connected;
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::SAMPLES;

/// A second is promised, and what it took is printed; a machine that does other things as well may take longer.
const CUT_OFF_S_MAX: u64 = 5;
/// Between two samples of whoever holds a copy of the credential; the guard lets ten times as many pass.
const TICK: Duration = Duration::from_millis(50);

#[test]
fn a_removed_reader_is_cut_off_and_stays_out() {
    let running = start(&WITHOUT_AGENT);
    let runtime = runtime();
    let watched = Watched::new(&running, "Heard", "default");
    let _agent = Agent::run(&watched.folder);
    goes_on(&running, &watched.path, "its first samples");

    let (status, made) = running.post("/api/v1/readers", &json!({"name": "wallboard"}));
    assert_eq!(status, 201, "{made}");
    let creds = watched.folder.path().join("reader.creds");
    std::fs::write(&creds, made["creds"].as_str().unwrap()).unwrap();
    std::fs::set_permissions(&creds, std::fs::Permissions::from_mode(0o600)).unwrap();
    let reader = runtime.block_on(as_of_team(&running, &creds, "default", "wallboard"));
    let subject = made["subject"].as_str().unwrap().to_owned();
    let heard = runtime.block_on(async {
        let mut feed = reader.client.subscribe(subject).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), feed.next()).await
    });
    let heard = heard.expect("the reader hears nothing").unwrap();
    assert!(String::from_utf8_lossy(&heard.payload).contains(&watched.host), "{heard:?}");

    let (began, revision) = (Instant::now(), made["revision"].as_u64().unwrap());
    let (status, answer) = running.delete(&format!("/api/v1/readers/wallboard?revision={revision}"));
    assert_eq!(status, 204, "{answer}");
    is_cut_off(&running, "the removed reader", &reader, began);
    goes_on(&running, &watched.path, "samples beside it");
}

#[test]
fn a_deleted_host_is_cut_off_while_it_publishes_and_its_agent_ends() {
    let running = start(&WITHOUT_AGENT);
    let runtime = runtime();
    let watched = Watched::new(&running, "Doomed", "default");
    let mut agent = Agent::run(&watched.folder);
    goes_on(&running, &watched.path, "its first samples");
    let copy = runtime.block_on(as_of_team(&running, &watched.creds(), "default", &watched.host));
    let (host, client) = (watched.host.clone(), copy.client.clone());
    let publishing = runtime.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        for seq in 1.. {
            ticks.tick().await;
            let (subject, bytes) = frame(&sample(&host, seq));
            if client.publish(subject, bytes.into()).await.is_err() {
                return;
            }
        }
    });
    let newest = || runtime.block_on(newest_sample(&running, &watched.host));
    let first = newest();
    running.wait("samples of the copy", 10, |_| match newest() {
        now if now > first + Duration::from_secs(1) => Ok(Some(())),
        now => Err(format!("{now:?} after {first:?}")),
    });

    let revision = running.get(&watched.path)["revision"].as_u64().unwrap();
    let (began, deleted) = (Instant::now(), SystemTime::now());
    let (status, answer) = running.delete(&format!("{}&revision={revision}", watched.path));
    assert_eq!(status, 204, "{answer}");
    is_cut_off(&running, "the deleted host", &copy, began);
    let last = newest().duration_since(deleted).unwrap_or_default();
    println!("the last stored sample of the deleted host is {last:?} younger than its deletion");
    assert!(last < Duration::from_secs(CUT_OFF_S_MAX), "{last:?}");
    publishing.abort();
    assert_eq!(agent.ends(Duration::from_secs(45)), Some(CUT_OFF), "{}", agent.log());
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits until the server ends the connection and takes no other with its credential; prints how long that took.
fn is_cut_off(running: &Running, who: &str, connection: &Connected, began: Instant) {
    running.wait(&format!("{who} to be cut off"), CUT_OFF_S_MAX, |_| match connection.events.disconnects() {
        0 => Err("connected".to_owned()),
        _ => Ok(Some(())),
    });
    println!("{who} was cut off {:?} after it was asked for", began.elapsed());
    running.wait(&format!("{who} to be refused"), 10, |_| match connection.events.refusals() {
        0 => Err(format!("{} connections lost, none refused", connection.events.disconnects())),
        _ => Ok(Some(())),
    });
}

/// When the broker stored the newest sample of a host.
async fn newest_sample(running: &Running, host: &str) -> SystemTime {
    let processors = as_processors(running, &running.creds().processors).await;
    let samples = jetstream(processors.client).get_stream(SAMPLES).await.unwrap();
    let subject = SampleSubject::live("default".parse().unwrap(), host.parse().unwrap()).to_string();
    let time = samples.get_last_raw_message_by_subject(&subject).await.unwrap().time;
    SystemTime::UNIX_EPOCH + Duration::from_nanos(time.unix_timestamp_nanos().try_into().unwrap())
}
