//! Addresses that no issuer may have: those of the special-purpose registries, behind which somebody's own network is.

use std::net::IpAddr;

use crate::config::within;

/// What is not reached over the public network, and why
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, RFC 6890, RFC 5771).
const SPECIAL_V4: &[(&str, u8, &str)] = &[
    ("0.0.0.0", 8, "of this network"),
    ("10.0.0.0", 8, "private"),
    ("100.64.0.0", 10, "shared by a carrier's NAT"),
    ("127.0.0.0", 8, "loopback"),
    ("168.63.129.16", 32, "the platform's own on Azure"),
    ("169.254.0.0", 16, "link-local"),
    ("172.16.0.0", 12, "private"),
    ("192.0.0.0", 24, "for protocol assignments"),
    ("192.0.2.0", 24, "for documentation"),
    ("192.31.196.0", 24, "of AS112"),
    ("192.52.193.0", 24, "for multicast tunnels"),
    ("192.88.99.0", 24, "a 6to4 relay"),
    ("192.168.0.0", 16, "private"),
    ("192.175.48.0", 24, "of AS112"),
    ("198.18.0.0", 15, "for benchmarks"),
    ("198.51.100.0", 24, "for documentation"),
    ("203.0.113.0", 24, "for documentation"),
    ("224.0.0.0", 4, "multicast"),
    ("240.0.0.0", 4, "reserved"),
];

/// The one block of global unicast addresses (RFC 4291 section 2.4, RFC 3587); what lies outside is special.
const GLOBAL_V6: (&str, u8) = ("2000::", 3);

/// What is special inside it, and names for some of what is outside
/// (<https://www.iana.org/assignments/iana-ipv6-special-registry>).
const SPECIAL_V6: &[(&str, u8, &str)] = &[
    ("::", 128, "unspecified"),
    ("::1", 128, "loopback"),
    ("::", 96, MAPPED),
    ("64:ff9b::", 96, "an IPv4 address behind NAT64"),
    ("64:ff9b:1::", 48, "an IPv4 address behind NAT64"),
    ("2001::", 32, "an IPv4 address in a Teredo tunnel"),
    ("2001::", 23, "for protocol assignments"),
    ("2001:db8::", 32, "for documentation"),
    ("2002::", 16, "an IPv4 address in a 6to4 tunnel"),
    ("2620:4f:8000::", 48, "of AS112"),
    ("3fff::", 20, "for documentation"),
    ("fc00::", 7, "private"),
    ("fe80::", 10, "link-local"),
    ("ff00::", 8, "multicast"),
];

const MAPPED: &str = "an IPv4 address in disguise";

/// What makes an address special; nothing for one of the public network.
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static str> {
    if address.to_canonical() != address {
        return Some(MAPPED);
    }
    let table = if address.is_ipv4() { SPECIAL_V4 } else { SPECIAL_V6 };
    let inside = |network: &str, length| network.parse().is_ok_and(|network| within((network, length), address));
    if let Some((_, _, what)) = table.iter().find(|(network, length, _)| inside(network, *length)) {
        return Some(what);
    }
    let (network, length) = GLOBAL_V6;
    (address.is_ipv6() && !inside(network, length)).then_some("not a global address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        for (address, what) in [
            ("0.0.0.0", "of this network"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "shared by a carrier's NAT"),
            ("100.100.100.200", "shared by a carrier's NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "the platform's own on Azure"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "for protocol assignments"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "for benchmarks"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.7", "for documentation"),
            ("203.0.113.9", "for documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "an IPv4 address in disguise"),
            ("::ffff:127.0.0.1", "an IPv4 address in disguise"),
            ("::ffff:8.8.8.8", "an IPv4 address in disguise"),
            ("64:ff9b::a9fe:a9fe", "an IPv4 address behind NAT64"),
            ("64:ff9b:1::1", "an IPv4 address behind NAT64"),
            ("100::1", "not a global address"),
            ("2001:0:4136:e378::1", "an IPv4 address in a Teredo tunnel"),
            ("2001:2::1", "for protocol assignments"),
            ("2001:10::1", "for protocol assignments"),
            ("2001:20::1", "for protocol assignments"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "an IPv4 address in a 6to4 tunnel"),
            ("3fff:0fff::1", "for documentation"),
            ("5f00::1", "not a global address"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "not a global address"),
            ("ff02::1", "multicast"),
            ("4000::1", "not a global address"),
        ] {
            assert_eq!(special(address.parse().unwrap()), Some(what), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "3ffe::1",
        ] {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }
}
