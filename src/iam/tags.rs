//! Tags as IAM keeps them: keys are the same whatever their case, and the new one's case is kept.

use crate::tags::Tags;

/// Sets tags over those that are there.
pub(super) fn set(tags: &mut Tags, given: &Tags) {
    let keys: Vec<&String> = given.keys().collect();
    remove(tags, &keys);
    tags.extend(given.clone());
}

/// Removes the tags of these keys.
pub(super) fn remove(tags: &mut Tags, keys: &[impl AsRef<str>]) {
    tags.retain(|key, _| !keys.iter().any(|given| given.as_ref().to_lowercase() == key.to_lowercase()));
}
