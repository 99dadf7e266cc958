//! Extra audiences: whose tokens carry them, that the broker still knows such a token, and who notices a change.

use serde_json::{Value, json};
use symbolon::error::{Error, Result};
use symbolon::ids::PoolId;
use symbolon::pools::{Audiences, Pool};

use crate::client::{Broker, broker};
use crate::federation::{claims, federation};
use crate::harness::{self, DEVELOPER, assert_refused, epoch};
use crate::tokens::texts;

const NO_ROLE: &str = "Invalid identity pool configuration. Check assigned IAM roles for this pool.";

/// Sets the audiences of a pool as the commands do, in another process as it were.
pub async fn set(broker: &Broker, pool: &str, audiences: &[&str]) -> Result<()> {
    let wanted = Audiences::new(audiences.iter().map(ToString::to_string).collect())?;
    let mut conn = broker.db.conn().await;
    let pool = Pool::find(&mut conn, &harness::account(1), &PoolId::parse(pool).unwrap()).await?.unwrap();
    Audiences::change(&mut conn, &pool, |all| {
        all.clone_from(&wanted);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_users_token_carries_the_audiences_of_its_pool_behind_the_pools_id_and_a_guests_never_does() {
    let at = federation().await;
    let (guest, ann) = (at.guest().await, at.id(&["a:ann"]).await);
    for audiences in [&["snowflakecomputing.com", "api://AzureADTokenExchange"][..], &["b"], &[]] {
        set(&at.broker, &at.pool, audiences).await.unwrap();
        at.broker.poll().await;
        let list: Vec<&str> = std::iter::once(at.pool.as_str()).chain(audiences.iter().copied()).collect();
        let expected = if audiences.is_empty() { json!(at.pool) } else { json!(list) };

        let developers = at.developer.token(&at.pool, "dev").await.member("Token");
        let both = at.developer_token(None, &["dev", "b:dev"]).await.member("Token");
        let classic = at.open_id_token(&ann, &["a:ann"]).await.member("Token");
        for token in [developers, both, classic] {
            assert_eq!(claims(&token)["aud"], expected);
            // Nothing else of the text changes.
            let start = format!(r#"{{"sub":{},"aud":{expected},"amr":["#, claims(&token)["sub"]);
            assert!(texts(&token).1.starts_with(&start), "{}", texts(&token).1);
        }
        let guests = at.visitor.call("GetOpenIdToken", json!({ "IdentityId": guest })).await.member("Token");
        assert_eq!((&claims(&guests)["aud"], &claims(&guests)["amr"][0]), (&json!(at.pool), &json!("unauthenticated")));
    }
}

#[tokio::test]
async fn a_token_with_more_audiences_still_proves_its_identity_to_the_broker_and_no_other() {
    let at = federation().await;
    set(&at.broker, &at.pool, &["snowflakecomputing.com"]).await.unwrap();
    at.broker.poll().await;
    let ann = at.developer.token(&at.pool, "ann").await;
    let (identity, token) = (ann.member("IdentityId"), ann.member("Token"));
    assert!(claims(&token)["aud"].is_array());
    let prove = async |identity: &str| {
        let body = json!({ "IdentityId": identity, "Logins": { "cognito-identity.amazonaws.com": token } });
        at.visitor.call("GetCredentialsForIdentity", body).await
    };
    // It is believed: only the role is missing.
    prove(&identity).await.refused("InvalidIdentityPoolConfigurationException", NO_ROLE);
    let other = at.pool_with(json!({})).await;
    for stranger in [at.developer.identity(&at.pool, "bob").await, at.developer.identity(&other, "ann").await] {
        prove(&stranger).await.refused("NotAuthorizedException", crate::federation::NO_MATCH);
    }
}

#[tokio::test]
async fn no_operation_shows_the_audiences_or_takes_them_away() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let ask = json!({ "IdentityPoolId": pool });
    let before = developer.call("DescribeIdentityPool", ask.clone()).await.ok();
    set(&broker, &pool, &["snowflakecomputing.com"]).await.unwrap();
    assert_eq!(developer.call("DescribeIdentityPool", ask).await.ok().text, before.text);

    let update = json!({ "IdentityPoolId": pool, "IdentityPoolName": "renamed", "AllowUnauthenticatedIdentities": false,
                         "DeveloperProviderName": DEVELOPER });
    let answer = developer.call("UpdateIdentityPool", update).await.ok();
    assert_eq!(answer.json.get("Audiences"), None);
    let aud: Value = claims(&developer.token(&pool, "user").await.member("Token"))["aud"].clone();
    assert_eq!(aud, json!([pool, "snowflakecomputing.com"]));
}

#[tokio::test]
async fn another_replica_knows_of_a_change_after_its_next_poll() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let other = broker.replica().await;
    other.poll().await;
    let aud = async |replica: &Broker| {
        let token = replica.developer(1).token(&pool, "user").await.member("Token");
        claims(&token)["aud"].clone()
    };
    for replica in [&broker, &other] {
        assert_eq!(aud(replica).await, json!(pool), "it remembers the pool from now on");
    }
    let mut conn = broker.db.conn().await;
    for (audiences, expected) in [(&["a"][..], json!([pool, "a"])), (&[], json!(pool))] {
        let before = epoch(&mut conn).await;
        for _ in 0..2 {
            set(&broker, &pool, audiences).await.unwrap();
        }
        assert_eq!(epoch(&mut conn).await, before + 1, "what changes nothing tells nobody");
        for replica in [&broker, &other] {
            replica.poll().await;
            assert_eq!(aud(replica).await, expected);
        }
    }
}

#[tokio::test]
async fn audiences_that_a_token_must_not_carry_are_refused_and_nothing_is_written() {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    let stranger = broker.developer(2).pool().await;
    let many: Vec<String> = (0..21).map(|number| format!("a{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut conn = broker.db.conn().await;
    let before = epoch(&mut conn).await;
    let bad: [&[&str]; 6] = [&[""], &["a b"], &["é"], &["a", "a"], &many, &["a", &stranger]];
    for audiences in bad {
        assert_refused!(set(&broker, &pool, audiences).await, Error::InvalidParameter(_));
    }
    assert_eq!(epoch(&mut conn).await, before);
    let found = Pool::find(&mut conn, &harness::account(1), &PoolId::parse(&pool).unwrap()).await.unwrap().unwrap();
    assert_eq!(found.audiences, Audiences::default());

    broker.developer(1).call("DeleteIdentityPool", json!({ "IdentityPoolId": pool })).await.ok();
    let changed = Audiences::change(&mut conn, &found, |all| all.add("a")).await;
    assert_refused!(changed, Error::PoolNotFound(_));
}
