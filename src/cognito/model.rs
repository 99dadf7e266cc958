//! The vocabulary in which [`shapes`](super::shapes) says what a request may hold: structures, lists, maps, strings,
//! numbers and their limits. Everything is constant data; nothing is built at start.

/// A named shape of the service's model.
#[derive(Debug)]
pub struct Shape {
    /// The shape's name in the model.
    pub name: &'static str,
    /// What values of it look like.
    pub kind: Kind,
}

/// What kind of value a shape describes.
#[derive(Debug)]
pub enum Kind {
    /// An object of named members, in the model's order. Members that are not named are ignored.
    Structure(&'static [Member]),
    /// An array.
    List {
        /// What each element is.
        element: &'static Shape,
        /// How many elements there may be.
        size: Bounds,
    },
    /// An object of entries.
    Map {
        /// What each key is.
        key: &'static Shape,
        /// What each value is.
        value: &'static Shape,
        /// How many entries there may be.
        size: Bounds,
    },
    /// A string.
    Text(Text),
    /// A whole number of 32 bits.
    Integer(Bounds),
    /// A whole number of 64 bits.
    Long(Bounds),
    /// `true` or `false`.
    Boolean,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The member's name on the wire.
    pub name: &'static str,
    /// What its value is.
    pub shape: &'static Shape,
    /// Whether it must be there.
    pub required: bool,
}

/// Limits, both included; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Option<i64>,
    /// The most.
    pub max: Option<i64>,
}

/// What a string may be.
#[derive(Debug)]
pub struct Text {
    /// How many Unicode characters it may have.
    pub length: Bounds,
    /// What it must look like from its first character to its last.
    pub pattern: Option<&'static Pattern>,
    /// The only values there are; empty if any value goes.
    pub one_of: &'static [&'static str],
    /// Whether the value must not be shown: not in logs, not in messages.
    pub sensitive: bool,
}

/// A regular expression of the model, and the same thing as a function.
#[derive(Debug)]
pub struct Pattern {
    /// The expression as messages show it.
    pub text: &'static str,
    /// Whether a whole string matches, as `java.util.regex` would say: `\w`, `\d` and `\s` know ASCII only.
    pub matches: fn(&str) -> bool,
}

impl Bounds {
    /// No limits.
    pub const NONE: Self = Self { min: None, max: None };

    /// From `min` to `max`.
    #[must_use]
    pub const fn between(min: i64, max: i64) -> Self {
        Self { min: Some(min), max: Some(max) }
    }

    /// Up to `max`.
    #[must_use]
    pub const fn up_to(max: i64) -> Self {
        Self { min: None, max: Some(max) }
    }
}

impl Shape {
    /// An object of these members.
    #[must_use]
    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self { name, kind: Kind::Structure(members) }
    }

    /// An array of `element`s.
    #[must_use]
    pub const fn list(name: &'static str, element: &'static Shape, size: Bounds) -> Self {
        Self { name, kind: Kind::List { element, size } }
    }

    /// An object of entries from `key` to `value`.
    #[must_use]
    pub const fn map(name: &'static str, key: &'static Shape, value: &'static Shape, size: Bounds) -> Self {
        Self { name, kind: Kind::Map { key, value, size } }
    }

    /// A string of `min` to `max` characters.
    #[must_use]
    pub const fn text(name: &'static str, min: i64, max: i64) -> Self {
        Self::string(name, Bounds::between(min, max), None, &[], false)
    }

    /// A string of `min` to `max` characters that nobody may see.
    #[must_use]
    pub const fn secret(name: &'static str, min: i64, max: i64) -> Self {
        Self::string(name, Bounds::between(min, max), None, &[], true)
    }

    /// A string of `min` to `max` characters that looks like `pattern`.
    #[must_use]
    pub const fn patterned(name: &'static str, min: i64, max: i64, pattern: &'static Pattern) -> Self {
        Self::string(name, Bounds::between(min, max), Some(pattern), &[], false)
    }

    /// The same, and nobody may see it.
    #[must_use]
    pub const fn patterned_secret(name: &'static str, min: i64, max: i64, pattern: &'static Pattern) -> Self {
        Self::string(name, Bounds::between(min, max), Some(pattern), &[], true)
    }

    /// One of these strings.
    #[must_use]
    pub const fn one_of(name: &'static str, values: &'static [&'static str]) -> Self {
        Self::string(name, Bounds::NONE, None, values, false)
    }

    const fn string(
        name: &'static str,
        length: Bounds,
        pattern: Option<&'static Pattern>,
        one_of: &'static [&'static str],
        sensitive: bool,
    ) -> Self {
        Self { name, kind: Kind::Text(Text { length, pattern, one_of, sensitive }) }
    }

    /// A 32-bit number from `min` to `max`.
    #[must_use]
    pub const fn integer(name: &'static str, min: i64, max: i64) -> Self {
        Self { name, kind: Kind::Integer(Bounds::between(min, max)) }
    }

    /// A 64-bit number from `min` to `max`.
    #[must_use]
    pub const fn long(name: &'static str, min: i64, max: i64) -> Self {
        Self { name, kind: Kind::Long(Bounds::between(min, max)) }
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn boolean(name: &'static str) -> Self {
        Self { name, kind: Kind::Boolean }
    }
}

impl Member {
    /// A member that must be there.
    #[must_use]
    pub const fn required(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape, required: true }
    }

    /// A member that may be left out.
    #[must_use]
    pub const fn optional(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape, required: false }
    }
}
