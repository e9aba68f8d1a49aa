"""Recomputes the numbers of simulated hosts from FLEET.md alone, for verifiers that share no code with us.

    fleet_check.py SEED START_MS TICK_MS < lines of "INDEX SEQ" > one JSON object a line
"""
import json
import math
import sys

M = (1 << 64) - 1


def mix(x):
    z = (x + 0x9E3779B97F4A7C15) & M
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
    return z ^ (z >> 31)


def share(part, whole):
    return math.floor(part / whole * 100 * 10 + 0.5) / 10 if whole else 0


def sample(seed, start_ms, tick_ms, i, n):
    """Identity, time and numbers of one sample, the numbers as a view shows them."""
    H = mix((mix(seed) + i) & M)
    S = mix((H + n) & M)

    def C(k):
        return mix((H + (1 << 63) + k) & M)

    def V(k):
        return mix((S + k) & M)

    def W(k, p, h):
        x = ((n + C(k)) & M) % (2 * p)
        return min(x, 2 * p - x) * h // p

    user = 20 + C(1) % 200 + W(2, 300, 250) + V(1) % 40
    system = 10 + C(3) % 80 + V(2) % 30
    steal, nice, irq = V(4) % 3, V(5) % 4, 5 + V(6) % 15
    usage = user + system + steal + nice + irq
    T = (4 << C(7) % 4) * 1048576 - 475992
    available = T // 4 + T // 1000 * W(8, 600, 400) + V(11) % 4096
    swap_used = C(9) % 500000
    P = 150 + C(40) % 200 + V(96) % 10
    up = C(41) % 10000000

    def disk(mount, total, used, free, inodes):
        return {
            "mount": mount, "total_bytes": total * 1024, "used_bytes": used * 1024, "free_bytes": free * 1024,
            "used_pct": share(used, used + free), "inodes_used_pct": inodes / 10,
        }

    u = 1024000 * (30 + C(10) % 40) + n % 100000
    d = 19327352 * (20 + C(12) % 60) + 4 * n % 10000000
    return {
        "host": f"sim-{i:05}",
        "seq": n,
        "time_ms": start_ms + n * tick_ms,
        "boot": (mix(H) << 64 | mix((H + start_ms) & M)).to_bytes(16, "big").hex(),
        "cpu": {
            "usage_pct": usage / 10, "user_pct": user / 10, "system_pct": system / 10, "iowait_pct": V(3) % 25 / 10,
            "steal_pct": steal / 10, "nice_pct": nice / 10, "irq_pct": irq / 10, "frequency_mhz": 2400 + V(7) % 1200,
            "context_switches_per_s": 5000 + C(4) % 20000 + V(8) % 3000,
            "interrupts_per_s": 2000 + C(5) % 10000 + V(9) % 1500,
        },
        "load": {
            "avg_1": (usage * 4 // 10 + V(10) % 30) / 100, "avg_5": (usage * 4 // 10 + 10) / 100,
            "avg_15": (100 + C(6) % 100) / 100,
        },
        "memory": {
            "total_bytes": T * 1024, "available_bytes": available * 1024, "used_bytes": (T - available) * 1024,
            "used_pct": share(T - available, T), "cached_bytes": (T // 5 + V(12) % 65536) * 1024,
            "buffers_bytes": T // 50 * 1024, "shared_bytes": T // 60 * 1024, "slab_bytes": (T // 40 + V(13) % 1024) * 1024,
            "dirty_bytes": V(14) % 20000 * 1024,
        },
        "swap": {
            "total_bytes": 2097148 * 1024, "used_bytes": swap_used * 1024, "used_pct": share(swap_used, 2097148),
            "in_pages_per_s": V(15) % 3, "out_pages_per_s": V(16) % 4,
        },
        "processes": {"total": P, "threads": 3 * P + V(97) % 100, "running": 1 + V(98) % 6, "blocked": V(99) % 3},
        "pressure": {"cpu_pct": V(100) % 120 / 10, "memory_pct": V(101) % 10 / 10, "io_pct": V(102) % 80 / 10},
        "system": {
            "uptime_s": up + n * tick_ms // 1000, "open_files": 4000 + V(103) % 4000, "tcp_connections": 50 + V(104) % 500,
        },
        "cores": [{"core": str(c), "usage_pct": usage * (80 + V(20 + c) % 41) // 100 / 10} for c in range(4)],
        "disks": [
            disk("/", 102400000, u, 97280000 - u, 50 + C(11) % 200),
            disk("/boot", 987012, 318204, 600596, 1),
            disk("/data", 1932735283, d, 1932735283 - d, 10 + C(13) % 300),
        ],
        "disk_io": [
            {
                "device": device, "read_bytes_per_s": V(k) % 4096 * 512, "write_bytes_per_s": V(k + 1) % 16384 * 512,
                "reads_per_s": V(k + 2) % 500, "writes_per_s": V(k + 3) % 900, "read_latency_us": 100 + V(k + 4) % 9000,
                "write_latency_us": 200 + V(k + 5) % 9000, "busy_pct": V(k + 6) % 400 / 10,
            }
            for k, device in ((30, "nvme0n1"), (40, "sda"), (50, "sdb"))
        ],
        "networks": [
            {
                "interface": interface, "rx_bytes_per_s": C(20 + j) % 2000000 + V(60 + 10 * j) % 3000000,
                "tx_bytes_per_s": C(24 + j) % 2000000 + V(61 + 10 * j) % 3000000,
                "rx_packets_per_s": 100 + V(62 + 10 * j) % 5000, "tx_packets_per_s": 100 + V(63 + 10 * j) % 5000,
                "rx_errors": n * (C(28 + j) % 3) // 1000, "tx_errors": 0,
                "rx_drops": n * (C(32 + j) % 5) // 200, "tx_drops": n * (C(36 + j) % 2) // 500,
            }
            for j, interface in enumerate(("eth0", "eth1", "docker0"))
        ],
        "temperatures": [{"sensor": "Package id 0", "celsius": (4000 + usage * 3 + V(90) % 200) / 100}]
        + [{"sensor": f"Core {c}", "celsius": (3800 + usage * 3 + V(91 + c) % 300) / 100} for c in range(4)]
        + [{"sensor": "Composite", "celsius": (3500 + V(95) % 1000) / 100}],
        "custom": [],
    }


def main():
    seed, start_ms, tick_ms = (int(argument) for argument in sys.argv[1:4])
    for line in sys.stdin:
        index, seq = (int(word) for word in line.split())
        print(json.dumps(sample(seed, start_ms, tick_ms, index, seq)))


if __name__ == "__main__":
    main()
