//! An SSE client that reads nothing costs nothing and slows nobody.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, start};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use xtask::stack::Program;

const DEAD_CLIENTS: usize = 50;
/// Far more than fifty clients may cost; without a bound the load below would need several times as much.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// A client of the live stream.
pub(crate) fn listen(running: &Running, query: &str) -> TcpStream {
    ask(running, &format!("/api/v1/live?{query}"))
}

/// A client that has asked and reads nothing.
pub(crate) fn ask(running: &Running, path: &str) -> TcpStream {
    let address = running.http_url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n\r\n",
        running.token()
    )
    .unwrap();
    stream
}

#[test]
fn clients_that_read_nothing_do_not_grow_memory_and_do_not_slow_others() {
    let running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, 200, Duration::from_millis(200));
    running.wait("all hosts are shown", 30, |running| {
        let hosts = running.get("/api/v1/hosts?limit=500")["items"].as_array().map_or(0, Vec::len);
        if hosts == 200 { Ok(Some(())) } else { Err(format!("{hosts} hosts")) }
    });
    let dead: Vec<TcpStream> = (0..DEAD_CLIENTS).map(|_| listen(&running, "detail=full")).collect();
    let mut reader = BufReader::new(listen(&running, "detail=summary"));
    let before = running.memory_bytes(Program::Gateway);

    let (started, mut events, mut longest, mut last) =
        (Instant::now(), 0_u32, Duration::ZERO, Instant::now());
    let mut line = String::new();
    while started.elapsed() < Duration::from_secs(15) {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if line.starts_with("event: host") || line.starts_with("event:host") {
            events += 1;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    assert!(events > 2_000, "a client beside {DEAD_CLIENTS} dead ones got {events} events in 15 s");
    assert!(longest < Duration::from_secs(2), "a client beside dead ones waited {longest:?}");
    let grown = running.memory_bytes(Program::Gateway).saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{DEAD_CLIENTS} dead clients cost {grown} bytes");
    drop(dead);
    load.stop();
}
