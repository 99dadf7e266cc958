//! GetId and GetOpenIdTokenForDeveloperIdentity with public logins: found, linked, merged, or refused with nothing changed.

use serde_json::json;

use crate::federation::{
    CLIENT, NO_GUESTS, NOT_PUBLIC, NOT_SUPPORTED, REGISTERED, SECOND_USER, TOO_MANY, claims, federation,
    federation_with,
};
use crate::harness::DEVELOPER;

#[tokio::test]
async fn new_logins_make_an_identity_and_known_ones_find_it() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    assert_eq!(at.id(&["a:ann"]).await, ann);
    let bob = at.id(&["a:bob", "b:bob"]).await;
    assert_ne!(bob, ann);
    for one in ["a:bob", "b:bob"] {
        assert_eq!(at.id(&[one]).await, bob);
    }
    assert_eq!(at.providers(&bob).await, ["a", "b"]);
    // The same user of another provider is another user.
    assert_ne!(at.id(&["c:ann"]).await, ann);
    // A further login comes along with a known one.
    assert_eq!(at.id(&["a:ann", "b:ann"]).await, ann);
    assert_eq!(at.id(&["b:ann"]).await, ann);
}

#[tokio::test]
async fn an_empty_map_of_logins_is_as_none() {
    let at = federation().await;
    let body = json!({ "IdentityPoolId": at.pool, "Logins": {} });
    let (first, second) = (at.visitor.call("GetId", body.clone()).await, at.visitor.call("GetId", body.clone()).await);
    assert_ne!(first.member("IdentityId"), second.member("IdentityId"));
    at.update(json!({ "AllowUnauthenticatedIdentities": false })).await;
    at.visitor.call("GetId", body).await.refused("NotAuthorizedException", NO_GUESTS);
    // Guests or not, users sign in.
    at.id(&["a:ann"]).await;
}

#[tokio::test]
async fn the_account_id_does_not_matter() {
    let at = federation().await;
    let body = json!({ "IdentityPoolId": at.pool, "AccountId": "999999999999", "Logins": at.logins(&["a:ann"]) });
    let answer = at.visitor.call("GetId", body).await;
    assert_eq!(answer.member("IdentityId"), at.id(&["a:ann"]).await);
}

#[tokio::test]
async fn a_stored_login_does_not_tell_its_user() {
    let at = federation().await;
    at.id(&["a:a-very-telling-name"]).await;
    let state = at.state().await;
    assert!(!state.contains("telling") && !state.contains(&hex::encode("telling")), "{state}");
}

#[tokio::test]
async fn one_call_merges_the_identities_of_its_logins_into_the_oldest() {
    let at = federation().await;
    let (older, newer) = (at.id(&["a:ann"]).await, at.id(&["b:ann"]).await);
    assert_eq!(at.id(&["a:ann", "b:ann", "c:ann"]).await, older);
    assert_eq!(at.providers(&older).await, ["a", "b", "c"]);
    assert!(at.providers(&newer).await.is_empty());
    at.is_forbidden(&newer).await;
    assert_eq!(at.id(&["b:ann"]).await, older);
    // The one that was merged away stays listed, unless disabled ones are hidden.
    for (hide, count) in [(false, 2), (true, 1)] {
        let body = json!({ "IdentityPoolId": at.pool, "MaxResults": 60, "HideDisabled": hide });
        let listed = at.developer.call("ListIdentities", body).await.ok();
        assert_eq!(listed.json["Identities"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn two_users_of_one_provider_never_become_one() {
    let at = federation().await;
    at.id(&["a:ann", "b:ann"]).await;
    at.id(&["a:bob", "c:bob"]).await;
    let before = at.state().await;
    // Merging would join two users of a; linking would give Bob a second user of a.
    at.get_id(&["b:ann", "c:bob"]).await.refused("ResourceConflictException", SECOND_USER);
    at.get_id(&["a:carol", "c:bob"]).await.refused("ResourceConflictException", SECOND_USER);
    let both = at.developer_token(None, &["dave", "b:ann", "c:bob"]).await;
    both.refused("ResourceConflictException", SECOND_USER);
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn one_login_that_does_not_hold_fails_the_whole_call() {
    let at = federation().await;
    at.id(&["a:ann"]).await;
    let before = at.state().await;
    let expired = at.token_with("b", "ann", &json!({ "exp": 1_700_000_000, "iat": 1_699_999_000 }));
    let others = at.token_with("b", "ann", &json!({ "aud": "another-client" }));
    let (signed, other) = (at.token("b", "ann"), at.token("b", "bob"));
    let forged = [signed.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1].join(".");
    for (token, text) in [
        ("garbage".to_owned(), " Not a valid OpenId Connect identity token."),
        (others, " Incorrect token audience."),
        (at.token("c", "ann"), " Issuer doesn't match providerName"),
        (forged, " Couldn't verify signed token."),
    ] {
        let logins = json!({ at.key("a"): at.token("a", "ann"), at.key("b"): token });
        let body = json!({ "IdentityPoolId": at.pool, "Logins": logins });
        let text = format!("Invalid login token.{text}");
        at.visitor.call("GetId", body).await.refused("NotAuthorizedException", &text);
        let logins = json!({ DEVELOPER: "new", at.key("b"): token });
        let body = json!({ "IdentityPoolId": at.pool, "Logins": logins });
        let answer = at.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await;
        answer.refused("NotAuthorizedException", &text);
    }
    let body = json!({ "IdentityPoolId": at.pool, "Logins": { at.key("b"): expired } });
    let answer = at.visitor.call("GetId", body).await;
    let text = answer.json["message"].as_str().unwrap();
    let times = text.strip_prefix("Invalid login token. Token expired: ").unwrap();
    let (now, exp) = times.split_once(" >= ").unwrap();
    assert!(now.parse::<i64>().unwrap() > 1_700_000_300 && exp == "1700000000", "{text}");
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn keys_that_are_no_public_provider_of_the_pool_are_refused_before_any_token_is_looked_at() {
    let at = federation().await;
    let own = at.developer.token(&at.pool, "ann").await.member("Token");
    let other = format!("{}/d", at.issuer.login_key());
    for (key, exception, text) in [
        (
            "cognito-identity.amazonaws.com",
            "NotAuthorizedException",
            "Invalid login token. Can't pass in a Cognito token.",
        ),
        (
            "cognito-identity.cn-north-1.amazonaws.com.cn",
            "NotAuthorizedException",
            "Invalid login token. Can't pass in a Cognito token.",
        ),
        (DEVELOPER, "InvalidParameterException", NOT_PUBLIC),
        (other.as_str(), "NotAuthorizedException", NOT_SUPPORTED),
        ("graph.facebook.com", "NotAuthorizedException", NOT_SUPPORTED),
    ] {
        let logins = json!({ key: own, at.key("a"): "not looked at" });
        let body = json!({ "IdentityPoolId": at.pool, "Logins": logins });
        at.visitor.call("GetId", body).await.refused(exception, text);
        let guest = at.guest().await;
        let body = json!({ "IdentityId": guest, "Logins": logins });
        at.visitor.call("GetOpenIdToken", body).await.refused(exception, text);
    }
    let bare = at.developer.pool_with(None, true).await;
    let body = json!({ "IdentityPoolId": bare, "Logins": at.logins(&["a:ann"]) });
    at.visitor.call("GetId", body).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    assert_eq!(at.issuer.hits(), 0);
}

#[tokio::test]
async fn a_provider_that_the_tenant_has_not_declared_is_not_supported() {
    let at = federation().await;
    let foreign = format!("arn:aws:iam::{}:oidc-provider/{}", at.broker.developer(2).account, at.key("a"));
    let undeclared = format!("arn:aws:iam::{}:oidc-provider/{}/d", at.developer.account, at.issuer.login_key());
    for arn in [foreign, undeclared.clone()] {
        let key = arn.split_once(":oidc-provider/").unwrap().1.to_owned();
        let pool = at.pool_with(json!({ "OpenIdConnectProviderARNs": [arn] })).await;
        let body = json!({ "IdentityPoolId": pool, "Logins": { key: at.token("a", "ann") } });
        at.visitor.call("GetId", body).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    }
    // Terraform can leave the account out of an ARN.
    let accountless = at.arn("a").replace(at.developer.account.as_str(), "");
    let pool = at.pool_with(json!({ "OpenIdConnectProviderARNs": [accountless] })).await;
    let body = json!({ "IdentityPoolId": pool, "Logins": at.logins(&["a:ann"]) });
    at.visitor.call("GetId", body).await.ok();
}

#[tokio::test]
async fn a_login_of_one_pool_is_none_of_another() {
    let at = federation().await;
    let here = at.id(&["a:ann"]).await;
    let elsewhere = at.pool_with(json!({})).await;
    let body = json!({ "IdentityPoolId": elsewhere, "Logins": at.logins(&["a:ann"]) });
    assert_ne!(at.visitor.call("GetId", body).await.member("IdentityId"), here);
    assert_eq!(at.id(&["a:ann"]).await, here);
}

#[tokio::test]
async fn a_provider_taken_away_and_given_back_keeps_its_users() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    at.update(json!({ "OpenIdConnectProviderARNs": [] })).await;
    at.get_id(&["a:ann"]).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    at.update(json!({})).await;
    assert_eq!(at.id(&["a:ann"]).await, ann);
}

#[tokio::test]
async fn a_developers_call_links_new_public_logins() {
    let at = federation().await;
    let ann = at.developer_token(None, &["ann", "a:ann"]).await;
    let identity = ann.member("IdentityId");
    assert_eq!(at.id(&["a:ann"]).await, identity);
    // Known already: no change.
    let before = at.state().await;
    assert_eq!(at.developer_token(None, &["ann", "a:ann"]).await.member("IdentityId"), identity);
    assert_eq!(at.state().await, before);
    assert_eq!(at.developer_token(Some(&identity), &["ann", "b:ann"]).await.member("IdentityId"), identity);
    assert_eq!(at.providers(&identity).await, ["developer", "a", "b"]);
    // Every login of the call is told in the token.
    let amr = &claims(&ann.member("Token"))["amr"];
    let own = format!("{DEVELOPER}:{}:ann", at.pool);
    assert_eq!(*amr, json!(["authenticated", DEVELOPER, own, at.key("a"), format!("{}:OIDC:ann", at.arn("a"))]));
}

#[tokio::test]
async fn a_public_login_finds_the_identity_for_a_new_developer_user() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    assert_eq!(at.developer_token(None, &["ann", "a:ann"]).await.member("IdentityId"), ann);
    assert_eq!(at.developer_token(None, &["ann"]).await.member("IdentityId"), ann);
}

#[tokio::test]
async fn a_developers_user_takes_the_identity_of_a_public_login_over() {
    let at = federation().await;
    let public = at.id(&["a:ann", "b:ann"]).await;
    let developers = at.developer.identity(&at.pool, "ann").await;
    assert_eq!(at.developer_token(None, &["ann", "a:ann"]).await.member("IdentityId"), developers);
    assert_eq!(at.id(&["b:ann"]).await, developers);
    at.is_forbidden(&public).await;
    // The same with the identity named.
    let other = at.id(&["c:ann"]).await;
    assert_eq!(at.developer_token(Some(&developers), &["ann", "c:ann"]).await.member("IdentityId"), developers);
    at.is_forbidden(&other).await;
}

#[tokio::test]
async fn a_second_user_of_a_public_provider_is_a_conflict() {
    let at = federation().await;
    let ann = at.developer_token(None, &["ann", "a:ann"]).await.member("IdentityId");
    let before = at.state().await;
    for named in [None, Some(ann.as_str())] {
        let answer = at.developer_token(named, &["ann", "a:bob"]).await;
        answer.refused("ResourceConflictException", SECOND_USER);
    }
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn a_developers_user_is_linked_to_whoever_proves_a_login_of_the_identity() {
    let at = federation().await;
    let ann = at.id(&["a:ann"]).await;
    assert_eq!(at.developer_token(Some(&ann), &["ann", "a:ann"]).await.member("IdentityId"), ann);
    assert_eq!(at.developer.identity(&at.pool, "ann").await, ann);
    // A login that is new proves nothing.
    let bob = at.id(&["a:bob"]).await;
    let before = at.state().await;
    let answer = at.developer_token(Some(&bob), &["bob", "b:bob"]).await;
    answer.refused("NotAuthorizedException", crate::federation::NO_MATCH);
    // Nor does one of another identity.
    let answer = at.developer_token(Some(&bob), &["bob", "a:ann"]).await;
    answer.refused("NotAuthorizedException", crate::federation::NO_MATCH);
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn a_guest_goes_to_the_identity_of_a_known_public_login() {
    let at = federation().await;
    let (ann, guest) = (at.id(&["a:ann"]).await, at.guest().await);
    assert_eq!(at.developer_token(Some(&guest), &["ann", "a:ann"]).await.member("IdentityId"), ann);
    at.is_forbidden(&guest).await;
    assert_eq!(at.providers(&ann).await, ["developer", "a"]);
    // New logins leave a guest its id.
    let guest = at.guest().await;
    assert_eq!(at.developer_token(Some(&guest), &["bob", "a:bob"]).await.member("IdentityId"), guest);
    assert_eq!(at.providers(&guest).await, ["developer", "a"]);
}

#[tokio::test]
async fn a_user_known_elsewhere_is_refused_whatever_else_is_proven() {
    let at = federation().await;
    at.developer.identity(&at.pool, "ann").await;
    let (other, guest) = (at.id(&["a:bob"]).await, at.guest().await);
    let before = at.state().await;
    for named in [&other, &guest] {
        let answer = at.developer_token(Some(named), &["ann", "a:bob"]).await;
        answer.refused("DeveloperUserAlreadyRegisteredException", REGISTERED);
    }
    assert_eq!(at.state().await, before);
}

#[tokio::test]
async fn twenty_logins_are_the_most_that_any_way_of_linking_gives() {
    let at = federation().await;
    let ann = at.developer.identity(&at.pool, "user-0").await;
    for number in 1..20 {
        let user = format!("user-{number}");
        at.developer.identity(&at.pool, &user).await;
        let merge = json!({ "IdentityPoolId": at.pool, "DeveloperProviderName": DEVELOPER,
                            "SourceUserIdentifier": user, "DestinationUserIdentifier": "user-0" });
        assert_eq!(at.developer.call("MergeDeveloperIdentities", merge).await.member("IdentityId"), ann);
    }
    let other = at.id(&["b:ann"]).await;
    let before = at.state().await;
    // One more by linking, and one more by merging.
    for login in ["a:ann", "b:ann"] {
        at.developer_token(None, &["user-7", login]).await.refused("ResourceConflictException", TOO_MANY);
        at.developer_token(Some(&ann), &["user-7", login]).await.refused("ResourceConflictException", TOO_MANY);
    }
    assert_eq!(at.state().await, before);
    // What is known goes on, and a guest brings nothing.
    assert_eq!(at.developer.identity(&at.pool, "user-19").await, ann);
    at.is_usable(&other, &["b:ann"]).await;
}

#[tokio::test]
async fn the_limit_of_logins_is_the_configured_one() {
    let at = federation().await;
    let strict = at.broker.replica_with(|config| config.limits.linked_logins_per_identity = 2).await;
    strict.tick().await;
    let get_id = |users: &[&str]| json!({ "IdentityPoolId": at.pool, "Logins": at.logins(users) });
    strict.visitor().call("GetId", get_id(&["a:ann", "b:ann"])).await.ok();
    for three in [&["a:ann", "b:ann", "c:ann"], &["a:bob", "b:bob", "c:bob"]] {
        strict.visitor().call("GetId", get_id(three)).await.refused("ResourceConflictException", TOO_MANY);
    }
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_no_fault_of_the_caller() {
    let at = federation().await;
    at.issuer.misbehave("", crate::issuer::Fault::Status(500));
    let answer = at.get_id(&["a:ann"]).await;
    assert_eq!(answer.exception(), "ExternalServiceException", "{answer:?}");
    // The developers' operation has no such exception.
    let answer = at.developer_token(None, &["ann", "a:ann"]).await;
    assert_eq!((answer.status.as_u16(), answer.exception()), (500, "InternalErrorException"), "{answer:?}");
    assert_eq!(at.state().await, "");
}

#[tokio::test]
async fn of_google_and_apple_the_applications_of_the_pool_are_taken() {
    // Their issuers are not ours to stand in for: what is taken is seen in what is refused.
    let at = federation().await;
    let pool = at.pool_with(json!({ "SupportedLoginProviders": { "accounts.google.com": "one.app;two.app" } })).await;
    for (iss, aud, text) in [
        ("https://accounts.google.com", "three.app", " Incorrect token audience."),
        ("https://accounts.google.com.evil.test", "two.app", " Issuer doesn't match providerName"),
        (at.issuer.url(), "two.app", " Issuer doesn't match providerName"),
    ] {
        let token = at.token_with("a", "ann", &json!({ "iss": iss, "aud": aud }));
        let body = json!({ "IdentityPoolId": pool, "Logins": { "accounts.google.com": token } });
        let text = format!("Invalid login token.{text}");
        at.visitor.call("GetId", body).await.refused("NotAuthorizedException", &text);
    }
    let body = json!({ "IdentityPoolId": pool, "Logins": { "appleid.apple.com": at.token("a", CLIENT) } });
    at.visitor.call("GetId", body).await.refused("NotAuthorizedException", NOT_SUPPORTED);
}

#[tokio::test]
async fn a_pool_that_is_deleted_while_an_issuer_is_asked_issues_nothing() {
    let at = federation_with(|config| config.upstream.fetch_timeout = std::time::Duration::from_secs(20)).await;
    let guest = at.guest().await;
    let before = at.state().await;
    let gate = tokio::sync::watch::Sender::new(false);
    at.issuer.misbehave("", crate::issuer::Fault::When(gate.subscribe()));
    let delete = async {
        while at.issuer.hits() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        at.developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": at.pool })).await.ok();
        gate.send_replace(true);
    };
    let users = ["a:ann"];
    let (token, found, developers, unlinked, ()) = tokio::join!(
        at.open_id_token(&guest, &users),
        at.get_id(&users),
        at.developer_token(None, &["ann", "a:ann"]),
        at.unlink(&guest, &users, &["a"]),
        delete
    );
    for answer in [&token, &unlinked] {
        answer.no_identity(&guest);
    }
    let text = format!("IdentityPool '{}' not found.", at.pool);
    for answer in [found, developers] {
        answer.refused("ResourceNotFoundException", &text);
    }
    assert_eq!(at.state().await, before, "nobody was made in it");
}
