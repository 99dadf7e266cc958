//! The broker's own tokens, coming back as proof of the identity that they were issued for.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;

use super::principal_tags::PrincipalTags;
use super::web_identity::WebIdentity;
use crate::error::{Error, InvalidLogin, Result};
use crate::ids::{AccountId, IdentityId, PoolId};
use crate::keys::KeyRing;

/// What one of our tokens says, its signature and its time being good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnToken {
    /// Whom it speaks of.
    pub subject: WebIdentity,
    /// Whom a developer's backend vouched for, if one asked for it. Nobody in a token that the identity's own client got
    /// (`GetOpenIdToken`), and nobody in one that an STS was given: those are for others to read, and whoever reads them must
    /// not become their user.
    pub developer: Option<Developer>,
}

/// A developer user, and the provider under whose name it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Developer {
    /// The developer provider.
    pub provider: String,
    /// The backend's name for the user.
    pub user: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    amr: Vec<String>,
    exp: i64,
    #[serde(rename = "https://cognito-identity.amazonaws.com/identity-pool-arn")]
    pool_arn: String,
    #[serde(rename = "https://aws.amazon.com/tags", default)]
    tags: Tags,
    token_use: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tags {
    principal_tags: BTreeMap<String, [String; 1]>,
}

/// The pool's id, alone or before the pool's extra audiences.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Pool(String),
    List(Vec<String>),
}

impl Audience {
    fn pool(&self) -> Option<&str> {
        match self {
            Self::Pool(pool) => Some(pool),
            Self::List(list) => list.first().map(String::as_str),
        }
    }
}

/// Verifies a token with the published keys, by the database's clock and without leeway.
///
/// # Errors
/// [`InvalidLogin::NotOwnToken`] if it is not one of ours, [`InvalidLogin::Expired`] if it was.
/// [`Error::CannotSign`] if the keys are not known.
pub fn verify(ring: &KeyRing, token: &str) -> Result<OwnToken> {
    let foreign = || Error::from(InvalidLogin::NotOwnToken);
    let header = jsonwebtoken::decode_header(token).map_err(|_| foreign())?;
    let kid = header.kid.ok_or_else(foreign)?;
    let now = ring.now().map(time::OffsetDateTime::unix_timestamp);
    let now = now.ok_or(Error::CannotSign("the keys have not been read from the database yet"))?;
    let key = ring.published_key(&kid)?.ok_or_else(foreign)?;
    let jwk: Jwk = serde_json::to_value(&key.public_jwk).and_then(serde_json::from_value).map_err(Error::internal)?;
    let algorithm = key.alg.as_str().parse().map_err(Error::internal)?;
    let mut rules = Validation::new(algorithm);
    rules.set_issuer(&[&ring.policy().issuer]);
    rules.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    // Which pool it is for is compared by the caller, and the time here: by another clock than the machine's.
    rules.validate_aud = false;
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(&jwk).map_err(Error::internal)?;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| foreign())?.claims;
    if now >= claims.exp {
        return Err(InvalidLogin::Expired { now, exp: claims.exp }.into());
    }
    let pool = claims.aud.pool().ok_or_else(foreign)?;
    let developer = match claims.amr.as_slice() {
        [kind, provider, user, ..] if kind == "authenticated" && claims.token_use.is_none() => user
            .strip_prefix(&format!("{provider}:{pool}:"))
            .map(|user| Developer { provider: provider.clone(), user: user.to_owned() }),
        _ => None,
    };
    let account = claims.pool_arn.split(':').nth(4).and_then(AccountId::parse);
    let tags: PrincipalTags = claims.tags.principal_tags.into_iter().map(|(key, [value])| (key, value)).collect();
    let subject = WebIdentity {
        identity: IdentityId::parse(&claims.sub).ok_or_else(foreign)?,
        pool: PoolId::parse(pool).ok_or_else(foreign)?,
        account_id: account.ok_or_else(foreign)?,
        methods: claims.amr,
        tags,
    };
    Ok(OwnToken { subject, developer })
}
