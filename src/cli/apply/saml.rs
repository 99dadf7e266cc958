//! A seed's SAML providers: what it asks for, and bringing them to that.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::bring::Fate;
use super::document::Section;
use super::wanted::Context;
use crate::aws_query;
use crate::clock::Clock;
use crate::cognito::validate;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::iam::SamlProvider;
use crate::ids::AccountId;
use crate::retry;
use crate::tags::Tags;

/// A SAML provider.
pub(super) struct WantedSamlProvider {
    pub(super) name: String,
    document: String,
    tags: Option<Tags>,
}

/// Reads a section. `seen` has the owners and names of those that stand in the seed already.
pub(super) fn read(
    section: &Section<'_, '_>,
    context: &Context<'_>,
    owner: &str,
    seen: &mut BTreeSet<(String, String)>,
) -> Option<WantedSamlProvider> {
    let name = section.needed_text("name");
    let document = section.needed_text("metadata_file").and_then(|file| {
        let path = context.folder.join(file);
        let unreadable = |error: std::io::Error| {
            section.problem("metadata_file", &format!("cannot read {}: {error}", path.display()));
        };
        fs::read_to_string(&path).map_err(unreadable).ok()
    });
    let tags = section.text_map("tags");
    section.end();
    let (name, document) = (name?, document?);
    if !seen.insert((owner.to_owned(), name.clone())) {
        section.problem("name", "stands twice in this tenant");
    }
    let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
    let request = json!({
        "Name": name,
        "SAMLMetadataDocument": document,
        "Tags": tags.iter().flatten().map(tag).collect::<Vec<_>>(),
    });
    let shape = aws_query::shapes::iam_operation("CreateSAMLProvider");
    let violations = shape.map(|(_, shape)| validate::violations(shape, &request)).unwrap_or_default();
    for violation in &violations {
        section.problem("", &violation.to_string());
    }
    let made = SamlProvider::new(name.clone(), &document, tags.clone().unwrap_or_default(), Clock::System.wall());
    if let Err(why) = made.and_then(|provider| provider.check()) {
        section.problem("", &why.to_string());
    }
    Some(WantedSamlProvider { name, document, tags })
}

/// Makes the provider, or changes what is not as the seed says: tags that are left out stay.
pub(super) async fn bring(db: &Db, account: &AccountId, wanted: &WantedSamlProvider, limit: u32) -> Result<Fate> {
    let (name, document) = (&wanted.name, &wanted.document);
    let now = Clock::System.wall();
    // Made once: a retry finds its own row by the moment of creation.
    let fresh = SamlProvider::new(name.clone(), document, wanted.tags.clone().unwrap_or_default(), now)?;
    retry!(db, |conn| {
        let Some(found) = SamlProvider::find(conn, account, name).await? else {
            return fresh.create(conn, account, document, limit).await.map(|()| Fate::Made);
        };
        let same_document = SamlProvider::document(conn, account, name).await?.as_ref() == Some(document);
        let new_tags = wanted.tags.as_ref().filter(|tags| **tags != found.tags);
        let mut done = true;
        if !same_document {
            done = SamlProvider::replace_metadata(conn, account, name, document, now).await?;
        }
        if let Some(tags) = new_tags {
            let change = |provider: &mut SamlProvider| provider.tags.clone_from(tags);
            done = done && SamlProvider::change_tags(conn, account, name, change).await?;
        }
        match (done, same_document && new_tags.is_none()) {
            (false, _) => Err(Error::Contended),
            (true, true) => Ok(Fate::Left),
            (true, false) => Ok(Fate::Changed),
        }
    })
}
