//! The roles of a pool's identities: the ones by kind, and the mappings of each provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was set by `SetIdentityPoolRoles`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Role ARNs by `authenticated` and `unauthenticated`.
    pub by_kind: Option<BTreeMap<String, String>>,
    /// How each provider's users get their roles, by provider.
    pub mappings: Option<BTreeMap<String, RoleMapping>>,
}

/// How the users of one provider get their roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMapping {}
