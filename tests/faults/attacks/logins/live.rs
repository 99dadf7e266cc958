//! The same attacks as `Logins` of a running broker: what a client reads, and that no identity comes of any.

use std::time::Instant;

use serde_json::json;
use symbolon::clock::Clock;

use super::{Attack, USER_POOL, World, catalogue, names, proper, user_pools};
use crate::broker::Launch;
use crate::client::{Answer, call_unsigned};
use crate::database::{ACCOUNT, Database, connect, count, public_dir};
use crate::figures::Figures;
use crate::stage::CLIENT;

/// The longest token of the service model.
const LONGEST: usize = 50_000;

/// Attacks that are attacks for a second only, of which a clock that runs leaves nothing.
const FOR_A_SECOND: [&str; 3] =
    ["an iat just beyond the skew", "an iat of a moment too late", "an nbf just beyond the skew"];

/// The exception that an attack must meet, and how its message begins.
fn promised(attack: &Attack) -> (&'static str, String) {
    if attack.token.is_empty() || attack.token.len() > LONGEST {
        return ("ValidationException", "1 validation error detected: ".to_owned());
    }
    let message = match attack.outcome {
        "Signature" => "Invalid login token. Couldn't verify signed token.".to_owned(),
        "NotIdToken" => "Invalid login token. Not a valid OpenId Connect identity token.".to_owned(),
        "Expired" => "Invalid login token. Token expired: ".to_owned(),
        "NotYetValid" => "Invalid login token. Token is not valid yet.".to_owned(),
        "Issuer" => "Invalid login token. Issuer doesn't match providerName".to_owned(),
        "Audience" => "Invalid login token. Incorrect token audience.".to_owned(),
        "ProviderNotSupported" => "Token is not from a supported provider of this identity pool.".to_owned(),
        other => {
            let claim = other.strip_prefix("MissingClaim ").unwrap_or_else(|| panic!("what is told of {other}?"));
            format!("Invalid login token. Missing a required claim: {claim}")
        }
    };
    ("NotAuthorizedException", message)
}

#[tokio::test]
async fn no_attack_on_a_login_gets_an_identity_of_a_running_broker() {
    let world = World::at(Clock::System.wall().unix_timestamp()).await;
    let (database, developer) = Database::with_developer().await;
    let mut conn = connect(&database.url).await;
    let realm = format!("{}/realm", world.issuer.login_key());
    sqlx::query("insert into oidc_providers (account_id, url, client_ids) values ($1, $2, $3)")
        .bind(ACCOUNT)
        .bind(&realm)
        .bind(json!([CLIENT]))
        .execute(&mut conn)
        .await
        .unwrap();
    let folder = public_dir();
    let config = folder.path().join("symbolon.toml");
    std::fs::write(&config, format!("[upstream]\n{}\n", world.lines)).unwrap();
    let broker = Launch::serve(&database.url).arg("--config").arg(config.to_str().unwrap()).start().await;
    let user_pool = format!("cognito-idp.{}.amazonaws.com/{USER_POOL}", USER_POOL.split_once('_').unwrap().0);
    let pool = json!({ "IdentityPoolName": "federated", "AllowUnauthenticatedIdentities": true,
                       "OpenIdConnectProviderARNs": [format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{realm}")],
                       "CognitoIdentityProviders": [{ "ProviderName": user_pool, "ClientId": CLIENT }] });
    let pool = developer.call(&broker.url, "CreateIdentityPool", &pool).await.member("IdentityPoolId");
    let sign_in = async |key: &str, token: &str| -> Answer {
        let body = json!({ "IdentityPoolId": pool, "Logins": { key: token } });
        call_unsigned(&broker.url, "GetId", &body).await
    };

    let began = Instant::now();
    // Of one user at each provider, whom no attack may become.
    let victims = [
        sign_in(&realm, &world.proper()).await.member("IdentityId"),
        sign_in(&user_pool, &user_pools::proper(&world)).await.member("IdentityId"),
    ];
    for (key, token) in [
        (&realm, world.rsa.known_as("never-published", "RS256").token(&world.claims())),
        (&user_pool, world.rsa.known_as("never-published", "RS256").token(&user_pools::claims(&world))),
    ] {
        // The broker may look once for an unknown key; what comes later makes it look no more.
        assert_eq!(sign_in(key, &token).await.exception(), "NotAuthorizedException");
    }
    let traffic = world.traffic();

    let (attacks, on_user_pools) = (catalogue(&world), user_pools::attacks(&world));
    let names = names(&attacks, &on_user_pools);
    assert!(FOR_A_SECOND.iter().all(|name| names.contains(name)), "{FOR_A_SECOND:?}");
    let on = |key, attacks| std::iter::repeat(key).zip::<std::slice::Iter<Attack>>(attacks);
    let mut wrong = Vec::new();
    let (mut tried, mut accepted) = (0, 0);
    for (key, attack) in on(&realm, attacks.iter()).chain(on(&user_pool, on_user_pools.iter())) {
        if FOR_A_SECOND.contains(&attack.name.as_str()) {
            continue;
        }
        let answer = sign_in(key, &attack.token).await;
        let (exception, begin) = promised(attack);
        let message = answer.json["message"].as_str().unwrap_or_default();
        if (answer.status, answer.exception()) != (400, exception) || !message.starts_with(&begin) {
            wrong.push(format!("{}: {} {}, not {exception} {begin:?}", attack.name, answer.status, answer.text));
        }
        tried += 1;
        accepted += usize::from(answer.status < 400);
    }
    assert!(wrong.is_empty(), "{} of {tried} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    // After half a minute the broker may look once more for an unknown key, a document and keys for each provider.
    let looks = usize::try_from(began.elapsed().as_secs() / 30).unwrap() * 4;
    let [issuer, others @ ..] = world.traffic();
    assert!(issuer <= traffic[0] + looks, "an attack made the broker ask the issuer: {issuer}, {traffic:?}");
    assert_eq!(others, traffic[1..], "an attack made the broker ask somebody");
    let identities = count(&database.url, "select count(*) from identities").await;
    assert_eq!(identities, 2, "those of the two users");
    let logs = broker.said();
    assert!(!logs.contains(&world.proper()) && !logs.contains(super::VICTIM), "a token's contents are in the log");

    // The keys are as good as before for whoever has them.
    assert_eq!(sign_in(&realm, &proper::tokens(&world)[0].token).await.member("IdentityId"), victims[0]);

    let mut figures = Figures::of("8-attacks-4-logins-live", "The same attacks as Logins of a running broker");
    figures.row("Named attacks, each refused with its exception and words", "≥ 120", tried);
    figures.row("Of them accepted", "0", accepted);
    figures.row("Identities that came of them", "0", identities - 2);
    figures.publish();
}
