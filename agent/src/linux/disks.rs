//! Mounted file systems: each is asked for its space on a thread of its own, so that one which hangs (a dead NFS server)
//! holds up nothing but its own row.

use super::Tick;
use super::mounts::{self, Mount};
use super::roots::Roots;
use super::source::Source;
use crate::collectors::Mounts;
use crate::pace::Pace;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use watchkeeper_schemas::quantity::{Kib, Pct, Text};
use watchkeeper_schemas::sample::{Disk, MountedDisk};

/// Space moves slowly, and asking a network file system is work for its server.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// An answer older than this is no longer told.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(2 * ASK_EVERY.as_secs());
/// Samples carry sizes below 2^53 bytes; a file system that tells more tells nonsense.
const KIB_MAX: u64 = (1 << 43) - 1;
/// All that asking needs of a stack.
const STACK_BYTES: usize = 64 * 1024;

/// Asks a file system; the name stays to be filled in.
type Ask = fn(&Path) -> io::Result<Disk>;

/// One file system and what it last answered.
struct Row {
    mount: Mount,
    /// It is still mounted and wanted; otherwise the row only waits for its thread.
    wanted: bool,
    /// Its thread is under way; there is never a second one.
    asking: bool,
    /// When it last answered, at first when it was first asked.
    heard: Instant,
    disk: Option<Disk>,
    /// That it is not heard of was logged.
    told_absent: bool,
}

struct Answer {
    point: PathBuf,
    disk: io::Result<Disk>,
}

pub(super) struct DiskCollector {
    roots: PathBuf,
    wanted: Mounts,
    mountinfo: Source,
    pace: Pace,
    rows: Vec<Row>,
    mounted: Vec<MountedDisk>,
    ask: Ask,
    answers: (Sender<Answer>, Receiver<Answer>),
}

impl DiskCollector {
    pub(super) fn new(roots: &Roots, wanted: Mounts) -> Self {
        Self {
            roots: roots.path(""),
            wanted,
            mountinfo: Source::new(roots.of_process("mountinfo")),
            pace: Pace::every(ASK_EVERY),
            rows: Vec::new(),
            mounted: Vec::new(),
            ask,
            answers: channel(),
        }
    }

    /// What is mounted where, for the inventory.
    pub(super) fn mounted(&self) -> &[MountedDisk] {
        &self.mounted
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> Vec<Disk> {
        if self.pace.is_due(tick.now) {
            let text = self.mountinfo.read(tick.buffer).unwrap_or_default();
            let mounts = mounts::choose(&mounts::parse(&text), &self.wanted);
            self.take_mounts(mounts, tick.now);
            self.ask_all();
        }
        self.take_answers(tick.now);
        let wanted = self.rows.iter_mut().filter(|row| row.wanted);
        wanted.filter_map(|row| row.tell(tick.now)).collect()
    }

    fn take_mounts(&mut self, mounts: Vec<Mount>, now: Instant) {
        let plain = |mount: &Mount| MountedDisk {
            mount: mount.name.clone(),
            device: mount.device.clone(),
            fs: mount.fs.clone(),
        };
        self.mounted = mounts.iter().map(plain).collect();
        self.rows.iter_mut().for_each(|row| row.wanted = false);
        for mount in mounts {
            match self.rows.iter_mut().find(|row| row.mount.point == mount.point) {
                Some(row) => {
                    row.disk = row.disk.take().filter(|_| row.mount == mount);
                    row.mount = mount;
                    row.wanted = true;
                }
                None => {
                    let new = Row {
                        mount,
                        wanted: true,
                        asking: false,
                        heard: now,
                        disk: None,
                        told_absent: false,
                    };
                    self.rows.push(new);
                }
            }
        }
        self.rows.retain(|row| row.wanted || row.asking);
    }

    fn ask_all(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.wanted && !row.asking) {
            let (point, ask, answers) = (row.mount.point.clone(), self.ask, self.answers.0.clone());
            let path = self.roots.join(point.strip_prefix("/").unwrap_or(&point));
            let work = move || {
                // Nobody listens once the program ends.
                answers.send(Answer { point, disk: ask(&path) }).unwrap_or_default();
            };
            match std::thread::Builder::new().name("disk".to_owned()).stack_size(STACK_BYTES).spawn(work) {
                Ok(_detached) => row.asking = true,
                Err(error) => {
                    tracing::warn!(mount = row.mount.name.as_str(), %error, "cannot start a thread to ask for its space")
                }
            }
        }
    }

    fn take_answers(&mut self, now: Instant) {
        while let Ok(answer) = self.answers.1.try_recv() {
            let Some(row) = self.rows.iter_mut().find(|row| row.mount.point == answer.point) else {
                continue;
            };
            row.asking = false;
            match answer.disk {
                Ok(disk) => {
                    row.heard = now;
                    row.disk = Some(Disk { mount: row.mount.name.clone(), ..disk });
                    if std::mem::take(&mut row.told_absent) {
                        tracing::info!(mount = row.mount.name.as_str(), "the file system answers again");
                    }
                }
                Err(error) if !row.told_absent => {
                    tracing::warn!(mount = row.mount.name.as_str(), %error, "the file system tells no space, it is absent");
                    row.told_absent = true;
                }
                Err(_) => {}
            }
        }
    }
}

impl Row {
    /// What it answered, if that is not too old.
    fn tell(&mut self, now: Instant) -> Option<Disk> {
        if now.saturating_duration_since(self.heard) <= ANSWER_AGE_MAX {
            return self.disk.clone();
        }
        if !std::mem::replace(&mut self.told_absent, true) {
            tracing::warn!(
                mount = self.mount.name.as_str(),
                "the file system does not answer, it is absent until it does"
            );
        }
        None
    }
}

/// Space and inodes as `df` counts them.
fn ask(path: &Path) -> io::Result<Disk> {
    let told = rustix::fs::statvfs(path)?;
    let kib = |blocks: u64| Kib((blocks.saturating_mul(told.f_frsize) / 1024).min(KIB_MAX));
    let inodes_used = told.f_files.saturating_sub(told.f_ffree);
    Ok(Disk {
        mount: Text::default(),
        total: kib(told.f_blocks),
        used: kib(told.f_blocks.saturating_sub(told.f_bfree)),
        free: kib(told.f_bavail),
        inodes_used_pct: Pct::ratio(inodes_used as f64, told.f_files as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static HUNG: AtomicUsize = AtomicUsize::new(0);

    fn hang_below_dead(path: &Path) -> io::Result<Disk> {
        if path.ends_with("dead") {
            HUNG.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        ask(path)
    }

    /// The mounts told at `now`.
    fn tick(collector: &mut DiskCollector, now: Instant) -> Vec<String> {
        let mut buffer = Vec::new();
        let disks = collector.read(&mut Tick { now, elapsed: Duration::ZERO, buffer: &mut buffer });
        disks.iter().map(|disk| disk.mount.as_str().to_owned()).collect()
    }

    /// Ticks at `now` until the threads under way have answered as expected.
    fn tick_until(collector: &mut DiskCollector, now: Instant, expected: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let told = tick(collector, now);
            if told == expected {
                return;
            }
            assert!(Instant::now() < deadline, "told {told:?}, expected {expected:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_mount_that_hangs_costs_its_own_row_and_one_thread() {
        let list = Mounts::List(["/", "/dead"].map(PathBuf::from).into());
        let mut collector = DiskCollector::new(&Roots::new(Path::new("/")), list);
        collector.ask = hang_below_dead;
        let start = Instant::now();
        tick_until(&mut collector, start, &["/"]);
        for minute in 1..=10 {
            let now = start + ASK_EVERY * minute;
            tick_until(&mut collector, now, &["/"]);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while HUNG.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "nobody ever asked for the mount that hangs");
            std::thread::yield_now();
        }
        assert_eq!(HUNG.load(Ordering::SeqCst), 1, "one stuck thread, however often it was due");
        assert!(collector.rows.iter().any(|row| row.told_absent && row.mount.name.as_str() == "/dead"));
    }

    #[test]
    fn an_old_answer_is_no_longer_told() {
        let list = Mounts::List(vec![PathBuf::from("/")]);
        let mut collector = DiskCollector::new(&Roots::new(Path::new("/")), list);
        let start = Instant::now();
        tick_until(&mut collector, start, &["/"]);
        collector.ask = |_| Err(io::ErrorKind::StaleNetworkFileHandle.into());
        tick_until(&mut collector, start + ANSWER_AGE_MAX, &["/"]);
        tick_until(&mut collector, start + ANSWER_AGE_MAX + Duration::from_secs(5), &[]);
        collector.ask = ask;
        let mut now = start + ANSWER_AGE_MAX * 2;
        while tick(&mut collector, now) != ["/"] {
            now += ASK_EVERY;
            assert!(now < start + ANSWER_AGE_MAX * 100_000, "it never answered again");
            std::thread::yield_now();
        }
    }

    #[test]
    fn space_is_counted_as_df_does() {
        let disk = ask(Path::new("/")).unwrap();
        assert!(disk.total >= Kib(disk.used.0 + disk.free.0) && disk.used > Kib(0), "{disk:?}");
        assert!(ask(Path::new("/nowhere/at/all")).is_err());
    }
}
