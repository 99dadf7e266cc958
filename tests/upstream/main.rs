//! Logins of other providers, against a real issuer: what is fetched, and which tokens hold.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod idp;
mod issuer;
mod social_providers;
mod stage;

mod addresses;
mod fetching;
mod introspection;
mod keeping;
mod saml;
mod social;

#[tokio::test]
async fn the_issuer_of_these_tests_publishes_its_keys_and_counts() {
    let issuer = issuer::Issuer::start().await;
    let client = reqwest::Client::builder().build().unwrap();
    let get = async |url: &str| -> serde_json::Value { client.get(url).send().await.unwrap().json().await.unwrap() };
    let document = get(&format!("{}{}", issuer.url(), issuer::DISCOVERY)).await;
    assert_eq!(document["issuer"], issuer.url());
    let kid = issuer.rotate();
    let keys = get(document["jwks_uri"].as_str().unwrap()).await;
    assert_eq!(keys["keys"][1]["kid"], kid);
    assert_eq!((issuer.hits_of(issuer::DISCOVERY), issuer.hits_of(issuer::KEYS), issuer.hits()), (1, 1, 2));
}
