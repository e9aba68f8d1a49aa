//! A busy server as most are: 4 cores, 3 disks, 3 interfaces, 6 sensors. Size and speed limits are held against it.

use crate::ids::{BootId, HostId, InvalidId, TeamId};
use crate::quantity::{Kib, Num, Pct, Text, UnixMs};
use crate::sample::{
    Core, Cpu, Disk, DiskIo, Inventory, Load, Memory, MountedDisk, Network, Pressure, Processes, Sample,
    Swap, System, Temperature,
};
use crate::subjects::SampleSubject;

const GIB: u64 = 1 << 20;

/// One sample of `host` in team `default`, without its inventory, as most samples are.
///
/// # Errors
/// When `host` is no host id.
pub fn usual_host(host: &str) -> Result<Sample, InvalidId> {
    let subject = SampleSubject::live("default".parse::<TeamId>()?, host.parse::<HostId>()?);
    let boot = BootId(*b"\x8f\x2c\x41\x9e\x07\xd3\x4b\x66\xa1\x5d\xe0\x38\x92\x7c\x14\xfb");
    let mut sample = Sample::empty(&subject, boot, 86_412, UnixMs(1_790_000_123_456), 5_000);
    sample.cpu = Some(Cpu {
        usage_pct: Pct(342),
        user_pct: Pct(238),
        system_pct: Pct(81),
        iowait_pct: Pct(17),
        steal_pct: Pct(0),
        nice_pct: Pct(2),
        irq_pct: Pct(21),
        frequency_mhz: Some(3_412),
        context_switches_per_s: 21_873,
        interrupts_per_s: 12_406,
    });
    sample.cores = [351, 297, 412, 308].into_iter().zip(0..).map(core).collect();
    sample.load = Some(Load { avg_1: Num(1.42), avg_5: Num(1.18), avg_15: Num(0.97) });
    sample.memory = Some(Memory {
        total: Kib(16_301_224),
        available: Kib(7_412_908),
        cached: Kib(5_903_116),
        buffers: Kib(412_636),
        shared: Kib(287_944),
        slab: Kib(731_208),
        dirty: Kib(3_484),
    });
    sample.swap =
        Some(Swap { total: Kib(2 * GIB - 4), used: Kib(81_664), in_pages_per_s: 0, out_pages_per_s: 3 });
    sample.disks = vec![
        disk("/", 97 * GIB + 1_208, 41 * GIB + 77_301, 51 * GIB + 9_416, 87),
        disk("/boot", 987_012, 318_204, 600_596, 1),
        disk("/data", 1_843 * GIB + 61_120, 1_204 * GIB + 350_912, 545 * GIB + 88_300, 34),
    ];
    sample.disk_io = vec![
        disk_io("nvme0n1", [1_843_200, 6_127_616], [212, 486, 184, 927], 143),
        disk_io("sda", [524_288, 2_801_664], [41, 133, 4_120, 9_316], 218),
        disk_io("sdb", [0, 2_797_568], [0, 131, 0, 9_288], 216),
    ];
    sample.networks = vec![
        network("eth0", [2_914_305, 7_408_812], [4_218, 6_902], [0, 0, 1_204, 0]),
        network("eth1", [412_660, 398_122], [917, 904], [0, 0, 0, 0]),
        network("docker0", [183_204, 1_240_118], [611, 1_022], [0, 0, 0, 12]),
    ];
    sample.temperatures = [
        ("Package id 0", 61.0),
        ("Core 0", 58.0),
        ("Core 1", 57.0),
        ("Core 2", 61.0),
        ("Core 3", 59.0),
        ("Composite", 43.9),
    ]
    .map(|(sensor, celsius)| Temperature { sensor: Text::fit(sensor), celsius: Num(celsius) })
    .into();
    sample.processes = Some(Processes { total: 318, threads: 1_204, running: 3, blocked: 1 });
    sample.pressure = Some(Pressure { cpu_pct: Pct(41), memory_pct: Pct(0), io_pct: Pct(23) });
    sample.system = Some(System { uptime_s: 432_060, open_files: 9_824, tcp_connections: 287 });
    Ok(sample)
}

/// What the usual host is: travels with its first sample, when it changed, and every few minutes.
#[must_use]
pub fn usual_inventory() -> Inventory {
    let mounted = |mount, device, fs| MountedDisk {
        mount: Text::fit(mount),
        device: Text::fit(device),
        fs: Text::fit(fs),
    };
    Inventory {
        hostname: Text::fit("web-1.example.net"),
        os: Text::fit("Debian GNU/Linux 13 (trixie)"),
        kernel: Text::fit("6.12.41+deb13-amd64"),
        arch: Text::fit("x86_64"),
        cpu_model: Text::fit("Intel(R) Xeon(R) E-2334 CPU @ 3.40GHz"),
        cores: 4,
        memory_bytes: Kib(16_301_224),
        virtualization: Text::default(),
        agent_version: Text::fit("0.1.0"),
        boot_time: UnixMs(1_789_568_063_000),
        disks: vec![
            mounted("/", "/dev/nvme0n1p2", "ext4"),
            mounted("/boot", "/dev/nvme0n1p1", "ext4"),
            mounted("/data", "/dev/md0", "xfs"),
        ],
    }
}

fn core((usage, core): (u16, u16)) -> Core {
    Core { core, usage_pct: Pct(usage) }
}

fn disk(mount: &str, total: u64, used: u64, free: u64, inodes: u16) -> Disk {
    let (total, used, free) = (Kib(total), Kib(used), Kib(free));
    Disk { mount: Text::fit(mount), total, used, free, inodes_used_pct: Pct(inodes) }
}

fn disk_io(device: &str, bytes: [u64; 2], [reads, writes, read_us, write_us]: [u32; 4], busy: u16) -> DiskIo {
    DiskIo {
        device: Text::fit(device),
        read_bytes_per_s: bytes[0],
        write_bytes_per_s: bytes[1],
        reads_per_s: reads,
        writes_per_s: writes,
        read_latency_us: read_us,
        write_latency_us: write_us,
        busy_pct: Pct(busy),
    }
}

fn network(interface: &str, bytes: [u64; 2], packets: [u32; 2], faults: [u64; 4]) -> Network {
    Network {
        interface: Text::fit(interface),
        rx_bytes_per_s: bytes[0],
        tx_bytes_per_s: bytes[1],
        rx_packets_per_s: packets[0],
        tx_packets_per_s: packets[1],
        rx_errors: faults[0],
        tx_errors: faults[1],
        rx_drops: faults[2],
        tx_drops: faults[3],
    }
}
