//! GetCredentialsForIdentity, the enhanced flow: who asks is proven as for GetOpenIdToken, gets a role, and credentials
//! of it from the STS that the operator names or from this broker itself.

use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;

use super::caller::Visitor;
use super::logins::{self, Logins};
use super::tokens::{Asked, LIFETIME};
use super::wire;
use crate::app::App;
use crate::error::{Error, Result};
use crate::iam::Role;
use crate::ids::IdentityId;
use crate::pools::Pool;
use crate::pools::role_choice::{self, Asking, MappedLogin};
use crate::retry;
use crate::tenants::access_key::Secret;
use crate::tokens::openid_token::{Grant, Vouched, check_length, methods, mint};
use crate::tokens::principal_tags::{self, PrincipalTags};
use crate::tokens::session;
use crate::tokens::web_identity::{Circumstances, WebIdentity};
use crate::upstream::VerifiedLogin;
use crate::upstream::sts::{Assume, SESSION_NAME};

/// `GetCredentialsForIdentity`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Input {
    identity_id: String,
    #[serde(default)]
    logins: Option<Logins>,
    custom_role_arn: Option<String>,
}

/// `GetCredentialsForIdentity`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    credentials: Credentials,
    identity_id: String,
}

/// Credentials, as this API alone spells them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    #[serde(serialize_with = "wire::timestamp")]
    expiration: OffsetDateTime,
    #[serde(serialize_with = "exposed")]
    secret_key: Secret,
    session_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(secret.expose()))
}

impl From<session::Credentials> for Credentials {
    fn from(made: session::Credentials) -> Self {
        Self {
            access_key_id: made.access_key_id,
            expiration: made.expires_at,
            secret_key: made.secret,
            session_token: made.session_token,
        }
    }
}

/// Who asks, as far as it is proven.
struct Proven {
    methods: Vec<String>,
    tags: PrincipalTags,
    public: Vec<VerifiedLogin>,
}

/// `GetCredentialsForIdentity`. The identity that is answered can be another than the one asked for.
pub async fn get(app: &App, visitor: Visitor, input: Input) -> Result<Output> {
    let asked = Asked::read(app, visitor, "GetCredentialsForIdentity", &input.identity_id).await?;
    let logins = input.logins.unwrap_or_default();
    let proven = if logins.is_empty() {
        asked.check_guest()?;
        None
    } else {
        Some(prove(app, &asked, logins).await?)
    };
    let identity = match &proven {
        Some(proven) if !proven.public.is_empty() => {
            let grant = proven.grant(&asked.pool, &asked.id);
            // Whoever is refused for a token that would be too long has linked nothing.
            check_length(&app.ring, app.config.issuer.token_type, &grant)?;
            asked.sign_in(app, &proven.public).await?
        }
        _ => asked.id.clone(),
    };
    let role = choose_role(&asked.pool, proven.as_ref(), input.custom_role_arn.as_deref()).inspect_err(|error| {
        if matches!(error, Error::NoUsableRole) {
            let kind = if proven.is_some() { "authenticated" } else { "unauthenticated" };
            tracing::warn!(kind, pool = %asked.pool.id, "a pool has no role of this kind: SetIdentityPoolRoles gives it one");
        }
    })?;
    let credentials = credentials(app, visitor, &asked.pool, &identity, proven, &role).await?;
    Ok(Output { credentials, identity_id: identity.to_string() })
}

async fn prove(app: &App, asked: &Asked, mut logins: Logins) -> Result<Proven> {
    let token = logins::take_own_token(&mut logins);
    logins::check_keys(&asked.pool, &logins)?;
    let own = match &token {
        Some(token) => Some(asked.check_own_token(app, token).await?),
        None => None,
    };
    let public = asked.verify(app, logins).await?;
    let given = own.as_ref().map(|own| own.tags.clone()).unwrap_or_default();
    let tags = principal_tags::of(&asked.pool, &public, given)?;
    let mut all = own.as_ref().map(|own| own.methods.clone()).unwrap_or_default();
    let of_public = methods(&asked.pool, Vouched { developer: None, public: &public });
    // Both begin with the kind; and what is proven here, the backend's token may say already.
    for method in of_public.into_iter().skip(usize::from(own.is_some())) {
        if !all.contains(&method) {
            all.push(method);
        }
    }
    Ok(Proven { methods: all, tags, public })
}

impl Proven {
    fn grant<'a>(&'a self, pool: &Pool, identity: &IdentityId) -> Grant<'a> {
        Grant::for_sts(pool, identity, self.methods.clone(), &self.tags, LIFETIME)
    }
}

/// The ARN of the role for who is asking. A developer's user has no claims, and the role of its kind, whatever mapping its
/// provider has
/// (<https://docs.aws.amazon.com/cognito/latest/developerguide/developer-authenticated-identities.html>).
fn choose_role(pool: &Pool, proven: Option<&Proven>, custom: Option<&str>) -> Result<String> {
    let Some(proven) = proven else {
        return role_choice::choose(&pool.roles, Asking::Guest, custom).map(ToOwned::to_owned);
    };
    let mapped = |login| MappedLogin { names: VerifiedLogin::mapping_names(login), claims: login.claims() };
    let logins: Vec<MappedLogin<'_>> = proven.public.iter().map(mapped).collect();
    role_choice::choose(&pool.roles, Asking::User(&logins), custom).map(ToOwned::to_owned)
}

/// Credentials from the STS, or of our own; no third way.
async fn credentials(
    app: &App,
    visitor: Visitor,
    pool: &Pool,
    identity: &IdentityId,
    proven: Option<Proven>,
    role: &str,
) -> Result<Credentials> {
    let guest = proven.is_none();
    let (methods, tags) = proven.map_or_else(
        || (vec!["unauthenticated".to_owned()], PrincipalTags::new()),
        |proven| (proven.methods, proven.tags),
    );
    let (backend, made) = if let Some(sts) = &app.sts {
        let lifetime = LIFETIME.min(app.config.tokens.max_lifetime);
        let grant = Grant::for_sts(pool, identity, methods, &tags, lifetime);
        let token = mint(&app.ring, app.config.issuer.token_type, &grant)?;
        let given = sts.assume(Assume { role, token: &token, guest }).await?;
        let made = Credentials {
            access_key_id: given.access_key_id,
            expiration: given.expires_at,
            secret_key: Secret::new(&given.secret),
            session_token: given.session_token,
        };
        ("sts", made)
    } else if app.config.credentials.builtin {
        let subject = WebIdentity {
            identity: identity.clone(),
            pool: pool.id.clone(),
            account_id: pool.account_id.clone(),
            methods,
            tags,
        };
        ("builtin", assume_here(app, visitor, &subject, role).await?)
    } else {
        tracing::warn!("no credentials are given: neither credentials.sts_endpoint nor credentials.builtin is set");
        return Err(Error::NoUsableRole);
    };
    metrics::counter!("symbolon_credentials_issued_total", "backend" => backend).increment(1);
    Ok(made)
}

/// Credentials of our own: what our STS would give for a token of this identity.
async fn assume_here(app: &App, visitor: Visitor, subject: &WebIdentity, arn: &str) -> Result<Credentials> {
    let refused = |why: &str| {
        tracing::warn!(role = arn, pool = %subject.pool, why, "an identity is not admitted to its role");
        Error::NoUsableRole
    };
    let role = retry!(app.db, |conn| { Role::of_arn(conn, &subject.account_id, &subject.pool.region, arn).await })?;
    let role = role.ok_or_else(|| refused("the pool's account has no such role"))?;
    let now = app.ring.now().ok_or(Error::CannotSign("the keys have not been read from the database yet"))?;
    let lifetime = app.config.credentials.lifetime.as_secs().min(u64::try_from(role.max_session_duration).unwrap_or(0));
    let expires_at = now + std::time::Duration::from_secs(lifetime);
    let at =
        Circumstances { issuer: &app.ring.policy().issuer, session_name: SESSION_NAME, address: visitor.address, now };
    match subject.assume(&role, at, expires_at) {
        Ok(session) => Ok(session.credentials(&app.seal, now)?.into()),
        Err(Error::RoleNotAssumable(why)) => Err(refused(&why)),
        Err(error) => Err(error),
    }
}
