//! The IAM roles that a seed asks for, checked by the same rules as `CreateRole`, and bringing them to that.

use std::collections::BTreeSet;

use serde_json::json;
use time::OffsetDateTime;

use super::bring::Fate;
use super::document::Section;
use super::wanted::{Context, document_text, words};
use crate::aws_query::shapes;
use crate::clock::Clock;
use crate::cognito::validate;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::iam::role::DEFAULT_MAX_SESSION_DURATION;
use crate::iam::{OidcProvider, Role, tagging};
use crate::ids::AccountId;
use crate::policy::TrustPolicy;
use crate::retry;
use crate::tags::{self, Tags};

/// A role of IAM. What is left out stays as it is.
pub(super) struct WantedRole {
    pub(super) line: usize,
    pub(super) name: String,
    path: Option<String>,
    trust_policy: String,
    description: Option<String>,
    max_session_duration: Option<i32>,
    tags: Option<Tags>,
}

impl WantedRole {
    /// Makes `current` what the seed says.
    pub(super) fn bring(&self, current: &mut Role) {
        current.trust_policy.clone_from(&self.trust_policy);
        if self.description.is_some() {
            current.description.clone_from(&self.description);
        }
        if let Some(seconds) = self.max_session_duration {
            current.max_session_duration = seconds;
        }
        if let Some(tags) = &self.tags {
            current.tags.clone_from(tags);
        }
    }

    /// The role when there is none yet.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub(super) fn fresh(&self, created_at: OffsetDateTime) -> Result<Role> {
        let mut role = Role {
            name: self.name.clone(),
            path: self.path.clone().unwrap_or_else(|| "/".to_owned()),
            role_id: Role::draw_id()?,
            description: None,
            max_session_duration: DEFAULT_MAX_SESSION_DURATION,
            trust_policy: String::new(),
            tags: Tags::new(),
            created_at,
        };
        self.bring(&mut role);
        Ok(role)
    }

    /// Why it cannot become what the seed says, if it is there already.
    pub(super) fn conflict(&self, current: &Role) -> Option<String> {
        if current.name != self.name {
            return Some(format!("is there as {}, and no two names differ by their case alone", current.name));
        }
        let other = self.path.as_ref().is_some_and(|path| *path != current.path);
        other
            .then(|| format!("has the path {}, which cannot be changed: set path to it, or leave it out", current.path))
    }
}

/// Reads the section of a role of the tenant `owner`.
pub(super) fn read(
    section: &Section<'_, '_>,
    context: &Context<'_>,
    owner: &str,
    seen: &mut BTreeSet<(String, String)>,
) -> Option<WantedRole> {
    let name = section.needed_text("name");
    let path = section.text("path");
    let description = section.text("description");
    let max_session_duration = section.number("max_session_duration");
    let tags = section.text_map("tags");
    let trust_policy = read_trust_policy(section, context);
    section.end();
    if name.as_ref().is_some_and(|name| !seen.insert((owner.to_owned(), name.to_ascii_lowercase()))) {
        section.problem("name", "stands twice in this tenant; the case of letters makes no difference");
    }
    if let Some(tags) = &tags
        && let Err(error) = tagging::check(tags, "TagsPerRole").and_then(|()| tags::check(tags, tagging::MAX_TAGS))
    {
        section.problem("tags", &words(error));
    }
    let keys: BTreeSet<String> = tags.iter().flatten().map(|(key, _)| key.to_lowercase()).collect();
    if tags.as_ref().is_some_and(|tags| tags.len() > keys.len()) {
        section.problem("tags", "two keys differ by their case alone, which makes them one");
    }
    let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
    let request = json!({
        // What is missing was told above.
        "RoleName": name.as_deref().unwrap_or("-"),
        "Path": path.as_deref().unwrap_or("/"),
        "AssumeRolePolicyDocument": trust_policy.as_deref().unwrap_or("-"),
        "Description": description.as_deref().unwrap_or_default(),
        "MaxSessionDuration": max_session_duration.unwrap_or(DEFAULT_MAX_SESSION_DURATION),
        "Tags": tags.iter().flatten().map(tag).collect::<Vec<_>>(),
    });
    let (_, shape) = shapes::iam_operation("CreateRole")?;
    for violation in validate::violations(shape, &request) {
        section.problem("", &violation.to_string());
    }
    let line = section.line();
    Some(WantedRole { line, name: name?, path, trust_policy: trust_policy?, description, max_session_duration, tags })
}

fn read_trust_policy(section: &Section<'_, '_>, context: &Context<'_>) -> Option<String> {
    let Some((field, text)) = document_text(section, context, "trust_policy", "trust_policy_file") else {
        if !(section.has("trust_policy") || section.has("trust_policy_file")) {
            section.problem("", "needs trust_policy = 'JSON' or trust_policy_file = \"FILE\"");
        }
        return None;
    };
    let checked = text.and_then(|text| match TrustPolicy::parse(&text) {
        Ok(_) => Ok(text),
        Err(problem) => Err(problem.to_string()),
    });
    checked.inspect_err(|why| section.problem(field, why)).ok()
}

/// Makes or changes the role, if it is not as the seed says.
pub(super) async fn bring(db: &Db, account: &AccountId, wanted: &WantedRole, limit: u32) -> Result<Fate> {
    // As IAM draws it: a retry finds its own row by it.
    let fresh = wanted.fresh(OidcProvider::moment(Clock::System.wall()))?;
    retry!(db, |conn| {
        let Some(found) = Role::find(conn, account, &wanted.name).await? else {
            return fresh.create(conn, account, limit).await.map(|()| Fate::Made);
        };
        let mut brought = found.clone();
        wanted.bring(&mut brought);
        if brought == found {
            return Ok(Fate::Left);
        }
        match Role::update(conn, account, &wanted.name, |current| wanted.bring(current)).await? {
            Some(_) => Ok(Fate::Changed),
            None => Err(Error::Contended),
        }
    })
}
