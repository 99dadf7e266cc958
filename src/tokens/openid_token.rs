//! The OpenID token: its claims, in AWS's order, and its signature.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::principal_tags::PrincipalTags;
use crate::config::{Algorithm, TokenType};
use crate::error::{Error, Result};
use crate::identities::DeveloperUser;
use crate::ids::IdentityId;
use crate::keys::{KeyRing, Signer};
use crate::pools::Pool;
use crate::upstream::VerifiedLogin;

/// No consumer needs more, and header limits of proxies begin near here.
const MAX_TOKEN_BYTES: usize = 16_000;

/// What a token says, but for when and by whom.
#[derive(Debug)]
pub struct Grant<'a> {
    subject: String,
    audience: String,
    /// What else stands in `aud`.
    extra_audiences: &'a [String],
    pool_arn: String,
    methods: Vec<String>,
    tags: Option<&'a PrincipalTags>,
    lifetime: Duration,
    token_use: Option<&'static str>,
}

/// The `token_use` of what goes to an STS.
const FOR_STS: &str = "sts";

/// By whom a user is vouched for: the logins of the call, in `amr`'s order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vouched<'a> {
    /// The user that a developer's backend named.
    pub developer: Option<&'a DeveloperUser>,
    /// The logins whose tokens held.
    pub public: &'a [VerifiedLogin],
}

impl Vouched<'_> {
    fn is_by_nobody(&self) -> bool {
        self.developer.is_none() && self.public.is_empty()
    }
}

impl<'a> Grant<'a> {
    /// The grant for an identity. Without anyone to vouch for it, it is a guest, and its token is for the pool's own
    /// audience alone: anyone who knows the pool's id becomes a guest, and a consumer that looks no further than at an
    /// audience of its own would let him in.
    #[must_use]
    pub fn new(
        pool: &'a Pool,
        identity: &IdentityId,
        vouched: Vouched<'_>,
        tags: &'a PrincipalTags,
        lifetime: Duration,
    ) -> Self {
        let extra_audiences = if vouched.is_by_nobody() { &[] } else { pool.audiences.as_slice() };
        let grant = Self::for_sts(pool, identity, methods(pool, vouched), tags, lifetime);
        Self { extra_audiences, token_use: None, ..grant }
    }

    /// The grant for a token that goes to an STS, and to nobody else: for the pool's own audience alone. It says so, since
    /// its `amr` can be that of a developer's token: whoever sees what the STS is given could bring it back as the proof of
    /// that user, be given a fresh one, and never be without.
    #[must_use]
    pub fn for_sts(
        pool: &Pool,
        identity: &IdentityId,
        methods: Vec<String>,
        tags: &'a PrincipalTags,
        lifetime: Duration,
    ) -> Self {
        Self {
            subject: identity.to_string(),
            audience: pool.id.to_string(),
            extra_audiences: &[],
            pool_arn: pool.arn(),
            methods,
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            lifetime,
            token_use: Some(FOR_STS),
        }
    }
}

/// Authentication methods (RFC 8176's `amr`) as AWS writes them: the kind, and for each login its provider and user.
#[must_use]
pub fn methods(pool: &Pool, vouched: Vouched<'_>) -> Vec<String> {
    if vouched.is_by_nobody() {
        return vec!["unauthenticated".to_owned()];
    }
    let mut methods = Vec::with_capacity(3 + 2 * vouched.public.len());
    methods.push("authenticated".to_owned());
    if let Some(user) = vouched.developer {
        let provider = pool.settings.developer_provider.as_deref().unwrap_or_default();
        methods.push(provider.to_owned());
        methods.push(format!("{provider}:{}:{}", pool.id, user.as_str()));
    }
    for login in vouched.public {
        methods.push(login.login_key().to_owned());
        methods.push(login.method());
    }
    methods
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
    aud: Audience<'a>,
    amr: &'a [String],
    #[serde(rename = "https://aws.amazon.com/tags", skip_serializing_if = "Option::is_none")]
    tags: Option<Tags<'a>>,
    iss: &'a str,
    #[serde(rename = "https://cognito-identity.amazonaws.com/identity-pool-arn")]
    pool_arn: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_use: Option<&'static str>,
}

/// `aud` (RFC 7519 section 4.1.3): the pool's id alone, as AWS has it, or a list in which it is the first.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    Pool(&'a str),
    List(Vec<&'a str>),
}

impl<'a> Audience<'a> {
    fn of(grant: &'a Grant<'_>) -> Self {
        if grant.extra_audiences.is_empty() {
            return Self::Pool(&grant.audience);
        }
        let extra = grant.extra_audiences.iter().map(String::as_str);
        Self::List(std::iter::once(grant.audience.as_str()).chain(extra).collect())
    }
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
        aud: Audience::of(grant),
        amr: &grant.methods,
        tags: grant.tags.map(|tags| Tags {
            principal_tags: tags.iter().map(|(key, value)| (key.as_str(), [value.as_str()])).collect(),
        }),
        iss: &ring.policy().issuer,
        pool_arn: &grant.pool_arn,
        exp,
        iat,
        token_use: grant.token_use,
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
