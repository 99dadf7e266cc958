//! The condition keys that are known by name, and what kind of value each has
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>).

/// What kind of value a key has, and so which operators make sense for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Arn,
    Address,
    Time,
    /// A time in seconds, which is a number, too.
    Seconds,
    Boolean,
}

/// What a caller's request tells about itself, and so what a policy may ask about it.
const KNOWN: &[(&str, Kind)] = &[
    ("aws:CurrentTime", Kind::Time),
    ("aws:EpochTime", Kind::Seconds),
    ("aws:PrincipalAccount", Kind::Text),
    ("aws:PrincipalArn", Kind::Arn),
    ("aws:PrincipalType", Kind::Text),
    ("aws:RequestedRegion", Kind::Text),
    ("aws:SecureTransport", Kind::Boolean),
    ("aws:SourceIp", Kind::Address),
    ("aws:UserAgent", Kind::Text),
    ("aws:userid", Kind::Text),
    ("aws:username", Kind::Text),
];

/// The kind of a key that is known; the case of its letters does not matter.
pub(super) fn kind(name: &str) -> Option<Kind> {
    KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

/// The keys that are known, for a reason.
pub(super) fn known() -> String {
    KNOWN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
