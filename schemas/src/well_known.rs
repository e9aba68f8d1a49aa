//! Names that most hosts share, so that each travels as one byte.
//!
//! Part of the wire form: only ever append, never move or change a line.

/// In the order of their codes; at most 127.
pub(crate) static NAMES: [&str; 125] = [
    // Mounts.
    "/",
    "/boot",
    "/boot/efi",
    "/home",
    "/var",
    "/var/log",
    "/var/lib",
    "/var/lib/docker",
    "/tmp",
    "/opt",
    "/usr",
    "/srv",
    "/data",
    "/mnt",
    "/mnt/data",
    "/backup",
    // Block devices.
    "sda",
    "sdb",
    "sdc",
    "sdd",
    "sde",
    "sdf",
    "vda",
    "vdb",
    "vdc",
    "xvda",
    "xvdb",
    "nvme0n1",
    "nvme1n1",
    "nvme2n1",
    "nvme3n1",
    "mmcblk0",
    "md0",
    "md1",
    "md127",
    "dm-0",
    "dm-1",
    "dm-2",
    "dm-3",
    "dm-4",
    "dm-5",
    // Interfaces.
    "lo",
    "eth0",
    "eth1",
    "eth2",
    "eth3",
    "ens3",
    "ens4",
    "ens5",
    "ens18",
    "ens19",
    "ens160",
    "ens192",
    "eno1",
    "eno2",
    "enp0s3",
    "enp0s31f6",
    "enp1s0",
    "enp2s0",
    "enp3s0",
    "enp4s0",
    "enp5s0",
    "wlan0",
    "wlp2s0",
    "wlp3s0",
    "bond0",
    "br0",
    "docker0",
    "virbr0",
    "wg0",
    "tun0",
    "tailscale0",
    "cni0",
    "flannel.1",
    // Temperature sensors.
    "Package id 0",
    "Package id 1",
    "Core 0",
    "Core 1",
    "Core 2",
    "Core 3",
    "Core 4",
    "Core 5",
    "Core 6",
    "Core 7",
    "Core 8",
    "Core 9",
    "Core 10",
    "Core 11",
    "Core 12",
    "Core 13",
    "Core 14",
    "Core 15",
    "Tctl",
    "Tdie",
    "Tccd1",
    "Tccd2",
    "Composite",
    "Sensor 1",
    "Sensor 2",
    "acpitz",
    "temp1",
    "temp2",
    "temp3",
    "temp4",
    "x86_pkg_temp",
    "cpu_thermal",
    "gpu_thermal",
    "iwlwifi_1",
    "pch_cannonlake",
    // Kinds of file system and architectures.
    "ext4",
    "xfs",
    "btrfs",
    "zfs",
    "vfat",
    "overlay",
    "tmpfs",
    "nfs4",
    "x86_64",
    "aarch64",
    "kvm",
    "docker",
    "vmware",
    "amazon",
    "microsoft",
    "lxc",
];

/// Slots of the index, a power of two well above the number of names.
const SLOTS: usize = 512;
const FREE: u8 = u8::MAX;
/// Where each name stands, by its hash; a taken slot sends on to the next.
static INDEX: [u8; SLOTS] = {
    let mut index = [FREE; SLOTS];
    let mut place = 0;
    while place < NAMES.len() {
        let mut slot = slot_of(NAMES[place].as_bytes());
        while index[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = place as u8;
        place += 1;
    }
    index
};

/// Length, first, middle and last byte: enough to tell these names apart in a step or two.
const fn slot_of(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let mark = (length as u32) << 24
        | (name[0] as u32) << 16
        | (name[length / 2] as u32) << 8
        | name[length - 1] as u32;
    (mark.wrapping_mul(0x9e37_79b1) >> 23) as usize
}

/// The place of a name in [`NAMES`].
#[inline]
pub(crate) fn place(name: &str) -> Option<u8> {
    let mut slot = slot_of(name.as_bytes());
    while INDEX[slot] != FREE {
        if NAMES[usize::from(INDEX[slot])] == name {
            return Some(INDEX[slot]);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Text;

    #[test]
    fn every_name_is_found_at_its_own_place_and_could_be_any_text() {
        for (at, name) in NAMES.iter().enumerate() {
            assert_eq!(place(name).map(usize::from), Some(at), "{name} stands twice");
            assert_eq!(Text::fit(name).as_str(), *name);
        }
        assert_eq!([place(""), place("nvme9n9")], [None, None]);
    }

    /// FNV-1a over the names of version 1 as they were first written: a changed one would rename hosts' disks.
    #[test]
    fn the_names_of_version_1_never_change() {
        let hash = NAMES[..NAMES_OF_FIRST_FRAMES]
            .join("\n")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        assert_eq!(hash, 9_705_197_825_311_126_815);
    }
    const NAMES_OF_FIRST_FRAMES: usize = 125;
}
