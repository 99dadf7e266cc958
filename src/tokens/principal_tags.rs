//! Principal tags of a token: the ones that the caller gave, and those that the pool's maps make of claims.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, InvalidLogin, Result};
use crate::pools::Pool;
use crate::upstream::VerifiedLogin;

/// Session tags by key.
pub type PrincipalTags = BTreeMap<String, String>;

/// How many tags a session can have, and how long a value can be, in characters
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).
const MAX_TAGS: usize = 50;
const MAX_VALUE_CHARS: usize = 256;

/// The tags that the attribute maps of the pool make of the claims of these logins, with `given` over them.
///
/// A claim that a token lacks makes no tag, and neither does one that is not a single value: text, a number, or true or
/// false.
///
/// # Errors
/// [`InvalidLogin::UnfitTagClaim`] for a value that no tag can have: to leave it out could open what it is to close.
/// [`Error::InvalidParameter`] for more tags than a session can have.
pub fn of(pool: &Pool, logins: &[VerifiedLogin], given: PrincipalTags) -> Result<PrincipalTags> {
    let mut tags = PrincipalTags::new();
    for login in logins {
        let map = pool.numbered.get(login.login_key()).and_then(|provider| provider.tag_map.as_ref());
        for (tag, claim) in map.map(|map| map.mapping(login.login_key())).unwrap_or_default() {
            if let Some(value) = value(login, claim)? {
                tags.insert(tag.to_owned(), value);
            }
        }
    }
    tags.extend(given);
    if tags.len() > MAX_TAGS {
        return Err(Error::InvalidParameter(format!("A token can carry at most {MAX_TAGS} principal tags.")));
    }
    Ok(tags)
}

fn value(login: &VerifiedLogin, claim: &str) -> Result<Option<String>> {
    // The client that the token was accepted for: `aud` may list others beside it.
    let value = if claim == "aud" {
        login.client_id().to_owned()
    } else {
        match login.claims().get(claim) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => return Ok(None),
        }
    };
    if value.is_empty() {
        return Ok(None);
    }
    if value.chars().count() > MAX_VALUE_CHARS {
        return Err(InvalidLogin::UnfitTagClaim(claim.to_owned()).into());
    }
    Ok(Some(value))
}
