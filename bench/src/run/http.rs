//! The gateway's answers over kept connections, beside a bare server that answers a constant of the same size.

use super::keep_alive::Connection;
use super::paced::{Line, Samples};
use super::report::{Bound, Row};
use super::spread::Spread;
use super::system::{System, WHOLE, caught_up};
use anyhow::{Context as _, Result, anyhow, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use xtask::ports::address;

const HOSTS: u32 = 1_000;
/// As many as keep two cores busy, client and server together.
const CONNECTIONS: usize = 8;
/// Both in turn, several times: the best of each counts, in which the machine disturbed least.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_millis(1500);
const LISTS: usize = 500;
const LIST: &str = "/api/v1/hosts";

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&WHOLE)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    let mut samples = Samples::of(&system.stack, HOSTS)?;
    runtime.block_on(async {
        let mut line = Line::stored(&system.stack).await?;
        line.send(&mut samples, HOSTS as usize, f64::INFINITY).await?;
        caught_up(&system.stack).await
    })?;
    system.wait_for_hosts(HOSTS)?;

    let path = format!("{LIST}/{}", samples.last_host());
    let body = Bytes::copy_from_slice(ok(&mut system.gateway()?, &path)?);
    let bytes = body.len();
    let bare = runtime.block_on(bare_server(&path, body))?;
    let gateway = address(system.stack.ports().gateway);
    let token = &system.stack.owner()?.token;
    let (mut bare_per_s, mut gateway_per_s) = (0_f64, 0_f64);
    for _ in 0..ROUNDS {
        bare_per_s = bare_per_s.max(requests_per_s(bare, &path, token)?);
        gateway_per_s = gateway_per_s.max(requests_per_s(gateway, &path, token)?);
    }
    let (list, list_bytes) = list_times(&mut system.gateway()?)?;
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    Ok(vec![
        row("http: bytes of a host's answer", bytes as f64, "B", Bound::None),
        row("http: bare axum, a constant of that size", bare_per_s, "/s", Bound::None),
        row("http: GET of one host", gateway_per_s, "/s", Bound::AtLeast(0.7 * bare_per_s)),
        row("http: one host beside the bare server", gateway_per_s / bare_per_s, "", Bound::AtLeast(0.7)),
        row("http: bytes of the list of 1,000 hosts", list_bytes as f64, "B", Bound::None),
        row("http: list of 1,000 hosts, p50", list.p50_ms(), "ms", Bound::None),
        row("http: list of 1,000 hosts, p99", list.p99_ms(), "ms", Bound::AtMost(10.0)),
    ])
}

/// A server in this process with one route and one answer.
async fn bare_server(path: &str, body: Bytes) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
    let address = listener.local_addr().context("asking for the address")?;
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
    let router = Router::new().route(path, get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

fn requests_per_s(server: SocketAddr, path: &str, token: &str) -> Result<f64> {
    let begin = Instant::now();
    let ask = || -> Result<u32> {
        let mut connection = Connection::open(server, token)?;
        let mut answers = 0;
        while begin.elapsed() < ROUND {
            ok(&mut connection, path)?;
            answers += 1;
        }
        Ok(answers)
    };
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        let answers = clients.into_iter().map(|it| it.join().map_err(|_| anyhow!("a client broke down"))?);
        answers.sum::<Result<u32>>()
    })?;
    Ok(f64::from(answers) / begin.elapsed().as_secs_f64())
}

fn list_times(connection: &mut Connection) -> Result<(Spread, usize)> {
    let (mut times, mut bytes) = (Vec::with_capacity(LISTS), 0);
    for _ in 0..LISTS {
        let begin = Instant::now();
        bytes = ok(connection, LIST)?.len();
        times.push(begin.elapsed());
    }
    Ok((Spread::of(times), bytes))
}

fn ok<'a>(connection: &'a mut Connection, path: &str) -> Result<&'a [u8]> {
    let (status, body) = connection.get(path)?;
    ensure!(status == 200, "GET {path}: {status} {}", String::from_utf8_lossy(body));
    Ok(body)
}
