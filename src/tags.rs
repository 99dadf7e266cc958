//! Tags of resources: the rules of AWS's tagging.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Checks a resource's whole set of tags. Lengths are the model's business.
///
/// # Errors
/// [`Error::InvalidParameter`] naming the first tag that breaks a rule
/// (<https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html>).
pub fn check(tags: &Tags, limit: u32) -> Result<()> {
    if tags.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Error::InvalidParameter(format!("A resource can have at most {limit} tags.")));
    }
    for (key, value) in tags {
        check_key(key)?;
        check_characters(key, value)?;
    }
    Ok(())
}

/// Checks a tag's key, which may be that of a session tag, too.
///
/// # Errors
/// [`Error::InvalidParameter`] naming the key and the rule that it breaks.
pub fn check_key(key: &str) -> Result<()> {
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(Error::InvalidParameter(format!("Tag key '{key}' begins with the reserved prefix 'aws:'.")));
    }
    check_characters(key, key)
}

fn check_characters(key: &str, text: &str) -> Result<()> {
    match text.chars().find(|c| !is_tag_character(*c)) {
        Some(bad) => Err(Error::InvalidParameter(format!(
            "Tag '{key}' holds the character {bad:?}; letters, digits, white space and _ . : / = + - @ are allowed."
        ))),
        None => Ok(()),
    }
}

fn is_tag_character(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Tags {
        Tags::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn tags_follow_the_rules_of_aws() {
        check(&one("Team", "blue/1 @home"), 50).unwrap();
        check(&one("Équipe", ""), 50).unwrap();
        assert!(check(&one("aws:x", "y"), 50).is_err());
        assert!(check(&one("AWS:x", "y"), 50).is_err());
        assert!(check(&one("a", "b\n"), 50).is_err());
        assert!(check(&one("a*", "b"), 50).is_err());
        assert!(check(&one("a", "b"), 0).is_err());
    }
}
