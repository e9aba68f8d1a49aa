//! Load, processes and threads without walking over them: /proc/loadavg and the link count of /proc.

use super::Tick;
use super::cpu::StatFacts;
use super::roots::Roots;
use super::source::Source;
use crate::pace::Pace;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_schemas::quantity::Num;
use watchkeeper_schemas::sample::{Load, Processes};

/// Folders of /proc that are no processes change only as modules come and go.
const FOLDERS_EVERY: Duration = Duration::from_secs(300);
/// Every folder has two links: its name and its own dot.
const OWN_LINKS: u64 = 2;

/// Averages, and how many threads there are.
fn parse(text: &str) -> Option<(Load, u32)> {
    let mut words = text.split_ascii_whitespace();
    let mut average =
        || words.next()?.parse::<f32>().ok().filter(|average| (0.0..1e6).contains(average)).map(Num);
    let load = Load { avg_1: average()?, avg_5: average()?, avg_15: average()? };
    let threads = words.next()?.split_once('/')?.1.parse().ok()?;
    Some((load, threads))
}

/// What the names in /proc tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Names {
    processes: u64,
    other_folders: u64,
}

/// Processes by the link count of /proc: a folder has a link of each folder in it, and the kernel keeps that of /proc
/// by counting processes. Where that cannot be true (another kind of /proc), those whose names were counted.
fn processes(links: u64, names: Names, threads: u32) -> u32 {
    let by_links = links.saturating_sub(OWN_LINKS + names.other_folders);
    let possible = by_links >= 1 && by_links <= u64::from(threads);
    u32::try_from(if possible { by_links } else { names.processes }).unwrap_or(u32::MAX)
}

pub(super) struct ProcessCollector {
    loadavg: Source,
    proc: PathBuf,
    names_pace: Pace,
    names: Names,
}

impl ProcessCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            loadavg: Source::new(roots.path("proc/loadavg")),
            proc: roots.path("proc"),
            names_pace: Pace::every(FOLDERS_EVERY),
            names: Names::default(),
        }
    }

    pub(super) fn read(
        &mut self,
        tick: &mut Tick<'_>,
        stat: &StatFacts,
    ) -> (Option<Load>, Option<Processes>) {
        let Some((load, threads)) = self.loadavg.read(tick.buffer).and_then(|text| parse(&text)) else {
            return (None, None);
        };
        if self.names_pace.is_due(tick.now) {
            self.names = self.read_names();
        }
        let links = std::fs::metadata(&self.proc).map_or(0, |proc| proc.nlink());
        let total = processes(links, self.names, threads);
        let processes = Processes { total, threads, running: stat.running, blocked: stat.blocked };
        (Some(load), Some(processes))
    }

    fn read_names(&self) -> Names {
        let mut names = Names::default();
        for entry in std::fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
            if is_process {
                names.processes += 1;
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.other_folders += 1;
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_and_threads_are_told() {
        let (load, threads) = parse("6.63 4.88 2.60 12/344 17599\n").unwrap();
        assert_eq!((load.avg_1, load.avg_15, threads), (Num(6.63), Num(2.6), 344));
        for none in ["", "1 2 3", "1 2 NaN 1/2 3", "1 2 -3 1/2 3", "1 2 3 4 5", "inf 1 1 1/2 3"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn links_tell_processes_where_they_can() {
        let names = Names { processes: 7, other_folders: 9 };
        assert_eq!(processes(135, names, 344), 124);
        assert_eq!(processes(2, names, 344), 7, "a /proc that counts no links");
        assert_eq!(processes(9_999, names, 344), 7, "more processes than threads");
    }

    #[test]
    fn this_host_agrees_with_a_walk_over_it() {
        let mut collector = ProcessCollector::new(&Roots::new(std::path::Path::new("/")));
        let mut buffer = Vec::new();
        let mut tick = Tick { now: std::time::Instant::now(), elapsed: Duration::ZERO, buffer: &mut buffer };
        let told = collector.read(&mut tick, &StatFacts::default()).1.unwrap();
        assert!(
            u64::from(told.total).abs_diff(collector.read_names().processes) <= 30,
            "{told:?} {:?}",
            collector.read_names()
        );
    }
}
