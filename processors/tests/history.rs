//! History against a real QuestDB: shape of the tables, bad rows, repeats, crashes, absence, clocks.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests a failed expectation is the message"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use watchkeeper_processors::config::Config;
use watchkeeper_processors::history::History;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::{Kib, Num, Pct, Text, UnixMs};
use watchkeeper_schemas::sample::{
    Core, Cpu, Custom, Disk, DiskIo, Load, Memory, Network, Processes, Sample, Swap, System, Temperature,
};
use watchkeeper_schemas::subjects::{Lane, SampleSubject};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::processor::{Failure, Poisoned, Processor as _};
use xtask::ports::{Ports, address};
use xtask::stack::{Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 3_600_000;
const TABLES: [&str; 7] = ["host", "cpu_core", "disk", "disk_io", "net", "temp", "custom"];

/// A QuestDB of its own, stopped and thrown away at the end.
struct Database {
    stack: Stack,
    dir: TempDir,
}

impl Database {
    fn start() -> Self {
        Self::with_settings(&[])
    }

    /// With some lines of the shared configuration replaced or added.
    fn with_settings(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports::free().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("conf")).unwrap();
        let addresses = [
            ("http.net.bind.to", address(ports.questdb_http).to_string()),
            ("http.min.net.bind.to", address(ports.questdb_min).to_string()),
            ("pg.net.bind.to", address(ports.questdb_pg).to_string()),
        ];
        let ours = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).chain(addresses);
        let mut conf: Vec<String> = include_str!("../questdb.conf").lines().map(str::to_owned).collect();
        for (key, value) in ours {
            conf.retain(|line| line.split_once('=').is_none_or(|(name, _)| name != key));
            conf.push(format!("{key}={value}"));
        }
        std::fs::write(root.join("conf/server.conf"), conf.join("\n")).unwrap();
        let servers = Servers::ensure().expect("`cargo xtask test` brings QuestDB and Java");
        let stack = Stack::in_dir(dir.path())
            .ports(ports)
            .programs(&[Program::Questdb])
            // QuestDB takes the last folder that is named.
            .args(Program::Questdb, ["-d".into(), root.into_os_string()])
            .start(&servers)
            .unwrap();
        Self { stack, dir }
    }

    fn history(&self) -> Writer {
        self.history_keeping(24)
    }

    fn history_keeping(&self, hours: u32) -> Writer {
        let password: PathBuf = self.stack.creds().questdb_admin_password_file.clone();
        let flags = [
            "watchkeeper-processors".into(),
            "--nats-creds=unused".into(),
            format!("--questdb-http={}", address(self.stack.ports().questdb_http)),
            format!("--questdb-password-file={}", password.display()),
            format!("--raw-retention-hours={hours}"),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Writer { history: History::new(&Config::try_parse_from(flags).unwrap()).unwrap(), runtime }
    }

    /// The rows of an answer.
    fn query(&self, statement: &str) -> Vec<Value> {
        let login = format!("admin:{}", self.stack.questdb_admin_password());
        let answer: Value = ureq::get(format!("{}/exec", self.stack.questdb_http_url()))
            .header("Authorization", format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes())))
            .query("query", statement)
            .call()
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
            .body_mut()
            .read_json()
            .unwrap();
        answer["dataset"].as_array().cloned().unwrap_or_default()
    }

    fn number(&self, statement: &str) -> u64 {
        self.query(statement)[0][0].as_u64().unwrap()
    }

    /// Waits until everything that was accepted can be read.
    fn settle(&self) {
        wait_until("all accepted rows to be applied", DEADLINE, || {
            let waiting = self.query("SELECT name, sequencerTxn - writerTxn, suspended FROM wal_tables() WHERE sequencerTxn <> writerTxn");
            if waiting.is_empty() { Ok(Some(())) } else { Err(format!("{waiting:?}")) }
        })
        .unwrap();
    }

    fn rows(&self, table: &str) -> u64 {
        self.settle();
        self.number(&format!("SELECT count() FROM {table}"))
    }

    fn rows_of_all_tables(&self) -> Vec<u64> {
        TABLES.iter().map(|table| self.rows(table)).collect()
    }
}

/// The processor as its runner uses it.
struct Writer {
    history: History,
    runtime: tokio::runtime::Runtime,
}

impl Writer {
    fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        self.runtime.block_on(self.history.process(batch))
    }

    /// As the runner does: again and again.
    fn process_until_stored(&mut self, batch: &[Event]) {
        wait_until("the batch to be stored", DEADLINE, || match self.process(batch) {
            Ok(()) => Ok(Some(())),
            other => Err(retried(other)),
        })
        .unwrap();
    }

    fn resume(&mut self) -> Result<(), Failure> {
        self.runtime.block_on(self.history.resume())
    }

    /// What was to be parked, everything else being stored.
    fn poisoned(&mut self, batch: &[Event]) -> Vec<Poisoned> {
        match self.process(batch) {
            Err(Failure::Poison(poisoned)) => poisoned,
            other => panic!("expected events to park, found {other:?}"),
        }
    }
}

/// The error with all its causes.
fn retried(result: Result<(), Failure>) -> String {
    let Err(Failure::Retry(error)) = result else { panic!("expected to be asked again, found {result:?}") };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMs(since.as_millis() as u64)
}

fn subject(host: &str) -> SampleSubject {
    SampleSubject::live("default".parse().unwrap(), host.parse().unwrap())
}

fn empty(host: &str, seq: u64, time: UnixMs) -> Sample {
    Sample::empty(&subject(host), BootId([3; 16]), seq, time, 1000)
}

/// A usual host: some hundred numbers in 20 rows.
fn usual(host: &str, seq: u64, time: UnixMs) -> Sample {
    let mut sample = empty(host, seq, time);
    sample.cpu =
        Some(Cpu { usage_pct: Pct((seq % 1000) as u16), frequency_mhz: Some(3000), ..Cpu::default() });
    sample.cores = (0..4).map(|core| Core { core, usage_pct: Pct(seq as u16 % 1000) }).collect();
    sample.load = Some(Load { avg_1: Num(0.5), avg_5: Num(0.25), avg_15: Num(0.125) });
    sample.memory = Some(Memory { total: Kib(1 << 24), available: Kib(1 << 23), ..Memory::default() });
    sample.swap = Some(Swap::default());
    let disk = |n: u32| Disk {
        mount: Text::fit(&format!("/disk{n}")),
        total: Kib(1000),
        used: Kib(10),
        free: Kib(990),
        inodes_used_pct: Pct(5),
    };
    sample.disks = (0..3).map(disk).collect();
    let disk_io =
        |n: u32| DiskIo { device: Text::fit(&format!("sd{n}")), read_bytes_per_s: seq, ..DiskIo::default() };
    sample.disk_io = (0..3).map(disk_io).collect();
    let network = |n: u32| Network {
        interface: Text::fit(&format!("eth{n}")),
        rx_bytes_per_s: seq,
        ..Network::default()
    };
    sample.networks = (0..3).map(network).collect();
    let temperature = |n: u32| Temperature { sensor: Text::fit(&format!("sensor {n}")), celsius: Num(40.5) };
    sample.temperatures = (0..6).map(temperature).collect();
    sample.processes = Some(Processes { total: 200, threads: 900, running: 1, blocked: 0 });
    sample.system = Some(System { uptime_s: seq, open_files: 5000, tcp_connections: 40 });
    sample
}

fn event(sample: &Sample, received: UnixMs) -> Event {
    event_on(Lane::Live, sample, received)
}

fn event_on(lane: Lane, sample: &Sample, received: UnixMs) -> Event {
    let mut payload = Vec::new();
    codec::encode(sample, &mut payload).unwrap();
    let subject = subject(sample.host.as_str()).on(lane).to_string();
    Event { subject: subject.into(), payload: payload.into(), sequence: sample.seq, received, pending: 0 }
}

/// One sample of each of `hosts` hosts at every tick.
fn ticks(hosts: u64, seqs: std::ops::Range<u64>, start: UnixMs) -> Vec<Event> {
    let tick = |seq: u64| {
        let time = UnixMs(start.0 + seq * 1000);
        (0..hosts).map(move |host| event(&usual(&format!("host-{host}"), seq, time), time))
    };
    seqs.flat_map(tick).collect()
}

/// Some minutes ago, so that no tick is in the future.
fn a_while_ago() -> UnixMs {
    UnixMs(now().0 - 2 * HOUR_MS)
}

#[test]
fn tables_are_made_once_keep_their_shape_and_follow_the_retention() {
    let database = Database::start();
    database.history().resume().unwrap();
    let shape =
        "SELECT table_name, walEnabled, dedup, partitionBy, ttlValue, ttlUnit FROM tables() ORDER BY id";
    let expected = |value: u32| TABLES.map(|name| json!([name, true, true, "HOUR", value, "DAY"])).to_vec();
    assert_eq!(database.query(shape), expected(1));
    let changes = "SELECT name, sequencerTxn FROM wal_tables() ORDER BY name";
    let before = database.query(changes);
    database.history().resume().unwrap();
    assert_eq!(database.query(changes), before, "the second start changed something");
    database.history_keeping(72).resume().unwrap();
    wait_until("the longer retention", DEADLINE, || {
        let found = database.query(shape);
        if found == expected(3) { Ok(Some(())) } else { Err(format!("{found:?}")) }
    })
    .unwrap();
}

#[test]
fn a_lost_column_or_table_comes_back_and_another_type_is_refused_with_the_remedy() {
    let database = Database::start();
    let mut writer = database.history();
    let start = a_while_ago();
    writer.process(&ticks(10, 1..2, start)).unwrap();
    database.query("ALTER TABLE disk DROP COLUMN used_pct");
    database.query("RENAME TABLE 'net' TO 'net_old'");
    database.settle();
    // The first request after a DROP COLUMN is still taken in the old shape, without the column.
    writer.process(&ticks(10, 2..3, start)).unwrap();
    writer.process(&ticks(10, 3..4, start)).unwrap();
    assert_eq!((database.rows("disk"), database.rows("net"), database.rows("net_old")), (90, 60, 30));
    assert_eq!(database.number("SELECT count(used_pct) FROM disk WHERE seq = 3"), 30);

    database.query("ALTER TABLE temp ALTER COLUMN celsius TYPE SYMBOL");
    database.settle();
    let message = retried(database.history().process(&ticks(10, 4..5, start)));
    for part in [
        "table temp",
        "celsius is SYMBOL, expected FLOAT",
        "`ALTER TABLE temp ALTER COLUMN celsius TYPE FLOAT`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    database.query("ALTER TABLE temp ALTER COLUMN celsius TYPE FLOAT");
    database.settle();
    writer.process_until_stored(&ticks(10, 4..5, start));
    assert_eq!(database.rows("temp"), 240);
}

#[test]
fn a_suspended_table_is_resumed_and_shows_what_it_acknowledged() {
    // Only in its developers' mode does QuestDB suspend a table on request.
    let database = Database::with_settings(&[("dev.mode.enabled", "true")]);
    let mut writer = database.history();
    let start = a_while_ago();
    writer.process(&ticks(10, 1..2, start)).unwrap();
    assert_eq!(database.rows("host"), 10);
    database.query("ALTER TABLE host SUSPEND WAL");
    writer.process(&ticks(10, 2..3, start)).unwrap();
    assert_eq!(database.number("SELECT count() FROM host"), 10);
    database.history().resume().unwrap();
    assert_eq!(database.rows("host"), 20);
}

#[test]
fn commits_that_are_not_durable_are_refused() {
    let database = Database::with_settings(&[("cairo.commit.mode", "adaptive")]);
    let message = retried(database.history().process(&ticks(1, 1..2, a_while_ago())));
    assert!(message.contains("`cairo.commit.mode=sync`"), "{message}");
    assert_eq!(database.number("SELECT count() FROM tables()"), 0);
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let database = Database::start();
    let path = &database.stack.creds().questdb_admin_password_file;
    std::fs::write(path, "wrong").unwrap();
    let message = retried(database.history().resume());
    assert!(
        message.contains("refuses user \"admin\"") && message.contains("--questdb-password-file"),
        "{message}"
    );
}

#[test]
fn events_that_questdb_refuses_are_set_apart_and_all_others_stored() {
    // A line of more than 512 bytes is refused: that of a sample with all metrics, not that of one with few.
    let database = Database::with_settings(&[
        ("http.receive.buffer.size", "512"),
        ("line.http.max.recv.buffer.size", "512"),
    ]);
    let mut writer = database.history();
    let time = a_while_ago();
    let large = [0, 133, 134, 500];
    let batch: Vec<Event> = (0..501)
        .map(|n| {
            let sample = usual(&format!("host-{n}"), 1, time);
            let small = Sample { memory: None, swap: None, cpu: None, ..sample.clone() };
            event(if large.contains(&n) { &sample } else { &small }, time)
        })
        .collect();
    let poisoned = writer.poisoned(&batch);
    assert_eq!(poisoned.iter().map(|it| it.index).collect::<Vec<_>>(), large);
    for poison in &poisoned {
        assert_eq!(poison.reason, "refused_by_questdb");
        assert!(poison.detail.contains("line.http.max.recv.buffer.size"), "{}", poison.detail);
    }
    assert_eq!((database.rows("host"), database.rows("temp")), (497, 497 * 6));
    let stored = writer.history.counts();
    assert_eq!((stored.samples, stored.poisoned, stored.rows), (497, 4, 497 * 20));
    assert!(stored.requests < 60, "{stored:?}");
}

#[test]
fn what_is_no_sample_is_set_apart_with_its_reason() {
    let database = Database::start();
    let mut writer = database.history();
    let time = a_while_ago();
    let good = event(&usual("web-1", 1, time), time);
    let foreign = Event { subject: subject("web-2").to_string().into(), ..good.clone() };
    let noise = Event { payload: b"{\"stream\":\"SAMPLES\",\"seq\":1}".to_vec().into(), ..good.clone() };
    let tick = Event { subject: "tick".into(), ..good.clone() };
    let poisoned = writer.poisoned(&[noise, good, foreign, tick]);
    let reasons: Vec<_> = poisoned.iter().map(|it| (it.index, it.reason)).collect();
    assert_eq!(reasons, [(0, "not_a_frame"), (2, "wrong_host"), (3, "bad_subject")]);
    assert_eq!(database.rows("host"), 1);
}

#[test]
fn a_batch_that_comes_again_changes_nothing() {
    let database = Database::start();
    let mut writer = database.history();
    let batch = ticks(50, 1..11, a_while_ago());
    writer.process(&batch).unwrap();
    let before = database.rows_of_all_tables();
    assert_eq!(before, [500, 2000, 1500, 1500, 1500, 3000, 0]);
    writer.process(&batch).unwrap();
    writer.process(&batch[100..200]).unwrap();
    database.history().process(&batch).unwrap();
    assert_eq!(database.rows_of_all_tables(), before);
}

#[test]
fn a_killed_questdb_keeps_what_it_acknowledged_and_the_rest_comes_again_once() {
    const BATCHES: u64 = 30;
    let mut database = Database::start();
    let mut writer = database.history();
    let start = a_while_ago();
    let batch = move |n: u64| ticks(100, 1 + n * 10..11 + n * 10, start);
    let (tell, told) = std::sync::mpsc::channel();
    let ingest = std::thread::spawn(move || {
        for n in 0..BATCHES {
            writer.process_until_stored(&batch(n));
            tell.send(n + 1).unwrap();
        }
    });
    for acknowledged in [4, 12] {
        told.iter().find(|n| *n == acknowledged).unwrap();
        database.stack.kill9(Program::Questdb).unwrap();
        // What was acknowledged before the kill; the writer cannot go on until the database is back.
        let acknowledged = told.try_iter().last().unwrap_or(acknowledged);
        database.stack.start(Program::Questdb).unwrap();
        assert!(database.rows("host") >= acknowledged * 1000, "acknowledged rows are gone");
    }
    ingest.join().unwrap();
    let samples = BATCHES * 1000;
    assert_eq!(database.rows_of_all_tables(), [1, 4, 3, 3, 3, 6, 0].map(|rows| rows * samples));
    assert_eq!(database.number("SELECT count() FROM (SELECT DISTINCT host, seq FROM host)"), samples);
}

#[test]
fn an_absent_questdb_is_waited_for_also_when_it_comes_back_empty() {
    let mut database = Database::start();
    let mut writer = database.history();
    let batch = ticks(10, 1..3, a_while_ago());
    database.stack.stop(Program::Questdb).unwrap();
    let message = retried(writer.resume());
    assert!(message.contains("no answer from QuestDB at 127.0.0.1:"), "{message}");
    database.stack.start(Program::Questdb).unwrap();
    writer.process(&batch).unwrap();
    assert_eq!(database.rows("host"), 20);

    database.stack.stop(Program::Questdb).unwrap();
    std::fs::remove_dir_all(database.dir.path().join("root/db")).unwrap();
    database.stack.start(Program::Questdb).unwrap();
    writer.process(&batch).unwrap();
    assert_eq!((database.rows("host"), database.rows("temp")), (20, 120));
}

#[test]
fn labels_are_stored_letter_by_letter() {
    let database = Database::start();
    let mut writer = database.history();
    let time = a_while_ago();
    let hostile = [
        "",
        " ",
        "\\",
        "a\\",
        "a,b=c d",
        "\"quoted\"",
        "x=1i 99\\",
        "'; DROP TABLE host; --",
        "/srv/blå/日本/😀",
        "é\u{301}",
        "NULL",
        "${jndi:x}",
        "<script>",
        "%0A",
        "a\\nb",
    ];
    let mut sample = empty("web-1", 1, time);
    sample.temperatures =
        hostile.iter().map(|text| Temperature { sensor: Text::fit(text), celsius: Num(1.0) }).collect();
    sample.disks = vec![Disk { mount: Text::fit(hostile[7]), ..Disk::default() }];
    sample.custom = vec![Custom { name: Text::fit("queue.depth"), value: 1e300 }];
    writer.process(&[event(&sample, time)]).unwrap();
    database.settle();
    let mut found: Vec<_> = database.query("SELECT sensor FROM temp");
    let mut expected: Vec<_> = hostile.iter().map(|text| json!([text])).collect();
    found.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(found, expected);
    assert_eq!(database.query("SELECT mount FROM disk"), [json!([hostile[7]])]);
    assert_eq!(database.query("SELECT name, value FROM custom"), [json!(["queue.depth", 1e300])]);
}

#[test]
fn a_row_holds_what_the_sample_said_and_null_for_what_it_did_not() {
    let database = Database::start();
    let mut writer = database.history();
    let time = UnixMs(a_while_ago().0 / 1000 * 1000);
    let mut sample = empty("web-1", 9_007_199_254_740_991, time);
    sample.cpu = Some(Cpu { usage_pct: Pct(123), context_switches_per_s: u32::MAX, ..Cpu::default() });
    sample.memory = Some(Memory { total: Kib((1 << 43) - 1), ..Memory::default() });
    writer.process(&[event_on(Lane::Backfill, &sample, UnixMs(time.0 + 1500))]).unwrap();
    database.settle();
    let row = database.query(
        "SELECT boot, seq, late, received - ts, cpu_usage_pct, cpu_frequency_mhz, memory_total_bytes, load_avg_1, \
         cast(cpu_context_switches_per_s AS LONG) FROM host",
    );
    let bytes = ((1_u64 << 43) - 1) * 1024;
    let boot = "03030303-0303-0303-0303-030303030303";
    assert_eq!(
        row,
        [json!([
            boot,
            9_007_199_254_740_991_u64,
            true,
            1_500_000,
            12.3,
            null,
            bytes as f64,
            null,
            4_294_967_296_u64
        ])]
    );
}

#[test]
fn a_clock_that_is_wrong_cannot_put_rows_where_they_would_stay_or_be_lost() {
    let database = Database::start();
    let mut writer = database.history();
    let received = now();
    let offsets_ms: [i64; 5] = [-48, -1, 0, 1, 24 * 365].map(|hours| hours * HOUR_MS as i64);
    let batch: Vec<Event> = (1..)
        .zip(offsets_ms)
        .map(|(seq, offset)| {
            event(&empty("web-1", seq, UnixMs(received.0.saturating_add_signed(offset))), received)
        })
        .collect();
    writer.process(&batch).unwrap();
    assert_eq!(writer.history.counts().clamped, 3);
    database.settle();
    let found = database.query("SELECT seq, (ts - received) / 1000 FROM host ORDER BY seq");
    let expected = [(2, -3_600_000), (3, 0), (4, 10_000), (5, 10_000)];
    let of_interest: Vec<_> = found.into_iter().filter(|row| row[0] != 1).collect();
    assert_eq!(of_interest, expected.map(|(seq, ahead_ms)| json!([seq, ahead_ms])));
}

#[test]
fn a_thousand_hosts_are_written_faster_than_they_report() {
    let database = Database::start();
    let mut writer = database.history();
    let batch = ticks(1000, 1..3, a_while_ago());
    writer.process(&batch[..1]).unwrap();
    let (begin, before) = (std::time::Instant::now(), writer.history.counts().rows);
    writer.process(&batch).unwrap();
    let (took, rows) = (begin.elapsed(), writer.history.counts().rows - before);
    println!(
        "{} samples, {rows} rows in {took:?}: {:.0} rows/s",
        batch.len(),
        rows as f64 / took.as_secs_f64()
    );
    assert_eq!(rows, 40_000);
    assert!(took < Duration::from_secs(10), "two ticks of 5 s took {took:?}");
}
