//! What a simulated host reports: integer arithmetic on (seed, host index, sequence) and nothing else.
//!
//! FLEET.md says the same in words and `fleet_check.py` in another language; change all three or none.

use serde::Serialize;
use watchkeeper_schemas::ids::{BootId, InvalidId, TeamId};
use watchkeeper_schemas::quantity::{Kib, Num, Pct, Text, UnixMs};
use watchkeeper_schemas::sample::{
    Core, Cpu, Disk, DiskIo, Inventory, Load, Memory, MountedDisk, Network, Pressure, Processes, Sample,
    Swap, System, Temperature,
};
use watchkeeper_schemas::subjects::SampleSubject;

/// The inventory travels with the first sample and every so many after it.
const INVENTORY_EVERY: u64 = 60;
const KIB_PER_GIB: u64 = 1 << 20;

/// What all values of a fleet depend on, beside host and sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fleet {
    /// The owner of the hosts.
    pub team: TeamId,
    /// Another seed, other values.
    pub seed: u64,
    /// The event time of sequence 0 (the first sample is sequence 1), in milliseconds since 1970.
    pub start_ms: u64,
    /// Between two samples of a host, in milliseconds.
    pub tick_ms: u32,
}

impl Fleet {
    /// The event time of a sequence, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self, seq: u64) -> u64 {
        self.start_ms + seq * u64::from(self.tick_ms)
    }
}

/// The id of a simulated host: `sim-00042`.
#[must_use]
pub fn host_id(index: u32) -> String {
    format!("sim-{index:05}")
}

/// The boot of a simulated host; another start is another boot.
#[must_use]
pub fn boot_id(fleet: &Fleet, index: u32) -> BootId {
    let host = host_key(fleet.seed, index);
    let halves = u128::from(mix(host)) << 64 | u128::from(mix(host.wrapping_add(fleet.start_ms)));
    BootId(halves.to_be_bytes())
}

/// The sample of a host at a sequence from 1 on.
///
/// # Errors
/// Never for an index of a fleet: its digits make a host id.
pub fn sample(fleet: &Fleet, index: u32, seq: u64) -> Result<Sample, InvalidId> {
    let draw = Draw::new(fleet.seed, index, seq);
    let subject = SampleSubject::live(fleet.team.clone(), host_id(index).parse()?);
    let time = UnixMs(fleet.time_ms(seq));
    let mut sample = Sample::empty(&subject, boot_id(fleet, index), seq, time, fleet.tick_ms);
    let cpu = cpu(&draw);
    let usage = u64::from(cpu.usage_pct.0);
    sample.cores = (0..4).map(|core| Core { core, usage_pct: draw.core(usage, core) }).collect();
    sample.load = Some(load(&draw, usage));
    sample.memory = Some(memory(&draw));
    sample.swap = Some(Swap {
        total: Kib(2_097_148),
        used: Kib(draw.fixed(9) % 500_000),
        in_pages_per_s: draw.below(15, 3),
        out_pages_per_s: draw.below(16, 4),
    });
    sample.disks = disks(&draw);
    sample.disk_io = ["nvme0n1", "sda", "sdb"].into_iter().zip(0..).map(|it| disk_io(&draw, it)).collect();
    sample.networks = ["eth0", "eth1", "docker0"].into_iter().zip(0..).map(|it| network(&draw, it)).collect();
    sample.temperatures = temperatures(&draw, usage);
    let total = 150 + (draw.fixed(40) % 200) as u32 + draw.below(96, 10);
    sample.processes = Some(Processes {
        total,
        threads: total * 3 + draw.below(97, 100),
        running: 1 + draw.below(98, 6),
        blocked: draw.below(99, 3),
    });
    sample.pressure = Some(Pressure {
        cpu_pct: draw.pct(100, 120),
        memory_pct: draw.pct(101, 10),
        io_pct: draw.pct(102, 80),
    });
    sample.system = Some(System {
        uptime_s: draw.uptime_at_start_s() + seq * u64::from(fleet.tick_ms) / 1000,
        open_files: 4000 + draw.below(103, 4000),
        tcp_connections: 50 + draw.below(104, 500),
    });
    sample.cpu = Some(cpu);
    if seq % INVENTORY_EVERY == 1 {
        sample.inventory = Some(Box::new(inventory(fleet, &draw, index)));
    }
    Ok(sample)
}

/// The finalizer of splitmix64, modulo 2^64.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn host_key(seed: u64, index: u32) -> u64 {
    mix(mix(seed).wrapping_add(u64::from(index)))
}

/// The two sources of a host's numbers: what is fixed for it, and what moves with the sequence.
struct Draw {
    host: u64,
    moment: u64,
    seq: u64,
}

impl Draw {
    fn new(seed: u64, index: u32, seq: u64) -> Self {
        let host = host_key(seed, index);
        Self { host, moment: mix(host.wrapping_add(seq)), seq }
    }

    /// C(k) of FLEET.md.
    fn fixed(&self, k: u64) -> u64 {
        mix(self.host.wrapping_add((1 << 63) + k))
    }

    /// V(k) of FLEET.md.
    fn moving(&self, k: u64) -> u64 {
        mix(self.moment.wrapping_add(k))
    }

    /// V(k) mod n.
    fn below(&self, k: u64, n: u32) -> u32 {
        (self.moving(k) % u64::from(n)) as u32
    }

    fn pct(&self, k: u64, n: u32) -> Pct {
        Pct(self.below(k, n) as u16)
    }

    /// W(k, p, h) of FLEET.md: up and down between 0 and h in 2 p samples.
    fn wave(&self, k: u64, period: u64, height: u64) -> u64 {
        let x = self.seq.wrapping_add(self.fixed(k)) % (2 * period);
        x.min(2 * period - x) * height / period
    }

    fn core(&self, usage: u64, core: u16) -> Pct {
        Pct((usage * (80 + self.moving(20 + u64::from(core)) % 41) / 100) as u16)
    }

    fn uptime_at_start_s(&self) -> u64 {
        self.fixed(41) % 10_000_000
    }
}

fn cpu(draw: &Draw) -> Cpu {
    let user = 20 + draw.fixed(1) % 200 + draw.wave(2, 300, 250) + draw.moving(1) % 40;
    let system = 10 + draw.fixed(3) % 80 + draw.moving(2) % 30;
    let (steal, nice, irq) = (draw.moving(4) % 3, draw.moving(5) % 4, 5 + draw.moving(6) % 15);
    let pct = |tenths: u64| Pct(tenths as u16);
    Cpu {
        usage_pct: pct(user + system + steal + nice + irq),
        user_pct: pct(user),
        system_pct: pct(system),
        iowait_pct: draw.pct(3, 25),
        steal_pct: pct(steal),
        nice_pct: pct(nice),
        irq_pct: pct(irq),
        frequency_mhz: Some(2400 + draw.below(7, 1200)),
        context_switches_per_s: (5000 + draw.fixed(4) % 20_000) as u32 + draw.below(8, 3000),
        interrupts_per_s: (2000 + draw.fixed(5) % 10_000) as u32 + draw.below(9, 1500),
    }
}

/// Numbers of two decimals.
fn hundredths(number: u64) -> Num {
    Num((number as f64 / 100.0) as f32)
}

fn load(draw: &Draw, usage: u64) -> Load {
    Load {
        avg_1: hundredths(usage * 4 / 10 + draw.moving(10) % 30),
        avg_5: hundredths(usage * 4 / 10 + 10),
        avg_15: hundredths(100 + draw.fixed(6) % 100),
    }
}

fn memory(draw: &Draw) -> Memory {
    let total = (4 << (draw.fixed(7) % 4)) * KIB_PER_GIB - 475_992;
    Memory {
        total: Kib(total),
        available: Kib(total / 4 + total / 1000 * draw.wave(8, 600, 400) + draw.moving(11) % 4096),
        cached: Kib(total / 5 + draw.moving(12) % 65_536),
        buffers: Kib(total / 50),
        shared: Kib(total / 60),
        slab: Kib(total / 40 + draw.moving(13) % 1024),
        dirty: Kib(draw.moving(14) % 20_000),
    }
}

fn disks(draw: &Draw) -> Vec<Disk> {
    let disk = |mount: &str, total, used, free, inodes| Disk {
        mount: Text::fit(mount),
        total: Kib(total),
        used: Kib(used),
        free: Kib(free),
        inodes_used_pct: Pct(inodes as u16),
    };
    let root = 102_400_000;
    let root_used = root / 100 * (30 + draw.fixed(10) % 40) + draw.seq % 100_000;
    let data = 1_932_735_283;
    let data_used = data / 100 * (20 + draw.fixed(12) % 60) + draw.seq * 4 % 10_000_000;
    vec![
        disk("/", root, root_used, root / 100 * 95 - root_used, 50 + draw.fixed(11) % 200),
        disk("/boot", 987_012, 318_204, 600_596, 1),
        disk("/data", data, data_used, data - data_used, 10 + draw.fixed(13) % 300),
    ]
}

fn disk_io(draw: &Draw, (device, place): (&str, u64)) -> DiskIo {
    let k = 30 + 10 * place;
    DiskIo {
        device: Text::fit(device),
        read_bytes_per_s: draw.moving(k) % 4096 * 512,
        write_bytes_per_s: draw.moving(k + 1) % 16_384 * 512,
        reads_per_s: draw.below(k + 2, 500),
        writes_per_s: draw.below(k + 3, 900),
        read_latency_us: 100 + draw.below(k + 4, 9000),
        write_latency_us: 200 + draw.below(k + 5, 9000),
        busy_pct: draw.pct(k + 6, 400),
    }
}

fn network(draw: &Draw, (interface, place): (&str, u64)) -> Network {
    let k = 60 + 10 * place;
    Network {
        interface: Text::fit(interface),
        rx_bytes_per_s: draw.fixed(20 + place) % 2_000_000 + draw.moving(k) % 3_000_000,
        tx_bytes_per_s: draw.fixed(24 + place) % 2_000_000 + draw.moving(k + 1) % 3_000_000,
        rx_packets_per_s: 100 + draw.below(k + 2, 5000),
        tx_packets_per_s: 100 + draw.below(k + 3, 5000),
        rx_errors: draw.seq * (draw.fixed(28 + place) % 3) / 1000,
        tx_errors: 0,
        rx_drops: draw.seq * (draw.fixed(32 + place) % 5) / 200,
        tx_drops: draw.seq * (draw.fixed(36 + place) % 2) / 500,
    }
}

fn temperatures(draw: &Draw, usage: u64) -> Vec<Temperature> {
    let sensor =
        |sensor: &str, number| Temperature { sensor: Text::fit(sensor), celsius: hundredths(number) };
    let mut all = vec![sensor("Package id 0", 4000 + usage * 3 + draw.moving(90) % 200)];
    all.extend(
        (0..4).map(|core| sensor(&format!("Core {core}"), 3800 + usage * 3 + draw.moving(91 + core) % 300)),
    );
    all.push(sensor("Composite", 3500 + draw.moving(95) % 1000));
    all
}

fn inventory(fleet: &Fleet, draw: &Draw, index: u32) -> Inventory {
    let mounted = |mount, device, fs| MountedDisk {
        mount: Text::fit(mount),
        device: Text::fit(device),
        fs: Text::fit(fs),
    };
    Inventory {
        hostname: Text::fit(&format!("{}.example", host_id(index))),
        os: Text::fit("Debian GNU/Linux 13 (trixie)"),
        kernel: Text::fit("6.12.0-sim"),
        arch: Text::fit("x86_64"),
        cpu_model: Text::fit("Simulated CPU"),
        cores: 4,
        memory_bytes: memory(draw).total,
        virtualization: Text::fit("simulated"),
        agent_version: Text::fit("fleet-1"),
        boot_time: UnixMs(fleet.start_ms - draw.uptime_at_start_s() * 1000),
        disks: vec![
            mounted("/", "/dev/nvme0n1p2", "ext4"),
            mounted("/boot", "/dev/nvme0n1p1", "ext4"),
            mounted("/data", "/dev/md0", "xfs"),
        ],
    }
}
