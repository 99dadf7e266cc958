//! Signed operations: a foreign id is as one that does not exist, and touches nothing.

use serde_json::json;

use super::home::{Home, rows};
use super::questions::{Named, OF_IDENTITIES, OF_NOTHING, OF_POOLS, WITHOUT_POOL};
use super::{MALFORMED, elsewhere, essence, ill_formed, no_identity, no_pool};
use crate::client::{ABROAD, broker};
use crate::federation::federation;

#[tokio::test]
async fn a_foreign_pool_is_as_one_that_does_not_exist_and_nothing_is_touched() {
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let mapped = Home::another(&at, &foreign.developer).await;
    mapped.map_roles(&at.key("a")).await;
    let developer = &own.developer;
    let mut conn = at.broker.db.conn().await;
    let before = (rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await);
    assert_ne!(before.0, before.1);

    for (operation, question) in OF_POOLS {
        // One that does not exist, then what must not be told from it.
        let absent = no_pool();
        let ask = async |pool: &str, identity: &str| {
            developer.call(operation, question(&Named { pool, identity, logins: &own.logins })).await
        };
        let expected = ask(&absent, &own.user).await;
        expected.no_pool(&absent);
        let strange = [foreign.pool.clone(), mapped.pool.clone(), elsewhere(&foreign.pool), ill_formed(&foreign.pool)];
        for id in strange.into_iter().chain([elsewhere(&own.pool), ill_formed(&own.pool), own.user.clone()]) {
            for identity in [&own.user, &foreign.user, &absent] {
                assert_eq!(essence(&ask(&id, identity).await, &id), essence(&expected, &absent), "{operation} {id}");
            }
        }
        // The right id, asked in another region.
        let answer = developer.in_region(ABROAD).call(operation, question(&own.named())).await;
        assert_eq!(essence(&answer, &own.pool), essence(&expected, &absent), "{operation} from abroad");
        for id in MALFORMED {
            let answer = ask(id, &own.user).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }
    assert_eq!((rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await), before);
    // The sum does see what changes.
    foreign.developer.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [foreign.guest] })).await.ok();
    assert_ne!(rows(&mut conn, &foreign.developer).await, before.1);
    assert_eq!(rows(&mut conn, developer).await, before.0);
}

#[tokio::test]
async fn a_foreign_identity_is_as_one_that_does_not_exist_and_nothing_is_touched() {
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let neighbour = Home::another(&at, &own.developer).await;
    let developer = &own.developer;
    let mut conn = at.broker.db.conn().await;
    let before = (rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await);

    for (number, (operation, question)) in OF_IDENTITIES.iter().enumerate() {
        let absent = no_identity(None);
        let ask = async |identity: &str| {
            developer.call(operation, question(&Named { pool: &own.pool, identity, logins: &own.logins })).await
        };
        let expected = ask(&absent).await;
        if *operation == "DeleteIdentities" {
            expected.is(r#"{"UnprocessedIdentityIds":[]}"#);
        } else {
            expected.no_identity(&absent);
        }
        let mut strange = vec![foreign.user.clone(), foreign.guest.clone(), no_identity(Some(&foreign.user))];
        strange.extend([no_identity(Some(&own.user)), elsewhere(&own.user), elsewhere(&own.guest)]);
        strange.extend([ill_formed(&own.user), own.pool.clone(), no_pool()]);
        if number >= WITHOUT_POOL {
            // Of another pool of the same tenant: the others have to find the pool by themselves.
            strange.extend([neighbour.user.clone(), neighbour.guest.clone()]);
        }
        for id in strange {
            assert_eq!(essence(&ask(&id).await, &id), essence(&expected, &absent), "{operation} {id}");
        }
        for id in MALFORMED {
            let answer = ask(id).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }
    for (operation, question) in &OF_IDENTITIES[..WITHOUT_POOL] {
        let answer = developer.in_region(ABROAD).call(operation, question(&own.named())).await;
        if *operation == "DeleteIdentities" {
            answer.is(r#"{"UnprocessedIdentityIds":[]}"#);
        } else {
            answer.no_identity(&own.user);
        }
    }
    assert_eq!((rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await), before);
}

#[tokio::test]
async fn lists_show_the_callers_own_pools_of_the_region_and_new_ones_belong_to_the_caller() {
    let [create, list] = OF_NOTHING;
    let broker = broker().await;
    let (one, two) = (broker.developer(1), broker.developer(2));
    let before = rows(&mut *broker.db.conn().await, &two).await;
    let new = json!({ "IdentityPoolName": "a pool", "AllowUnauthenticatedIdentities": false });
    let mut own = Vec::new();
    for developer in [&one, &one.in_region(ABROAD)] {
        let pool = developer.call(create, new.clone()).await.member("IdentityPoolId");
        assert!(pool.starts_with(&format!("{}:", developer.region)));
        own.push((developer.region.clone(), pool));
    }
    assert_eq!(rows(&mut *broker.db.conn().await, &two).await, before);
    for (region, pool) in own {
        let all = json!({ "MaxResults": 60 });
        let listed = one.in_region(&region).call(list, all.clone()).await.ok().json;
        assert_eq!(listed, json!({ "IdentityPools": [{ "IdentityPoolId": pool, "IdentityPoolName": "a pool" }] }));
        two.in_region(&region).call(list, all).await.is(r#"{"IdentityPools":[]}"#);
    }
}

#[tokio::test]
async fn what_names_nothing_gives_nothing_foreign_away() {
    let [create, list] = OF_NOTHING;
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    Home::another(&at, &foreign.developer).await;
    let mut conn = at.broker.db.conn().await;
    let before = rows(&mut conn, &foreign.developer).await;

    // A page token of another tenant is as one that nobody ever gave out, and so is a malformed one.
    let page = json!({ "MaxResults": 1 });
    let foreign_page = foreign.developer.call(list, page).await.member("NextToken");
    let nobodys: String = foreign_page.chars().rev().collect();
    let ask = async |token: &str| own.developer.call(list, json!({ "MaxResults": 1, "NextToken": token })).await;
    let expected = ask(&nobodys).await;
    expected.refused("InvalidParameterException", "Invalid NextToken");
    assert_eq!(essence(&ask(&foreign_page).await, ""), essence(&expected, ""));
    assert_eq!(ask("a token").await.exception(), "ValidationException");

    // Another tenant's provider is taken as one that nobody has declared.
    let with = async |arn: &str| {
        let new = json!({ "IdentityPoolName": "new", "AllowUnauthenticatedIdentities": false,
                          "OpenIdConnectProviderARNs": [arn] });
        let answer = own.developer.call(create, new).await.ok();
        let id = answer.member("IdentityPoolId");
        essence(&answer, &id).2.replace(arn, "ARN")
    };
    let declared = format!("arn:aws:iam::{}:oidc-provider/{}", foreign.developer.account, at.key("a"));
    assert_eq!(with(&declared).await, with(&format!("{declared}/nobodys")).await);
    let malformed = json!({ "IdentityPoolName": "new", "AllowUnauthenticatedIdentities": false,
                            "OpenIdConnectProviderARNs": ["short"] });
    assert_eq!(own.developer.call(create, malformed).await.exception(), "ValidationException");
    assert_eq!(rows(&mut conn, &foreign.developer).await, before);
}
