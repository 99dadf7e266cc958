//! The principal tags that a seed asks for in a pool, checked by the same rules as `SetPrincipalTagAttributeMap`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::document::Section;
use super::pool::ANY_POOL_ID;
use super::wanted::{fits_model, words};
use crate::pools::Settings;
use crate::pools::principal_tags::TagMap;

/// The principal tags of one provider.
pub(super) struct WantedTags {
    /// By any of its names.
    pub(super) provider: String,
    pub(super) map: TagMap,
}

impl WantedTags {
    /// Whether `map` is what the seed says: what was left out when it was set reads as false and as no tags.
    pub(super) fn is(&self, map: &TagMap) -> bool {
        let TagMap { use_defaults, principal_tags } = map.clone();
        self.map == whole(use_defaults, principal_tags)
    }
}

fn whole(use_defaults: Option<bool>, principal_tags: Option<BTreeMap<String, String>>) -> TagMap {
    TagMap {
        use_defaults: Some(use_defaults.unwrap_or_default()),
        principal_tags: Some(principal_tags.unwrap_or_default()),
    }
}

/// The principal tags of each provider that the section of a pool names; the pool shall have these settings.
pub(super) fn read(pool: &Section<'_, '_>, settings: &Settings) -> Vec<WantedTags> {
    let mut wanted = Vec::new();
    let mut seen = BTreeSet::new();
    for section in pool.sections("principal_tag") {
        let Some(tags) = read_one(&section) else { continue };
        check(&section, &tags);
        let field = "identity_provider_name";
        match settings.login_key(&tags.provider) {
            None => section.problem(field, "this identity_pool section has no provider of this name"),
            // Under two names it would be set twice.
            Some(key) if !seen.insert(key.to_owned()) => section.problem(field, "stands twice in this pool"),
            Some(_) => {}
        }
        wanted.push(tags);
    }
    wanted
}

fn read_one(section: &Section<'_, '_>) -> Option<WantedTags> {
    let provider = section.needed_text("identity_provider_name");
    let map = whole(section.flag("use_defaults"), section.text_map("principal_tags"));
    section.end();
    Some(WantedTags { provider: provider?, map })
}

/// Checks a map as a request that asks for it would be.
fn check(section: &Section<'_, '_>, wanted: &WantedTags) {
    let request = json!({
        "IdentityPoolId": ANY_POOL_ID,
        "IdentityProviderName": wanted.provider,
        "UseDefaults": wanted.map.use_defaults,
        "PrincipalTags": wanted.map.principal_tags,
    });
    if fits_model(section, "", "SetPrincipalTagAttributeMap", &request)
        && let Err(why) = wanted.map.check()
    {
        section.problem("principal_tags", &words(why));
    }
}
