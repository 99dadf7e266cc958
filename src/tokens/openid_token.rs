//! The OpenID token: its claims, in AWS's order, and its signature.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::config::{Algorithm, TokenType};
use crate::error::{Error, Result};
use crate::identities::DeveloperUser;
use crate::ids::IdentityId;
use crate::keys::{KeyRing, Signer};
use crate::pools::Pool;

/// No consumer needs more, and header limits of proxies begin near here.
const MAX_TOKEN_BYTES: usize = 16_000;

/// What a token says, but for when and by whom.
#[derive(Debug)]
pub struct Grant<'a> {
    subject: String,
    audience: String,
    pool_arn: String,
    methods: [String; 3],
    tags: Option<&'a BTreeMap<String, String>>,
    lifetime: Duration,
}

impl<'a> Grant<'a> {
    /// The grant for an identity that a developer's backend vouched for.
    #[must_use]
    pub fn developer(
        pool: &Pool,
        identity: &IdentityId,
        provider: &str,
        user: &DeveloperUser,
        tags: Option<&'a BTreeMap<String, String>>,
        lifetime: Duration,
    ) -> Self {
        Self {
            subject: identity.to_string(),
            audience: pool.id.to_string(),
            pool_arn: pool.arn(),
            methods: [
                "authenticated".to_owned(),
                provider.to_owned(),
                format!("{provider}:{}:{}", pool.id, user.as_str()),
            ],
            tags: tags.filter(|tags| !tags.is_empty()),
            lifetime,
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    kid: &'a str,
    typ: &'a str,
    alg: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: &'a str,
    amr: &'a [String],
    #[serde(rename = "https://aws.amazon.com/tags", skip_serializing_if = "Option::is_none")]
    tags: Option<Tags<'a>>,
    iss: &'a str,
    #[serde(rename = "https://cognito-identity.amazonaws.com/identity-pool-arn")]
    pool_arn: &'a str,
    exp: i64,
    iat: i64,
}

/// Session tags as AWS STS reads them: every value a list of one
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).
#[derive(Serialize)]
struct Tags<'a> {
    principal_tags: BTreeMap<&'a str, [&'a str; 1]>,
}

/// Signs a token for `grant`, dated by the database's clock.
///
/// # Errors
/// [`Error::CannotSign`] if no key may sign now; [`Error::InvalidParameter`] if the token would be too large.
pub fn mint(ring: &KeyRing, token_type: TokenType, grant: &Grant<'_>) -> Result<String> {
    let signer = ring.signer()?;
    let mut token = unsigned(ring, &signer, token_type, grant)?;
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    refuse_beyond_limit(token.len())?;
    Ok(token)
}

/// Refuses a grant whose token would be too large, before anything is written for it. Every subject is of one length.
///
/// # Errors
/// As [`mint`].
pub fn check_length(ring: &KeyRing, token_type: TokenType, grant: &Grant<'_>) -> Result<()> {
    let signer = ring.signer()?;
    let signature = match signer.alg {
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => 342,
        Algorithm::ES256 => 86,
        Algorithm::ES384 => 128,
    };
    refuse_beyond_limit(unsigned(ring, &signer, token_type, grant)?.len() + 1 + signature)
}

fn refuse_beyond_limit(length: usize) -> Result<()> {
    if length <= MAX_TOKEN_BYTES {
        return Ok(());
    }
    Err(Error::InvalidParameter(format!(
        "The token would be {length} bytes long; at most {MAX_TOKEN_BYTES} are allowed. Use fewer or shorter \
         PrincipalTags."
    )))
}

/// The token up to its signature.
fn unsigned(ring: &KeyRing, signer: &Signer<'_>, token_type: TokenType, grant: &Grant<'_>) -> Result<String> {
    let iat = signer.now.unix_timestamp();
    let exp = iat + i64::try_from(grant.lifetime.as_secs()).unwrap_or(i64::MAX - iat);
    let typ = match token_type {
        TokenType::JWT => "JWT",
        TokenType::JWS => "JWS",
    };
    let claims = Claims {
        sub: &grant.subject,
        aud: &grant.audience,
        amr: &grant.methods,
        tags: grant.tags.map(|tags| Tags {
            principal_tags: tags.iter().map(|(key, value)| (key.as_str(), [value.as_str()])).collect(),
        }),
        iss: &ring.policy().issuer,
        pool_arn: &grant.pool_arn,
        exp,
        iat,
    };
    let header = Header { kid: &signer.kid, typ, alg: signer.alg.as_str() };
    let mut token = String::with_capacity(1_024);
    for part in [serde_json::to_vec(&header), serde_json::to_vec(&claims)] {
        URL_SAFE_NO_PAD.encode_string(part.map_err(Error::internal)?, &mut token);
        token.push('.');
    }
    token.pop();
    Ok(token)
}
