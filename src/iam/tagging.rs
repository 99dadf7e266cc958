//! Tags of what IAM keeps: their keys are the same whatever their case
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>).

use crate::error::{Error, Result};
use crate::tags::Tags;

/// How many tags a resource can have.
pub const MAX_TAGS: u32 = 50;

/// Sets tags; of keys that differ in case alone, the new one's is kept.
pub fn set(tags: &mut Tags, new: &Tags) {
    let keys: Vec<&String> = new.keys().collect();
    remove(tags, &keys);
    tags.extend(new.clone());
}

/// Removes the tags of these keys.
pub fn remove(tags: &mut Tags, keys: &[impl AsRef<str>]) {
    tags.retain(|key, _| !keys.iter().any(|given| given.as_ref().to_lowercase() == key.to_lowercase()));
}

/// Checks how many there are; `quota_name` is AWS's name for the limit.
///
/// # Errors
/// [`Error::LimitExceeded`]
pub fn check(tags: &Tags, quota_name: &str) -> Result<()> {
    if tags.len() > usize::try_from(MAX_TAGS).unwrap_or(usize::MAX) { Err(quota(quota_name, MAX_TAGS)) } else { Ok(()) }
}

/// The refusal of more than a quota allows, in IAM's words.
pub fn quota(name: &str, limit: impl std::fmt::Display) -> Error {
    Error::LimitExceeded(format!("Cannot exceed quota for {name}: {limit}"))
}
