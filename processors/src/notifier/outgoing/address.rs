//! Which addresses may be called though a person chose them. Pure.

use super::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are nobody's on the open internet, or a cloud's own.
const CLOSED_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure answers every virtual machine there.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::BROADCAST, 32),
];
/// All that is open in IPv6, but for what is closed below and for translated IPv4.
const OPEN_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const CLOSED_V6: [(Ipv6Addr, u8); 3] = [
    // Teredo, benchmarks, ORCHID and their neighbours.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const SIX_TO_FOUR: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

impl Network {
    /// Whether an address is in it; an IPv4 address in the clothes of IPv6 is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let bits = if self.address.is_ipv4() { self.bits } else { self.bits.saturating_sub(96) };
                within_v4((network, bits), address)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => within_v6((network, self.bits), address),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether an address is somebody's on the open internet.
pub(super) fn is_open(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !CLOSED_V4.iter().any(|network| within_v4(*network, address)),
        IpAddr::V6(address) => is_open_v6(address),
    }
}

fn is_open_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let carried =
        |high: u16, low: u16| is_open(IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))));
    if within_v6(NAT64, address) {
        return carried(segments[6], segments[7]);
    }
    if within_v6(SIX_TO_FOUR, address) {
        return carried(segments[1], segments[2]);
    }
    within_v6(OPEN_V6, address) && !CLOSED_V6.iter().any(|network| within_v6(*network, address))
}

fn within_v4((network, bits): (Ipv4Addr, u8), address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    (u32::from(network) ^ u32::from(address)) & mask == 0
}

fn within_v6((network, bits): (Ipv6Addr, u8), address: Ipv6Addr) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    (u128::from(network) ^ u128::from(address)) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addresses: &str, expected: bool) {
        for address in addresses.split_whitespace() {
            assert_eq!(is_open(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn what_is_private_local_reserved_or_a_clouds_own_is_closed() {
        all(
            "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 168.63.129.16",
            false,
        );
        all("169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1", false);
        all("192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1", false);
        all("240.0.0.1 255.255.255.255", false);
        all(
            ":: ::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 2001::1 2001:2::1 3fff::1",
            false,
        );
        all("100::1 5f00::1 4000::1 64:ff9b:1::a00:1 ::7f00:1", false);
    }

    #[test]
    fn ipv4_in_the_clothes_of_ipv6_is_judged_as_ipv4() {
        all("::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254", false);
        all("64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::10.1.2.3", false);
        all("2002:7f00:1::1 2002:a9fe:a9fe::1 2002:c0a8:1::", false);
        all("::ffff:9.9.9.9 64:ff9b::9.9.9.9 2002:909:909::1", true);
    }

    #[test]
    fn what_is_somebodys_on_the_internet_is_open() {
        all("1.1.1.1 9.9.9.9 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.17", true);
        all("172.15.255.255 172.32.0.0 192.0.1.1 192.167.1.1 198.17.0.1 198.20.0.1 223.255.255.255", true);
        all("2606:4700:4700::1111 2a00:1450::1 2001:4860:4860::8888 2620:fe::fe", true);
    }

    #[test]
    fn a_network_contains_its_addresses() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2") && holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(holds("10.9.9.9/8", "10.1.1.1") && holds("0.0.0.0/0", "127.0.0.1"));
        assert!(holds("192.168.7.1", "192.168.7.1") && !holds("192.168.7.1", "192.168.7.2"));
        assert!(
            holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1") && !holds("fd00::/8", "10.0.0.1")
        );
        assert!(holds("::/0", "fe80::1") && holds("::ffff:10.0.0.0/104", "10.1.1.1"));
        for wrong in ["", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/-1", "a", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
