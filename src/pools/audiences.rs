//! Extra audiences: names beside the pool's id in `aud`, for consumers that accept no audience but their own.
//!
//! They are ours, not AWS's: no operation of the wire shows or changes them, so that `UpdateIdentityPool` leaves them.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;

use super::pool::Pool;
use crate::error::{Error, Result};
use crate::ids::PoolId;
use crate::installation;

/// The extra audiences of a pool, in the order in which they stand in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audiences(Vec<String>);

impl Audiences {
    /// How many a pool can have. Entra and GCP take as many or fewer per trust, and tokens have an end.
    pub const MOST: usize = 20;
    /// How long one can be, in characters.
    pub const LONGEST: usize = 255;

    /// These audiences.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for more than [`Audiences::MOST`], one that stands twice, or one that
    /// [`Audiences::check_one`] refuses.
    pub fn new(list: Vec<String>) -> Result<Self> {
        let mut all = Self::default();
        for audience in list {
            if !all.add(&audience)? {
                return Err(Error::InvalidParameter(format!("The audience '{audience}' stands twice.")));
            }
        }
        Ok(all)
    }

    /// Whether a token may carry this audience.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if it is empty or too long, has other characters than visible ASCII, or looks like
    /// the id of a pool: a consumer that trusts that pool would take this one's users for its own.
    pub fn check_one(audience: &str) -> Result<()> {
        let visible = audience.bytes().all(|byte| byte.is_ascii_graphic());
        if audience.is_empty() || audience.len() > Self::LONGEST || !visible {
            return Err(Error::InvalidParameter(format!(
                "An audience has 1 to {} visible ASCII characters, and no blanks.",
                Self::LONGEST
            )));
        }
        // Consumers may compare without regard to case.
        if PoolId::parse(&audience.to_ascii_lowercase()).is_some() {
            return Err(Error::InvalidParameter(format!(
                "'{audience}' has the form of a pool id. The id of the pool itself is always an audience of its tokens, \
                 and that of another would let this pool's users in where the other's are trusted."
            )));
        }
        Ok(())
    }

    /// Each of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, audience: &str) -> bool {
        self.0.iter().any(|other| other == audience)
    }

    /// Adds one at the end; false if it is there already.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] as for [`Audiences::new`].
    pub fn add(&mut self, audience: &str) -> Result<bool> {
        Self::check_one(audience)?;
        if self.contains(audience) {
            return Ok(false);
        }
        if self.0.len() >= Self::MOST {
            return Err(Error::InvalidParameter(format!(
                "A pool can have at most {} audiences beside its id.",
                Self::MOST
            )));
        }
        self.0.push(audience.to_owned());
        Ok(true)
    }

    /// Removes one; false if it is not there.
    pub fn remove(&mut self, audience: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|other| other != audience);
        self.0.len() < before
    }

    /// Changes the audiences of a pool, with its row locked, so that no change is lost. Writes nothing if `change` leaves
    /// them as they are. Tokens made from then on, by any replica, have the new ones.
    ///
    /// # Errors
    /// [`Error::PoolNotFound`] if the pool was deleted meanwhile, or what `change` refuses.
    pub async fn change<T: Send>(
        conn: &mut PgConnection,
        pool: &Pool,
        change: impl FnOnce(&mut Self) -> Result<T> + Send,
    ) -> Result<T> {
        let mut tx = sqlx::Connection::begin(conn).await?;
        let pool = pool.lock(&mut tx).await?;
        let mut audiences = pool.audiences.clone();
        let changed = change(&mut audiences)?;
        if audiences == pool.audiences {
            tx.rollback().await?;
            return Ok(changed);
        }
        sqlx::query!("update identity_pools set audiences = $2 where pool_no = $1", pool.no, Json(&audiences) as _)
            .execute(&mut *tx)
            .await?;
        installation::bump_epoch(&mut tx).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The ids of the other live pools, of any tenant, whose tokens have this audience: a consumer that looks at it alone
    /// cannot tell their users apart.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn others_with(conn: &mut PgConnection, pool: &Pool, audience: &str) -> Result<Vec<String>> {
        let ids = sqlx::query_scalar!(
            r#"select region || ':' || pool_id as "id!" from identity_pools
               where pool_no <> $1 and deleted_at is null and audiences @> $2 order by 1"#,
            pool.no,
            Json([audience]) as _
        )
        .fetch_all(conn)
        .await?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(audience: &str) -> String {
        Audiences::check_one(audience).unwrap_err().to_string()
    }

    #[test]
    fn an_audience_is_what_consumers_call_themselves_and_never_a_pool() {
        for good in ["snowflakecomputing.com", "api://AzureADTokenExchange", "sts.amazonaws.com", "a", "'\"$(x)`;"] {
            Audiences::check_one(good).unwrap();
        }
        Audiences::check_one(&"a".repeat(255)).unwrap();
        for bad in ["", " ", "a b", "a\n", "é", "\u{7f}", &"a".repeat(256)] {
            assert!(refusal(bad).contains("1 to 255 visible ASCII characters"), "{bad:?}");
        }
        let pool = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8";
        for bad in [pool.to_owned(), pool.to_uppercase(), pool.replace("us-east-1", "anywhere")] {
            assert!(refusal(&bad).contains("form of a pool id"), "{bad}");
        }
    }

    #[test]
    fn audiences_stand_once_in_their_order_and_there_are_not_more_than_twenty() {
        let mut audiences = Audiences::new(vec!["b".into(), "a".into()]).unwrap();
        assert!(!audiences.add("b").unwrap() && audiences.add("c").unwrap());
        assert_eq!(audiences.as_slice(), ["b", "a", "c"]);
        assert!(audiences.remove("a") && !audiences.remove("a"));
        assert_eq!(audiences.as_slice(), ["b", "c"]);
        assert!(Audiences::new(vec!["a".into(), "a".into()]).unwrap_err().to_string().contains("twice"));
        let many = |count: usize| (0..count).map(|number| format!("a{number}")).collect::<Vec<_>>();
        let mut full = Audiences::new(many(20)).unwrap();
        assert!(!full.add("a0").unwrap());
        assert!(full.add("b").unwrap_err().to_string().contains("at most 20"));
        assert!(Audiences::new(many(21)).is_err());
    }
}
