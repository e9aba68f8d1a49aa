//! Processors: /proc/stat, and their clock rate from cpufreq or /proc/cpuinfo.

use super::Tick;
use super::roots::Roots;
use super::source::{Source, read_once};
use crate::pace::Pace;
use crate::rates::{Width, events_per_second, growth};
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_schemas::quantity::Pct;
use watchkeeper_schemas::sample::{Core, Cpu};

/// Reading clock rates interrupts every processor.
const FREQUENCY_EVERY: Duration = Duration::from_secs(30);
/// The first processors stand for all in /proc/cpuinfo, which is long on large hosts.
const CPUINFO_BYTES_ENOUGH: usize = 16 * 1024;
/// Clock domains that are read.
const POLICIES_MAX: usize = 64;
/// Processors that a sample tells.
const CORES_MAX: usize = 512;

/// Clock ticks since the host started, by what they were spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Times {
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    irq: u64,
    softirq: u64,
    steal: u64,
}

/// /proc/stat. A field that is missing reads 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stat {
    total: Times,
    cores: Vec<(u16, Times)>,
    interrupts: u64,
    context_switches: u64,
    booted: u64,
    running: u32,
    blocked: u32,
}

fn parse(text: &str) -> Option<Stat> {
    let mut stat = Stat::default();
    let mut total = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        if let Some(core) = name.strip_prefix("cpu") {
            let times = Times::parse(&mut words);
            if core.is_empty() {
                total = Some(times);
            } else if let Ok(core) = core.parse() {
                stat.cores.push((core, times));
            }
            continue;
        }
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        match name {
            "intr" => stat.interrupts = number(),
            "ctxt" => stat.context_switches = number(),
            "btime" => stat.booted = number(),
            "procs_running" => stat.running = u32::try_from(number()).unwrap_or_default(),
            "procs_blocked" => stat.blocked = u32::try_from(number()).unwrap_or_default(),
            _ => {}
        }
    }
    stat.total = total?;
    Some(stat)
}

impl Times {
    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Self {
        let mut next = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        Self {
            user: next(),
            nice: next(),
            system: next(),
            idle: next(),
            iowait: next(),
            irq: next(),
            softirq: next(),
            steal: next(),
        }
    }

    /// What was spent since `before`; the kernel's idle and iowait may step back a little, that is nothing spent.
    fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            nice: self.nice.saturating_sub(before.nice),
            system: self.system.saturating_sub(before.system),
            idle: self.idle.saturating_sub(before.idle),
            iowait: self.iowait.saturating_sub(before.iowait),
            irq: self.irq.saturating_sub(before.irq),
            softirq: self.softirq.saturating_sub(before.softirq),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    fn busy(&self) -> f64 {
        let Self { user, nice, system, idle: _, iowait: _, irq, softirq, steal } = *self;
        [user, nice, system, irq, softirq, steal].into_iter().map(|part| part as f64).sum()
    }

    fn all(&self) -> f64 {
        self.busy() + self.idle as f64 + self.iowait as f64
    }

    /// Share that was not idle; `None` where no time passed.
    fn usage(&self) -> Option<Pct> {
        (self.all() > 0.0).then(|| Pct::ratio(self.busy(), self.all()))
    }
}

/// What processors did since the tick before.
#[derive(Default)]
pub(super) struct CpuUse {
    pub(super) total: Option<Cpu>,
    pub(super) cores: Vec<Core>,
}

/// What /proc/stat tells others.
#[derive(Default)]
pub(super) struct StatFacts {
    pub(super) cores: usize,
    /// Seconds since 1970.
    pub(super) booted: u64,
    pub(super) running: u32,
    pub(super) blocked: u32,
}

pub(super) struct CpuCollector {
    stat: Source,
    before: Option<Stat>,
    policies: PathBuf,
    cpuinfo: PathBuf,
    frequency_pace: Pace,
    frequency_mhz: Option<u32>,
}

impl CpuCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            stat: Source::new(roots.path("proc/stat")),
            before: None,
            policies: roots.path("sys/devices/system/cpu/cpufreq"),
            cpuinfo: roots.path("proc/cpuinfo"),
            frequency_pace: Pace::every(FREQUENCY_EVERY),
            frequency_mhz: None,
        }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> (CpuUse, StatFacts) {
        if self.frequency_pace.is_due(tick.now) {
            self.frequency_mhz = self.read_frequency(tick.buffer);
        }
        let Some(now) = self.stat.read(tick.buffer).and_then(|text| parse(&text)) else {
            self.before = None;
            return (CpuUse::default(), StatFacts::default());
        };
        let facts = StatFacts {
            cores: now.cores.len(),
            booted: now.booted,
            running: now.running,
            blocked: now.blocked,
        };
        let used = self.before.as_ref().map(|before| used(before, &now, tick.elapsed, self.frequency_mhz));
        self.before = Some(now);
        (used.unwrap_or_default(), facts)
    }

    /// Mean of the clock domains; virtual machines have none and tell the rate in /proc/cpuinfo.
    fn read_frequency(&self, buffer: &mut Vec<u8>) -> Option<u32> {
        let folders = std::fs::read_dir(&self.policies).into_iter().flatten().flatten().take(POLICIES_MAX);
        let rates: Vec<u64> = folders
            .filter_map(|folder| read_once(folder.path().join("scaling_cur_freq"), buffer)?.parse().ok())
            .collect();
        if !rates.is_empty() {
            return u32::try_from(rates.iter().sum::<u64>() / rates.len() as u64 / 1000).ok();
        }
        mean_mhz(&Source::new(self.cpuinfo.clone()).read_up_to(CPUINFO_BYTES_ENOUGH, buffer)?)
    }
}

fn used(before: &Stat, now: &Stat, elapsed: Duration, frequency_mhz: Option<u32>) -> CpuUse {
    let spent = now.total.since(&before.total);
    let share = |part: u64| Pct::ratio(part as f64, spent.all());
    let rate =
        |before, now| growth(before, now, Width::Bits64).and_then(|grown| events_per_second(grown, elapsed));
    let total = spent.usage().and_then(|usage_pct| {
        Some(Cpu {
            usage_pct,
            user_pct: share(spent.user),
            system_pct: share(spent.system),
            iowait_pct: share(spent.iowait),
            steal_pct: share(spent.steal),
            nice_pct: share(spent.nice),
            irq_pct: share(spent.irq.saturating_add(spent.softirq)),
            frequency_mhz,
            context_switches_per_s: rate(before.context_switches, now.context_switches)?,
            interrupts_per_s: rate(before.interrupts, now.interrupts)?,
        })
    });
    let cores = now.cores.iter().enumerate().filter_map(|(at, (core, now))| {
        let same_place = before.cores.get(at).filter(|(before, _)| before == core);
        let (_, before) = same_place.or_else(|| before.cores.iter().find(|(before, _)| before == core))?;
        Some(Core { core: *core, usage_pct: now.since(before).usage()? })
    });
    CpuUse { total, cores: cores.take(CORES_MAX).collect() }
}

fn mean_mhz(cpuinfo: &str) -> Option<u32> {
    let rates = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("cpu MHz")?.split_once(':')?.1.trim().parse().ok());
    let rates: Vec<f64> = rates.filter(|rate: &f64| (1.0..100_000.0).contains(rate)).collect();
    (!rates.is_empty()).then(|| (rates.iter().sum::<f64>() / rates.len() as f64).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str = "cpu  122016 936 20791 387139 2538 0 342 289 0 0\n\
        cpu0 59577 535 9401 197081 327 0 44 147 0 0\n\
        cpu1 62439 400 11389 190057 2210 0 297 141 0 0\n\
        intr 1467665 0 0 1\nctxt 4337666\nbtime 1795251778\nprocesses 50047\nprocs_running 23\nprocs_blocked 1\n\
        softirq 739624 0 92339\n";
    const FIVE: Duration = Duration::from_secs(5);

    #[test]
    fn shares_add_up_to_what_was_spent() {
        let before = parse(STAT).unwrap();
        let now = parse(
            &STAT
                .replace("122016 936 20791 387139 2538 0 342 289", "122416 956 20891 387539 2578 0 372 299")
                .replace("59577", "59677")
                .replace("197081", "197381")
                .replace("4337666", "4342666"),
        )
        .unwrap();
        let used = used(&before, &now, FIVE, None);
        let cpu = used.total.unwrap();
        // 400 user, 20 nice, 100 system, 400 idle, 40 iowait, 30 softirq, 10 steal: 1000 in all.
        assert_eq!(
            (cpu.usage_pct, cpu.user_pct, cpu.nice_pct, cpu.system_pct),
            (Pct(560), Pct(400), Pct(20), Pct(100))
        );
        assert_eq!((cpu.iowait_pct, cpu.irq_pct, cpu.steal_pct), (Pct(40), Pct(30), Pct(10)));
        assert_eq!((cpu.context_switches_per_s, cpu.interrupts_per_s), (1000, 0));
        assert_eq!(used.cores, [Core { core: 0, usage_pct: Pct(250) }], "core 1 spent no time: unknown");
    }

    #[test]
    fn a_processor_taken_out_is_absent_and_back_after_a_tick() {
        let (both, one) = (parse(STAT).unwrap(), parse(&STAT.replace("cpu0 ", "gone ")).unwrap());
        let later = |stat: &Stat| {
            let mut stat = stat.clone();
            stat.cores.iter_mut().for_each(|(_, times)| times.idle += 500);
            stat
        };
        let cores = |before: &Stat, now: &Stat| {
            used(before, now, FIVE, None).cores.iter().map(|c| c.core).collect::<Vec<_>>()
        };
        assert_eq!(
            [cores(&both, &later(&one)), cores(&one, &later(&both)), cores(&both, &later(&both))],
            [vec![1], vec![1], vec![0, 1]]
        );
    }

    #[test]
    fn hundreds_of_cores_and_texts_that_are_none() {
        let cores: String = (0..512).map(|n| format!("cpu{n} 1 2 3 4 5 6 7 8 9 10\n")).collect();
        assert_eq!(parse(&format!("cpu  1 2 3 4\n{cores}")).unwrap().cores.len(), 512);
        assert_eq!(
            parse("cpu  1 2 3 4\n").unwrap().total,
            Times { user: 1, nice: 2, system: 3, idle: 4, ..Times::default() }
        );
        for none in ["", "\n\n", "cpu0 1 2 3 4", "processes 3", "cpux 1 2", "\u{fffd}"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
        assert_eq!(parse("cpu -1 x 99999999999999999999999").unwrap().total, Times::default());
    }

    #[test]
    fn a_clock_rate_is_the_mean_of_those_told() {
        assert_eq!(
            mean_mhz("cpu MHz\t\t: 2000.000\nflags : x\ncpu MHz\t\t: 3001.000\ncpu MHz : "),
            Some(2501)
        );
        assert_eq!([mean_mhz(""), mean_mhz("cpu MHz : inf"), mean_mhz("BogoMIPS : 108.00")], [None; 3]);
    }

    proptest! {
        #[test]
        fn no_pair_of_readings_gives_an_impossible_share(before: [u64; 8], now: [u64; 8], ms in 0_u64..10_000) {
            let stat = |n: [u64; 8]| parse(&format!(
                "cpu {} {} {} {} {} {} {} {}\nctxt {}\nintr {}\n", n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[0], n[1],
            )).unwrap();
            if let Some(cpu) = used(&stat(before), &stat(now), Duration::from_millis(ms), None).total {
                let shares = [cpu.usage_pct, cpu.user_pct, cpu.system_pct, cpu.iowait_pct, cpu.irq_pct];
                prop_assert!(shares.iter().all(|share| share.0 <= 1000));
            }
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            let _ = parse(&text);
            let _ = mean_mhz(&text);
        }
    }
}
