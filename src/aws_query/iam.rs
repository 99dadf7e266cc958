//! IAM's operations on OpenID Connect providers.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::App;
use crate::cognito::caller::Caller;
use crate::cognito::wire;
use crate::error::{Error, Result};
use crate::iam::{OidcProvider, provider_url, tagging};
use crate::retry;
use crate::tags::Tags;

/// How many tags a page has, unless told.
pub(super) const PAGE: i64 = 100;

/// A tag, as the wire has it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    value: String,
}

/// The tags of a request.
pub(super) fn tags(given: Vec<Tag>) -> Result<Tags> {
    let mut keys = HashSet::new();
    if !given.iter().all(|tag| keys.insert(tag.key.to_lowercase())) {
        let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(Error::InvalidParameter(text.to_owned()));
    }
    Ok(given.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// Tags for an answer, by key.
pub(super) fn shown(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// The start of the ARNs of the caller's providers. IAM's ARNs name no region.
fn arn_prefix(caller: &Caller) -> String {
    format!("arn:{}:iam::{}:oidc-provider/", caller.region.partition(), caller.account_id)
}

/// The URL in an ARN of the caller's. One of another account is as one that does not exist.
fn url_in<'a>(caller: &Caller, arn: &'a str) -> Result<&'a str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    if !matches!(*parts.as_slice(), ["arn", _, "iam", "", _, resource] if resource.starts_with("oidc-provider/")) {
        return Err(Error::InvalidParameter(
            "Invalid ARN: the ARN of an OpenID Connect provider is \
             arn:aws:iam::ACCOUNT:oidc-provider/ and its URL without https://."
                .to_owned(),
        ));
    }
    arn.strip_prefix(&arn_prefix(caller)).ok_or_else(|| Error::OidcProviderNotFound(arn.to_owned()))
}

/// The provider of an ARN.
async fn found(app: &App, caller: &Caller, arn: &str) -> Result<OidcProvider> {
    let url = url_in(caller, arn)?;
    let provider = retry!(app.db, |conn| { OidcProvider::find(conn, &caller.account_id, url).await })?;
    provider.ok_or_else(|| Error::OidcProviderNotFound(arn.to_owned()))
}

/// Changes the provider of an ARN.
async fn changed(
    app: &App,
    caller: &Caller,
    arn: &str,
    change: impl Fn(&mut OidcProvider) -> Result<()> + Send + Sync,
) -> Result<()> {
    let url = url_in(caller, arn)?;
    let changed =
        retry!(app.db, |conn| { OidcProvider::update(conn, &caller.account_id, url, |row| change(row)).await })?;
    app.forget_rows();
    changed.map(drop).ok_or_else(|| Error::OidcProviderNotFound(arn.to_owned()))
}

/// `CreateOpenIDConnectProvider`'s input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInput {
    url: String,
    #[serde(rename = "ClientIDList", default)]
    client_id_list: Vec<String>,
    #[serde(default)]
    thumbprint_list: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// `CreateOpenIDConnectProvider`'s output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateOutput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// `CreateOpenIDConnectProvider`. AWS fetches a thumbprint if none is given; none is needed here, and none is fetched.
pub async fn create(app: &App, caller: Caller, input: CreateInput) -> Result<CreateOutput> {
    let kept = provider_url::parse(&input.url, &app.config.upstream)?;
    let mut provider = OidcProvider {
        url: kept,
        client_ids: Vec::new(),
        thumbprints: input.thumbprint_list,
        tags: tags(input.tags)?,
        created_at: OidcProvider::moment(app.clock.wall()),
    };
    input.client_id_list.into_iter().for_each(|id| provider.add_client_id(id));
    let limit = app.config.limits.openid_connect_providers_per_account;
    let made = retry!(app.db, |conn| { provider.create(conn, &caller.account_id, limit).await });
    match made {
        Err(Error::OidcProviderExists(_)) => return Err(Error::OidcProviderExists(input.url)),
        made => made?,
    }
    app.forget_rows();
    Ok(CreateOutput { arn: arn_prefix(&caller) + &provider.url, tags: shown(provider.tags) })
}

/// An input that only names a provider.
#[derive(Debug, Deserialize)]
pub struct ProviderInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
}

/// A provider. Its URL is without `https://`, as AWS shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProviderOutput {
    url: String,
    #[serde(rename = "ClientIDList")]
    client_id_list: Vec<String>,
    thumbprint_list: Vec<String>,
    create_date: String,
    tags: Vec<Tag>,
}

/// `GetOpenIDConnectProvider`
pub async fn get(app: &App, caller: Caller, input: ProviderInput) -> Result<ProviderOutput> {
    let provider = found(app, &caller, &input.arn).await?;
    Ok(ProviderOutput {
        url: provider.url,
        client_id_list: provider.client_ids,
        thumbprint_list: provider.thumbprints,
        create_date: timestamp(provider.created_at)?,
        tags: shown(provider.tags),
    })
}

/// A time in ISO 8601, in whole seconds.
pub(super) fn timestamp(at: OffsetDateTime) -> Result<String> {
    let at = at.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).map_err(Error::internal)?;
    at.format(&Rfc3339).map_err(Error::internal)
}

/// `ListOpenIDConnectProviders`' input: nothing.
#[derive(Debug, Deserialize)]
pub struct ListInput {}

/// `ListOpenIDConnectProviders`' output.
#[derive(Debug, Serialize)]
pub struct ListOutput {
    #[serde(rename = "OpenIDConnectProviderList")]
    list: Vec<ListEntry>,
}

/// An entry of `ListOpenIDConnectProviders`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListEntry {
    arn: String,
}

/// `ListOpenIDConnectProviders`
pub async fn list(app: &App, caller: Caller, ListInput {}: ListInput) -> Result<ListOutput> {
    let urls = retry!(app.db, |conn| { OidcProvider::urls(conn, &caller.account_id).await })?;
    let prefix = arn_prefix(&caller);
    Ok(ListOutput { list: urls.iter().map(|url| ListEntry { arn: format!("{prefix}{url}") }).collect() })
}

/// `DeleteOpenIDConnectProvider`, which does not fail for a provider that does not exist.
pub async fn delete(app: &App, caller: Caller, input: ProviderInput) -> Result<()> {
    let url = match url_in(&caller, &input.arn) {
        Err(Error::OidcProviderNotFound(_)) => return Ok(()),
        url => url?,
    };
    retry!(app.db, |conn| { OidcProvider::delete(conn, &caller.account_id, url).await })?;
    app.forget_rows();
    Ok(())
}

/// A provider and one of its clients.
#[derive(Debug, Deserialize)]
pub struct ClientInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "ClientID")]
    client_id: String,
}

/// `AddClientIDToOpenIDConnectProvider`, which does not fail for a client that is there.
pub async fn add_client_id(app: &App, caller: Caller, input: ClientInput) -> Result<()> {
    changed(app, &caller, &input.arn, |provider| {
        provider.add_client_id(input.client_id.clone());
        Ok(())
    })
    .await
}

/// `RemoveClientIDFromOpenIDConnectProvider`, which does not fail for a client that is not there.
pub async fn remove_client_id(app: &App, caller: Caller, input: ClientInput) -> Result<()> {
    changed(app, &caller, &input.arn, |provider| {
        provider.client_ids.retain(|id| *id != input.client_id);
        Ok(())
    })
    .await
}

/// `UpdateOpenIDConnectProviderThumbprint`'s input.
#[derive(Debug, Deserialize)]
pub struct ThumbprintInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "ThumbprintList")]
    thumbprints: Vec<String>,
}

/// `UpdateOpenIDConnectProviderThumbprint`: the new list takes the place of the old one.
pub async fn update_thumbprint(app: &App, caller: Caller, input: ThumbprintInput) -> Result<()> {
    changed(app, &caller, &input.arn, |provider| {
        provider.thumbprints.clone_from(&input.thumbprints);
        Ok(())
    })
    .await
}

/// `TagOpenIDConnectProvider`'s input.
#[derive(Debug, Deserialize)]
pub struct TagInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "Tags")]
    tags: Vec<Tag>,
}

/// `TagOpenIDConnectProvider`
pub async fn tag(app: &App, caller: Caller, input: TagInput) -> Result<()> {
    let given = tags(input.tags)?;
    changed(app, &caller, &input.arn, |provider| {
        tagging::set(&mut provider.tags, &given);
        Ok(())
    })
    .await
}

/// `UntagOpenIDConnectProvider`'s input.
#[derive(Debug, Deserialize)]
pub struct UntagInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "TagKeys")]
    keys: Vec<String>,
}

/// `UntagOpenIDConnectProvider`
pub async fn untag(app: &App, caller: Caller, input: UntagInput) -> Result<()> {
    changed(app, &caller, &input.arn, |provider| {
        tagging::remove(&mut provider.tags, &input.keys);
        Ok(())
    })
    .await
}

/// `ListOpenIDConnectProviderTags`' input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// A page of the tags of something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagsOutput {
    tags: Vec<Tag>,
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

/// Which page of the tags of something a request asks for: a marker stands for how many tags came before.
pub(super) struct TagsAsked<'a> {
    pages: wire::Pages<'a>,
    passed: usize,
    limit: i64,
}

impl<'a> TagsAsked<'a> {
    /// What is asked of `operation` about what has this name.
    pub(super) fn read(
        app: &'a App,
        caller: &Caller,
        (operation, name): (&str, &str),
        (marker, max_items): (Option<&str>, Option<i64>),
    ) -> Result<Self> {
        let pages = wire::Pages::new(app, caller, operation, &[name]);
        let passed = pages.position(marker)?.unwrap_or_default();
        Ok(Self { pages, passed, limit: max_items.unwrap_or(PAGE) })
    }

    /// The page of these tags, by key.
    pub(super) fn page(&self, tags: Tags) -> Result<TagsOutput> {
        let mut tags = shown(tags);
        tags.drain(..self.passed.min(tags.len()));
        let more = wire::cut(&mut tags, self.limit);
        let marker = if more { Some(self.pages.token(&(self.passed + tags.len()))?) } else { None };
        Ok(TagsOutput { tags, is_truncated: more, marker })
    }
}

/// `ListOpenIDConnectProviderTags`
pub async fn list_tags(app: &App, caller: Caller, input: ListTagsInput) -> Result<TagsOutput> {
    let page = (input.marker.as_deref(), input.max_items);
    let asked = TagsAsked::read(app, &caller, ("ListOpenIDConnectProviderTags", &input.arn), page)?;
    asked.page(found(app, &caller, &input.arn).await?.tags)
}
