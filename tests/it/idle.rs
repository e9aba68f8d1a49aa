//! A system with little to do: clients hear that it lives, and a query that nobody waits for is stopped.

use crate::running::{Running, WITHOUT_AGENT, start};
use crate::slow_client::{ask, listen};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use xtask::stack::Program;

/// The gateway says something at least every ten seconds; the rest is for a busy machine.
const SIGN_OF_LIFE_MAX: Duration = Duration::from_secs(12);
/// What it says of hosts and lag while everything starts.
const IDLE_AFTER_MAX: Duration = Duration::from_secs(30);
const ROWS: u64 = 2_000_000;
/// So long the query takes at least on a database that is slow enough; the gateway would wait for it.
const SLOW: Duration = Duration::from_secs(6);
/// So long it may go on once nobody waits for it.
const STOPPED_MAX: Duration = Duration::from_secs(4);

#[test]
fn an_idle_client_hears_a_sign_of_life_and_a_query_that_nobody_waits_for_is_stopped() {
    let running = start(&WITHOUT_AGENT);
    let idle = BufReader::new(listen(&running, "detail=summary"));
    let hears = thread::spawn(move || hears_a_sign_of_life(idle));
    much_history(&running);
    hears.join().unwrap();
    an_abandoned_query_is_stopped(&running);
}

fn hears_a_sign_of_life(mut client: BufReader<TcpStream>) {
    client.get_ref().set_read_timeout(Some(SIGN_OF_LIFE_MAX)).unwrap();
    let (begin, mut heard) = (Instant::now(), String::new());
    loop {
        let before = heard.len();
        client.read_line(&mut heard).unwrap_or_else(|error| {
            panic!("nothing came for {SIGN_OF_LIFE_MAX:?} ({error}); before that {heard}")
        });
        assert!(heard.len() > before, "the gateway ended an idle stream: {heard}");
        if heard[before..].starts_with(':') {
            return;
        }
        assert!(begin.elapsed() < IDLE_AFTER_MAX, "the system is not idle: {heard}");
    }
}

/// Fifty minutes of a custom gauge of some hundred hosts.
fn much_history(running: &Running) {
    running.wait("the tables", 30, |running| running.query("SELECT count() FROM custom").map(Some));
    let insert = format!(
        "INSERT INTO custom (ts, team, host, name, seq, value) \
         SELECT timestamp_sequence(dateadd('m', -50, now()), 1400), 'default', 'h' || (x % 400), 'slow', x, rnd_double() \
         FROM long_sequence({ROWS})"
    );
    let said = running.query(&insert).unwrap_err();
    assert!(said.contains("OK"), "{said}");
    running.wait("the rows to be there", 60, |running| {
        let rows = running.query("SELECT count() FROM custom")?;
        if rows[0][0] == ROWS { Ok(Some(())) } else { Err(format!("{rows:?}")) }
    });
}

fn an_abandoned_query_is_stopped(running: &Running) {
    let begin = Instant::now();
    let alone =
        "SELECT ts, host, avg(value) FROM custom WHERE team = 'default' AND name = 'slow' SAMPLE BY 5s";
    running.query(&format!("SELECT count() FROM ({alone})")).unwrap();
    let slowdown = (SLOW.as_secs_f64() / begin.elapsed().as_secs_f64()).max(2.0);
    let slowed = Slowed::down(running.pid(Program::Questdb).unwrap(), slowdown);
    let client = ask(running, "/api/v1/history?metric=custom.slow&from=-1h&step=5s");
    running.wait("the query to run", 10, |running| match at_work(running)? {
        0 => Err("it does not".into()),
        _ => Ok(Some(())),
    });
    drop(client);
    let gone = Instant::now();
    running.wait("the query to be stopped", SLOW.as_secs(), |running| match at_work(running)? {
        0 => Ok(Some(())),
        count => Err(format!("{count} queries of the gateway run")),
    });
    let stopped = gone.elapsed();
    drop(slowed);
    assert!(stopped < STOPPED_MAX, "the query ran on for {stopped:?}, alone it takes {SLOW:?}");
    running.get("/api/v1/history?metric=custom.slow&from=-1h&step=60s");
}

/// Queries of history that run in the database now.
fn at_work(running: &Running) -> Result<usize, String> {
    let rows = running.query("SELECT query FROM query_activity()")?;
    let of_the_gateway =
        |row: &&Vec<Value>| row[0].as_str().is_some_and(|sql| sql.contains("FROM custom WHERE"));
    Ok(rows.iter().filter(of_the_gateway).count())
}

/// A process on a machine that is too small for it: it runs for a moment, then it is stopped for longer.
struct Slowed {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slowed {
    fn down(pid: u32, times: f64) -> Self {
        const RUNS: Duration = Duration::from_millis(4);
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                kill_process(pid, Signal::STOP).unwrap();
                thread::park_timeout(RUNS.mul_f64(times - 1.0));
                kill_process(pid, Signal::CONT).unwrap();
                thread::park_timeout(RUNS);
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    }
}
