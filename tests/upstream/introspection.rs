//! The server-side check of a user pool's token, after everything else holds.

use serde_json::{Value, json};
use symbolon::upstream::Upstream;

use crate::issuer::minting::{Key, altered};
use crate::issuer::{Fault, INTROSPECTION, Issuer};
use crate::stage::{self, CLIENT, NOW, outcome};

const USER_POOL: &str = "eu-central-1_Ab3dEf9hJ";

struct Scene {
    issuer: Issuer,
    upstream: Upstream,
}

impl Scene {
    async fn new() -> Self {
        Self::that_waits(5).await
    }

    /// One that waits for the issuer no longer than so many seconds.
    async fn that_waits(seconds: u64) -> Self {
        let issuer = Issuer::start().await;
        let url = issuer.url();
        let lines = format!(
            "user_pool_issuer = '{url}/{{region}}/{{user_pool_id}}'\nfetch_timeout = {seconds}\n\
             token_introspection = '{url}/{{user_pool_id}}{INTROSPECTION}'"
        );
        let (upstream, _) = stage::upstream(&lines);
        Self { issuer, upstream }
    }

    fn claims(&self) -> Value {
        let iss = format!("{}/eu-central-1/{USER_POOL}", self.issuer.url());
        json!({"iss": iss, "sub": "user", "aud": CLIENT, "iat": NOW, "exp": NOW + 600, "token_use": "id"})
    }

    fn token(&self) -> String {
        self.issuer.token_with(&self.claims())
    }

    async fn login(&self, token: &str, checked: bool) -> String {
        outcome(&stage::verify(&self.upstream, &stage::user_pool(USER_POOL, checked), token).await)
    }

    fn asked(&self) -> usize {
        self.issuer.hits_of(INTROSPECTION)
    }
}

#[tokio::test]
async fn a_user_pool_is_asked_about_every_token_of_a_client_that_wants_it() {
    let scene = Scene::new().await;
    let token = scene.token();
    for round in 1..=3 {
        assert_eq!(scene.login(&token, true).await, "accepted");
        assert_eq!(scene.asked(), round, "it is never remembered");
    }
    assert_eq!(scene.login(&token, false).await, "accepted");
    assert_eq!(scene.asked(), 3, "and not asked for the others");
    let form = scene.issuer.introspected().remove(0);
    let form: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let expected = [("token", token.as_str()), ("token_type_hint", "id_token")];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let asked = scene.issuer.asked_with();
    let (path, headers) = asked.iter().find(|(path, _)| path.ends_with(INTROSPECTION)).unwrap();
    assert_eq!(*path, format!("/{USER_POOL}{INTROSPECTION}"));
    let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
    assert!(headers.contains(&form), "{headers:?}");

    scene.issuer.revoke(&token);
    assert_eq!(scene.login(&token, true).await, "Revoked");
    assert_eq!(scene.login(&token, false).await, "accepted");
}

#[tokio::test]
async fn a_user_pool_is_not_asked_about_a_token_that_does_not_hold() {
    let scene = Scene::new().await;
    let with = |changes: &Value| scene.issuer.token_with(&altered(&scene.claims(), changes));
    for (token, expected) in [
        (Key::rsa(2, "first", "RS256").token(&scene.claims()), "Signature"),
        (with(&json!({"exp": NOW - 301})), "Expired"),
        (with(&json!({"aud": "another"})), "ProviderNotSupported"),
        (with(&json!({"token_use": "access"})), "NotIdToken"),
        (with(&json!({"sub": null})), "MissingClaim sub"),
    ] {
        assert_eq!(scene.login(&token, true).await, expected);
    }
    assert_eq!(scene.asked(), 0);
}

#[tokio::test]
async fn only_a_plain_yes_is_a_yes() {
    let scene = Scene::new().await;
    let token = scene.token();
    let elsewhere = Issuer::start().await;
    for (fault, expected) in [
        (Fault::Text(r#"{"active":false}"#.to_owned()), "Revoked"),
        (Fault::Text(r#"{"active":true,"sub":"user"}"#.to_owned()), "accepted"),
        (Fault::Text(r#"{"active":"true"}"#.to_owned()), "Upstream"),
        (Fault::Text(r#"{"active":1}"#.to_owned()), "Upstream"),
        (Fault::Text(r#"{"active":null}"#.to_owned()), "Upstream"),
        (Fault::Text("{}".to_owned()), "Upstream"),
        (Fault::Text("true".to_owned()), "Upstream"),
        (Fault::Text(r#"{"active":false,"active":true}"#.to_owned()), "Upstream"),
        (Fault::Text(String::new()), "Upstream"),
        (Fault::Status(401), "Upstream"),
        (Fault::Status(500), "Upstream"),
        (Fault::Redirect(format!("{}{INTROSPECTION}", elsewhere.url())), "Upstream"),
        (Fault::Padded(300_000), "Upstream"),
        (Fault::Gzip, "Upstream"),
        (Fault::Reset, "Upstream"),
    ] {
        scene.issuer.behave();
        scene.issuer.misbehave(INTROSPECTION, fault.clone());
        assert_eq!(scene.login(&token, true).await, expected, "{fault:?}");
    }
    scene.issuer.behave();
    assert_eq!(scene.login(&token, true).await, "accepted");
    assert_eq!(elsewhere.connections(), 0);

    let hasty = Scene::that_waits(1).await;
    hasty.issuer.misbehave(INTROSPECTION, Fault::Hang);
    assert_eq!(hasty.login(&hasty.token(), true).await, "Upstream");
    assert_eq!(hasty.asked(), 1);
}

#[tokio::test]
async fn a_check_that_nobody_configured_is_not_passed_over() {
    let issuer = Issuer::start().await;
    let (upstream, _) = stage::upstream(&format!("user_pool_issuer = '{}/{{user_pool_id}}'", issuer.url()));
    let iss = format!("{}/{USER_POOL}", issuer.url());
    let claims = json!({"iss": iss, "sub": "user", "aud": CLIENT, "iat": NOW, "exp": NOW + 600, "token_use": "id"});
    let token = issuer.token_with(&claims);
    let login = async |checked| outcome(&stage::verify(&upstream, &stage::user_pool(USER_POOL, checked), &token).await);
    assert_eq!(login(false).await, "accepted");
    assert_eq!(login(true).await, "CheckNotConfigured");
}
