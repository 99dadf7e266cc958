//! GetOpenIdToken, GetCredentialsForIdentity and UnlinkIdentity: who may use an identity, and what becomes of it.

use serde_json::{Value, json};

use crate::federation::{Federation, NO_GUESTS, NO_MATCH, NOT_PUBLIC, NOT_SUPPORTED, SECOND_USER, claims, federation};
use crate::harness::DEVELOPER;

const NO_ROLE: &str = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";

impl Federation {
    /// Asserts that these users can use the identity as it is.
    pub async fn is_usable(&self, identity: &str, users: &[&str]) {
        assert_eq!(self.open_id_token(identity, users).await.member("IdentityId"), identity);
    }
}

#[tokio::test]
async fn a_guest_gets_a_token_of_ten_minutes_that_says_what_it_is() {
    let at = federation().await;
    let guest = at.guest().await;
    for body in [json!({ "IdentityId": guest }), json!({ "IdentityId": guest, "Logins": {} })] {
        let answer = at.visitor.call("GetOpenIdToken", body).await;
        assert_eq!(answer.member("IdentityId"), guest);
        let claims = claims(&answer.member("Token"));
        assert_eq!(claims["sub"], json!(guest));
        assert_eq!(claims["aud"], json!(at.pool));
        assert_eq!(claims["amr"], json!(["unauthenticated"]));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
        assert_eq!(claims.get("https://aws.amazon.com/tags"), None);
    }
}

#[tokio::test]
async fn guests_switched_off_are_refused_but_not_forgotten() {
    let at = federation().await;
    let guest = at.guest().await;
    at.update(json!({ "AllowUnauthenticatedIdentities": false })).await;
    for operation in ["GetOpenIdToken", "GetCredentialsForIdentity"] {
        let answer = at.visitor.call(operation, json!({ "IdentityId": guest })).await;
        answer.refused("NotAuthorizedException", NO_GUESTS);
    }
    // A guest may still become a user.
    assert_eq!(at.open_id_token(&guest, &["a:ann"]).await.member("IdentityId"), guest);
}

#[tokio::test]
async fn an_identity_with_logins_asks_for_one_of_them() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    at.is_forbidden(&ann).await;
    for wrong in ["a:bob", "b:ann"] {
        at.open_id_token(&ann, &[wrong]).await.refused("NotAuthorizedException", NO_MATCH);
        at.credentials(&ann, &[wrong]).await.refused("NotAuthorizedException", NO_MATCH);
    }
    let answer = at.open_id_token(&ann, &["a:ann"]).await;
    assert_eq!(answer.member("IdentityId"), ann);
    let claims = claims(&answer.member("Token"));
    let expected = json!(["authenticated", at.key("a"), format!("{}:OIDC:ann", at.arn("a"))]);
    assert_eq!(claims["amr"], expected);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}

#[tokio::test]
async fn with_a_known_login_new_ones_are_linked_and_others_merged_into_the_identity_asked_for() {
    let at = federation().await;
    let (ann, other) = (at.id(&["a:ann"]).await, at.id(&["b:ann"]).await);
    assert_eq!(at.open_id_token(&ann, &["a:ann", "b:ann", "c:ann"]).await.member("IdentityId"), ann);
    assert_eq!(at.providers(&ann).await, ["a", "b", "c"]);
    at.is_forbidden(&other).await;
    at.is_usable(&ann, &["c:ann"]).await;
    // Also the older of the two gives way, as the younger was asked for.
    let (older, younger) = (at.id(&["a:bob"]).await, at.id(&["b:bob"]).await);
    assert_eq!(at.open_id_token(&younger, &["a:bob", "b:bob"]).await.member("IdentityId"), younger);
    at.is_forbidden(&older).await;
}

#[tokio::test]
async fn a_second_user_of_a_provider_is_a_conflict_and_changes_nothing() {
    let at = federation().await;
    let ann = at.id(&["a:ann", "b:ann"]).await;
    at.id(&["a:bob", "c:bob"]).await;
    let before = at.state().await;
    for users in [&["a:ann", "b:bob"], &["a:ann", "c:bob"]] {
        at.open_id_token(&ann, users).await.refused("ResourceConflictException", SECOND_USER);
    }
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn a_guest_becomes_the_identity_of_new_logins_and_gives_way_to_that_of_known_ones() {
    let at = federation().await;
    for (number, operation) in ["GetOpenIdToken", "GetCredentialsForIdentity"].into_iter().enumerate() {
        let (new, known) = (format!("a:new-{number}"), format!("a:known-{number}"));
        let (guest, owner) = (at.guest().await, at.id(&[&known]).await);
        let call = async |identity: &str, users: &[&str]| {
            at.visitor.call(operation, json!({ "IdentityId": identity, "Logins": at.logins(users) })).await
        };
        call(&guest, &[&new]).await;
        assert_eq!(at.id(&[&new]).await, guest, "a guest keeps its id");
        at.is_forbidden(&guest).await;
        let second = at.guest().await;
        let answer = call(&second, &[&known]).await;
        if operation == "GetOpenIdToken" {
            assert_eq!(answer.member("IdentityId"), owner);
        }
        at.is_forbidden(&second).await;
        // It is disabled, and so forbidden to those who prove the very login, too.
        let text = format!("Access to Identity '{second}' is forbidden.");
        call(&second, &[&known]).await.refused("NotAuthorizedException", &text);
        at.is_usable(&owner, &[&known]).await;
    }
}

#[tokio::test]
async fn identities_that_do_not_exist_are_not_found() {
    let at = federation().await;
    let gone = at.guest().await;
    at.developer.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [gone] })).await.ok();
    let nobody = "us-east-1:157d6171-ee1b-c968-98c2-0123456789ab".to_owned();
    let abroad = at.guest().await.replace("us-east-1", "eu-west-1");
    let ill_formed = "us-east-1:0".to_owned();
    for identity in [gone, nobody, abroad, ill_formed] {
        for (operation, more) in [
            ("GetOpenIdToken", json!({})),
            ("GetCredentialsForIdentity", json!({})),
            ("GetOpenIdToken", json!({ "Logins": { "garbage": "garbage" } })),
            ("UnlinkIdentity", json!({ "Logins": {}, "LoginsToRemove": [] })),
        ] {
            let mut body: Value = more;
            body["IdentityId"] = json!(identity);
            at.visitor.call(operation, body).await.no_identity(&identity);
        }
    }
}

#[tokio::test]
async fn the_classic_flow_can_be_switched_off_and_then_only_the_enhanced_one_is_left() {
    let at = federation().await;
    let guest = at.guest().await;
    for (flag, admitted) in [(json!(true), true), (json!(false), false)] {
        at.update(json!({ "AllowClassicFlow": flag })).await;
        let answer = at.visitor.call("GetOpenIdToken", json!({ "IdentityId": guest })).await;
        if admitted {
            answer.ok();
        } else {
            let text = "Basic (classic) flow is not enabled, please use enhanced flow.";
            answer.refused("InvalidParameterException", text);
        }
    }
    let answer = at.visitor.call("GetCredentialsForIdentity", json!({ "IdentityId": guest })).await;
    answer.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    at.developer.token(&at.pool, "ann").await.ok();
}

#[tokio::test]
async fn role_mappings_close_the_classic_flow() {
    let at = federation().await;
    let (guest, role) = (at.guest().await, "arn:aws:iam::123456789012:role/a");
    let mapping = json!({ "Type": "Token", "AmbiguousRoleResolution": "Deny" });
    for (mappings, admitted) in [(json!({ at.key("a"): mapping }), false), (json!({}), true)] {
        let body = json!({ "IdentityPoolId": at.pool, "Roles": { "authenticated": role }, "RoleMappings": mappings });
        at.developer.call("SetIdentityPoolRoles", body).await.ok();
        let answer = at.visitor.call("GetOpenIdToken", json!({ "IdentityId": guest })).await;
        if admitted {
            answer.ok();
        } else {
            let text = "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.";
            answer.refused("InvalidParameterException", text);
        }
    }
}

#[tokio::test]
async fn credentials_wait_for_a_role_once_everything_else_is_right() {
    let at = federation().await;
    let (guest, ann) = (at.guest().await, at.id(&["a:ann"]).await);
    let answer = at.visitor.call("GetCredentialsForIdentity", json!({ "IdentityId": guest })).await;
    answer.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    at.credentials(&ann, &["a:ann"]).await.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    let body = json!({ "IdentityId": ann, "Logins": { DEVELOPER: "token" } });
    let answer = at.visitor.call("GetCredentialsForIdentity", body).await;
    answer.refused("InvalidParameterException", NOT_PUBLIC);
}

#[tokio::test]
async fn a_developers_token_is_the_proof_of_its_identity_and_of_no_other() {
    let at = federation().await;
    let ann = at.developer.token(&at.pool, "ann").await;
    let (identity, token) = (ann.member("IdentityId"), ann.member("Token"));
    let bob = at.developer.identity(&at.pool, "bob").await;
    let call = async |identity: &str, token: &str| {
        let body = json!({ "IdentityId": identity, "Logins": { "cognito-identity.amazonaws.com": token } });
        at.visitor.call("GetCredentialsForIdentity", body).await
    };
    call(&identity, &token).await.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    call(&bob, &token).await.refused("NotAuthorizedException", NO_MATCH);

    // A guest's own token proves no login, neither while it is a guest nor later.
    let guest = at.guest().await;
    let guests = at.visitor.call("GetOpenIdToken", json!({ "IdentityId": guest })).await.member("Token");
    call(&guest, &guests).await.refused("NotAuthorizedException", NO_MATCH);
    at.open_id_token(&guest, &["a:ann"]).await.ok();
    call(&guest, &guests).await.refused("NotAuthorizedException", NO_MATCH);

    let foreign = at.token("a", "ann");
    let forged = format!("{}x", &token[..token.len() - 1]);
    for wrong in [foreign.as_str(), forged.as_str(), "garbage", "a.b.c"] {
        call(&identity, wrong).await.refused("NotAuthorizedException", "Invalid login token. Not a Cognito token.");
    }
    // It is shown to others: beside it a login that is new, or of somebody else, is not linked.
    let foreign = at.id(&["b:mallory"]).await;
    let before = at.state().await;
    for user in ["ann", "mallory"] {
        let logins = json!({ "cognito-identity.amazonaws.com": token, at.key("b"): at.token("b", user) });
        let body = json!({ "IdentityId": identity, "Logins": logins });
        at.visitor.call("GetCredentialsForIdentity", body).await.refused("NotAuthorizedException", NO_MATCH);
    }
    assert_eq!((at.state().await, at.id(&["b:mallory"]).await), (before, foreign));
    // One that is linked already does no harm.
    at.developer_token(None, &["ann", "b:ann"]).await.ok();
    let logins = json!({ "cognito-identity.amazonaws.com": token, at.key("b"): at.token("b", "ann") });
    let body = json!({ "IdentityId": identity, "Logins": logins });
    let answer = at.visitor.call("GetCredentialsForIdentity", body).await;
    answer.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    // A user who was taken away has nothing more to say, though the identity goes on with its other login.
    let unlink = |identity: &str, user: &str| {
        json!({ "IdentityId": identity, "IdentityPoolId": at.pool, "DeveloperProviderName": DEVELOPER,
                "DeveloperUserIdentifier": user })
    };
    at.developer.call("UnlinkDeveloperIdentity", unlink(&identity, "ann")).await.ok();
    call(&identity, &token).await.refused("NotAuthorizedException", NO_MATCH);
    at.is_usable(&identity, &["b:ann"]).await;
    // Once disabled, its token opens nothing.
    let bobs = at.developer.token(&at.pool, "bob").await.member("Token");
    at.developer.call("UnlinkDeveloperIdentity", unlink(&bob, "bob")).await.ok();
    call(&bob, &bobs).await.refused("NotAuthorizedException", &format!("Access to Identity '{bob}' is forbidden."));
}

#[tokio::test]
async fn who_proves_a_login_takes_logins_away() {
    let at = federation().await;
    let ann = at.id(&["a:ann", "b:ann", "c:ann"]).await;
    // Another than the one that is proven, and one that is not there.
    let answer = at.unlink(&ann, &["a:ann"], &["b", "d"]).await.ok();
    assert_eq!(answer.text, "");
    assert_eq!(at.providers(&ann).await, ["a", "c"]);
    assert_ne!(at.id(&["b:ann"]).await, ann, "a login unlinked makes a new identity");
    // The proven one itself.
    at.unlink(&ann, &["a:ann"], &["a"]).await.ok();
    assert_eq!(at.providers(&ann).await, ["c"]);
    // The last one: nobody can use it any more, and it is no guest either.
    at.unlink(&ann, &["c:ann"], &["c"]).await.ok();
    at.is_forbidden(&ann).await;
    let text = format!("Access to Identity '{ann}' is forbidden.");
    at.open_id_token(&ann, &["c:ann"]).await.refused("NotAuthorizedException", &text);
    at.unlink(&ann, &["c:ann"], &["c"]).await.refused("NotAuthorizedException", &text);
}

#[tokio::test]
async fn nothing_is_unlinked_without_proof() {
    let at = federation().await;
    let (ann, guest) = (at.id(&["a:ann"]).await, at.guest().await);
    at.id(&["a:bob"]).await;
    let before = at.state().await;
    for (identity, users) in
        [(&ann, &["a:bob"][..]), (&ann, &["b:ann"]), (&ann, &[]), (&guest, &[]), (&guest, &["a:bob"])]
    {
        at.unlink(identity, users, &["a"]).await.refused("NotAuthorizedException", NO_MATCH);
    }
    for (logins, remove, exception, text) in [
        (json!({ "graph.facebook.com": "x" }), at.key("a"), "NotAuthorizedException", NOT_SUPPORTED),
        (json!({ DEVELOPER: "x" }), at.key("a"), "InvalidParameterException", NOT_PUBLIC),
        (at.logins(&["a:ann"]), DEVELOPER.to_owned(), "InvalidParameterException", NOT_PUBLIC),
    ] {
        let body = json!({ "IdentityId": ann, "Logins": logins, "LoginsToRemove": [remove] });
        at.visitor.call("UnlinkIdentity", body).await.refused(exception, text);
    }
    assert_eq!(at.state().await, before);
    // Nothing asked for, nothing done.
    at.unlink(&ann, &["a:ann"], &[]).await.ok();
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn no_token_of_ours_takes_a_login_away() {
    let at = federation().await;
    let ann = at.developer_token(None, &["ann", "a:ann"]).await;
    let (identity, token) = (ann.member("IdentityId"), ann.member("Token"));
    let body = json!({ "IdentityId": identity, "LoginsToRemove": [at.key("a")],
                       "Logins": { "cognito-identity.amazonaws.com": token } });
    let text = "Invalid login token. Can't pass in a Cognito token.";
    at.visitor.call("UnlinkIdentity", body).await.refused("NotAuthorizedException", text);
    assert_eq!(at.providers(&identity).await, ["developer", "a"]);
}

#[tokio::test]
async fn a_token_of_the_classic_flow_makes_nobody_who_reads_it_its_user() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    let mallory = at.id(&["b:mallory"]).await;
    let token = at.open_id_token(&ann, &["a:ann"]).await.member("Token");
    let before = at.state().await;
    let mut logins = json!({ "cognito-identity.amazonaws.com": token });
    let unlink = json!({ "IdentityId": ann, "Logins": logins, "LoginsToRemove": [at.key("a")] });
    let text = "Invalid login token. Can't pass in a Cognito token.";
    at.visitor.call("UnlinkIdentity", unlink).await.refused("NotAuthorizedException", text);
    for beside in [None, Some("mallory"), Some("somebody-new")] {
        if let Some(user) = beside {
            logins[at.key("b")] = json!(at.token("b", user));
        }
        let body = json!({ "IdentityId": ann, "Logins": logins });
        at.visitor.call("GetCredentialsForIdentity", body).await.refused("NotAuthorizedException", NO_MATCH);
    }
    assert_eq!(at.state().await, before);
    assert_eq!(at.id(&["b:mallory"]).await, mallory);
}
