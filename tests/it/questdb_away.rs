//! QuestDB is away for a minute: the live view does not notice, the lag is told, then everything is there.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, start};
use std::time::{Duration, Instant};
use xtask::stack::Program;

const AWAY: Duration = Duration::from_secs(60);

#[test]
fn without_questdb_live_goes_on_the_lag_is_told_and_nothing_is_lost() {
    let mut running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, 20, Duration::from_millis(500));
    let history = "/api/v1/hosts/load-00/history?metric=cpu.usage_pct&from=-5m";
    running.wait("history answers", 20, |running| match running.try_get(history)? {
        (200, _) => Ok(Some(())),
        (status, answer) => Err(format!("{status} {answer}")),
    });
    // Killed while it makes its first tables, QuestDB never opens them again; this is about a later day.
    running.wait("rows of every host", 20, |running| {
        let stored = running.stored()?;
        if stored.len() == 20 { Ok(Some(())) } else { Err(format!("{stored:?}")) }
    });

    running.kill9(Program::Questdb).unwrap();
    let killed = Instant::now();
    running.wait("history says that it is away", 10, |running| {
        let answer = running.answer(history);
        let wait =
            answer.headers().get("retry-after").map(|value| value.to_str().unwrap_or_default().to_owned());
        match (answer.status().as_u16(), wait) {
            (503, Some(_)) => Ok(Some(())),
            other => Err(format!("{other:?}")),
        }
    });
    running.wait("the lag of history is told", 15, |running| {
        let history = processor(running, "history")?;
        let told = history["state"] != "ok" && history["lag_events"].as_u64() > Some(0);
        if told { Ok(Some(())) } else { Err(history.to_string()) }
    });
    let mut freshest = 0.0_f64;
    running.wait("the minute passes with a live view that is never old", AWAY.as_secs() + 10, |running| {
        let latest = processor(running, "latest")?;
        freshest = freshest.max(latest["lag_s"].as_f64().ok_or(latest.to_string())?);
        if killed.elapsed() > AWAY {
            Ok(Some(()))
        } else {
            Err(format!("{:?} of {AWAY:?}", killed.elapsed()))
        }
    });
    assert!(freshest < 5.0, "the live view was {freshest} s behind while QuestDB was away");
    assert_eq!(running.get("/api/v1/hosts/load-00")["status"], "active");

    running.start(Program::Questdb).unwrap();
    running.wait("the lag is gone", 30, |running| {
        let history = processor(running, "history")?;
        let gone = history["state"] == "ok" && history["lag_s"].as_f64() < Some(5.0);
        if gone { Ok(Some(())) } else { Err(history.to_string()) }
    });
    crate::faults::all_is_stored_once_and_newest(&running, &load.stop());
}

fn processor(running: &Running, name: &str) -> Result<serde_json::Value, String> {
    let (_, system) = running.try_get("/api/v1/system")?;
    let found =
        system["processors"].as_array().and_then(|all| all.iter().find(|it| it["name"] == name)).cloned();
    found.ok_or_else(|| system.to_string())
}
