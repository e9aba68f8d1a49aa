//! One started program: its log, its end, and that it cannot outlive its owner.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::reaper::Reaper;
use crate::wait::wait_until;

/// How long a program may take to end after SIGTERM before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// A larger log is set aside (one old log is kept) when its program is started.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Stands in the log before each start, so that a tail shows this run's lines only.
const START_MARK: &str = "---- start ----\n";
const TAIL_BYTES_MAX: u64 = 16 * 1024;
const TAIL_LINES_MAX: usize = 25;

/// Waits for one line before it becomes the program: were the owner killed between starting it and listing it with the
/// reaper, the line would never come. The pid stays the same.
const GATE: &str = r#"read -r go && exec "$@" < /dev/null"#;

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(&'static str, OsString)>,
    /// Both outputs are appended here.
    pub log: PathBuf,
}

/// A running program, in a process group of its own: Ctrl-C on the terminal is for its owner, who stops in order.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the program and lists it with the reaper.
    pub fn start(launch: &Launch, reaper: &mut Reaper) -> Result<Self> {
        let shown = launch.program.display();
        if !launch.program.is_file() {
            bail!("{shown} does not exist");
        }
        let log = open_log(&launch.log)?;
        let errors = log.try_clone().with_context(|| format!("sharing {}", launch.log.display()))?;
        let mut child = Command::new("sh")
            .args(["-c", GATE, "sh"])
            .arg(&launch.program)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {shown}"))?;
        reaper.add(child.id())?;
        let mut gate = child.stdin.take().context("the started program has no input")?;
        gate.write_all(b"go\n").with_context(|| format!("starting {shown}"))?;
        Ok(Self { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGTERM, and SIGKILL for a program that does not end within 10 s.
    pub fn stop(mut self, reaper: &mut Reaper) -> Result<ExitStatus> {
        if self.exited().is_none() {
            self.signal(Signal::TERM)?;
            let ended = wait_until("the program to end", STOP_DEADLINE, || Ok(self.exited()));
            if ended.is_err() {
                return self.kill9(reaper);
            }
        }
        self.bury(reaper)
    }

    /// SIGKILL, as a crash would be.
    pub fn kill9(mut self, reaper: &mut Reaper) -> Result<ExitStatus> {
        self.child.kill().context("killing a program")?;
        self.bury(reaper)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a pid out of range")?;
        kill_process(pid, signal).with_context(|| format!("signalling pid {}", self.pid()))
    }

    fn bury(mut self, reaper: &mut Reaper) -> Result<ExitStatus> {
        let status = self.child.wait().context("waiting for a program to end")?;
        reaper.del(self.pid())?;
        Ok(status)
    }
}

fn open_log(path: &Path) -> Result<File> {
    let told = || format!("opening the log {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(told)?;
    }
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old")).with_context(told)?;
    }
    let mut log = OpenOptions::new().create(true).append(true).open(path).with_context(told)?;
    log.write_all(START_MARK.as_bytes()).with_context(told)?;
    Ok(log)
}

/// The last lines that the newest run wrote to a log, for an error message; says so if there are none.
pub fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut log = File::open(path)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        log.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let newest = text.rsplit(START_MARK).next().unwrap_or_default();
    let lines: Vec<&str> = newest.lines().collect();
    if lines.is_empty() {
        return format!("(nothing in {})", path.display());
    }
    let tail = &lines[lines.len().saturating_sub(TAIL_LINES_MAX)..];
    format!("the end of {}:\n    {}", path.display(), tail.join("\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Launch {
        Launch {
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".into(), script.into()],
            env: vec![("GREETING", "hello".into())],
            log: log.to_owned(),
        }
    }

    fn logged(log: &Path, text: &str) {
        wait_until(text, Duration::from_secs(10), || {
            let tail = log_tail(log);
            if tail.contains(text) { Ok(Some(())) } else { Err(tail) }
        })
        .unwrap();
    }

    #[test]
    fn runs_with_environment_and_log_and_ends_on_sigterm() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/one.log");
        let mut reaper = Reaper::start().unwrap();
        let script = "trap 'echo stopping; exit 7' TERM; echo $GREETING; while :; do sleep 0.05; done";
        let process = Process::start(&shell(script, &log), &mut reaper).unwrap();
        logged(&log, "hello");
        assert_eq!(process.stop(&mut reaper).unwrap().code(), Some(7));
        assert!(log_tail(&log).contains("stopping"));
    }

    #[test]
    fn an_ended_program_is_noticed_and_a_missing_one_named() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("two.log");
        let mut reaper = Reaper::start().unwrap();
        let words = Process::start(&shell("echo words", &log), &mut reaper).unwrap();
        logged(&log, "words");
        words.stop(&mut reaper).unwrap();
        let mut process = Process::start(&shell("exit 3", &log), &mut reaper).unwrap();
        let status = wait_until("the end", Duration::from_secs(10), || Ok(process.exited())).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(log_tail(&log).contains("nothing in"), "an earlier run's words are not this run's");
        let missing = Launch { program: dir.path().join("no-such"), ..shell("", &log) };
        assert!(Process::start(&missing, &mut reaper).unwrap_err().to_string().contains("no-such"));
    }

    #[test]
    fn the_tail_is_short_and_an_empty_log_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("three.log");
        assert!(log_tail(&log).contains("nothing in"));
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let tail = log_tail(&log);
        assert!(tail.ends_with("line 4999") && tail.lines().count() == TAIL_LINES_MAX + 1, "{tail}");
    }
}
