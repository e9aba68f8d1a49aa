//! What a process uses, as Linux counts it.

use anyhow::{Context, Result};
use std::fs;

/// `/proc` counts in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// User and system time in `/proc/PID/stat`, counted from the first field after the name in parentheses.
const USER_FIELD: usize = 11;
const SYSTEM_FIELD: usize = 12;

/// CPU time that a process has used with all its threads, those that ended too, in seconds; 10 ms fine.
pub(super) fn cpu_s(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|it| it.parse::<f64>().ok());
    let both = ticks(USER_FIELD).zip(ticks(SYSTEM_FIELD)).with_context(|| format!("{path}: {text}"))?;
    Ok((both.0 + both.1) / TICKS_PER_SECOND)
}

/// CPU time that the running threads of a process have used, in seconds; exact, but for threads that ended.
pub(super) fn cpu_of_threads_s(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut spent = 0.0;
    for thread in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
        let path = thread.with_context(|| format!("reading {folder}"))?.path().join("schedstat");
        spent += spent_s(&path.to_string_lossy())?;
    }
    Ok(spent)
}

/// CPU time that the calling thread has used, in seconds.
pub(super) fn cpu_of_this_thread_s() -> Result<f64> {
    spent_s("/proc/thread-self/schedstat")
}

fn spent_s(path: &str) -> Result<f64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let spent_ns: Option<f64> = text.split_whitespace().next().and_then(|it| it.parse().ok());
    Ok(spent_ns.with_context(|| format!("{path}: {text}"))? / 1e9)
}

/// Resident memory of a process, in MiB.
pub(super) fn memory_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn both_counts_tell_of_work_that_was_done() {
        let pid = std::process::id();
        let before = (cpu_s(pid).unwrap(), cpu_of_this_thread_s().unwrap());
        let begin = Instant::now();
        let mut sum = 0_u64;
        while cpu_of_this_thread_s().unwrap() - before.1 < 0.05 {
            assert!(begin.elapsed() < Duration::from_secs(30), "no work is counted");
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(cpu_s(pid).unwrap() - before.0 > 0.03, "{sum}");
        assert!(cpu_of_threads_s(pid).unwrap() >= 0.05);
        assert!((0.1..1000.0).contains(&memory_mib(pid).unwrap()));
    }
}
