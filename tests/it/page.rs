//! The page in a real browser at the real system. What is looked at stands in `tests/page/`.

use crate::enrolment::Watched;
use crate::load::{Load, fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, as_of_team, as_processors, start, start_as};
use async_nats::connection::State;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::{Text, UnixMs};
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};
use watchkeeper_schemas::usual_host::usual_inventory;
use watchkeeper_tests::telegram::Double;
use xtask::stack::Program;
use xtask::tools::chromium;
use xtask::workspace::{self, Profile};

/// Messages at once, a hundred times a second: ten times what the guard lets pass.
const FLOOD_PER_TICK: u64 = 20;
/// The team's bot, and the private chat of somebody with it.
const BOT: i64 = 123_456_789;
const BOT_TOKEN: &str = "123456789:AAE-never-to-be-read-again-aaaa";
const CHAT: i64 = 8;
/// A file of tests of the page that takes longer hangs.
const TEST_TIMEOUT_MS: u32 = 180_000;

#[test]
fn the_page_is_right_in_a_browser() {
    let double = Double::start(([127, 0, 0, 1], 0).into()).unwrap();
    double.with(|it| it.add_token(BOT_TOKEN));
    let telegram = ["--telegram-api".to_owned(), double.url()];
    let mut running = start_as(&Program::ALL, |stack| stack.args(Program::Processors, telegram));
    let load = Load::start(&running, 3, Duration::from_millis(500));
    one_sample_of_a_hostile_host(&running);
    running.wait("history of all hosts", 30, |running| {
        let stored = running.stored()?;
        let all = [running.agent_host(), "load-00", "hostile"].iter().all(|host| stored.contains_key(*host));
        if all && stored["load-00"].rows > 12 { Ok(Some(())) } else { Err(format!("{stored:?}")) }
    });
    let owner = running.owner().unwrap().clone();
    let orders = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = tests_in("tests/page", &running);
    node.env("PAGE_USER", owner.user)
        .env("PAGE_PASSWORD", owner.password)
        .env("PAGE_HOST", running.agent_host())
        .env("PAGE_BOT_TOKEN", BOT_TOKEN)
        .env("PAGE_PROGRAMS", orders.local_addr().unwrap().to_string());
    let output = while_obeying(&mut running, &double, &orders, &mut node);
    told(&output);
    load.stop();
}

/// From the code of the first owner to the audit, with a second person and an agent, as people come to it.
#[test]
fn people_hosts_and_credentials_are_right_in_a_browser() {
    let running = start(&WITHOUT_AGENT);
    let code = running.wait_for_bootstrap_code().unwrap().expect("nobody owns a new system");
    let scratch = tempfile::tempdir().unwrap();
    let mut node = tests_in("tests/page/identity", &running);
    node.env("PAGE_CODE", code)
        .env("PAGE_AGENT", Profile::of_this_program().binary("watchkeeper-agent"))
        .env("PAGE_SCRATCH", scratch.path());
    told(&node.output().unwrap_or_else(|error| panic!("Node.js, which runs the tests of the page: {error}")));
}

/// Whoever comes may register, and a host floods for as long as somebody looks.
#[test]
fn strangers_and_floods_are_right_in_a_browser() {
    let running = start_as(&WITHOUT_AGENT, |stack| stack.args(Program::Gateway, ["--open-registration"]));
    let watched = Watched::new(&running, "Too much", "default");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&running, &watched, &stop));
        running.wait("the guard to hold the flooder off", 30, |running| {
            let view = running.get(&watched.path);
            let told = json!([view["flagged"], view["config"]["flag"]]).to_string();
            let flood = view["config"]["flag"]["reason"] == "flood";
            if view["flagged"] == true && flood { Ok(Some(())) } else { Err(told) }
        });
        let owner = running.owner().unwrap();
        let mut node = tests_in("tests/page/open", &running);
        node.env("PAGE_USER", owner.user)
            .env("PAGE_PASSWORD", owner.password)
            .env("PAGE_HOST", &watched.host);
        let output = node.output();
        stop.store(true, Ordering::Relaxed);
        let sent = flood.join().unwrap();
        println!("the flooder sent {sent} messages");
        told(&output.unwrap_or_else(|error| panic!("Node.js, which runs the tests of the page: {error}")));
    });
}

/// Publishes far more than an agent does, as often as it is let in.
fn flood(running: &Running, watched: &Watched, stop: &AtomicBool) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = as_of_team(running, &watched.creds(), "default", &watched.host).await;
        let (subject, bytes) = frame(&sample(&watched.host, 1));

        let (mut ticks, mut sent) = (tokio::time::interval(Duration::from_millis(10)), 0);
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            if connected.client.connection_state() == State::Connected {
                for _ in 0..FLOOD_PER_TICK {
                    connected.client.publish(subject.clone(), bytes.clone().into()).await.unwrap();
                }
                sent += FLOOD_PER_TICK;
            }
        }
        sent
    })
}

/// Node.js with the tests of a folder, at this system.
fn tests_in(folder: &str, running: &Running) -> Command {
    let playwright = workspace::root().join("gateway/web/node_modules/playwright-core");
    assert!(playwright.is_dir(), "{} is missing: `npm ci` in gateway/web brings it", playwright.display());
    let mut node = Command::new("node");
    node.args([
        "--test",
        "--test-concurrency=1",
        "--test-reporter=spec",
        &format!("--test-timeout={TEST_TIMEOUT_MS}"),
    ])
    .args(test_files(&workspace::root().join(folder)))
    .env("PAGE_URL", running.http_url())
    .env("WATCHKEEPER_CHROMIUM", chromium().unwrap());
    node
}

/// Prints what the tests said; panics with it if one failed.
fn told(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    println!("{said}");
}

fn test_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut tests: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(".test.mjs")).collect();
    tests.sort();
    assert!(!tests.is_empty(), "{} holds no tests", folder.display());
    tests
}

/// Its words hold HTML and Hebrew; after this sample it is silent.
fn one_sample_of_a_hostile_host(running: &Running) {
    let mount = Text::fit("/<b>data</b>/עברית");
    let mut hostile = sample("hostile", 1);
    hostile.disks.truncate(1);
    hostile.disks[0].mount = mount.clone();
    let mut inventory = usual_inventory();
    inventory.hostname = Text::fit("<img src=x onerror=alert(1)> שרת");
    inventory.disks.truncate(1);
    inventory.disks[0].mount = mount;
    hostile.inventory = Some(inventory.into());
    let (subject, bytes) = frame(&hostile);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let connected = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
        let answer = connected.client.request(subject, bytes.into()).await.unwrap();
        let ack: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(ack["seq"].is_u64(), "{ack}");
    });
}

/// Records a fact of the first team, as the notifier does.
fn record(running: &Running, fact: &str) -> Result<(), String> {
    let fact: Fact = serde_json::from_str(fact).map_err(|error| error.to_string())?;
    let scope = JournalScope::Team("default".parse().unwrap());
    let subject = JournalSubject::of(scope, &fact).ok_or("a fact of another scope")?.to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (author, cause, time) =
        ("notifier".to_owned(), "test".to_owned(), UnixMs(u64::try_from(now.as_millis()).unwrap()));
    let body = serde_json::to_vec(&JournalEvent { v: 1, author, cause, time, fact }).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let connected = as_processors(running, &running.creds().processors).await;
        let context = async_nats::jetstream::new(connected.client);
        let sent = context.publish(subject, body.into()).await.map_err(|error| error.to_string())?;
        sent.await.map(|_| ()).map_err(|error| error.to_string())
    })
}

/// Somebody writes to the team's bot.
fn say(double: &Double, said: &str) -> Result<(), String> {
    let said: serde_json::Value = serde_json::from_str(said).map_err(|error| error.to_string())?;
    let words = said["title"].as_str().zip(said["text"].as_str());
    let (title, text) = words.ok_or_else(|| format!("{said}: expected title and text"))?;
    double.with(|it| it.say(BOT, CHAT, CHAT, title, text));
    Ok(())
}

/// Runs the tests of the page, and does what they say, a line each: `kill gateway`, `start gateway`, `fact {…}`,
/// `say {…}`, `block chat`.
fn while_obeying(
    running: &mut Running,
    double: &Double,
    orders: &TcpListener,
    tests: &mut Command,
) -> Output {
    let address = orders.local_addr().unwrap();
    std::thread::scope(|scope| {
        let tests = scope.spawn(move || {
            let output = tests.output();
            TcpStream::connect(address).unwrap().write_all(b"end\n").unwrap();
            output.unwrap_or_else(|error| panic!("Node.js, which runs the tests of the page: {error}"))
        });
        for order in orders.incoming() {
            let mut order = order.unwrap();
            let mut line = String::new();
            BufReader::new(&order).read_line(&mut line).unwrap();
            let Some((verb, name)) = line.trim().split_once(' ') else { break };
            let program = || Program::ALL.into_iter().find(|program| program.name() == name).unwrap();
            let done = match verb {
                "fact" => record(running, name),
                "say" => say(double, name),
                "block" => {
                    double.with(|it| it.block(CHAT, true));
                    Ok(())
                }
                "kill" => running.kill9(program()).map_err(|error| format!("{error:#}")),
                _ => running.start(program()).map_err(|error| format!("{error:#}")),
            };
            writeln!(order, "{}", done.map_or_else(|error| error, |()| "done".to_owned())).unwrap();
        }
        tests.join().unwrap()
    })
}
