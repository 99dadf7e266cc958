//! TagResource, UntagResource and ListTagsForResource. The only resources with tags are pools.

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use crate::app::App;
use crate::error::{Error, Result};
use crate::pools::{Pool, Settings};
use crate::retry;
use crate::tags::{self, Tags};

/// `TagResource`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInput {
    resource_arn: String,
    tags: Tags,
}

/// `UntagResource`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagInput {
    resource_arn: String,
    tag_keys: Vec<String>,
}

/// `ListTagsForResource`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInput {
    resource_arn: String,
}

/// An output without members: `{}`.
#[derive(Debug, Serialize)]
pub struct Done {}

/// `ListTagsForResource`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListOutput {
    tags: Tags,
}

/// `TagResource`: new tags beside the old ones, and new values of those.
pub async fn tag(app: &App, caller: Caller, input: TagInput) -> Result<Done> {
    let pool = pool_id(&caller, "TagResource", &input.resource_arn)?;
    let limit = app.config.limits.tags_per_pool;
    change(app, &caller, pool, |tags| {
        tags.extend(input.tags.clone());
        tags::check(tags, limit)
    })
    .await
}

/// `UntagResource`: keys that the pool does not have are as removed.
pub async fn untag(app: &App, caller: Caller, input: UntagInput) -> Result<Done> {
    let pool = pool_id(&caller, "UntagResource", &input.resource_arn)?;
    change(app, &caller, pool, |tags| {
        tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(())
    })
    .await
}

/// `ListTagsForResource`
pub async fn list(app: &App, caller: Caller, input: ListInput) -> Result<ListOutput> {
    let id = pool_id(&caller, "ListTagsForResource", &input.resource_arn)?;
    let pool: Pool = retry!(app.db, |conn| { caller.pool(conn, id).await })?;
    Ok(ListOutput { tags: pool.settings.tags })
}

async fn change(app: &App, caller: &Caller, id: &str, change: impl Fn(&mut Tags) -> Result<()> + Sync) -> Result<Done> {
    retry!(app.db, |conn| {
        let pool = caller.pool(conn, id).await?;
        let changed = |mut settings: Settings| {
            change(&mut settings.tags)?;
            Ok(settings)
        };
        pool.update(conn, changed).await
    })?;
    app.forget_rows();
    Ok(Done {})
}

/// The pool id in `arn:PARTITION:cognito-identity:REGION:ACCOUNT:identitypool/ID`, where the account may be left empty, as
/// Terraform does that was told not to ask for it. On AWS it is IAM that meets whatever else was given, and knows no
/// policy for it (aws/aws-sdk-ruby#2173).
fn pool_id<'a>(caller: &Caller, operation: &'static str, arn: &'a str) -> Result<&'a str> {
    let denied = || caller.not_allowed(format!("cognito-identity:{operation}"), arn);
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition @ ("aws" | "aws-cn" | "aws-us-gov"), "cognito-identity", region, account, resource] =
        parts[..]
    else {
        return Err(denied());
    };
    let id = resource.strip_prefix("identitypool/").filter(|id| !id.is_empty()).ok_or_else(denied)?;
    let ours = partition == caller.region.partition()
        && region == caller.region.as_str()
        && (account.is_empty() || account == caller.account_id.as_str());
    // Another's pool is as one that does not exist.
    if ours { Ok(id) } else { Err(Error::PoolNotFound(id.to_owned())) }
}
