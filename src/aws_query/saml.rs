//! IAM's operations on SAML providers.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::iam::{Tag, TagsAsked, TagsOutput, shown, tags, timestamp};
use crate::app::App;
use crate::cognito::caller::Caller;
use crate::error::{Error, Result};
use crate::iam::{SamlProvider, saml_provider, tagging};
use crate::retry;

/// The start of the ARNs of the caller's providers. IAM's ARNs name no region.
fn arn_prefix(caller: &Caller) -> String {
    format!("arn:{}:iam::{}:saml-provider/", caller.region.partition(), caller.account_id)
}

/// The name in an ARN of the caller's. One of another account is as one that does not exist.
fn name_in<'a>(caller: &Caller, arn: &'a str) -> Result<&'a str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let name = match *parts.as_slice() {
        ["arn", _, "iam", "", _, resource] => resource.strip_prefix("saml-provider/"),
        _ => None,
    };
    if !name.is_some_and(saml_provider::is_name) {
        return Err(Error::InvalidParameter(
            "Invalid ARN: the ARN of a SAML provider is arn:aws:iam::ACCOUNT:saml-provider/ and its name.".to_owned(),
        ));
    }
    arn.strip_prefix(&arn_prefix(caller)).ok_or_else(|| Error::SamlProviderNotFound(arn.to_owned()))
}

/// The provider of an ARN.
async fn found(app: &App, caller: &Caller, arn: &str) -> Result<SamlProvider> {
    let name = name_in(caller, arn)?;
    let provider = retry!(app.db, |conn| { SamlProvider::find(conn, &caller.account_id, name).await })?;
    provider.ok_or_else(|| Error::SamlProviderNotFound(arn.to_owned()))
}

/// Until when a provider is valid. One whose metadata names no end is shown as AWS shows it: for a hundred years.
fn valid_until(end: Option<OffsetDateTime>, created_at: OffsetDateTime) -> Result<String> {
    let century = || created_at.replace_year(created_at.year() + 100).unwrap_or(created_at);
    timestamp(end.unwrap_or_else(century))
}

/// Refuses what would have assertions encrypted: there is no key here to decrypt them with.
fn check_plain(asked: bool) -> Result<()> {
    if asked {
        return Err(Error::InvalidParameter(
            "Encrypted assertions are not supported: leave out AssertionEncryptionMode and private keys.".to_owned(),
        ));
    }
    Ok(())
}

/// `CreateSAMLProvider`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInput {
    name: String,
    #[serde(rename = "SAMLMetadataDocument")]
    document: String,
    #[serde(default)]
    tags: Vec<Tag>,
    assertion_encryption_mode: Option<String>,
    add_private_key: Option<String>,
}

/// `CreateSAMLProvider`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateOutput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// `CreateSAMLProvider`
pub async fn create(app: &App, caller: Caller, input: CreateInput) -> Result<CreateOutput> {
    check_plain(input.assertion_encryption_mode.is_some() || input.add_private_key.is_some())?;
    let provider = SamlProvider::new(input.name, &input.document, tags(input.tags)?, app.clock.wall())?;
    let limit = app.config.limits.saml_providers_per_account;
    retry!(app.db, |conn| { provider.create(conn, &caller.account_id, &input.document, limit).await })?;
    app.forget_rows();
    Ok(CreateOutput { arn: arn_prefix(&caller) + &provider.name, tags: shown(provider.tags) })
}

/// An input that only names a provider.
#[derive(Debug, Deserialize)]
pub struct ProviderInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
}

/// A provider, its metadata as it was given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProviderOutput {
    #[serde(rename = "SAMLMetadataDocument")]
    document: String,
    create_date: String,
    valid_until: String,
    tags: Vec<Tag>,
}

/// `GetSAMLProvider`
pub async fn get(app: &App, caller: Caller, input: ProviderInput) -> Result<ProviderOutput> {
    let provider = found(app, &caller, &input.arn).await?;
    let document = retry!(app.db, |conn| { SamlProvider::document(conn, &caller.account_id, &provider.name).await })?;
    Ok(ProviderOutput {
        document: document.ok_or_else(|| Error::SamlProviderNotFound(input.arn.clone()))?,
        create_date: timestamp(provider.created_at)?,
        valid_until: valid_until(provider.metadata.valid_until, provider.created_at)?,
        tags: shown(provider.tags),
    })
}

/// `ListSAMLProviders`' input: nothing.
#[derive(Debug, Deserialize)]
pub struct ListInput {}

/// `ListSAMLProviders`' output.
#[derive(Debug, Serialize)]
pub struct ListOutput {
    #[serde(rename = "SAMLProviderList")]
    list: Vec<ListEntry>,
}

/// An entry of `ListSAMLProviders`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListEntry {
    arn: String,
    valid_until: String,
    create_date: String,
}

/// `ListSAMLProviders`
pub async fn list(app: &App, caller: Caller, ListInput {}: ListInput) -> Result<ListOutput> {
    let listed = retry!(app.db, |conn| { SamlProvider::list(conn, &caller.account_id).await })?;
    let prefix = arn_prefix(&caller);
    let entry = |provider: saml_provider::Listed| {
        Ok(ListEntry {
            arn: format!("{prefix}{}", provider.name),
            valid_until: valid_until(provider.valid_until, provider.created_at)?,
            create_date: timestamp(provider.created_at)?,
        })
    };
    Ok(ListOutput { list: listed.into_iter().map(entry).collect::<Result<_>>()? })
}

/// `UpdateSAMLProvider`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    #[serde(rename = "SAMLMetadataDocument")]
    document: Option<String>,
    assertion_encryption_mode: Option<String>,
    add_private_key: Option<String>,
    remove_private_key: Option<String>,
}

/// `UpdateSAMLProvider`'s output.
#[derive(Debug, Serialize)]
pub struct UpdateOutput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
}

/// `UpdateSAMLProvider`: the new metadata takes the place of the old, certificates and all.
pub async fn update(app: &App, caller: Caller, input: UpdateInput) -> Result<UpdateOutput> {
    let name = name_in(&caller, &input.arn)?;
    check_plain(
        input.assertion_encryption_mode.is_some()
            || input.add_private_key.is_some()
            || input.remove_private_key.is_some(),
    )?;
    let document = input.document.ok_or_else(|| {
        Error::InvalidParameter("SAMLMetadataDocument is what can be updated; it is missing.".to_owned())
    })?;
    let now = app.clock.wall();
    let changed = retry!(app.db, |conn| {
        SamlProvider::replace_metadata(conn, &caller.account_id, name, &document, now).await
    })?;
    app.forget_rows();
    if changed { Ok(UpdateOutput { arn: input.arn }) } else { Err(Error::SamlProviderNotFound(input.arn)) }
}

/// `DeleteSAMLProvider`. Of a provider that was deleted by an earlier try, whose answer was lost, it says so again.
pub async fn delete(app: &App, caller: Caller, input: ProviderInput) -> Result<()> {
    let name = name_in(&caller, &input.arn)?;
    let mut tried = false;
    let deleted = retry!(app.db, |conn| {
        let deleted = SamlProvider::delete(conn, &caller.account_id, name).await.map(|deleted| deleted || tried);
        tried = true;
        deleted
    })?;
    app.forget_rows();
    if deleted { Ok(()) } else { Err(Error::SamlProviderNotFound(input.arn)) }
}

/// Changes the tags of the provider of an ARN.
async fn retagged(
    app: &App,
    caller: &Caller,
    arn: &str,
    change: impl Fn(&mut SamlProvider) + Send + Sync,
) -> Result<()> {
    let name = name_in(caller, arn)?;
    let changed =
        retry!(app.db, |conn| { SamlProvider::change_tags(conn, &caller.account_id, name, |row| change(row)).await })?;
    app.forget_rows();
    if changed { Ok(()) } else { Err(Error::SamlProviderNotFound(arn.to_owned())) }
}

/// `TagSAMLProvider`'s input.
#[derive(Debug, Deserialize)]
pub struct TagInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    #[serde(rename = "Tags")]
    tags: Vec<Tag>,
}

/// `TagSAMLProvider`
pub async fn tag(app: &App, caller: Caller, input: TagInput) -> Result<()> {
    let given = tags(input.tags)?;
    retagged(app, &caller, &input.arn, |provider| tagging::set(&mut provider.tags, &given)).await
}

/// `UntagSAMLProvider`'s input.
#[derive(Debug, Deserialize)]
pub struct UntagInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    #[serde(rename = "TagKeys")]
    keys: Vec<String>,
}

/// `UntagSAMLProvider`
pub async fn untag(app: &App, caller: Caller, input: UntagInput) -> Result<()> {
    retagged(app, &caller, &input.arn, |provider| tagging::remove(&mut provider.tags, &input.keys)).await
}

/// `ListSAMLProviderTags`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsInput {
    #[serde(rename = "SAMLProviderArn")]
    arn: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// `ListSAMLProviderTags`
pub async fn list_tags(app: &App, caller: Caller, input: ListTagsInput) -> Result<TagsOutput> {
    let page = (input.marker.as_deref(), input.max_items);
    let asked = TagsAsked::read(app, &caller, ("ListSAMLProviderTags", &input.arn), page)?;
    asked.page(found(app, &caller, &input.arn).await?.tags)
}
