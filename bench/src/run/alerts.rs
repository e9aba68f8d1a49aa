//! The alert machine over a fleet: its evaluations beside bare comparisons, samples from the wire, memory, snapshots.

use super::report::{Bound, Row};
use super::usage;
use anyhow::{Context as _, Result, ensure};
use std::hint::black_box;
use std::time::Instant;
use watchkeeper_processors::alerts::machine::{Input, Kind, Machine, MetricKey, Report};
use watchkeeper_schemas::alerting::{AlertFact, SavedRule, WatchedHost};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::usual_host::usual_host;

/// A team has room for 100,000 series.
const TEAMS: usize = 4;
const TEAM_HOSTS: usize = 2_500;
const HOSTS: usize = TEAMS * TEAM_HOSTS;
/// So many are timed together: the fewer, the rarer something else runs meanwhile.
const FEW_HOSTS: usize = 125;
const INTERVAL_S: f64 = 5.0;
/// Metrics of the usual host that stay below their limits; each makes two rules.
const LIMITS: [(&str, f64); 10] = [
    ("cpu.usage_pct", 90.0),
    ("cpu.iowait_pct", 50.0),
    ("cpu.steal_pct", 20.0),
    ("load.avg_5", 16.0),
    ("memory.used_pct", 95.0),
    ("swap.used_pct", 80.0),
    ("processes.blocked", 50.0),
    ("pressure.memory_pct", 40.0),
    ("pressure.io_pct", 60.0),
    ("system.tcp_connections", 50_000.0),
];
const RULES: usize = 2 * LIMITS.len();
/// Some rounds fall into a moment in which nothing else ran.
const ROUNDS: u64 = 12;

pub(super) fn run() -> Result<Vec<Row>> {
    let mut fleet = Fleet::new()?;
    // The first machines also pay for what the work itself needs; they stay, so that the second get nothing of them.
    fleet.watch(RULES)?;
    fleet.samples(Stage::Whole)?;
    let _first = std::mem::take(&mut fleet.machines);
    let before = usage::memory_mib(std::process::id())?;
    fleet.watch(RULES)?;
    fleet.samples(Stage::Whole)?;
    let memory = usage::memory_mib(std::process::id())? - before;
    let (mut pure, mut whole, mut tick) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        pure = pure.min(fleet.samples(Stage::Pure)?);
        whole = whole.min(fleet.samples(Stage::Whole)?);
        tick = tick.min(fleet.tick());
    }
    let floor = compare()?;
    let (bytes, write, read) = fleet.restart()?;
    let row = |what, measured, unit, bound| Row { what, measured, unit, bound };
    let rate = |sample_s: f64| RULES as f64 / sample_s / 1e6;
    let cores = whole * HOSTS as f64 / INTERVAL_S + tick;
    Ok(vec![
        row("alerts: bare comparisons, the same numbers in one array", rate(floor), "M/s", Bound::None),
        row("alerts: evaluations of samples in memory", rate(pure), "M/s", Bound::GoalAtLeast(100.0)),
        row("  a bare comparison is so many times as fast", pure / floor, "", Bound::None),
        row("alerts: evaluations with decoding", rate(whole), "M/s", Bound::AtLeast(5.0)),
        row("  of one sample with its 20 rules", whole * 1e6, "µs", Bound::None),
        row("alerts: one tick of 10,000 hosts", tick * 1000.0, "ms", Bound::None),
        row("alerts: 10,000 hosts × 20 rules each 5 s, from these two", cores, "cores", Bound::AtMost(0.05)),
        row("alerts: memory of 10,000 hosts × 20 rules", memory, "MiB", Bound::AtMost(32.0)),
        row("alerts: snapshot of it", bytes / 1024.0 / 1024.0, "MiB", Bound::None),
        row("  written in", write * 1000.0, "ms", Bound::None),
        row("  written and read again in", (write + read) * 1000.0, "ms", Bound::AtMost(200.0)),
    ])
}

/// How much of the way of a sample is measured.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Decoded before.
    Pure,
    /// From its bytes.
    Whole,
}

/// The machines of some teams, and the hosts that report to them.
struct Fleet {
    machines: Vec<Machine>,
    hosts: Vec<(SampleSubject, Sample)>,
    sequence: u64,
    now: u64,
}

impl Fleet {
    fn new() -> Result<Self> {
        let host = |host: usize| -> Result<_> {
            let sample = usual_host(&format!("web-{host:05}"))?;
            Ok((SampleSubject::live(sample.team.clone(), sample.host.clone()), sample))
        };
        let hosts = (0..HOSTS).map(host).collect::<Result<_>>()?;
        Ok(Self { machines: Vec::new(), hosts, sequence: 0, now: 1_790_000_000_000 })
    }

    fn watch(&mut self, rules: usize) -> Result<()> {
        for hosts in self.hosts.chunks(TEAM_HOSTS) {
            let mut facts = Vec::new();
            for rule in 0..rules {
                facts.push(AlertFact::Rule { id: format!("r{rule}").parse()?, value: Some(saved(rule)) });
            }
            facts.extend(hosts.iter().map(|(_, sample)| AlertFact::Host {
                id: sample.host.clone(),
                value: Some(WatchedHost::default()),
            }));
            let mut machine = Machine::default();
            machine.begin(facts);
            self.machines.push(machine);
        }
        Ok(())
    }

    /// A sample of every host; seconds of a sample, among the few that were disturbed least.
    fn samples(&mut self, stage: Stage) -> Result<f64> {
        self.now += (INTERVAL_S * 1000.0) as u64;
        let mut best = f64::INFINITY;
        for (place, hosts) in self.hosts.chunks_mut(FEW_HOSTS).enumerate() {
            let machine = &mut self.machines[place * FEW_HOSTS / TEAM_HOSTS];
            let mut frames = Vec::with_capacity(FEW_HOSTS);
            for (_, sample) in hosts.iter_mut() {
                (sample.seq, sample.time) = (sample.seq + 1, UnixMs(self.now));
                let mut frame = Vec::new();
                codec::encode(sample, &mut frame)?;
                frames.push(frame);
            }
            let decode = |(place, frame): (usize, &Vec<u8>)| -> Result<Input> {
                let sample = codec::decode(&hosts[place].0, frame).context("decoding a sample")?;
                let kind = Kind::Live(Box::new(Report::of(&sample)));
                Ok(Input { sequence: self.sequence + place as u64 + 1, time: self.now, kind })
            };
            let mut ready = Vec::with_capacity(FEW_HOSTS);
            if stage == Stage::Pure {
                ready = frames.iter().enumerate().map(decode).collect::<Result<_>>()?;
            }
            let mut effects = 0;
            let begin = Instant::now();
            match stage {
                Stage::Pure => ready.into_iter().for_each(|input| effects += machine.step(input).len()),
                Stage::Whole => {
                    for frame in frames.iter().enumerate() {
                        effects += machine.step(decode(frame)?).len();
                    }
                }
            }
            best = best.min(begin.elapsed().as_secs_f64() / FEW_HOSTS as f64);
            ensure!(effects == 0 && machine.counts.late == 0, "{effects} effects, {:?}", machine.counts);
            self.sequence += FEW_HOSTS as u64;
        }
        Ok(best)
    }

    /// A tick of every machine, in seconds.
    fn tick(&mut self) -> f64 {
        self.sequence += 1;
        let begin = Instant::now();
        for machine in &mut self.machines {
            let input = Input { sequence: self.sequence, time: self.now, kind: Kind::Tick(Vec::new()) };
            black_box(machine.step(input));
        }
        begin.elapsed().as_secs_f64()
    }

    /// Bytes of a snapshot, and how long it takes to write and to read, in seconds.
    fn restart(&self) -> Result<(f64, f64, f64)> {
        let (mut bytes, mut write, mut read) = (0, f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let snapshots = self.machines.iter().map(Machine::snapshot).collect::<Result<Vec<_>, _>>()?;
            write = write.min(begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            let restored = snapshots.iter().map(|it| Machine::restore(it)).collect::<Result<Vec<_>, _>>()?;
            read = read.min(begin.elapsed().as_secs_f64());
            let known = restored.iter().filter(|it| it.last_sample("web-00000").is_some()).count();
            ensure!(known == 1 && restored.len() == TEAMS, "{known} machines know the first host");
            bytes = snapshots.iter().map(Vec::len).sum();
        }
        Ok((bytes as f64, write, read))
    }
}

/// A limit that the usual host stays below, for a while or at once.
fn saved(rule: usize) -> SavedRule {
    let (metric, limit) = LIMITS[rule % LIMITS.len()];
    let for_how_long = if rule < LIMITS.len() { "" } else { " for 2m" };
    SavedRule {
        text: format!("{metric} > {limit}{for_how_long}"),
        scope: Default::default(),
        receivers: Default::default(),
        state: Default::default(),
        policy: Vec::new(),
    }
}

/// What no machine can beat: every number of every host, one after the other, against its limit; in seconds of
/// a host.
fn compare() -> Result<f64> {
    let report = Report::of(&usual_host("web-1")?);
    let number = |(metric, _): &(&str, f64)| report.values.get(&MetricKey::find(metric)?, "");
    let numbers: Option<Vec<f64>> = LIMITS.iter().map(number).collect();
    let numbers = numbers.context("the usual host lacks a metric")?.repeat(2 * HOSTS);
    let limits = LIMITS.map(|(_, limit)| limit);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut above = 0_usize;
        for host in black_box(&numbers).chunks_exact(LIMITS.len()) {
            above += host.iter().zip(&limits).filter(|(number, limit)| number > limit).count();
        }
        best = best.min(begin.elapsed().as_secs_f64());
        ensure!(black_box(above) == 0, "the usual host is above a limit");
    }
    Ok(best / HOSTS as f64)
}
