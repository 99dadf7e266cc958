//! The token: what a verifier that has nothing but our JWKS makes of it, its text, and how long it lives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use symbolon::config::{Algorithm, TokenType};
use time::OffsetDateTime;

use crate::client::{Answer, Broker, Developer, broker};
use crate::harness::{DEVELOPER, ISSUER};

const OPERATION: &str = "GetOpenIdTokenForDeveloperIdentity";

/// The claims of a token for `pool` that holds against the JWKS as served.
pub async fn verify(broker: &Broker, pool: &str, token: &str) -> Value {
    let jwks: JwkSet = serde_json::from_value(broker.visitor().get("/.well-known/jwks.json").await.ok().json).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[pool]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    validation.leeway = 0;
    let jwk = jwks.find(header.kid.as_ref().unwrap()).unwrap();
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims
}

/// The text of the token's header and of its claims.
pub fn texts(token: &str) -> (String, String) {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (text(parts[0]), text(parts[1]))
}

#[tokio::test]
async fn a_token_of_every_algorithm_holds_against_the_jwks_and_has_the_header_that_was_configured() {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    for (algorithm, token_type, alg, typ, length) in [
        (Algorithm::RS256, TokenType::JWT, "RS256", "JWT", 256),
        (Algorithm::RS384, TokenType::JWT, "RS384", "JWT", 256),
        (Algorithm::RS512, TokenType::JWT, "RS512", "JWT", 256),
        (Algorithm::ES256, TokenType::JWT, "ES256", "JWT", 64),
        (Algorithm::ES384, TokenType::JWT, "ES384", "JWT", 96),
        // As AWS has it.
        (Algorithm::RS512, TokenType::JWS, "RS512", "JWS", 256),
    ] {
        sqlx::query("delete from signing_keys").execute(&mut *broker.db.conn().await).await.unwrap();
        let broker = broker
            .replica_with(|config| {
                config.issuer.algorithm = algorithm;
                config.issuer.token_type = token_type;
            })
            .await;
        broker.tick().await;
        let answer = broker.developer(1).token(&pool, "user").await;
        let token = answer.member("Token");
        let claims = verify(&broker, &pool, &token).await;
        assert_eq!(claims["sub"], answer.json["IdentityId"]);

        let jwks = broker.visitor().get("/.well-known/jwks.json").await;
        let kid = jwks.json["keys"][0]["kid"].as_str().unwrap();
        assert_eq!(texts(&token).0, format!(r#"{{"kid":"{kid}","typ":"{typ}","alg":"{alg}"}}"#));
        assert_eq!((&jwks.json["keys"][0]["alg"], &jwks.json["keys"][0]["use"]), (&json!(alg), &json!("sig")));
        let signature = token.rsplit('.').next().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), length, "{alg}");
        let discovery = broker.visitor().get("/.well-known/openid-configuration").await;
        assert_eq!(discovery.json["id_token_signing_alg_values_supported"], json!([alg]));
    }
}

#[tokio::test]
async fn the_claims_are_those_of_aws_in_their_order() {
    let broker = broker().await;
    for (region, number, user) in [("us-east-1", 1, "user"), ("eu-west-1", 2, "a:b \"/é\\")] {
        let developer = broker.developer(number).in_region(region);
        let pool = developer.pool().await;
        for (tags, claim) in [
            (json!(null), String::new()),
            (json!({}), String::new()),
            (
                json!({ "team": "blue", "cost/centre": "1 & 2" }),
                r#""https://aws.amazon.com/tags":{"principal_tags":{"cost/centre":["1 & 2"],"team":["blue"]}},"#.into(),
            ),
        ] {
            let body = json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: user }, "PrincipalTags": tags });
            let answer = developer.call(OPERATION, body).await;
            let token = answer.member("Token");
            let claims = verify(&broker, &pool, &token).await;
            let (exp, iat) = (claims["exp"].as_i64().unwrap(), claims["iat"].as_i64().unwrap());
            assert_eq!(exp - iat, 900);
            assert!((0..60).contains(&(now() - iat)), "iat {iat} is not now");
            let (id, login) = (answer.member("IdentityId"), json!(format!("{DEVELOPER}:{pool}:{user}")));
            let arn = format!("arn:aws:cognito-identity:{region}:{}:identitypool/{pool}", developer.account);
            let expected = format!(
                r#"{{"sub":"{id}","aud":"{pool}","amr":["authenticated","{DEVELOPER}",{login}],{claim}"iss":"{ISSUER}","https://cognito-identity.amazonaws.com/identity-pool-arn":"{arn}","exp":{exp},"iat":{iat}}}"#
            );
            assert_eq!(texts(&token).1, expected);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the dates of tokens are compared with the real clock")]
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[tokio::test]
async fn a_token_that_would_be_too_long_is_refused_and_nobody_is_made_for_it() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let tags = |values: usize| -> Value {
        (0..50)
            .map(|number| (format!("tag{number:02}"), json!("v".repeat(values))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let ask = async |user: &str, tags: Value| {
        let body = json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: user }, "PrincipalTags": tags });
        developer.call(OPERATION, body).await
    };
    let fits = ask("fits", tags(200)).await.member("Token");
    assert!(fits.len() <= 16_000);
    verify(&broker, &pool, &fits).await;

    let refused = ask("does not fit", tags(256)).await;
    let text = refused.json["message"].as_str().unwrap();
    let length: u32 = text.strip_prefix("The token would be ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(length > 16_000);
    refused.is_exception(
        400,
        "InvalidParameterException",
        &format!(
            "The token would be {length} bytes long; at most 16000 are allowed. Use fewer or shorter PrincipalTags."
        ),
    );
    let lookup = json!({ "IdentityPoolId": pool, "DeveloperUserIdentifier": "does not fit" });
    let found = developer.call("LookupDeveloperIdentity", lookup).await;
    found.refused("ResourceNotFoundException", "Developer user identifier not found.");
}

async fn lasting(developer: &Developer, pool: &str, seconds: Option<i64>) -> Answer {
    let body = json!({ "IdentityPoolId": pool, "Logins": { DEVELOPER: "user" }, "TokenDuration": seconds });
    developer.call(OPERATION, body).await
}

async fn lifetime(developer: &Developer, pool: &str, seconds: Option<i64>) -> i64 {
    let token = lasting(developer, pool, seconds).await.member("Token");
    let claims: Value = serde_json::from_str(&texts(&token).1).unwrap();
    claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
}

#[tokio::test]
async fn a_token_lives_as_long_as_asked_for_and_no_longer_than_the_limit() {
    let broker = broker().await;
    let pool = broker.developer(1).pool().await;
    for (max, default, unasked) in [(86_400, 900, 900), (600, 900, 600), (3_600, 3_600, 3_600)] {
        let replica = broker
            .replica_with(|config| {
                config.tokens.max_lifetime = Duration::from_secs(max);
                config.tokens.default_lifetime = Duration::from_secs(default);
            })
            .await;
        replica.poll().await;
        let developer = replica.developer(1);
        assert_eq!(lifetime(&developer, &pool, None).await, unasked);
        let max = i64::try_from(max).unwrap();
        for seconds in [1, 300, max] {
            assert_eq!(lifetime(&developer, &pool, Some(seconds)).await, seconds);
        }
        for (seconds, limit) in [(max + 1, max), (86_401, 86_400), (i64::MAX, 86_400)] {
            let text = format!(
                "1 validation error detected: Value '{seconds}' at 'tokenDuration' failed to satisfy constraint: \
                 Member must have value less than or equal to {limit}"
            );
            lasting(&developer, &pool, Some(seconds)).await.is_exception(400, "ValidationException", &text);
        }
        for seconds in [0, -1, i64::MIN] {
            let text = format!(
                "1 validation error detected: Value '{seconds}' at 'tokenDuration' failed to satisfy constraint: \
                 Member must have value greater than or equal to 1"
            );
            lasting(&developer, &pool, Some(seconds)).await.is_exception(400, "ValidationException", &text);
        }
    }
}
