//! What is sealed: blobs at rest and tokens that clients carry. Flipped, cut, moved or exchanged, none opens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use symbolon::ids::{AccessKeyId, AccountId};
use symbolon::seal::{Place, Seal};
use symbolon::tenants::AccessKey;
use symbolon::tenants::access_key::Secret;
use symbolon::tenants::tenant::Tenant;

use super::signatures::SECRET;
use crate::broker::{Launch, MASTER_KEY};
use crate::client::Client;
use crate::database::{ACCOUNT, Database, connect, run};
use crate::figures::Figures;

/// Master keys of another ring.
const OTHER_KEYS: &str = "YW5vdGhlciBtYXN0ZXIga2V5IG9mIDMyIGJ5dGVzISE=";
const TENANTS: [&str; 2] = [ACCOUNT, "210987654321"];

/// A blob, or a token, with one thing changed.
fn damaged(blob: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for at in 0..blob.len() {
        for bit in 0..8 {
            let mut flipped = blob.to_vec();
            flipped[at] ^= 1 << bit;
            found.push(flipped);
        }
        found.push(blob[..at].to_vec());
        found.push(blob[at + 1..].to_vec());
        let mut shorter = blob.to_vec();
        shorter.remove(at);
        found.push(shorter);
        let mut longer = blob.to_vec();
        longer.insert(at, 0);
        found.push(longer);
    }
    found.extend([[blob, &[0]].concat(), [blob, blob].concat(), vec![0; blob.len()], vec![0xff; blob.len()]]);
    found.extend([Vec::new(), blob.iter().rev().copied().collect()]);
    // Taking out one of two equal bytes that are neighbours, or putting one in, can give the same again.
    found.retain(|other| other != blob);
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn no_sealed_blob_opens_damaged_or_in_another_place() {
    let seal = Seal::from_text(&format!("{MASTER_KEY}\n{OTHER_KEYS}")).unwrap();
    let (mut damages, mut moves, mut opened) = (0, 0, 0);
    let mut places = Vec::new();
    for (table, column) in
        [("access_keys", "secret_sealed"), ("signing_keys", "private_sealed"), ("seal_keys", "canary")]
    {
        for row in ["AKIA1", "AKIA12", "AKIA", ""] {
            for tenant in ["210987654321", "2109876543210", "", "https://id.example.com"] {
                places.push(Place { table, column, row, tenant });
            }
        }
    }
    for (number, place) in places.iter().enumerate() {
        let secret = vec![b's'; number % 40];
        let blob = seal.seal(*place, &secret).unwrap();
        assert_eq!(*seal.open(*place, &blob).unwrap(), secret);
        if number % 6 == 0 {
            let damaged = damaged(&blob);
            damages += damaged.len();
            opened += damaged.iter().filter(|blob| seal.open(*place, blob).is_ok()).count();
        }
        let elsewhere = places.iter().enumerate().filter(|(other, _)| *other != number);
        for (_, other) in elsewhere {
            moves += 1;
            opened += usize::from(seal.open(*other, &blob).is_ok());
        }
        // Under the name of another key of the ring; and what is at rest is no token, nor the other way round.
        let under = seal.seal_under(&seal.key_ids()[1], *place, &secret).unwrap();
        let renamed = [&blob[..1], &under[1..5], &blob[5..]].concat();
        let token = seal.seal_token("page", b"context", &secret).unwrap();
        moves += 4;
        opened += usize::from(seal.open(*place, &renamed).is_ok())
            + usize::from(seal.open(*place, &token).is_ok())
            + usize::from(seal.open_token("page", b"context", &blob).is_some())
            + usize::from(seal.open_token("session 1", b"context", &token).is_some());
    }
    assert_eq!(opened, 0);
    let mut figures = Figures::of("8-attacks-6-sealed", "Sealed blobs");
    figures.row("Blobs flipped bit by bit, cut, lengthened or replaced", "all refused", damages);
    figures.row("Blobs in another place, under another key or for another purpose", "all refused", moves);
    figures.row("Of them opened", "0", opened);
    figures.publish();
}

/// Two tenants, each with as many access keys as there are ways to tamper with one.
async fn with_two_tenants(ways: usize) -> (Database, Vec<[String; 2]>) {
    let database = Database::migrated().await;
    let mut conn = connect(&database.url).await;
    let seal = Seal::from_text(MASTER_KEY).unwrap();
    symbolon::installation::unseal(&mut conn, &seal).await.unwrap();
    let mut keys = vec![[String::new(), String::new()]; ways];
    for (number, tenant) in TENANTS.iter().enumerate() {
        let account = AccountId::parse(tenant).unwrap();
        Tenant::create(&mut conn, &account, "a tenant").await.unwrap();
        for (way, pair) in keys.iter_mut().enumerate() {
            pair[number] = format!("AKIATENANT{number}KEY{way:02}");
            let id = AccessKeyId::parse(&pair[number]).unwrap();
            // The secret of the second tenant is another, so that an exchange shows.
            let secret = if number == 0 { SECRET.to_owned() } else { SECRET.to_lowercase() };
            assert!(AccessKey::create(&mut conn, &seal, &id, &account, &Secret::new(&secret)).await.unwrap());
        }
    }
    (database, keys)
}

#[tokio::test]
async fn secrets_that_were_tampered_with_in_the_database_let_nobody_in_and_sign_nothing() {
    const WAYS: &[(&str, &str)] = &[
        ("of the other tenant", "(select secret_sealed from access_keys where access_key_id = '{other}')"),
        ("with its first byte flipped", "set_byte(secret_sealed, 0, get_byte(secret_sealed, 0) # 1)"),
        ("with its key id flipped", "set_byte(secret_sealed, 2, get_byte(secret_sealed, 2) # 1)"),
        ("with its nonce flipped", "set_byte(secret_sealed, 6, get_byte(secret_sealed, 6) # 128)"),
        ("with a byte of the secret flipped", "set_byte(secret_sealed, 20, get_byte(secret_sealed, 20) # 32)"),
        (
            "with its tag flipped",
            "set_byte(secret_sealed, length(secret_sealed) - 1, get_byte(secret_sealed, length(secret_sealed) - 1) # 1)",
        ),
        ("cut by a byte", "substr(secret_sealed, 1, length(secret_sealed) - 1)"),
        ("cut to its head", "substr(secret_sealed, 1, 17)"),
        ("lengthened", r"secret_sealed || '\x00'"),
        ("of a signing key", "(select private_sealed from signing_keys where private_sealed is not null limit 1)"),
        ("of the canary", "(select canary from seal_keys limit 1)"),
        ("that is the secret itself", "convert_to('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', 'UTF8')"),
        ("that is empty", r"'\x'"),
    ];
    let (database, keys) = with_two_tenants(WAYS.len() + 1).await;
    let broker = Launch::serve(&database.url).start().await;
    let secrets = [SECRET.to_owned(), SECRET.to_lowercase()];
    let (mut tried, mut accepted) = (0, 0);
    for ((name, blob), [key, other]) in WAYS.iter().zip(&keys) {
        let blob = blob.replace("{other}", other);
        run(&database.url, &format!("update access_keys set secret_sealed = {blob} where access_key_id = '{key}'"))
            .await;
        // Neither by its own secret nor by the other one, nor by none.
        for secret in secrets.iter().map(String::as_str).chain([""]) {
            let answer =
                Client::new(key, secret).call(&broker.url, "ListIdentityPools", &json!({"MaxResults": 1})).await;
            assert_eq!((answer.status, answer.exception()), (500, "InternalErrorException"), "{name}: {answer:?}");
            tried += 1;
            accepted += usize::from(answer.status < 400);
        }
    }
    let [untouched, of_the_other] = keys.last().unwrap();
    // A key handed to another tenant: its row says so, its seal does not.
    let statement = format!("update access_keys set account_id = '{}' where access_key_id = '{untouched}'", TENANTS[1]);
    run(&database.url, &statement).await;
    let answer = Client::new(untouched, SECRET).call(&broker.url, "ListIdentityPools", &json!({"MaxResults": 1})).await;
    assert_eq!((answer.status, answer.exception()), (500, "InternalErrorException"), "{answer:?}");
    let client = Client::new(of_the_other, &secrets[1]);
    let answer = client.call(&broker.url, "ListIdentityPools", &json!({"MaxResults": 1})).await;
    assert_eq!(answer.status, 200, "a key that nobody touched");

    // Private keys exchanged: a broker that finds them so signs nothing at all.
    let pool = client.create_pool(&broker.url).await;
    client.token(&broker.url, &pool, "alice").await.member("Token");
    let exchange =
        "update signing_keys k set private_sealed = o.private_sealed from signing_keys o where o.kid <> k.kid";
    run(&database.url, exchange).await;
    let mut second = Launch::serve(&database.url).env("SYMBOLON__KEYS__POLL_INTERVAL", "1").spawn();
    second.find_addresses().await;
    let mut signed = 0;
    for _ in 0..3 {
        let answer = client.token(&second.url, &pool, "alice").await;
        signed += usize::from(answer.status < 400);
        answer.is_internal_error();
    }
    assert_eq!(second.readiness().await.0, 503);
    run(&database.url, exchange).await;
    second.until_ready().await;
    client.token(&second.url, &pool, "alice").await.member("Token");

    let mut figures =
        Figures::of("8-attacks-7-sealed-live", "Sealed blobs tampered with in the database of a running broker");
    figures.row("Ways to tamper with an access key's secret, or to hand it on", "all refused", WAYS.len() + 1);
    figures.row("Requests signed with such keys", "all refused", tried + 1);
    figures.row("Of them accepted", "0", accepted);
    figures.row("Tokens signed after private keys were exchanged", "0", signed);
    figures.publish();
}

#[tokio::test]
async fn no_damaged_or_foreign_page_token_is_followed() {
    let (database, client) = Database::with_developer().await;
    let broker = Launch::serve(&database.url).start().await;
    for _ in 0..3 {
        client.create_pool(&broker.url).await;
    }
    let page = async |token: &str| {
        client.call(&broker.url, "ListIdentityPools", &json!({ "MaxResults": 1, "NextToken": token })).await
    };
    let first = client.call(&broker.url, "ListIdentityPools", &json!({"MaxResults": 1})).await;
    let token = first.member("NextToken");
    let second = page(&token).await.json["IdentityPools"].clone();

    let blob = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let mut tokens: Vec<String> = Vec::new();
    // Of the blob every byte once, and every cut; of the text what only a lax reader takes for the same.
    for (at, byte) in blob.iter().enumerate() {
        let mut flipped = blob.clone();
        flipped[at] = byte ^ (1 << (at % 8));
        tokens.push(URL_SAFE_NO_PAD.encode(flipped));
        tokens.push(URL_SAFE_NO_PAD.encode(&blob[..at]));
        tokens.push(URL_SAFE_NO_PAD.encode(&blob[at + 1..]));
    }
    tokens.extend(["=", "==", "A", "%3D", ".", "\u{e9}"].map(|more| format!("{token}{more}")));
    tokens.extend([
        token.to_uppercase(),
        token.to_lowercase(),
        token.replace(['-', '_'], "+"),
        format!("{token}{token}"),
    ]);
    tokens.extend(["x", "1", "null", "{}", "AA", "0", "next"].map(str::to_owned));
    // What else is sealed here under the same master key.
    let mut conn = connect(&database.url).await;
    for query in [
        "select secret_sealed from access_keys",
        "select private_sealed from signing_keys",
        "select canary from seal_keys",
    ] {
        let blob: Vec<u8> = sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap();
        tokens.push(URL_SAFE_NO_PAD.encode(blob));
    }
    let seal = Seal::from_text(MASTER_KEY).unwrap();
    for (purpose, context) in [("page", ""), ("session 20000", ""), ("page", ACCOUNT), ("", "")] {
        let forged = seal.seal_token(purpose, context.as_bytes(), b"{}").unwrap();
        tokens.push(URL_SAFE_NO_PAD.encode(forged));
    }
    let stranger = Seal::from_text(OTHER_KEYS).unwrap();
    tokens.push(URL_SAFE_NO_PAD.encode(stranger.seal_token("page", b"", b"{}").unwrap()));
    tokens.retain(|other| !other.is_empty() && *other != token);

    let (mut followed, mut wrong) = (0, Vec::new());
    for tried in &tokens {
        let answer = page(tried).await;
        followed += usize::from(answer.status < 400);
        let message = answer.json["message"].as_str().unwrap_or_default();
        if (answer.status, answer.exception(), message) != (400, "InvalidParameterException", "Invalid NextToken") {
            wrong.push(format!("{tried}: {} {}", answer.status, answer.text));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), tokens.len());
    assert_eq!(page(&token).await.json["IdentityPools"], second, "it is as good as before");

    let mut figures = Figures::of("8-attacks-8-pages", "Page tokens");
    figures.row("Tokens flipped, cut, lengthened, respelt, or of something else", "all refused", tokens.len());
    figures.row("Of them followed", "0", followed);
    figures.publish();
}
