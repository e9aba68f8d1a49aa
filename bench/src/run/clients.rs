//! 1,000 clients of the live stream, of ten teams with 100 hosts each: every change reaches its own team and nobody
//! else. What a client costs, beside one of axum's own event stream with the same events.

use super::bare_stream::BareStream;
use super::many::Many;
use super::paced::{Line, Samples};
use super::report::{Bound, Row};
use super::system::{System, WHOLE};
use super::usage::{cpu_s, memory_mib};
use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::{Duration, Instant};
use watchkeeper_nats::{Layout, issue_fleet};
use watchkeeper_schemas::ids::TeamId;
use xtask::ports::address;
use xtask::stack::Program;
use xtask::wait::wait_until;

const TEAMS: u32 = 10;
const HOSTS_PER_TEAM: u32 = 100;
const CLIENTS_PER_TEAM: u32 = 100;
const CLIENTS: u32 = TEAMS * CLIENTS_PER_TEAM;
/// Changes of each host while everybody listens.
const CHANGES: u32 = 5;
const DEADLINE: Duration = Duration::from_secs(60);
const KIB_PER_MIB: f64 = 1024.0;

/// One team, what publishes its samples, and the samples.
struct Team {
    id: TeamId,
    first_host: u32,
    line: Line,
    samples: Samples,
}

/// What many clients cost a server.
struct Cost {
    memory_kib_each: f64,
    cpu_us_each_event: f64,
    bytes_each: f64,
}

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&WHOLE)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(measure(&system))
}

async fn measure(system: &System) -> Result<Vec<Row>> {
    let mut teams = Vec::new();
    for number in 0..TEAMS {
        teams.push(Team::make(system, number).await?);
    }
    let pid = system.stack.pid(Program::Gateway).context("the gateway ended")?;
    let server = address(system.stack.ports().gateway);
    let token = system.stack.owner()?.token.clone();
    let (memory, mut many) = (memory_mib(pid)?, Many::new());
    for team in &teams {
        let own = team.first_host..team.first_host + HOSTS_PER_TEAM;
        for _ in 0..CLIENTS_PER_TEAM {
            many.join(server, &format!("/api/v1/live?team={}", team.id), &token, own.clone()).await?;
        }
    }
    many.wait_for(CLIENTS.into(), 0).await?;
    let (spent, joined_bytes) = (cpu_s(pid)?, many.bytes());
    let events = u64::from(CLIENTS * HOSTS_PER_TEAM);
    for change in 1..=u64::from(CHANGES) {
        for team in &mut teams {
            team.line.send(&mut team.samples, HOSTS_PER_TEAM as usize, f64::INFINITY).await?;
        }
        many.wait_for(CLIENTS.into(), change * events).await?;
    }
    let (heard, foreign) = (many.hosts(), many.foreign());
    let ours = Cost {
        memory_kib_each: (memory_mib(pid)? - memory) * KIB_PER_MIB / f64::from(CLIENTS),
        cpu_us_each_event: (cpu_s(pid)? - spent) * 1e6 / heard as f64,
        bytes_each: (many.bytes() - joined_bytes) as f64 / heard as f64,
    };
    drop(many);
    let bare = bare(joined_bytes / u64::from(CLIENTS), ours.bytes_each as usize).await?;
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let expected = (events * u64::from(CHANGES)) as f64;
    Ok(vec![
        row(
            "clients: events that 1,000 clients of 10 teams heard",
            heard as f64,
            "",
            Bound::AtLeast(expected),
        ),
        row("clients: events of another team among them", foreign as f64, "", Bound::AtMost(0.0)),
        row("clients: gateway, memory of a client", ours.memory_kib_each, "KiB", Bound::None),
        row("  beside: a client of axum's own stream", bare.memory_kib_each, "KiB", Bound::None),
        row("clients: gateway, CPU of an event", ours.cpu_us_each_event, "µs", Bound::None),
        row("  beside: an event of axum's own stream", bare.cpu_us_each_event, "µs", Bound::None),
        row("  bytes of an event", ours.bytes_each, "B", Bound::None),
    ])
}

impl Team {
    /// Makes the team as its owner does, and has its hosts report once.
    async fn make(system: &System, number: u32) -> Result<Self> {
        let id = if number == 0 { system.stack.team().parse()? } else { create(system, number)? };
        let first_host = number * HOSTS_PER_TEAM;
        let layout = Layout::new(system.stack.data().join("nats"));
        // The processors make the account of a new team.
        let issued = wait_until("the account of a team", DEADLINE, || {
            issue_fleet(&layout, &id).map(Some).map_err(|failure| failure.to_string())
        })?;
        let mut samples = Samples::of_team(id.clone(), first_host, HOSTS_PER_TEAM)?;
        let mut line = Line::stored_as(&system.stack, id.clone(), &issued.creds).await?;
        line.send(&mut samples, HOSTS_PER_TEAM as usize, f64::INFINITY).await?;
        wait_for_hosts(system, &id)?;
        Ok(Self { id, first_host, line, samples })
    }
}

fn create(system: &System, number: u32) -> Result<TeamId> {
    #[derive(Deserialize)]
    struct Made {
        team: TeamId,
    }
    let url = format!("{}/api/v1/teams", system.stack.http_url());
    let body = serde_json::json!({ "name": format!("Team {number}") });
    let (status, text) =
        xtask::http::post(&url, &body, Some(&system.stack.owner()?.token)).map_err(|it| anyhow!(it))?;
    ensure!(status == 201, "making a team: {status} {text}");
    let made: Made = serde_json::from_str(&text).with_context(|| format!("the answer {text}"))?;
    Ok(made.team)
}

fn wait_for_hosts(system: &System, team: &TeamId) -> Result<()> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<IgnoredAny>,
    }
    let url = format!("{}/api/v1/hosts?limit=1000&team={team}", system.stack.http_url());
    let token = &system.stack.owner()?.token;
    wait_until("the gateway to list the hosts of a team", DEADLINE, || {
        let (status, body) = xtask::http::get_as(&url, token)?;
        let list: List =
            serde_json::from_str(&body).map_err(|failure| format!("{status}: {failure}: {body}"))?;
        let listed = list.items.len();
        if listed == HOSTS_PER_TEAM as usize { Ok(Some(())) } else { Err(format!("{listed} on {url}")) }
    })?;
    Ok(())
}

/// The same number of clients, of events and of bytes, from axum's own stream.
async fn bare(first_bytes: u64, event_bytes: usize) -> Result<Cost> {
    let bare = BareStream::start()?;
    let (pid, url) = (bare.pid(), format!("http://{}/live", bare.address));
    let (memory, mut many) = (memory_mib(pid)?, Many::new());
    for _ in 0..CLIENTS {
        many.join(bare.address, &format!("/live?bytes={first_bytes}"), "", 0..0).await?;
    }
    many.wait_for(CLIENTS.into(), 0).await?;
    let (spent, joined_bytes, begin) = (cpu_s(pid)?, many.bytes(), Instant::now());
    let event = serde_json::json!("x".repeat(event_bytes));
    for number in 1..=u64::from(HOSTS_PER_TEAM * CHANGES) {
        let posted = xtask::http::post(&url, &event, None).map_err(|it| anyhow!(it))?;
        ensure!(posted.0 == 200, "the bare stream: {posted:?}");
        many.wait_for(CLIENTS.into(), number * u64::from(CLIENTS)).await?;
    }
    ensure!(begin.elapsed() < DEADLINE, "the bare stream took {:?}", begin.elapsed());
    let heard = many.hosts() as f64;
    Ok(Cost {
        memory_kib_each: (memory_mib(pid)? - memory) * KIB_PER_MIB / f64::from(CLIENTS),
        cpu_us_each_event: (cpu_s(pid)? - spent) * 1e6 / heard,
        bytes_each: (many.bytes() - joined_bytes) as f64 / heard,
    })
}
