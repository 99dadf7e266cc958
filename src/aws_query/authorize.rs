//! What a signed operation of IAM is done to, as policies name it, and whether its sender may do it
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>).

use serde_json::Value;

use crate::app::App;
use crate::cognito::caller::{Caller, Verified};
use crate::error::Result;
use crate::iam::Role;
use crate::ids::PARTITIONS;
use crate::retry;

/// The caller of an operation with this input, whose constraints were not checked yet: policies come first.
///
/// # Errors
/// [`Error::NotAllowed`](crate::error::Error::NotAllowed), or if the database fails.
pub async fn caller(app: &App, verified: Verified, operation: &str, input: &Value) -> Result<Caller> {
    let verified = match verified.unrestricted() {
        Ok(caller) => return Ok(caller),
        Err(verified) => verified,
    };
    let resource = resource(app, &verified, operation, input).await?;
    let abroad = names_abroad(&verified, &resource);
    verified.authorize(app, &format!("iam:{operation}"), &[resource], &abroad).await
}

/// The names that the same thing has for callers who sign in a region of another partition: what IAM holds is in none, or
/// in each. Else a policy that denies it by name could be evaded by signing elsewhere.
fn names_abroad(verified: &Verified, resource: &str) -> Vec<String> {
    let home = verified.region.partition();
    let Some(rest) = resource.strip_prefix(&format!("arn:{home}:")) else { return Vec::new() };
    PARTITIONS.iter().filter(|other| **other != home).map(|other| format!("arn:{other}:{rest}")).collect()
}

async fn resource(app: &App, verified: &Verified, operation: &str, input: &Value) -> Result<String> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let arn = |rest: String| format!("arn:{}:iam::{}:{rest}", verified.region.partition(), verified.account_id);
    Ok(match operation {
        "CreateOpenIDConnectProvider" => {
            let url = text("Url");
            arn(format!("oidc-provider/{}", url.split_once("://").map_or(url, |(_, kept)| kept)))
        }
        "ListOpenIDConnectProviders" => arn("oidc-provider/".to_owned()),
        "CreateSAMLProvider" => arn(format!("saml-provider/{}", text("Name"))),
        "ListSAMLProviders" => arn("saml-provider/".to_owned()),
        _ if input.get("SAMLProviderArn").is_some() => text("SAMLProviderArn").to_owned(),
        "CreateRole" => {
            let path = input.get("Path").and_then(Value::as_str).unwrap_or("/");
            arn(format!("role{path}{}", text("RoleName")))
        }
        "ListRoles" => arn(format!("role{}", input.get("PathPrefix").and_then(Value::as_str).unwrap_or("/"))),
        _ if input.get("RoleName").is_some() && verified.is_session() => arn(format!("role/{}", text("RoleName"))),
        _ if input.get("RoleName").is_some() => {
            let name = text("RoleName");
            let found = retry!(app.db, |conn| { Role::find(conn, &verified.account_id, name).await })?;
            // The path is part of the ARN, and of the role alone known.
            arn(format!("role/{}", found.map_or_else(|| name.to_owned(), |role| role.path_and_name())))
        }
        _ => text("OpenIDConnectProviderArn").to_owned(),
    })
}
