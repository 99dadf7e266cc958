//! What a signed operation is done to, as policies name it, and whether its sender may do it
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncognitoidentity.html>).

use serde_json::Value;

use super::caller::{Caller, Verified};
use crate::app::App;
use crate::error::Result;
use crate::identities::Identity;
use crate::ids::{IdentityId, PoolId};
use crate::retry;

/// How many identities `DeleteIdentities` takes (`IdentityIdsToDelete` of the service model). A longer list is refused by
/// the model, once policies have let it pass: none of its identities need be looked up.
const MOST_IDENTITIES: usize = 60;

/// The caller of an operation with this body, of which only the types were checked: policies come before everything else.
///
/// # Errors
/// [`Error::NotAllowed`](crate::error::Error::NotAllowed), or if the database fails.
pub async fn caller(app: &App, verified: Verified, operation: &str, body: &Value) -> Result<Caller> {
    let verified = match verified.unrestricted() {
        Ok(caller) => return Ok(caller),
        Err(verified) => verified,
    };
    Box::pin(async move {
        let resources = resources(app, &verified, operation, body).await?;
        verified.authorize(app, &format!("cognito-identity:{operation}"), &resources, &[]).await
    })
    .await
}

/// The ARNs of what the operation is done to. Only members that the operation itself reads are looked at: any other
/// could name something else than what it is done to.
async fn resources(app: &App, verified: &Verified, operation: &str, body: &Value) -> Result<Vec<String>> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(match operation {
        // They are done to none of the pools there are.
        "CreateIdentityPool" | "ListIdentityPools" => vec![pool_arn(verified, "")],
        "TagResource" | "UntagResource" | "ListTagsForResource" => vec![canonical(verified, text("ResourceArn"))],
        "DescribeIdentity" => vec![pool_of(app, verified, text("IdentityId")).await?],
        "DeleteIdentities" => {
            let ids = body.get("IdentityIdsToDelete").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut pools = Vec::with_capacity(ids.len());
            for id in ids.iter().filter_map(Value::as_str).take(MOST_IDENTITIES) {
                let pool = pool_of(app, verified, id).await?;
                if !pools.contains(&pool) {
                    pools.push(pool);
                }
            }
            if pools.is_empty() {
                pools.push(pool_arn(verified, ""));
            }
            pools
        }
        _ => vec![pool_arn(verified, text("IdentityPoolId"))],
    })
}

fn pool_arn(verified: &Verified, id: &str) -> String {
    let region = &verified.region;
    format!("arn:{}:cognito-identity:{region}:{}:identitypool/{id}", region.partition(), verified.account_id)
}

/// An ARN without the account, which Terraform can leave out, as the one that it stands for; any other as it is.
fn canonical(verified: &Verified, arn: &str) -> String {
    let (whole, short) = (pool_arn(verified, ""), pool_arn(verified, "").replace(verified.account_id.as_str(), ""));
    arn.strip_prefix(&short).map_or_else(|| arn.to_owned(), |id| whole + id)
}

/// The pool of an identity; of one that the caller cannot see, no pool.
async fn pool_of(app: &App, verified: &Verified, identity: &str) -> Result<String> {
    let id = IdentityId::parse(identity).filter(|id| id.region == verified.region && !verified.is_session());
    let Some(id) = id else { return Ok(pool_arn(verified, "")) };
    let found = retry!(app.db, |conn| { Identity::find_public(conn, &id).await })?;
    let pool = found.map(|(pool, _)| pool).filter(|pool| pool.account_id == verified.account_id);
    Ok(pool_arn(verified, &pool.map(|pool| PoolId::to_string(&pool.id)).unwrap_or_default()))
}
