//! Principal tags by claims: which claims of a login's token become session tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was set by `SetPrincipalTagAttributeMap` for one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagMap {
    /// Whether the default mapping is used.
    pub use_defaults: Option<bool>,
    /// Names of claims by the keys of tags.
    pub principal_tags: Option<BTreeMap<String, String>>,
}

/// The default mapping
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/attributes-for-access-control.html>).
const DEFAULTS: [(&str, &str); 2] = [("client", "aud"), ("username", "sub")];

impl TagMap {
    /// The tags that this map makes, each with the claim that it comes from. The default mapping stands alone.
    #[must_use]
    pub fn mapping(&self) -> Vec<(&str, &str)> {
        if self.use_defaults == Some(true) {
            return DEFAULTS.to_vec();
        }
        self.principal_tags.iter().flatten().map(|(tag, claim)| (tag.as_str(), claim.as_str())).collect()
    }
}
