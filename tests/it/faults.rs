//! Every program is killed under load, one after the other: nothing acknowledged is lost or doubled, views are newest.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, start};
use std::collections::BTreeMap;
use std::time::Duration;
use xtask::stack::Program;

const HOSTS: usize = 50;
const TICK: Duration = Duration::from_millis(250);

#[test]
fn whatever_is_killed_under_load_nothing_acknowledged_is_lost_or_doubled() {
    let mut running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, HOSTS, TICK);
    wait_for_progress(&running, &load, 2 * HOSTS as u64);
    for program in [Program::Processors, Program::Questdb, Program::Gateway, Program::Nats] {
        running.kill9(program).unwrap();
        if program != Program::Nats {
            wait_for_progress(&running, &load, 4 * HOSTS as u64);
        }
        running.start(program).unwrap();
        wait_for_progress(&running, &load, 4 * HOSTS as u64);
        live_view_advances(&running, program);
    }
    let acknowledged = load.stop();
    all_is_stored_once_and_newest(&running, &acknowledged);
}

fn wait_for_progress(running: &Running, load: &Load, samples: u64) {
    let goal = load.acknowledged() + samples;
    running.wait("acknowledgements go on", 30, |_| match load.acknowledged() {
        now if now >= goal => Ok(Some(())),
        now => Err(format!("{now} of {goal} acknowledged")),
    });
}

/// The view of a host follows the load again, whatever was killed.
fn live_view_advances(running: &Running, killed: Program) {
    let seq = |running: &Running| -> Result<u64, String> {
        let (status, view) = running.try_get("/api/v1/hosts/load-00")?;
        view["seq"].as_u64().ok_or(format!("{status} {view}"))
    };
    let mut first = None;
    running.wait(&format!("the live view to go on after {} was killed", killed.name()), 20, |running| {
        let now = seq(running)?;
        let first = *first.get_or_insert(now);
        if now > first + 2 { Ok(Some(())) } else { Err(format!("number {now}, was {first}")) }
    });
}

/// Every acknowledged sample is stored exactly once, and the newest stored one is what the view shows.
pub(crate) fn all_is_stored_once_and_newest(running: &Running, acknowledged: &BTreeMap<String, u64>) {
    let stored = running.wait("everything acknowledged is in QuestDB", 60, |running| {
        let stored = running.stored()?;
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|(host, last)| stored.get(*host).is_none_or(|stored| stored.distinct < **last))
            .map(|(host, last)| format!("{host}: {last} acknowledged, stored {:?}", stored.get(host)))
            .collect();
        if missing.is_empty() { Ok(Some(stored)) } else { Err(missing.join("; ")) }
    });
    for (host, last) in acknowledged {
        let found = stored[host];
        assert_eq!(
            (found.rows, found.first),
            (found.distinct, 1),
            "{host} has doubled rows or lost its first"
        );
        assert_eq!(found.last, found.distinct, "{host} has a hole: {found:?}");
        // The last sample may have been stored though its acknowledgement was lost.
        assert!(
            found.last == *last || found.last == last + 1,
            "{host}: {last} acknowledged, {found:?} stored"
        );
        running.wait("the view is the newest sample", 20, |running| {
            let (status, view) = running.try_get(&format!("/api/v1/hosts/{host}"))?;
            if view["seq"] == found.last {
                Ok(Some(()))
            } else {
                Err(format!("{status} seq {}", view["seq"]))
            }
        });
    }
    let samples: u64 = acknowledged.keys().map(|host| running.stored().unwrap()[host].rows).sum();
    let hosts = acknowledged.keys().map(|host| format!("'{host}'")).collect::<Vec<_>>().join(",");
    let count = format!("SELECT count() FROM disk WHERE host IN ({hosts})");
    running.wait("each sample has its three disks", 30, |running| {
        match running.query(&count)?[0][0].as_u64() {
            Some(disks) if disks == 3 * samples => Ok(Some(())),
            disks => Err(format!("{disks:?} rows for {samples} samples")),
        }
    });
}
