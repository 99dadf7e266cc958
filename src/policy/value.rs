//! What conditions compare, beside texts: times, numbers and networks of addresses. Each is read from policies and from
//! circumstances by the same function.

use std::net::IpAddr;

use time::OffsetDateTime;

use crate::clock;

/// The time in a text: ISO 8601 as a day (midnight UTC), or as a day and a time with a zone; or whole seconds since
/// 1970.
///
/// Four digits alone are no time: they would be a year to their author, and a moment of 1970 to their reader.
pub(super) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    if text.len() != 4 && digits(text) {
        return OffsetDateTime::from_unix_timestamp(text.parse().ok()?).ok();
    }
    if !text.is_ascii() {
        return None;
    }
    let whole = match (text.len(), text.as_bytes().get(16)) {
        (10, _) => format!("{text}T00:00:00Z"),
        // Minutes, and then the zone.
        (_, Some(b'Z' | b'+' | b'-')) => format!("{}:00{}", text.get(..16)?, text.get(16..)?),
        _ => text.to_owned(),
    };
    clock::parse(&whole)
}

/// A decimal number, in units of 10⁻¹⁸, so that no two numbers are mistaken for equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(i128);

impl Number {
    const DECIMALS: usize = 18;

    /// The number in a text: at most 18 digits before the point and 18 behind it, without an exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (unsigned, None),
        };
        let fits = |part: &str| digits(part) && part.len() <= Self::DECIMALS;
        if !fits(whole) || !fraction.is_none_or(fits) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        let units: i128 = format!("{whole}{fraction:0<width$}", width = Self::DECIMALS).parse().ok()?;
        Some(Self(if negative { -units } else { units }))
    }
}

/// A network of addresses; a single address is one, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// The network in a text: an address, or one with the length of its prefix. IPv4 inside IPv6 is IPv4.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if digits(prefix) && prefix.len() <= 3 => (address, Some(prefix.parse().ok()?)),
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.unwrap_or_else(|| bits(address));
        let (address, prefix) = match address.to_canonical() {
            inner if inner != address && prefix >= 96 => (inner, prefix - 96),
            _ => (address, prefix),
        };
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// Whether an address lies in it.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        let shift = |bits: u32| bits - self.prefix;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(given)) => {
                (ours.to_bits() ^ given.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(given)) => {
                (ours.to_bits() ^ given.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_of_iso_8601_and_as_seconds() {
        let noon = OffsetDateTime::from_unix_timestamp(1_767_268_800).unwrap();
        for text in [
            "2026-01-01T12:00:00Z",
            "2026-01-01T12:00Z",
            "2026-01-01T14:00:00+02:00",
            "2026-01-01T14:00+02:00",
            "2026-01-01T07:00-05:00",
            "2026-01-01T12:00:00.000Z",
            "1767268800",
        ] {
            assert_eq!(parse_time(text), Some(noon), "{text}");
        }
        assert_eq!(parse_time("2026-01-01"), Some(noon - time::Duration::hours(12)));
        assert!(parse_time("2026-01-01T12:00:00.5Z") > Some(noon));
        assert_eq!(parse_time("0"), Some(OffsetDateTime::UNIX_EPOCH));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026",
            "2026-01",
            "2026-13-01",
            "2026-02-30",
            "2026-01-01T12:00:00",
            "2026-01-01T12:00",
            "20260101T120000Z",
            "tomorrow",
            "-1",
            "1.5",
            "1767268800000000",
            "2026-01-01T25:00:00Z",
            "2026-01-0é",
            "9999-12-31T23:59:59-23:59",
            "٢٠٢٦-٠١-٠١",
            "2026-01-01 ",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let number = |text: &str| Number::parse(text).unwrap();
        assert!(number("9007199254740993") > number("9007199254740992"));
        assert!(number("0.1") == number("0.10") && number("-1") < number("-0.5") && number("0") == number("-0"));
        for text in
            ["", "-", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "1234567890123456789", "NaN", "0x1", "--1", "1.-5"]
        {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks_hold_the_addresses_of_their_prefix() {
        for (network, address, holds) in [
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.9/24", "203.0.113.1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:DB8:0:0::1", true),
            ("203.0.113.0/24", "::ffff:203.0.113.1", true),
            ("::ffff:203.0.113.0/120", "203.0.113.1", true),
            ("::ffff:203.0.113.0/120", "203.0.114.1", false),
            ("::ffff:203.0.113.7", "203.0.113.7", true),
        ] {
            assert_eq!(Network::parse(network).unwrap().holds(address.parse().unwrap()), holds, "{network} {address}");
        }
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "10.*",
            "localhost",
            "010.0.0.1",
        ] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
