//! Logins: (pool, provider, user at the provider) → identity. `logins_pkey` gives each to one identity at most.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::identity::Identity;
use crate::error::{Error, Result};
use crate::ids::Route;
use crate::pools::Pool;
use crate::pools::providers::DEVELOPER;
use crate::upstream::VerifiedLogin;

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

    /// The login as a row that is there or could be.
    pub(super) fn candidate(&self, pool: &Pool) -> Candidate {
        let key = self.key(pool);
        let text = (key.subject_key.first() == Some(&HASHED)).then(|| self.0.clone());
        Candidate { key, text }
    }

    /// The key that its row is found by, in `pool`.
    #[must_use]
    pub fn key(&self, pool: &Pool) -> LoginKey {
        let bytes = self.0.as_bytes();
        let (tag, key) =
            if bytes.len() <= MAX_PLAIN_BYTES { (PLAIN, bytes.to_vec()) } else { (HASHED, sha256(&[bytes])) };
        let subject_key = [&[tag], key.as_slice()].concat();
        LoginKey { route: pool.route_of(DEVELOPER, &subject_key), provider_no: DEVELOPER, subject_key }
    }
}

/// A login that was proven, as a row that is there or could be.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) key: LoginKey,
    /// The user, where the key is a hash of it and a look-up must tell it.
    pub(super) text: Option<String>,
}

impl Candidate {
    /// The login of a public provider. Its user is kept as a hash only
    /// (<https://aws.amazon.com/cognito/faqs/>: a one-way hash of the user's id at the provider).
    pub(super) fn public(pool: &Pool, login: &VerifiedLogin) -> Result<Self> {
        let provider = pool.numbered.get(login.login_key()).ok_or(Error::ProviderNotSupported)?;
        let hash = sha256(&[login.login_key().as_bytes(), &[0], login.subject().as_bytes()]);
        let subject_key = [&[HASHED], hash.as_slice()].concat();
        let key = LoginKey { route: pool.route_of(provider.no, &subject_key), provider_no: provider.no, subject_key };
        Ok(Self { key, text: None })
    }

    /// Whether this is that row.
    pub(super) fn is(&self, login: &Login) -> bool {
        (self.key.provider_no, &self.key.subject_key) == (login.provider_no, &login.subject_key)
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

    /// The same of several logins, in their order. Each is found by the index, however many there are: not a join, for
    /// which the server could take to reading the whole table. The arrays are behind a `select`, so that it does not see
    /// their lengths: it would plan anew for each, which costs more than the looking up.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn owners(conn: &mut PgConnection, keys: &[LoginKey]) -> Result<Vec<Option<Uuid>>> {
        let routes: Vec<i32> = keys.iter().map(|key| key.route.0).collect();
        let providers: Vec<i16> = keys.iter().map(|key| key.provider_no).collect();
        let subjects: Vec<&[u8]> = keys.iter().map(|key| key.subject_key.as_slice()).collect();
        let rows = sqlx::query!(
            r#"select asked.position as "position!", found.identity_id
               from unnest((select $1::int4[]), (select $2::int2[]), (select $3::bytea[])) with ordinality
                 as asked (route, provider_no, subject_key, position)
               cross join lateral (
                 select identity_id from logins
                 where route = asked.route and provider_no = asked.provider_no and subject_key = asked.subject_key
                 limit 1
               ) as found"#,
            &routes,
            &providers,
            &subjects as &[&[u8]]
        )
        .fetch_all(conn)
        .await?;
        let mut owners = vec![None; keys.len()];
        for row in rows {
            let place = usize::try_from(row.position - 1).ok().and_then(|index| owners.get_mut(index));
            *place.ok_or_else(|| Error::internal("a position that was not asked for"))? = Some(row.identity_id);
        }
        Ok(owners)
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

/// Inserts a login; false if it belongs to an identity already.
pub(super) async fn insert(conn: &mut PgConnection, login: &Candidate, identity: Uuid) -> Result<bool> {
    let key = &login.key;
    let inserted = sqlx::query_scalar!(
        "insert into logins (route, provider_no, subject_key, subject, identity_id) values ($1, $2, $3, $4, $5)
         on conflict (route, provider_no, subject_key) do nothing returning identity_id",
        key.route.0,
        key.provider_no,
        key.subject_key,
        login.text,
        identity
    )
    .fetch_optional(conn)
    .await?;
    Ok(inserted.is_some())
}

/// Gives every login of an identity to another. Both are locked.
pub(super) async fn move_all(conn: &mut PgConnection, pool: &Pool, from: Uuid, into: Uuid) -> Result<()> {
    sqlx::query!(
        "update logins set identity_id = $1 where route = any($2) and identity_id = $3",
        into,
        &pool.routes(),
        from
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One user of each public provider
/// (<https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_MergeDeveloperIdentities.html>).
///
/// # Errors
/// [`Error::SecondUserOfProvider`]
pub(super) fn check_one_user_each(numbers: impl Iterator<Item = i16>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for number in numbers.filter(|number| *number != DEVELOPER) {
        if !seen.insert(number) {
            return Err(Error::SecondUserOfProvider);
        }
    }
    Ok(())
}

/// No more logins than one identity may hold.
///
/// # Errors
/// [`Error::TooManyLogins`]
pub(super) fn check_count(logins: usize, limit: u32) -> Result<()> {
    if logins > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Error::TooManyLogins);
    }
    Ok(())
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
