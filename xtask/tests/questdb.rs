//! A real QuestDB under the stack: readiness, a crash, the same ports and data afterwards, and a refused configuration.

use std::time::Duration;

use xtask::http::{self, Login};
use xtask::stack::{Program, Stack};
use xtask::tools::Servers;
use xtask::wait::wait_until;

fn query(stack: &Stack, sql: &str) -> Result<(u16, String), String> {
    let url = format!("{}/exec?query={}", stack.questdb_http_url(), sql.replace(' ', "%20"));
    http::get(&url, Some(Login { user: "admin", password: stack.questdb_admin_password() }))
}

#[test]
fn a_killed_questdb_comes_back_on_its_ports_with_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let servers = Servers::ensure().unwrap();
    let mut stack = Stack::in_dir(dir.path()).programs(&[Program::Questdb]).start(&servers).unwrap();
    let (ports, first_pid) = (stack.ports(), stack.pid(Program::Questdb).unwrap());
    assert_eq!(query(&stack, "create table kept (n int)").unwrap().0, 200);
    assert_eq!(query(&stack, "insert into kept values (42)").unwrap().0, 200);
    let open = http::get(&format!("{}/exec?query=select%201", stack.questdb_http_url()), None).unwrap();
    assert_eq!(open.0, 401, "without a password nobody may query");

    stack.kill9(Program::Questdb).unwrap();
    assert!(query(&stack, "select 1").is_err(), "nobody listens while it is down");
    stack.start(Program::Questdb).unwrap();
    assert_eq!(stack.ports(), ports);
    assert_ne!(stack.pid(Program::Questdb).unwrap(), first_pid);
    let (status, rows) = query(&stack, "kept").unwrap();
    assert!(status == 200 && rows.contains("[[42]]"), "{status} {rows}");

    let pid = stack.pid(Program::Questdb).unwrap();
    drop(stack);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "a dropped stack leaves nothing behind");
}

#[test]
fn a_program_that_cannot_start_is_told_with_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let servers = Servers::ensure().unwrap();
    let builder = Stack::in_dir(dir.path()).programs(&[Program::Questdb]);
    // Where the database's folder should be made, there is a file.
    std::fs::create_dir_all(dir.path().join("questdb")).unwrap();
    std::fs::write(dir.path().join("questdb/db"), "in the way").unwrap();
    let message = format!("{:#}", builder.start(&servers).unwrap_err());
    assert!(message.contains("questdb did not become ready"), "{message}");
    assert!(message.contains("it ended") && message.contains("questdb.log"), "{message}");
}

#[test]
fn a_death_is_noticed_once_and_the_program_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let servers = Servers::ensure().unwrap();
    let mut stack = Stack::in_dir(dir.path()).programs(&[Program::Questdb]).start(&servers).unwrap();
    let pid = stack.pid(Program::Questdb).unwrap().to_string();
    assert!(stack.deaths().unwrap().is_empty());
    assert!(std::process::Command::new("sh").args(["-c", "kill -9 $0", &pid]).status().unwrap().success());
    let dead = wait_until("the death to be noticed", Duration::from_secs(10), || {
        let dead = stack.deaths().map_err(|failure| failure.to_string())?;
        Ok((!dead.is_empty()).then_some(dead))
    })
    .unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].program, Program::Questdb);
    assert!(stack.deaths().unwrap().is_empty());
    stack.start(Program::Questdb).unwrap();
}
