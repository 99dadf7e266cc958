//! STS: a token of ours for credentials of ours, and who somebody is
//! (<https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::iam::timestamp;
use crate::app::App;
use crate::cognito::caller::{Verified, Visitor};
use crate::error::{Error, Result};
use crate::iam::Role;
use crate::retry;
use crate::tokens::own_token;
use crate::tokens::web_identity::Circumstances;

/// How long a session lasts unless told, in seconds.
const DEFAULT_DURATION: i64 = 3_600;

/// `AssumeRoleWithWebIdentity`'s input. Session policies could only take away from rights that these sessions do not have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumeInput {
    role_arn: String,
    role_session_name: String,
    web_identity_token: String,
    provider_id: Option<String>,
    policy: Option<String>,
    duration_seconds: Option<i64>,
}

/// `AssumeRoleWithWebIdentity`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumeOutput {
    assumed_role_user: AssumedRoleUser,
    audience: String,
    credentials: Credentials,
    provider: String,
    subject_from_web_identity_token: String,
}

/// The session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumedRoleUser {
    arn: String,
    assumed_role_id: String,
}

/// Its credentials.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    access_key_id: String,
    expiration: String,
    secret_access_key: String,
    session_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// `AssumeRoleWithWebIdentity`: whom one of our tokens speaks of takes on a role of the same tenant, if the role trusts it.
pub async fn assume_role(app: &App, visitor: Visitor, input: AssumeInput) -> Result<AssumeOutput> {
    if !app.config.credentials.builtin {
        return Err(Error::NoCredentials);
    }
    let own = own_token::verify(&app.ring, &input.web_identity_token)?;
    if input.provider_id.is_some() {
        // For providers of OAuth 2.0 access tokens alone: an OpenID token says itself whose it is.
        return Err(Error::InvalidParameter("ProviderId is not for OpenID Connect tokens.".to_owned()));
    }
    if input.policy.as_deref().is_some_and(|text| serde_json::from_str::<serde_json::Map<String, Value>>(text).is_err())
    {
        return Err(Error::MalformedPolicy("Policy: is not a policy document in JSON".to_owned()));
    }
    let (account, region) = (&own.subject.account_id, &own.subject.pool.region);
    let role = retry!(app.db, |conn| { Role::of_arn(conn, account, region, &input.role_arn).await })?;
    let told = |error: &Error| {
        if let Error::RoleNotAssumable(why) = error {
            tracing::info!(role = input.role_arn, pool = %own.subject.pool, why, "a token is not admitted to a role");
        }
    };
    let no_such_role = || Error::RoleNotAssumable("the pool's account has no such role".to_owned());
    let role = role.ok_or_else(no_such_role).inspect_err(told)?;
    let seconds = input.duration_seconds.unwrap_or(DEFAULT_DURATION.min(role.max_session_duration.into()));
    let now = app.ring.now().unwrap_or_else(|| app.clock.wall());
    let expires_at = now + time::Duration::seconds(seconds);
    let at = Circumstances {
        issuer: &app.ring.policy().issuer,
        session_name: &input.role_session_name,
        address: visitor.address,
        now,
    };
    let session = own.subject.assume(&role, at, expires_at).inspect_err(told)?;
    // Only to whom the role trusts is it told how long its sessions may last.
    if seconds > i64::from(role.max_session_duration) {
        return Err(Error::SessionTooLong);
    }
    let made = session.credentials(&app.seal, now)?;
    metrics::counter!("symbolon_credentials_issued_total", "backend" => "builtin").increment(1);
    Ok(AssumeOutput {
        assumed_role_user: AssumedRoleUser {
            arn: session.arn(own.subject.pool.region.partition()),
            assumed_role_id: session.user_id(),
        },
        audience: own.subject.pool.to_string(),
        credentials: Credentials {
            access_key_id: made.access_key_id,
            expiration: timestamp(made.expires_at)?,
            secret_access_key: String::from_utf8_lossy(made.secret.expose()).into_owned(),
            session_token: made.session_token,
        },
        provider: app.ring.policy().issuer.clone(),
        subject_from_web_identity_token: own.subject.identity.to_string(),
    })
}

/// `GetCallerIdentity`'s input: nothing.
#[derive(Debug, Deserialize)]
pub struct IdentityInput {}

/// `GetCallerIdentity`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityOutput {
    account: String,
    arn: String,
    user_id: String,
}

/// `GetCallerIdentity`: for every signature that holds. No policy is asked, as on AWS
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>).
pub async fn caller_identity(_: &App, verified: Verified, IdentityInput {}: IdentityInput) -> Result<IdentityOutput> {
    Ok(IdentityOutput { account: verified.account_id.to_string(), arn: verified.arn(), user_id: verified.user_id() })
}
