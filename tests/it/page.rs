//! The page in a real browser at the real system. What is looked at stands in `tests/page/`.

use crate::load::{Load, fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, start};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use watchkeeper_schemas::quantity::Text;
use watchkeeper_schemas::usual_host::usual_inventory;
use xtask::stack::Program;
use xtask::tools::chromium;
use xtask::workspace::{self, Profile};

/// A file of tests of the page that takes longer hangs.
const TEST_TIMEOUT_MS: u32 = 180_000;

#[test]
fn the_page_is_right_in_a_browser() {
    let mut running = start(&Program::ALL);
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
        .env("PAGE_PROGRAMS", orders.local_addr().unwrap().to_string());
    let output = while_obeying(&mut running, &orders, &mut node);
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

/// Runs the tests of the page, and kills and starts programs when they say so, a line each: `kill gateway`.
fn while_obeying(running: &mut Running, orders: &TcpListener, tests: &mut Command) -> Output {
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
            let program = Program::ALL.into_iter().find(|program| program.name() == name).unwrap();
            let done = if verb == "kill" { running.kill9(program) } else { running.start(program) };
            writeln!(order, "{}", done.map_or_else(|error| format!("{error:#}"), |()| "done".to_owned()))
                .unwrap();
        }
        tests.join().unwrap()
    })
}
