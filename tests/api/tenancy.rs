//! Every operation with ids that are not the caller's: a foreign one is as one that does not exist, and touches nothing.

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use symbolon::ids::{self, IdentityId, Route};

use crate::client::{ABROAD, Answer, Broker, Developer, HOME, broker};
use crate::harness::{self, DEVELOPER};
use crate::shown::comparable;

/// What an operation is asked, with the id of a pool and of an identity.
type Question = fn(pool: &str, identity: &str) -> Value;

/// Every signed operation that names a pool.
const OF_POOLS: &[(&str, Question)] = &[
    ("DescribeIdentityPool", |pool, _| json!({ "IdentityPoolId": pool })),
    ("DeleteIdentityPool", |pool, _| json!({ "IdentityPoolId": pool })),
    ("UpdateIdentityPool", |pool, _| {
        json!({ "IdentityPoolId": pool, "IdentityPoolName": "taken", "AllowUnauthenticatedIdentities": true,
                "DeveloperProviderName": "taken.example.com" })
    }),
    ("ListIdentities", |pool, _| json!({ "IdentityPoolId": pool, "MaxResults": 60 })),
    ("LookupDeveloperIdentity", |pool, _| json!({ "IdentityPoolId": pool, "DeveloperUserIdentifier": "user" })),
    ("LookupDeveloperIdentity", |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity })),
    ("MergeDeveloperIdentities", |pool, _| {
        json!({ "IdentityPoolId": pool, "DeveloperProviderName": DEVELOPER,
                "SourceUserIdentifier": "user", "DestinationUserIdentifier": "friend" })
    }),
    ("UnlinkDeveloperIdentity", |pool, identity| {
        json!({ "IdentityPoolId": pool, "IdentityId": identity, "DeveloperProviderName": DEVELOPER,
                "DeveloperUserIdentifier": "user" })
    }),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |pool, _| json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: "user" } }),
    ),
    ("GetIdentityPoolRoles", |pool, _| json!({ "IdentityPoolId": pool })),
    (
        "SetIdentityPoolRoles",
        |pool, _| json!({ "IdentityPoolId": pool, "Roles": { "authenticated": "arn:aws:iam::000000000001:role/taken" } }),
    ),
    ("GetPrincipalTagAttributeMap", |pool, _| json!({ "IdentityPoolId": pool, "IdentityProviderName": DEVELOPER })),
    (
        "SetPrincipalTagAttributeMap",
        |pool, _| json!({ "IdentityPoolId": pool, "IdentityProviderName": DEVELOPER, "PrincipalTags": { "taken": "sub" } }),
    ),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity, "Logins": { DEVELOPER: "newcomer" } }),
    ),
];

/// Every signed operation that names an identity.
const OF_IDENTITIES: &[(&str, Question)] = &[
    ("DescribeIdentity", |_, identity| json!({ "IdentityId": identity })),
    ("DeleteIdentities", |_, identity| json!({ "IdentityIdsToDelete": [identity] })),
    ("LookupDeveloperIdentity", |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity })),
    (
        "LookupDeveloperIdentity",
        |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity, "DeveloperUserIdentifier": "user" }),
    ),
    ("UnlinkDeveloperIdentity", |pool, identity| {
        json!({ "IdentityPoolId": pool, "IdentityId": identity, "DeveloperProviderName": DEVELOPER,
                "DeveloperUserIdentifier": "user" })
    }),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity, "Logins": { DEVELOPER: "user" } }),
    ),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        |pool, identity| json!({ "IdentityPoolId": pool, "IdentityId": identity, "Logins": { DEVELOPER: "newcomer" } }),
    ),
];

const MALFORMED: [&str; 6] = ["", "us-east-1", "us-east-1:", "us-east-1:ABCD", "us east:0", ":0"];

/// A pool of a tenant with two users and a guest.
struct Home {
    pool: String,
    user: String,
    guest: String,
}

async fn home(broker: &Broker, developer: &Developer) -> Home {
    let pool = developer.pool().await;
    let (user, _) = (developer.identity(&pool, "user").await, developer.identity(&pool, "friend").await);
    let guest = broker.visitor().get_id(&pool).await.member("IdentityId");
    Home { pool, user, guest }
}

/// All rows of a tenant, as the sum of their text.
async fn checksum(conn: &mut PgConnection, number: u64) -> String {
    let query = "
        with pools as (select * from identity_pools where account_id = $1)
        select md5(string_agg(line, ';' order by line)) from (
            select t::text as line from tenants t where account_id = $1
            union all select k::text from access_keys k where account_id = $1
            union all select p::text from pools p
            union all select n::text from pool_providers n where pool_no in (select pool_no from pools)
            union all select i::text from identities i where route / 1024 in (select pool_no from pools)
            union all select l::text from logins l where route / 1024 in (select pool_no from pools)
        ) as lines";
    sqlx::query_scalar(query).bind(harness::account(number).as_str()).fetch_one(conn).await.unwrap()
}

/// Everything that two answers to two ids must have in common.
fn essence(answer: &Answer, id: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = comparable(&answer.headers).into_iter().map(|(name, value)| (name, value.replace(id, "ID")));
    (answer.status.as_u16(), headers.collect(), answer.text.replace(id, "ID"))
}

fn no_pool() -> String {
    format!("{HOME}:{}", ids::new_pool_uuid().unwrap())
}

/// An identity that nobody has, in the route of one that somebody has, or in some route.
fn no_identity(like: Option<&str>) -> String {
    let route = like.map_or(Route(7), |like| ids::route_hint(&IdentityId::parse(like).unwrap().uuid).unwrap());
    format!("{HOME}:{}", ids::new_identity_uuid(route).unwrap())
}

fn elsewhere(id: &str) -> String {
    id.replace(HOME, ABROAD)
}

#[tokio::test]
async fn a_foreign_id_is_as_one_that_does_not_exist_and_nothing_is_touched() {
    let broker = broker().await;
    let (developer, stranger) = (broker.developer(1), broker.developer(2));
    let (own, foreign) = (home(&broker, &developer).await, home(&broker, &stranger).await);
    let mut conn = broker.db.conn().await;
    let before = (checksum(&mut conn, 1).await, checksum(&mut conn, 2).await);
    assert_ne!(before.0, before.1);

    for (operation, question) in OF_POOLS {
        // One that does not exist, then what must not be told from it.
        let absent = no_pool();
        let expected = developer.call(operation, question(&absent, &own.user)).await;
        expected.no_pool(&absent);
        for id in [foreign.pool.clone(), elsewhere(&own.pool), elsewhere(&foreign.pool)] {
            for identity in [&own.user, &foreign.user] {
                let answer = developer.call(operation, question(&id, identity)).await;
                assert_eq!(essence(&answer, &id), essence(&expected, &absent), "{operation} {id}");
            }
        }
        // The right id, asked in another region.
        let answer = developer.in_region(ABROAD).call(operation, question(&own.pool, &own.user)).await;
        assert_eq!(essence(&answer, &own.pool), essence(&expected, &absent), "{operation} from abroad");
        for id in MALFORMED {
            let answer = developer.call(operation, question(id, &own.user)).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }

    for (operation, question) in OF_IDENTITIES {
        let absent = no_identity(None);
        let expected = developer.call(operation, question(&own.pool, &absent)).await;
        if *operation == "DeleteIdentities" {
            expected.is(r#"{"UnprocessedIdentityIds":[]}"#);
        } else {
            expected.no_identity(&absent);
        }
        let strange = [foreign.user.clone(), foreign.guest.clone(), no_identity(Some(&foreign.user))];
        let near = [no_identity(Some(&own.user)), elsewhere(&own.user), elsewhere(&own.guest), no_pool()];
        for id in strange.into_iter().chain(near) {
            let answer = developer.call(operation, question(&own.pool, &id)).await;
            assert_eq!(essence(&answer, &id), essence(&expected, &absent), "{operation} {id}");
        }
        for id in MALFORMED {
            let answer = developer.call(operation, question(&own.pool, id)).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }
    for (operation, question) in &OF_IDENTITIES[..2] {
        let answer = developer.in_region(ABROAD).call(operation, question(&own.pool, &own.user)).await;
        if *operation == "DeleteIdentities" {
            answer.is(r#"{"UnprocessedIdentityIds":[]}"#);
        } else {
            answer.no_identity(&own.user);
        }
    }
    assert_eq!((checksum(&mut conn, 1).await, checksum(&mut conn, 2).await), before);
    // The checksum does see what changes.
    stranger.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [foreign.guest] })).await.ok();
    assert_ne!(checksum(&mut conn, 2).await, before.1);
    assert_eq!(checksum(&mut conn, 1).await, before.0);
}

#[tokio::test]
async fn an_identity_of_another_pool_of_the_same_tenant_does_not_exist_in_this_one() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let (one, other) = (home(&broker, &developer).await, home(&broker, &developer).await);
    let mut conn = broker.db.conn().await;
    let before = checksum(&mut conn, 1).await;
    // The first two name no pool: it is theirs to find it.
    for (operation, question) in &OF_IDENTITIES[2..] {
        let absent = no_identity(None);
        let expected = developer.call(operation, question(&one.pool, &absent)).await;
        for id in [&other.user, &other.guest] {
            let answer = developer.call(operation, question(&one.pool, id)).await;
            answer.no_identity(id);
            assert_eq!(essence(&answer, id), essence(&expected, &absent), "{operation}");
        }
    }
    assert_eq!(checksum(&mut conn, 1).await, before);
    // Two pools know two users of one name.
    assert_ne!(one.user, other.user);
    developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": other.pool })).await.ok();
    developer.call("DescribeIdentity", json!({ "IdentityId": other.user })).await.no_identity(&other.user);
    developer.call("DescribeIdentity", json!({ "IdentityId": one.user })).await.ok();
}

#[tokio::test]
async fn lists_show_the_callers_own_pools_of_the_region_and_new_ones_belong_to_the_caller() {
    let broker = broker().await;
    let (one, two) = (broker.developer(1), broker.developer(2));
    let before = checksum(&mut *broker.db.conn().await, 2).await;
    let mut own = Vec::new();
    for developer in [&one, &one.in_region(ABROAD)] {
        let pool = developer.pool().await;
        assert!(pool.starts_with(&format!("{}:", developer.region)));
        own.push((developer.region.clone(), pool));
    }
    assert_eq!(checksum(&mut *broker.db.conn().await, 2).await, before);
    for (region, pool) in own {
        let list = json!({ "MaxResults": 60 });
        let listed = one.in_region(&region).call("ListIdentityPools", list.clone()).await.ok().json;
        assert_eq!(listed, json!({ "IdentityPools": [{ "IdentityPoolId": pool, "IdentityPoolName": "a pool" }] }));
        two.in_region(&region).call("ListIdentityPools", list).await.is(r#"{"IdentityPools":[]}"#);
    }
}

#[tokio::test]
async fn anyone_may_become_a_guest_of_a_pool_and_whoever_signs_is_no_other() {
    let broker = broker().await;
    let (developer, visitor) = (broker.developer(1), broker.visitor());
    let foreign = broker.developer(2).pool().await;
    let before = checksum(&mut *broker.db.conn().await, 1).await;
    visitor.get_id(&foreign).await.ok();
    // Old clients sign this: the signature says nothing of whose the guest is.
    let guest = developer.call("GetId", json!({ "IdentityPoolId": foreign })).await.member("IdentityId");
    broker.developer(2).call("DescribeIdentity", json!({ "IdentityId": guest })).await.ok();
    developer.call("DescribeIdentity", json!({ "IdentityId": guest })).await.no_identity(&guest);
    assert_eq!(checksum(&mut *broker.db.conn().await, 1).await, before);

    let others = checksum(&mut *broker.db.conn().await, 2).await;
    let absent = no_pool();
    let expected = visitor.get_id(&absent).await;
    expected.no_pool(&absent);
    let deleted = developer.pool().await;
    developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": deleted })).await.ok();
    for id in [elsewhere(&foreign), deleted] {
        assert_eq!(essence(&visitor.get_id(&id).await, &id), essence(&expected, &absent));
    }
    for id in MALFORMED {
        assert_eq!(visitor.get_id(id).await.exception(), "ValidationException", "{id}");
    }
    assert_eq!(checksum(&mut *broker.db.conn().await, 2).await, others);
}
