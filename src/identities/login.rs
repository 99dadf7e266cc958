//! Logins: (pool, provider, user at the provider) → identity. `logins_pkey` gives each to one identity at most.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::Identity;
use crate::error::{Error, Result};
use crate::ids::Route;
use crate::pools::Pool;
use crate::pools::providers::DEVELOPER;

/// The longest developer user identifier, in characters (`DeveloperUserIdentifier` of the service model).
const MAX_USER_CHARS: usize = 1024;

/// The longest identifier, in bytes, that is its own key; longer ones are hashed, since a B-tree key has its limit.
const MAX_PLAIN_BYTES: usize = 64;

const PLAIN: u8 = 0;
const HASHED: u8 = 1;

/// A developer's own name for a user: compared byte for byte, never trimmed or normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeveloperUser(String);

impl DeveloperUser {
    /// The identifier in `text`.
    ///
    /// # Errors
    /// [`Error::BadDeveloperUser`] if it is empty, longer than 1 024 characters, or holds U+0000.
    pub fn parse(text: String) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::BadDeveloperUser("DeveloperUserIdentifier must not be empty."));
        }
        if text.len() > MAX_USER_CHARS && text.chars().count() > MAX_USER_CHARS {
            return Err(Error::BadDeveloperUser("DeveloperUserIdentifier must not be longer than 1024 characters."));
        }
        if text.contains('\0') {
            return Err(Error::BadDeveloperUser("DeveloperUserIdentifier must not contain the character U+0000."));
        }
        Ok(Self(text))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that its row is found by, in `pool`.
    #[must_use]
    pub fn key(&self, pool: &Pool) -> LoginKey {
        let bytes = self.0.as_bytes();
        let (tag, key) =
            if bytes.len() <= MAX_PLAIN_BYTES { (PLAIN, bytes.to_vec()) } else { (HASHED, sha256(&[bytes])) };
        let mut subject_key = Vec::with_capacity(1 + key.len());
        subject_key.push(tag);
        subject_key.extend_from_slice(&key);
        LoginKey { route: pool.route_of(DEVELOPER, &subject_key), provider_no: DEVELOPER, subject_key }
    }
}

/// The key of a login's row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginKey {
    /// Where the row lies.
    pub route: Route,
    /// The provider's number in its pool.
    pub provider_no: i16,
    /// The user at the provider: tagged, plain or hashed.
    pub subject_key: Vec<u8>,
}

/// A login as its row has it.
#[derive(Clone, Debug)]
pub struct Login {
    /// The provider's number in its pool.
    pub provider_no: i16,
    /// The user at the provider: tagged, plain or hashed.
    pub subject_key: Vec<u8>,
    subject: Option<String>,
}

impl Login {
    /// The identity that this login belongs to: the one question of a known user's call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn owner(conn: &mut PgConnection, key: &LoginKey) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!(
            "select identity_id from logins where route = $1 and provider_no = $2 and subject_key = $3",
            key.route.0,
            key.provider_no,
            key.subject_key
        )
        .fetch_optional(conn)
        .await?)
    }

    /// All logins of an identity, in a stable order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_identity(conn: &mut PgConnection, pool: &Pool, identity: Uuid) -> Result<Vec<Self>> {
        Ok(sqlx::query_as!(
            Self,
            "select provider_no, subject_key, subject from logins where route = any($1) and identity_id = $2
             order by provider_no, subject_key",
            &pool.routes(),
            identity
        )
        .fetch_all(conn)
        .await?)
    }

    /// All logins of several identities, by identity.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of_identities(
        conn: &mut PgConnection,
        pool: &Pool,
        identities: &[Identity],
    ) -> Result<HashMap<Uuid, Vec<Self>>> {
        let uuids: Vec<Uuid> = identities.iter().map(|identity| identity.uuid).collect();
        let rows = sqlx::query!(
            "select identity_id, provider_no, subject_key, subject from logins
             where route = any($1) and identity_id = any($2) order by provider_no, subject_key",
            &pool.routes(),
            &uuids
        )
        .fetch_all(conn)
        .await?;
        let mut found: HashMap<Uuid, Vec<Self>> = HashMap::new();
        for row in rows {
            let login = Self { provider_no: row.provider_no, subject_key: row.subject_key, subject: row.subject };
            found.entry(row.identity_id).or_default().push(login);
        }
        Ok(found)
    }

    /// The developer user of this login, if it is one.
    #[must_use]
    pub fn developer_user(&self) -> Option<String> {
        if self.provider_no != DEVELOPER {
            return None;
        }
        match self.subject_key.split_first() {
            Some((&PLAIN, text)) => String::from_utf8(text.to_vec()).ok(),
            _ => self.subject.clone(),
        }
    }
}

/// Inserts a developer user's login; false if the login belongs to an identity already.
pub(super) async fn insert(
    conn: &mut PgConnection,
    key: &LoginKey,
    user: &DeveloperUser,
    identity: Uuid,
) -> Result<bool> {
    let text = (key.subject_key.first() == Some(&HASHED)).then_some(user.as_str());
    let inserted = sqlx::query_scalar!(
        "insert into logins (route, provider_no, subject_key, subject, identity_id) values ($1, $2, $3, $4, $5)
         on conflict (route, provider_no, subject_key) do nothing returning identity_id",
        key.route.0,
        key.provider_no,
        key.subject_key,
        text,
        identity
    )
    .fetch_optional(conn)
    .await?;
    Ok(inserted.is_some())
}

impl Pool {
    /// The route of a login: by the leading bits of its hash when the pool lies in several.
    fn route_of(&self, provider_no: i16, subject_key: &[u8]) -> Route {
        if self.spread <= 1 {
            return Route::new(self.no, 0);
        }
        let hash = sha256(&[&provider_no.to_be_bytes(), subject_key]);
        let leading = hash.iter().take(2).fold(0, |bits, byte| (bits << 8) | i32::from(*byte));
        Route::new(self.no, leading % i32::from(self.spread))
    }

    /// Whether identities of this pool may lie in `route`.
    pub(super) fn owns(&self, route: Route) -> bool {
        route.pool_no() == self.no && route.0 - Route::new(self.no, 0).0 < i32::from(self.spread)
    }
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}
