//! No process is left behind: a small shell child that kills what is listed when its owner is gone, however it went.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

const SCRIPT: &str = include_str!("reaper.sh");

/// Watches over the processes of one stack. `kill -9` of the owner closes the pipe, and that is the signal.
#[derive(Debug)]
pub struct Reaper {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the shell in a process group of its own, so that Ctrl-C on the terminal does not reach it.
    pub fn start() -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting `sh` as the reaper of child processes")?;
        let orders = shell.stdin.take();
        Ok(Self { shell, orders })
    }

    /// From here on the process dies with us.
    pub fn add(&mut self, pid: u32) -> Result<()> {
        self.order("add", pid)
    }

    /// The process has ended and was waited for.
    pub fn del(&mut self, pid: u32) -> Result<()> {
        self.order("del", pid)
    }

    fn order(&mut self, verb: &str, pid: u32) -> Result<()> {
        let orders = self.orders.as_mut().context("the reaper has no input")?;
        writeln!(orders, "{verb} {pid}").with_context(|| format!("telling the reaper to {verb} {pid}"))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.orders.take();
        self.shell.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::time::Duration;

    use super::*;
    use crate::wait::wait_until;

    const SOON: Duration = Duration::from_secs(10);

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn ended(child: &mut Child) {
        wait_until("the listed child to be killed", SOON, || match child.try_wait() {
            Ok(Some(status)) => Ok(Some(status)),
            Ok(None) => Err("still running".to_owned()),
            Err(failure) => Err(failure.to_string()),
        })
        .unwrap();
    }

    #[test]
    fn kills_what_is_listed_and_spares_what_was_taken_off() {
        let (mut doomed, mut spared) = (sleeper(), sleeper());
        let mut reaper = Reaper::start().unwrap();
        for child in [&spared, &doomed] {
            reaper.add(child.id()).unwrap();
        }
        reaper.del(spared.id()).unwrap();
        drop(reaper);
        ended(&mut doomed);
        assert!(spared.try_wait().unwrap().is_none(), "the child taken off the list was killed");
        spared.kill().unwrap();
        spared.wait().unwrap();
    }

    #[test]
    fn a_process_with_another_start_time_is_not_ours() {
        let mut innocent = sleeper();
        let pid = innocent.id();
        // The list as it stands when a pid was used again: same number, born at another time.
        let forged = SCRIPT.replace("listed=\n", &format!("listed={pid}:1\n"));
        let status = Command::new("sh").args(["-c", &forged]).stdin(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0), "nothing listed was ours, nothing to do");
        assert!(innocent.try_wait().unwrap().is_none(), "a process with a reused pid was killed");
        innocent.kill().unwrap();
        innocent.wait().unwrap();
    }

    #[test]
    fn kill_9_of_the_owner_ends_its_children() {
        let dir = tempfile::tempdir().unwrap();
        // The owner holds the only writing end (9) of the reaper's input, as a stack does, and blocks reading.
        let owner_script = r#"mkfifo orders; sh -c "$REAPER" < orders & exec 9> orders
            sleep 600 9>&- & echo "add $!" >&9; echo $!; read -r forever"#;
        let mut owner = Command::new("sh")
            .args(["-c", owner_script])
            .env("REAPER", SCRIPT)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child: u32 = line.trim().parse().unwrap();
        let alive = || std::path::Path::new(&format!("/proc/{child}")).exists();
        assert!(alive());
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("the orphan to be killed", SOON, || Ok((!alive()).then_some(()))).unwrap();
    }
}
