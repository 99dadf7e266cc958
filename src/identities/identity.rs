//! Identities: the row that is locked, disabled and listed. Its logins lie in `login.rs`.

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::aftercheck;
use crate::db::is_unique_violation;
use crate::error::{Error, Result};
use crate::ids::{self, AccountId, IdentityId, Route};
use crate::pools::Pool;

/// What may be done with an identity. One without logins that is enabled is a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may be used.
    Enabled,
    /// Merged away, or its last login was unlinked. It has no logins, and stays listed.
    Disabled,
}

impl State {
    const ENABLED: i16 = 1;
    const DISABLED: i16 = 2;

    fn of(number: i16) -> Self {
        if number == Self::ENABLED { Self::Enabled } else { Self::Disabled }
    }
}

/// An identity of a pool.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where its row lies.
    pub route: Route,
    /// The unique part of its id.
    pub uuid: Uuid,
    /// Whether it may be used.
    pub state: State,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
    /// When a login was last linked to it or taken from it.
    pub modified_at: OffsetDateTime,
}

/// Where an identity's row lies: proven by having found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The route.
    pub route: Route,
    /// The unique part of the id.
    pub uuid: Uuid,
}

impl Identity {
    /// The pool's identity of this id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection, pool: &Pool, uuid: Uuid) -> Result<Option<Self>> {
        // The route in the id came from a client: it may lead to a row of this pool or to nothing.
        if let Some(route) = ids::route_hint(&uuid).filter(|route| pool.owns(*route))
            && let Some(identity) = Self::find_in(conn, route, uuid).await?
        {
            return Ok(Some(identity));
        }
        match Self::imported_route(conn, uuid).await? {
            Some(route) if pool.owns(route) => Self::find_in(conn, route, uuid).await,
            _ => Ok(None),
        }
    }

    /// The identity of this id, with its pool, if the tenant owns a live one that it is in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_for_tenant(
        conn: &mut PgConnection,
        account_id: &AccountId,
        id: &IdentityId,
    ) -> Result<Option<(Pool, Self)>> {
        let hint = ids::route_hint(&id.uuid);
        let imported = Self::imported_route(conn, id.uuid).await?;
        for route in hint.into_iter().chain(imported) {
            if let Some(pool) = Pool::find_by_no(conn, account_id, &id.region, route.pool_no()).await?
                && let Some(identity) = Self::find(conn, &pool, id.uuid).await?
            {
                return Ok(Some((pool, identity)));
            }
        }
        Ok(None)
    }

    /// The identity of this id, with its pool, whose ever it is: for the operations that anyone may call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_public(conn: &mut PgConnection, id: &IdentityId) -> Result<Option<(Pool, Self)>> {
        let hint = ids::route_hint(&id.uuid);
        let imported = Self::imported_route(conn, id.uuid).await?;
        for route in hint.into_iter().chain(imported) {
            if let Some(pool) = Pool::find_public_by_no(conn, &id.region, route.pool_no()).await?
                && let Some(identity) = Self::find(conn, &pool, id.uuid).await?
            {
                return Ok(Some((pool, identity)));
            }
        }
        Ok(None)
    }

    /// The identity of this id, if its row lies here.
    pub(super) async fn find_in(conn: &mut PgConnection, route: Route, uuid: Uuid) -> Result<Option<Self>> {
        let row = sqlx::query!(
            "select state, created_at, modified_at from identities where route = $1 and identity_id = $2",
            route.0,
            uuid
        )
        .fetch_optional(conn)
        .await?;
        Ok(row.map(|row| Self {
            route,
            uuid,
            state: State::of(row.state),
            created_at: row.created_at,
            modified_at: row.modified_at,
        }))
    }

    async fn imported_route(conn: &mut PgConnection, uuid: Uuid) -> Result<Option<Route>> {
        let route = sqlx::query_scalar!("select route from identity_routes where identity_id = $1", uuid)
            .fetch_optional(conn)
            .await?;
        Ok(route.map(Route))
    }

    /// Makes an identity without logins: a guest. Which one is `drawn` by the first try of a call. A later try makes the same,
    /// unless the first has made it, and only the answer was lost.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create_guest(conn: &mut PgConnection, pool: &Pool, drawn: &mut Option<Located>) -> Result<Uuid> {
        let is_retried = drawn.is_some();
        let guest = if let Some(guest) = *drawn {
            guest
        } else {
            let sub = i32::from(u16::from_be_bytes(ids::random()?)) % i32::from(pool.spread);
            let route = Route::new(pool.no, sub);
            Located { route, uuid: ids::new_identity_uuid(route)? }
        };
        *drawn = Some(guest);
        match insert(conn, guest.route, guest.uuid).await {
            Err(Error::Database(error)) if is_retried && is_unique_violation(&error) => {}
            made => made?,
        }
        Ok(guest.uuid)
    }

    /// Identities of the pool in the order of their routes and ids, after `after`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(
        conn: &mut PgConnection,
        pool: &Pool,
        hide_disabled: bool,
        after: Option<Located>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let first = after.map_or(i32::MIN, |after| after.route.0);
        for route in pool.routes().into_iter().filter(|route| *route >= first) {
            let left = limit - i64::try_from(found.len()).unwrap_or(limit);
            if left <= 0 {
                break;
            }
            let start = after.filter(|after| after.route.0 == route).map_or(Uuid::nil(), |after| after.uuid);
            let rows = sqlx::query!(
                "select identity_id, state, created_at, modified_at from identities
                 where route = $1 and identity_id > $2 and (state = 1 or not $3)
                 order by identity_id limit $4",
                route,
                start,
                hide_disabled,
                left
            )
            .fetch_all(&mut *conn)
            .await?;
            found.extend(rows.into_iter().map(|row| Self {
                route: Route(route),
                uuid: row.identity_id,
                state: State::of(row.state),
                created_at: row.created_at,
                modified_at: row.modified_at,
            }));
        }
        Ok(found)
    }

    /// Where its row lies.
    #[must_use]
    pub fn located(&self) -> Located {
        Located { route: self.route, uuid: self.uuid }
    }

    /// Deletes an identity and its logins, in one transaction; done already if it is gone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete(conn: &mut PgConnection, pool: &Pool, at: Located) -> Result<()> {
        let mut tx = sqlx::Connection::begin(&mut *conn).await?;
        if lock(&mut tx, at).await?.is_none() {
            tx.rollback().await?;
            return Ok(());
        }
        sqlx::query!("delete from logins where route = any($1) and identity_id = $2", &pool.routes(), at.uuid)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("delete from identities where route = $1 and identity_id = $2", at.route.0, at.uuid)
            .execute(&mut *tx)
            .await?;
        // An import may have given another pool an identity of the same id; its route stays.
        sqlx::query!("delete from identity_routes where identity_id = $1 and route = $2", at.uuid, at.route.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if pool.spread > 1 {
            aftercheck::after_delete(conn, pool, at.uuid).await?;
        }
        Ok(())
    }
}

/// Inserts an enabled identity.
pub(super) async fn insert(conn: &mut PgConnection, route: Route, uuid: Uuid) -> Result<()> {
    sqlx::query!("insert into identities (route, identity_id) values ($1, $2)", route.0, uuid).execute(conn).await?;
    Ok(())
}

/// Locks the identity's row against every other writer of its logins, and returns its state; nothing if it is gone.
///
/// `for share` would let two writers pass at once; each later read must be a new statement, to see what the lock
/// waited for.
pub(super) async fn lock(conn: &mut PgConnection, at: Located) -> Result<Option<State>> {
    let state = sqlx::query_scalar!(
        "select state from identities where route = $1 and identity_id = $2 for no key update",
        at.route.0,
        at.uuid
    )
    .fetch_optional(conn)
    .await?;
    Ok(state.map(State::of))
}

/// Moves the identity's modification date forward, which is its version (`tried.rs`), and returns it. The caller has locked
/// the identity. `now()` would be the start of the transaction, before the lock.
pub(super) async fn touch(conn: &mut PgConnection, at: Located) -> Result<OffsetDateTime> {
    Ok(sqlx::query_scalar!(
        "update identities set modified_at = greatest(modified_at + interval '1 microsecond', clock_timestamp())
         where route = $1 and identity_id = $2 returning modified_at",
        at.route.0,
        at.uuid
    )
    .fetch_one(conn)
    .await?)
}

/// Disables the identity for ever, and returns its modification date, which is its last one. The caller has locked it and
/// taken its logins away.
pub(super) async fn disable(conn: &mut PgConnection, at: Located) -> Result<OffsetDateTime> {
    Ok(sqlx::query_scalar!(
        "update identities set state = $3,
           modified_at = greatest(modified_at + interval '1 microsecond', clock_timestamp())
         where route = $1 and identity_id = $2 returning modified_at",
        at.route.0,
        at.uuid,
        State::DISABLED
    )
    .fetch_one(conn)
    .await?)
}
