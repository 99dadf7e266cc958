//! IAM's operations on roles. Roles have a trust policy and no permissions: what their credentials may do is decided where
//! they are used.

use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};

use super::iam::{PAGE, Tag, TagsAsked, TagsOutput, shown, tags, timestamp};
use crate::app::App;
use crate::cognito::caller::Caller;
use crate::cognito::wire;
use crate::error::{Error, Result};
use crate::iam::role::DEFAULT_MAX_SESSION_DURATION;
use crate::iam::{OidcProvider, Role, tagging};
use crate::retry;

/// A role, as the wire has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shown {
    path: String,
    role_name: String,
    role_id: String,
    arn: String,
    create_date: String,
    assume_role_policy_document: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    max_session_duration: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

impl Shown {
    fn new(caller: &Caller, role: Role) -> Result<Self> {
        let (partition, account) = (caller.region.partition(), &caller.account_id);
        // As RFC 3986 has it, where a blank is no plus sign.
        let document = byte_serialize(role.trust_policy.as_bytes()).collect::<String>().replace('+', "%20");
        Ok(Self {
            arn: format!("arn:{partition}:iam::{account}:role/{}", role.path_and_name()),
            path: role.path,
            role_name: role.name,
            role_id: role.role_id,
            create_date: timestamp(role.created_at)?,
            assume_role_policy_document: document,
            description: role.description,
            max_session_duration: role.max_session_duration,
            tags: shown(role.tags),
        })
    }
}

/// An output that is a role.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleOutput {
    role: Shown,
}

/// `CreateRole`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInput {
    path: Option<String>,
    role_name: String,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<i32>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// `CreateRole`
pub async fn create(app: &App, caller: Caller, input: CreateInput) -> Result<RoleOutput> {
    if input.permissions_boundary.is_some() {
        let text = "PermissionsBoundary is not supported: roles have no permissions here that it could bound.";
        return Err(Error::InvalidParameter(text.to_owned()));
    }
    let role = Role {
        name: input.role_name,
        path: input.path.unwrap_or_else(|| "/".to_owned()),
        role_id: Role::draw_id()?,
        description: input.description,
        max_session_duration: input.max_session_duration.unwrap_or(DEFAULT_MAX_SESSION_DURATION),
        trust_policy: input.assume_role_policy_document,
        tags: tags(input.tags)?,
        created_at: OidcProvider::moment(app.clock.wall()),
    };
    let limit = app.config.limits.roles_per_account;
    retry!(app.db, |conn| { role.create(conn, &caller.account_id, limit).await })?;
    app.forget_rows();
    Ok(RoleOutput { role: Shown::new(&caller, role)? })
}

/// An input that only names a role.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleInput {
    role_name: String,
}

async fn found(app: &App, caller: &Caller, name: &str) -> Result<Role> {
    let role = retry!(app.db, |conn| { Role::find(conn, &caller.account_id, name).await })?;
    role.ok_or_else(|| Error::RoleNotFound(name.to_owned()))
}

/// Changes a role.
async fn changed(app: &App, caller: &Caller, name: &str, change: impl Fn(&mut Role) + Send + Sync) -> Result<Role> {
    let changed = retry!(app.db, |conn| { Role::update(conn, &caller.account_id, name, |role| change(role)).await })?;
    app.forget_rows();
    changed.ok_or_else(|| Error::RoleNotFound(name.to_owned()))
}

/// `GetRole`
pub async fn get(app: &App, caller: Caller, input: RoleInput) -> Result<RoleOutput> {
    let role = found(app, &caller, &input.role_name).await?;
    Ok(RoleOutput { role: Shown::new(&caller, role)? })
}

/// `ListRoles`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInput {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// `ListRoles`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListOutput {
    roles: Vec<Shown>,
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

/// `ListRoles`: by name, without tags, as IAM lists them.
pub async fn list(app: &App, caller: Caller, input: ListInput) -> Result<ListOutput> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let pages = wire::Pages::new(app, &caller, "ListRoles", &[&prefix]);
    let after: String = pages.position(input.marker.as_deref())?.unwrap_or_default();
    let limit = input.max_items.unwrap_or(PAGE);
    let mut roles = retry!(app.db, |conn| { Role::list(conn, &caller.account_id, &prefix, &after, limit + 1).await })?;
    let more = wire::cut(&mut roles, limit);
    let last = roles.last().filter(|_| more).map(|role| role.name.to_ascii_lowercase());
    let marker = last.map(|last| pages.token(&last)).transpose()?;
    let untagged = |mut role: Role| {
        role.tags.clear();
        Shown::new(&caller, role)
    };
    let roles = roles.into_iter().map(untagged).collect::<Result<_>>()?;
    Ok(ListOutput { roles, is_truncated: more, marker })
}

/// `UpdateAssumeRolePolicy`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrustInput {
    role_name: String,
    policy_document: String,
}

/// `UpdateAssumeRolePolicy`: sessions that have begun go on.
pub async fn update_trust_policy(app: &App, caller: Caller, input: TrustInput) -> Result<()> {
    changed(app, &caller, &input.role_name, |role| role.trust_policy.clone_from(&input.policy_document)).await?;
    Ok(())
}

/// `UpdateRole`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateInput {
    role_name: String,
    description: Option<String>,
    max_session_duration: Option<i32>,
}

/// An output without members.
#[derive(Debug, Serialize)]
pub struct Done {}

/// `UpdateRole`: what is left out stays, but for the duration, which goes back to an hour
/// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html>).
pub async fn update(app: &App, caller: Caller, input: UpdateInput) -> Result<Done> {
    changed(app, &caller, &input.role_name, |role| {
        if input.description.is_some() {
            role.description.clone_from(&input.description);
        }
        role.max_session_duration = input.max_session_duration.unwrap_or(DEFAULT_MAX_SESSION_DURATION);
    })
    .await?;
    Ok(Done {})
}

/// `UpdateRoleDescription`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescriptionInput {
    role_name: String,
    description: String,
}

/// `UpdateRoleDescription`
pub async fn update_description(app: &App, caller: Caller, input: DescriptionInput) -> Result<RoleOutput> {
    let role =
        changed(app, &caller, &input.role_name, |role| role.description = Some(input.description.clone())).await?;
    Ok(RoleOutput { role: Shown::new(&caller, role)? })
}

/// `DeleteRole`: sessions that have begun go on until they end.
pub async fn delete(app: &App, caller: Caller, input: RoleInput) -> Result<()> {
    let mut began = false;
    let deleted = retry!(app.db, |conn| {
        let retried = std::mem::replace(&mut began, true);
        // The answer to an earlier try's commit may have been lost: that try has done it.
        Ok(Role::delete(conn, &caller.account_id, &input.role_name).await? || retried)
    })?;
    app.forget_rows();
    if deleted { Ok(()) } else { Err(Error::RoleNotFound(input.role_name)) }
}

/// `TagRole`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInput {
    role_name: String,
    tags: Vec<Tag>,
}

/// `TagRole`
pub async fn tag(app: &App, caller: Caller, input: TagInput) -> Result<()> {
    let given = tags(input.tags)?;
    changed(app, &caller, &input.role_name, |role| tagging::set(&mut role.tags, &given)).await?;
    Ok(())
}

/// `UntagRole`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagInput {
    role_name: String,
    tag_keys: Vec<String>,
}

/// `UntagRole`
pub async fn untag(app: &App, caller: Caller, input: UntagInput) -> Result<()> {
    changed(app, &caller, &input.role_name, |role| tagging::remove(&mut role.tags, &input.tag_keys)).await?;
    Ok(())
}

/// The input of what lists things of a role.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OfRoleInput {
    role_name: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// `ListRoleTags`
pub async fn list_tags(app: &App, caller: Caller, input: OfRoleInput) -> Result<TagsOutput> {
    let page = (input.marker.as_deref(), input.max_items);
    let asked = TagsAsked::read(app, &caller, ("ListRoleTags", &input.role_name), page)?;
    asked.page(found(app, &caller, &input.role_name).await?.tags)
}

/// Refuses a marker where there is never a second page.
fn no_marker(input: &OfRoleInput) -> Result<()> {
    if input.marker.is_some() { Err(Error::BadPageToken) } else { Ok(()) }
}

/// `ListRolePolicies`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InlinePoliciesOutput {
    policy_names: [(); 0],
    is_truncated: bool,
}

/// `ListRolePolicies`: a role has none.
pub async fn list_inline_policies(app: &App, caller: Caller, input: OfRoleInput) -> Result<InlinePoliciesOutput> {
    found(app, &caller, &input.role_name).await?;
    no_marker(&input)?;
    Ok(InlinePoliciesOutput { policy_names: [], is_truncated: false })
}

/// `ListAttachedRolePolicies`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachedPoliciesOutput {
    attached_policies: [(); 0],
    is_truncated: bool,
}

/// `ListAttachedRolePolicies`: a role has none.
pub async fn list_attached_policies(app: &App, caller: Caller, input: OfRoleInput) -> Result<AttachedPoliciesOutput> {
    found(app, &caller, &input.role_name).await?;
    no_marker(&input)?;
    Ok(AttachedPoliciesOutput { attached_policies: [], is_truncated: false })
}

/// `ListInstanceProfilesForRole`' output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceProfilesOutput {
    instance_profiles: [(); 0],
    is_truncated: bool,
}

/// `ListInstanceProfilesForRole`: a role is in none.
pub async fn list_instance_profiles(app: &App, caller: Caller, input: OfRoleInput) -> Result<InstanceProfilesOutput> {
    found(app, &caller, &input.role_name).await?;
    no_marker(&input)?;
    Ok(InstanceProfilesOutput { instance_profiles: [], is_truncated: false })
}
