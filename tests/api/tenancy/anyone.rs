//! Operations for anyone: the id says whose it is, and what one tenant or pool has proven counts for no other.

use serde_json::{Value, json};
use symbolon::tenants::Tenant;
use symbolon::tenants::tenant::Status;

use super::home::{Home, rows};
use super::questions::{Named, OF_ANYONES_IDENTITIES, OF_ANYONES_POOLS};
use super::{MALFORMED, elsewhere, essence, ill_formed, no_identity, no_pool};
use crate::federation::{CLIENT, NO_MATCH, NOT_SUPPORTED, declare, federation};
use crate::harness::DEVELOPER;

const OWN_TOKEN: &str = "cognito-identity.amazonaws.com";

#[tokio::test]
async fn what_is_deleted_disabled_or_in_another_region_is_as_what_does_not_exist() {
    let at = federation().await;
    let (own, disabled) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let deleted = Home::another(&at, &own.developer).await;
    let delete = json!({ "IdentityPoolId": deleted.pool });
    own.developer.call("DeleteIdentityPool", delete).await.ok();
    let mut conn = at.broker.db.conn().await;
    let set = async |status| {
        let mut conn = at.broker.db.conn().await;
        assert!(Tenant::set_status(&mut conn, &disabled.developer.account, status).await.unwrap());
        at.broker.poll().await;
    };
    set(Status::Disabled).await;
    let before = (rows(&mut conn, &own.developer).await, rows(&mut conn, &disabled.developer).await);

    for (operation, question) in OF_ANYONES_POOLS {
        let ask = async |pool: &str| {
            at.visitor.call(operation, question(&Named { pool, identity: &own.user, logins: &own.logins })).await
        };
        let absent = no_pool();
        let expected = ask(&absent).await;
        expected.no_pool(&absent);
        let strange = [disabled.pool.clone(), deleted.pool.clone(), own.user.clone()];
        let misplaced = [&own, &disabled, &deleted].map(|home| elsewhere(&home.pool));
        for id in strange.into_iter().chain(misplaced).chain([ill_formed(&own.pool)]) {
            assert_eq!(essence(&ask(&id).await, &id), essence(&expected, &absent), "{operation} {id}");
        }
        for id in MALFORMED {
            let answer = ask(id).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }
    for (operation, question) in OF_ANYONES_IDENTITIES {
        let ask = async |identity: &str| {
            at.visitor.call(operation, question(&Named { pool: &own.pool, identity, logins: &own.logins })).await
        };
        let absent = no_identity(None);
        let expected = ask(&absent).await;
        expected.no_identity(&absent);
        let strange = [&disabled, &deleted].into_iter().flat_map(|home| [home.user.clone(), home.guest.clone()]);
        let misplaced = [&own, &disabled, &deleted].map(|home| elsewhere(&home.user));
        let near = [&own, &disabled, &deleted].map(|home| no_identity(Some(&home.user)));
        let others = [ill_formed(&own.user), own.pool.clone(), elsewhere(&own.guest)];
        for id in strange.chain(misplaced).chain(near).chain(others) {
            assert_eq!(essence(&ask(&id).await, &id), essence(&expected, &absent), "{operation} {id}");
        }
        for id in MALFORMED {
            let answer = ask(id).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{operation} {id}");
        }
    }
    assert_eq!((rows(&mut conn, &own.developer).await, rows(&mut conn, &disabled.developer).await), before);

    // It was all there, and is again.
    set(Status::Enabled).await;
    let get_id = json!({ "IdentityPoolId": disabled.pool, "Logins": disabled.logins });
    assert_eq!(at.visitor.call("GetId", get_id).await.member("IdentityId"), disabled.user);
    let token = json!({ "IdentityId": disabled.guest });
    assert_eq!(at.visitor.call("GetOpenIdToken", token).await.member("IdentityId"), disabled.guest);
}

#[tokio::test]
async fn anyone_may_become_a_guest_of_a_pool_and_whoever_signs_is_no_other() {
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let mut conn = at.broker.db.conn().await;
    let before = rows(&mut conn, &own.developer).await;
    at.visitor.get_id(&foreign.pool).await.ok();
    // Old clients sign this: the signature says nothing of whose the guest is.
    let guest = own.developer.call("GetId", json!({ "IdentityPoolId": foreign.pool })).await.member("IdentityId");
    foreign.developer.call("DescribeIdentity", json!({ "IdentityId": guest })).await.ok();
    own.developer.call("DescribeIdentity", json!({ "IdentityId": guest })).await.no_identity(&guest);
    assert_eq!(rows(&mut conn, &own.developer).await, before);
}

#[tokio::test]
async fn a_login_proven_in_the_pool_of_one_tenant_is_nothing_in_that_of_another() {
    let at = federation().await;
    // Both know Ann of the same issuer, and of the same client.
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    assert_ne!(own.user, foreign.user);
    let mut conn = at.broker.db.conn().await;
    let before = rows(&mut conn, &foreign.developer).await;
    let (known, new) = (at.logins(&["a:ann", "b:ann"]), at.logins(&["b:bob"]));
    let get_id = async |pool: &str, logins: &Value| {
        at.visitor.call("GetId", json!({ "IdentityPoolId": pool, "Logins": logins })).await.member("IdentityId")
    };
    // Linked, made and merged in the one, and unknown in the other.
    assert_eq!(get_id(&own.pool, &known).await, own.user);
    let bob = get_id(&own.pool, &new).await;
    for (guest, logins, becomes) in [(&own.guest, &known, &own.user), (&bob, &new, &bob)] {
        let token = json!({ "IdentityId": guest, "Logins": logins });
        assert_eq!(at.visitor.call("GetOpenIdToken", token).await.member("IdentityId"), *becomes);
    }
    assert_eq!(rows(&mut conn, &foreign.developer).await, before);
    assert_ne!(get_id(&foreign.pool, &new).await, bob);
    assert_eq!(get_id(&foreign.pool, &foreign.logins).await, foreign.user);
    // A login that only the one pool knows opens nothing of the other.
    let before = rows(&mut conn, &foreign.developer).await;
    let only_own = at.logins(&["b:ann"]);
    for operation in ["GetOpenIdToken", "GetCredentialsForIdentity", "UnlinkIdentity"] {
        let mut body = json!({ "IdentityId": foreign.user, "Logins": only_own });
        if operation == "UnlinkIdentity" {
            body["LoginsToRemove"] = json!([at.key("a")]);
        }
        at.visitor.call(operation, body).await.refused("NotAuthorizedException", NO_MATCH);
    }
    assert_eq!(rows(&mut conn, &foreign.developer).await, before);
}

#[tokio::test]
async fn a_provider_that_another_tenant_has_declared_does_not_serve_ones_own_pools() {
    let at = federation().await;
    // The first tenant has declared its providers, and the second one none.
    let (stranger, developer) = (&at.developer, at.broker.developer(2));
    let pool_of = async |arn: String| {
        let new = json!({ "IdentityPoolName": "ours", "AllowUnauthenticatedIdentities": false,
                          "OpenIdConnectProviderARNs": [arn] });
        developer.call("CreateIdentityPool", new).await.member("IdentityPoolId")
    };
    let get_id = async |pool: &str, path: &str, client: &str| {
        let token = at.token_with(path, "ann", &json!({ "aud": client }));
        at.visitor.call("GetId", json!({ "IdentityPoolId": pool, "Logins": { at.key(path): token } })).await
    };
    let arn = |account: &str, path: &str| format!("arn:aws:iam::{account}:oidc-provider/{}", at.key(path));
    let expected = get_id(&pool_of(arn(developer.account.as_str(), "nobodys")).await, "nobodys", CLIENT).await;
    expected.refused("NotAuthorizedException", NOT_SUPPORTED);
    for account in [stranger.account.as_str(), developer.account.as_str(), ""] {
        let answer = get_id(&pool_of(arn(account, "a")).await, "a", CLIENT).await;
        assert_eq!(essence(&answer, "no id"), essence(&expected, "no id"), "{account}");
    }
    // Nor do another tenant's clients count where both have declared the issuer.
    declare(&at.broker, &developer, &at.key("a"), "our-client").await;
    let pool = pool_of(arn(developer.account.as_str(), "a")).await;
    let text = "Invalid login token. Incorrect token audience.";
    get_id(&pool, "a", CLIENT).await.refused("NotAuthorizedException", text);
    // Nor is one's own provider meant by the foreign account's ARN.
    let answer = get_id(&pool_of(arn(stranger.account.as_str(), "a")).await, "a", "our-client").await;
    assert_eq!(essence(&answer, "no id"), essence(&expected, "no id"));
    assert_eq!(at.issuer.hits(), 0, "nobody was asked");
    get_id(&pool, "a", "our-client").await.ok();
}

#[tokio::test]
async fn a_token_of_one_pool_is_no_login_for_another() {
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let neighbour = Home::another(&at, &own.developer).await;
    let token = own.developer.token(&own.pool, "user").await.member("Token");
    let mut conn = at.broker.db.conn().await;
    let before = (rows(&mut conn, &own.developer).await, rows(&mut conn, &foreign.developer).await);
    for other in [&foreign, &neighbour] {
        for identity in [&other.user, &other.guest] {
            let with_token = json!({ OWN_TOKEN: token });
            let credentials = json!({ "IdentityId": identity, "Logins": with_token });
            let answer = at.visitor.call("GetCredentialsForIdentity", credentials).await;
            answer.refused("NotAuthorizedException", NO_MATCH);
            let unlink = json!({ "IdentityId": identity, "Logins": with_token, "LoginsToRemove": [at.key("a")] });
            let text = "Invalid login token. Can't pass in a Cognito token.";
            at.visitor.call("UnlinkIdentity", unlink).await.refused("NotAuthorizedException", text);
        }
        // It is nobody's public login either, under no key.
        for (key, exception, text) in [
            (OWN_TOKEN, "NotAuthorizedException", "Invalid login token. Can't pass in a Cognito token."),
            (&at.key("a"), "NotAuthorizedException", "Invalid login token. Issuer doesn't match providerName"),
            (DEVELOPER, "InvalidParameterException", "Please provide a valid public provider."),
        ] {
            let logins = json!({ key: token });
            let get_id = json!({ "IdentityPoolId": other.pool, "Logins": logins });
            at.visitor.call("GetId", get_id).await.refused(exception, text);
            let open_id = json!({ "IdentityId": other.guest, "Logins": logins });
            at.visitor.call("GetOpenIdToken", open_id).await.refused(exception, text);
        }
    }
    assert_eq!((rows(&mut conn, &own.developer).await, rows(&mut conn, &foreign.developer).await), before);
    // At home it proves its identity.
    let at_home = json!({ "IdentityId": own.user, "Logins": { OWN_TOKEN: token } });
    let answer = at.visitor.call("GetCredentialsForIdentity", at_home).await;
    assert_eq!(answer.exception(), "InvalidIdentityPoolConfigurationException", "{answer:?}");
}
