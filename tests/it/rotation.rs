//! A program's credential is changed while everything runs: the old one ends at once, the program goes on.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, as_processors, start};
use std::process::Command;
use std::time::Duration;
use watchkeeper_streams::connect::Connected;
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::SAMPLES;
use xtask::stack::Program;
use xtask::workspace::Profile;

#[test]
fn a_rotated_credential_ends_the_old_one_at_once_and_the_processors_go_on() {
    let running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, 5, Duration::from_millis(250));
    let view = |running: &Running| -> Result<u64, String> {
        let (status, view) = running.try_get("/api/v1/hosts/load-00")?;
        view["seq"].as_u64().ok_or(format!("{status} {view}"))
    };
    running.wait("a live view", 20, |running| view(running).map(Some));
    let folder = tempfile::tempdir().unwrap();
    let stolen = folder.path().join("stolen.creds");
    std::fs::copy(&running.creds().processors, &stolen).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let thief = runtime.block_on(as_processors(&running, &stolen));
    runtime.block_on(can_read(&thief)).expect("the old credential works");
    let pid = running.pid(Program::Processors);

    rotate(&running);
    running.wait("the old credential to be cut off and refused", 10, |_| {
        let seen = (thief.events.disconnects(), thief.events.refusals());
        if seen.0 > 0 && seen.1 > 0 {
            Ok(Some(()))
        } else {
            Err(format!("{seen:?} disconnects and refusals"))
        }
    });
    let ours = runtime.block_on(as_processors(&running, &running.creds().processors));
    runtime.block_on(can_read(&ours)).expect("the new credential works");

    let before = view(&running).unwrap();
    let goal = before + 20;
    running.wait("the live view to go on with the new credential", 20, |running| match view(running)? {
        now if now >= goal => Ok(Some(())),
        now => Err(format!("number {now} of {goal}")),
    });
    assert_eq!(running.pid(Program::Processors), pid, "nobody had to start the processors again");
    crate::faults::all_is_stored_once_and_newest(&running, &load.stop());
}

fn rotate(running: &Running) {
    let mut gateway = Command::new(Profile::of_this_program().binary("watchkeeper-gateway"));
    gateway.args(["nats", "rotate", "processors", "--push", &running.nats_url(), "--dir"]);
    let said = gateway.arg(running.data().join("nats")).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.lines().any(|line| line.starts_with("revoked ")), "{text}");
}

async fn can_read(connected: &Connected) -> Result<(), async_nats::Error> {
    jetstream(connected.client.clone()).get_stream(SAMPLES).await?;
    Ok(())
}
