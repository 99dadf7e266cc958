//! The operators of conditions, by name
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).

use super::document::Profile;
use super::key::Kind;

/// How the values of a policy are compared with those of the circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    EqualsInAnyCase,
    Like,
    Arn,
    Bool,
    Address,
    Time(Order),
    Number(Order),
    /// Whether the key is absent.
    Null,
}

/// On which side of a policy's value that of the circumstances must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(super) fn holds<T: Ord>(self, given: &T, policy: &T) -> bool {
        match self {
            Self::Equal => given == policy,
            Self::Less => given < policy,
            Self::LessOrEqual => given <= policy,
            Self::Greater => given > policy,
            Self::GreaterOrEqual => given >= policy,
        }
    }
}

/// Over which of a key's values a comparison goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The one that it has.
    One,
    /// `ForAnyValue:`
    Any,
    /// `ForAllValues:`
    All,
}

/// An operator as a policy names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator {
    pub(super) comparison: Comparison,
    /// Whether it holds where the comparison does not.
    pub(super) negated: bool,
    /// Whether it holds if the key is absent.
    pub(super) if_exists: bool,
    pub(super) over: Over,
}

const OPERATORS: &[(&str, Comparison, bool)] = &[
    ("StringEquals", Comparison::Equals, false),
    ("StringNotEquals", Comparison::Equals, true),
    ("StringEqualsIgnoreCase", Comparison::EqualsInAnyCase, false),
    ("StringNotEqualsIgnoreCase", Comparison::EqualsInAnyCase, true),
    ("StringLike", Comparison::Like, false),
    ("StringNotLike", Comparison::Like, true),
    ("Bool", Comparison::Bool, false),
    ("IpAddress", Comparison::Address, false),
    ("NotIpAddress", Comparison::Address, true),
    ("DateEquals", Comparison::Time(Order::Equal), false),
    ("DateNotEquals", Comparison::Time(Order::Equal), true),
    ("DateLessThan", Comparison::Time(Order::Less), false),
    ("DateLessThanEquals", Comparison::Time(Order::LessOrEqual), false),
    ("DateGreaterThan", Comparison::Time(Order::Greater), false),
    ("DateGreaterThanEquals", Comparison::Time(Order::GreaterOrEqual), false),
    ("NumericEquals", Comparison::Number(Order::Equal), false),
    ("NumericNotEquals", Comparison::Number(Order::Equal), true),
    ("NumericLessThan", Comparison::Number(Order::Less), false),
    ("NumericLessThanEquals", Comparison::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Comparison::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Comparison::Number(Order::GreaterOrEqual), false),
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("Null", Comparison::Null, false),
];

impl Operator {
    /// The operator of this name.
    ///
    /// # Errors
    /// What is wrong with the name, and which are allowed.
    pub(super) fn parse(name: &str, profile: Profile) -> Result<Self, String> {
        let (over, rest) = match (name.strip_prefix("ForAnyValue:"), name.strip_prefix("ForAllValues:")) {
            (Some(rest), _) => (Over::Any, rest),
            (_, Some(rest)) => (Over::All, rest),
            _ => (Over::One, name),
        };
        if over != Over::One && !profile.is_trust() {
            return Err(
                "ForAnyValue and ForAllValues are not taken in the policy of an access key: every condition key \
                        there has one value"
                    .to_owned(),
            );
        }
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let found = OPERATORS.iter().find(|(known, comparison, _)| *known == base && profile.takes(*comparison));
        let Some((_, comparison, negated)) = found else {
            let known = OPERATORS.iter().filter(|(_, comparison, _)| profile.takes(*comparison));
            let known = known.map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
            let prefixes = if profile.is_trust() { ", with ForAnyValue: or ForAllValues: before" } else { "" };
            return Err(format!(
                "no operator that is taken here; those are {known}, each also with IfExists behind{prefixes}"
            ));
        };
        if *comparison == Comparison::Null && (if_exists || over != Over::One) {
            return Err("Null is taken alone, without IfExists, ForAnyValue or ForAllValues".to_owned());
        }
        Ok(Self { comparison: *comparison, negated: *negated, if_exists, over })
    }
}

impl Profile {
    fn takes(self, comparison: Comparison) -> bool {
        self.is_trust() || !matches!(comparison, Comparison::Number(_) | Comparison::Arn | Comparison::Null)
    }
}

impl Comparison {
    /// Whether a key of this kind can be compared like this.
    pub(super) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Equals | Self::EqualsInAnyCase | Self::Like => matches!(kind, Kind::Text | Kind::Arn),
            Self::Arn => kind == Kind::Arn,
            Self::Bool => kind == Kind::Boolean,
            Self::Address => kind == Kind::Address,
            Self::Time(_) => matches!(kind, Kind::Time | Kind::Seconds),
            Self::Number(_) => kind == Kind::Seconds,
            Self::Null => true,
        }
    }
}

impl Kind {
    /// What a key of this kind is, and which operators suit it.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Text => "is a text: compare it with StringEquals, StringLike and the like",
            Self::Arn => "is an ARN: compare it with StringEquals, StringLike and the like",
            Self::Address => "is an address: compare it with IpAddress or NotIpAddress",
            Self::Time | Self::Seconds => "is a time: compare it with DateLessThan, DateGreaterThan and the like",
            Self::Boolean => "is true or false: compare it with Bool",
        }
    }
}
