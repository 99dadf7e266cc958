//! Policies with conditions, for the matrix.

use super::expectations::{Circumstances, EVERYTHING, NOTHING, Row, row};

/// Allows everything under some condition.
macro_rules! allow_if {
    ($condition:literal) => {
        concat!(r#"[{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": "#, $condition, "}]")
    };
}

/// Allows everything, and denies it under some condition.
macro_rules! deny_if {
    ($condition:literal) => {
        concat!(
            r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"},"#,
            r#" {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": "#,
            $condition,
            "}]"
        )
    };
}

/// Where requests come from, and how.
pub fn of_the_way() -> Vec<Row> {
    let by = |peer, headers| Circumstances { peer, headers };
    let from = |peer| by(peer, &[]);
    vec![
        row(
            "a network, within",
            EVERYTHING,
            NOTHING,
            allow_if!(r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#),
        ),
        row("a network, without", NOTHING, NOTHING, allow_if!(r#"{"IpAddress": {"aws:SOURCEIP": "203.0.113.0/29"}}"#)),
        row(
            "a network, behind the proxy",
            EVERYTHING,
            NOTHING,
            allow_if!(r#"{"IpAddress": {"aws:SourceIp": "203.0.113.8/29"}}"#),
        )
        .under(by("10.0.0.1", &[("x-forwarded-for", "198.51.100.1, 203.0.113.9")])),
        row(
            "a network, said by nobody who is trusted",
            NOTHING,
            NOTHING,
            allow_if!(r#"{"IpAddress": {"aws:SourceIp": ["203.0.113.8/29", "2001:db8::/64"]}}"#),
        )
        .under(by("198.51.100.1", &[("x-forwarded-for", "203.0.113.9")])),
        row(
            "a Deny outside of a network",
            NOTHING,
            EVERYTHING,
            deny_if!(r#"{"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#),
        )
        .under(from("198.51.100.1")),
        row("TLS, which there is not", NOTHING, NOTHING, allow_if!(r#"{"Bool": {"aws:SecureTransport": "true"}}"#)),
        row("TLS, by the proxy", EVERYTHING, NOTHING, allow_if!(r#"{"Bool": {"aws:SecureTransport": "true"}}"#))
            .under(by("10.0.0.1", &[("x-forwarded-proto", "https")])),
        row("no TLS, by the proxy", NOTHING, EVERYTHING, deny_if!(r#"{"Bool": {"aws:SecureTransport": "false"}}"#))
            .under(by("10.0.0.1", &[("x-forwarded-proto", "http")])),
        row(
            "TLS, said by nobody who is trusted",
            NOTHING,
            EVERYTHING,
            deny_if!(r#"{"Bool": {"aws:SecureTransport": false}}"#),
        )
        .under(by("203.0.113.9", &[("x-forwarded-proto", "https")])),
    ]
}

/// When they come, and who sends them. They have no `User-Agent` here.
pub fn of_the_rest() -> Vec<Row> {
    vec![
        row(
            "a time that has begun and not ended",
            EVERYTHING,
            NOTHING,
            allow_if!(
                r#"{"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"},
                    "DateLessThanEquals": {"aws:EpochTime": 4102444800}}"#
            ),
        ),
        row(
            "a time that is over",
            NOTHING,
            NOTHING,
            allow_if!(
                r#"{"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"},
                    "DateLessThan": {"aws:CurrentTime": "2020-02-01T00:00:00Z"}}"#
            ),
        ),
        row(
            "a Deny that a missing key does not escape",
            NOTHING,
            EVERYTHING,
            deny_if!(r#"{"StringNotEquals": {"aws:UserAgent": "ours"}}"#),
        ),
        row(
            "a Deny that speaks of a missing key alone",
            EVERYTHING,
            NOTHING,
            deny_if!(r#"{"StringLike": {"aws:UserAgent": "*"}}"#),
        ),
        row("a missing key", NOTHING, NOTHING, allow_if!(r#"{"StringEquals": {"aws:UserAgent": "ours"}}"#)),
        row(
            "a missing key, IfExists",
            EVERYTHING,
            NOTHING,
            allow_if!(r#"{"StringEqualsIfExists": {"aws:UserAgent": "ours"}}"#),
        ),
        row(
            "a Deny, IfExists",
            NOTHING,
            EVERYTHING,
            deny_if!(r#"{"StringEqualsIfExists": {"aws:UserAgent": "theirs"}}"#),
        ),
        row(
            "its own name, account and region",
            EVERYTHING,
            NOTHING,
            allow_if!(
                r#"{"StringLike": {"aws:PrincipalArn": "arn:aws:iam::ACCOUNT:user/AKIA*", "aws:userid": "AKIA*"},
                    "StringEquals": {"aws:PrincipalAccount": "ACCOUNT", "aws:RequestedRegion": "us-east-1"}}"#
            ),
        ),
        row(
            "one of two conditions",
            NOTHING,
            NOTHING,
            allow_if!(
                r#"{"StringEquals": {"aws:PrincipalType": "User"},
                    "StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}"#
            ),
        ),
    ]
}
