//! Tenants who have everything that a tenant can have, and all their rows as one sum.

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;

use super::questions::Named;
use crate::client::Developer;
use crate::federation::{CLIENT, Federation, PROVIDERS, declare};
use crate::harness::DEVELOPER;
use crate::query::trust;

/// A pool with all that a pool can have, and those who are in it.
pub struct Home {
    pub developer: Developer,
    pub pool: String,
    /// Of the developer's user `user`, and of Ann at the provider `a`.
    pub user: String,
    pub guest: String,
    /// What proves Ann.
    pub logins: Value,
}

impl Home {
    /// The first pool of the tenant of this number.
    pub async fn of(at: &Federation, number: u64) -> Self {
        let developer = at.broker.developer(number);
        if developer.account != at.developer.account {
            for path in PROVIDERS {
                declare(&at.broker, &developer, &at.key(path), CLIENT).await;
            }
        }
        Self::another(at, &developer).await
    }

    /// One more pool of the tenant.
    pub async fn another(at: &Federation, developer: &Developer) -> Self {
        let arns = PROVIDERS.map(|path| format!("arn:aws:iam::{}:oidc-provider/{}", developer.account, at.key(path)));
        let settings = json!({
            "IdentityPoolName": "home", "AllowUnauthenticatedIdentities": true, "DeveloperProviderName": DEVELOPER,
            "OpenIdConnectProviderARNs": arns, "IdentityPoolTags": { "of": developer.account.as_str() },
        });
        let pool = developer.call("CreateIdentityPool", settings).await.member("IdentityPoolId");
        let role = format!("arn:aws:iam::{}:role/one", developer.account);
        developer.role("one", &trust(&pool)).await;
        let roles = json!({ "IdentityPoolId": pool, "Roles": { "authenticated": role } });
        developer.call("SetIdentityPoolRoles", roles).await.ok();
        let map =
            json!({ "IdentityPoolId": pool, "IdentityProviderName": at.key("a"), "PrincipalTags": { "who": "sub" } });
        developer.call("SetPrincipalTagAttributeMap", map).await.ok();

        let logins = at.logins(&["a:ann"]);
        let mut both = logins.clone();
        both[DEVELOPER] = json!("user");
        let user = json!({ "IdentityPoolId": pool, "Logins": both });
        let user = developer.call("GetOpenIdTokenForDeveloperIdentity", user).await.member("IdentityId");
        developer.identity(&pool, "friend").await;
        let guest = at.visitor.get_id(&pool).await.member("IdentityId");
        Self { developer: developer.clone(), pool, user, guest, logins }
    }

    /// Adds what forbids the classic flow: mappings of roles.
    pub async fn map_roles(&self, key: &str) {
        let mapping = json!({ "Type": "Token", "AmbiguousRoleResolution": "Deny" });
        let roles = json!({ "IdentityPoolId": self.pool, "Roles": {}, "RoleMappings": { key: mapping } });
        self.developer.call("SetIdentityPoolRoles", roles).await.ok();
    }

    /// Its pool and its user, for a question.
    pub fn named(&self) -> Named<'_> {
        Named { pool: &self.pool, identity: &self.user, logins: &self.logins }
    }

    /// The ARN of the pool.
    pub fn arn(&self) -> String {
        arn(&self.developer.region, self.developer.account.as_str(), &self.pool)
    }

    /// The rows of its pool.
    pub async fn rows(&self, conn: &mut PgConnection) -> String {
        checksum(conn, &self.developer, Some(&self.pool)).await
    }
}

/// The ARN of a pool.
pub fn arn(region: &str, account: &str, pool: &str) -> String {
    format!("arn:aws:cognito-identity:{region}:{account}:identitypool/{pool}")
}

/// All rows of a tenant, as the sum of their text.
pub async fn rows(conn: &mut PgConnection, developer: &Developer) -> String {
    checksum(conn, developer, None).await
}

/// The tables' rows whole: with roles, role mappings and tags of pools, and the tag maps of their providers.
async fn checksum(conn: &mut PgConnection, developer: &Developer, pool: Option<&str>) -> String {
    let query = "
        with pools as (select * from identity_pools
                       where account_id = $1 and ($2::text is null or region || ':' || pool_id = $2)),
             people as (select * from identities where route / 1024 in (select pool_no from pools))
        select md5(string_agg(line, ';' order by line)) from (
            select p::text as line from pools p
            union all select n::text from pool_providers n where pool_no in (select pool_no from pools)
            union all select i::text from people i
            union all select l::text from logins l where route / 1024 in (select pool_no from pools)
            union all select r::text from identity_routes r where identity_id in (select identity_id from people)
            union all select t::text from tenants t where account_id = $1 and $2 is null
            union all select k::text from access_keys k where account_id = $1 and $2 is null
            union all select o::text from oidc_providers o where account_id = $1 and $2 is null
            union all select r::text from iam_roles r where account_id = $1 and $2 is null
            union all select s::text from saml_providers s where account_id = $1 and $2 is null
        ) as lines";
    sqlx::query_scalar(query).bind(developer.account.as_str()).bind(pool).fetch_one(conn).await.unwrap()
}
