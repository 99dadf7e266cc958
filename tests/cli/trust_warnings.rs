//! `symbolon trust`: where the installation and a consumer do not fit, and what is refused.

use serde_json::Value;

use crate::audiences::OTHER;
use crate::seeds::POOL;
use crate::stage::Stage;
use crate::trust::{CONSUMERS, GUEST, USER, calls, fitting, has_words, identity, json_file, text, trust, with_issuer};

fn warnings(shown: &Value) -> Vec<String> {
    let all = shown["Warnings"].as_array().unwrap();
    all.iter().map(|warning| warning["Message"].as_str().unwrap().to_owned()).collect()
}

/// Whether a warning has these words in it.
fn warned(shown: &Value, words: &str) -> bool {
    warnings(shown).iter().any(|warning| warning.contains(words))
}

#[test]
fn where_all_fits_there_is_nothing_to_warn_of_but_what_must_be_done_at_each_rotation() {
    let stage = fitting();
    for consumer in CONSUMERS {
        let found = warnings(&trust(&stage, consumer, &[]));
        let expected: &[&str] = match consumer {
            "ceph" => &["signing keys change every 30 days"],
            "snowflake" => &["do not carry the audience snowflakecomputing.com"],
            "entra" => &["do not carry the audience api://AzureADTokenExchange"],
            _ => &[],
        };
        assert_eq!(found.len(), expected.len(), "{consumer}: {found:?}");
        assert!(found.iter().zip(expected).all(|(found, words)| found.contains(words)), "{consumer}: {found:?}");
    }
    for (consumer, audience) in [("snowflake", "snowflakecomputing.com"), ("entra", "api://AzureADTokenExchange")] {
        let shown = trust(&stage, consumer, &[]);
        let command = shown["Warnings"][0]["Command"].as_str().unwrap();
        assert_eq!(command, format!("symbolon audience add {audience} --pool {POOL}"));
        // What it says to run works, and then the warning is another: `aud` is a list.
        stage.ok(&command.split(' ').skip(1).collect::<Vec<_>>());
        let found = warnings(&trust(&stage, consumer, &[]));
        assert!(found.len() == 1 && found[0].contains("is a list, the pool's id first"), "{found:?}");
    }
}

#[test]
fn what_does_not_fit_is_warned_of() {
    // No https, not public, a port, a list of algorithms, no x5c, guests, and extra audiences.
    let change = |stage: &mut Stage| stage.set("SYMBOLON__ISSUER__ALGORITHM", "ES384");
    let more = "allow_unauthenticated_identities = true\naudiences = ['zebra']";
    let stage = with_issuer("http://127.0.0.1:4600", change, more);
    let due: [(&str, &[&str]); 9] = [
        ("aws", &["https:// only", "from the internet", "no issuer with a port", "admits guests", "is a list"]),
        ("minio", &["from this machine alone", "admits guests"]),
        ("ceph", &["this machine alone", "x5c = true", "RSA signatures", "change every"]),
        ("vault", &["from this machine alone"]),
        ("kubernetes", &["https:// only", "from this machine alone"]),
        ("gcp", &["https:// only", "RS256 and ES256", "is a list", "they are uploaded"]),
        ("snowflake", &["https:// only", "from the internet", "snowflakecomputing.com", "is a list"]),
        ("nomad", &["from this machine alone"]),
        ("entra", &["https:// only", "from the internet", "signed with RS256", "AzureADTokenExchange", "is a list"]),
    ];
    for (consumer, words) in due {
        let shown = trust(&stage, consumer, &[]);
        let found = warnings(&shown);
        assert_eq!(found.len(), words.len(), "{consumer}: {found:?}");
        assert!(found.iter().zip(words).all(|(found, words)| found.contains(words)), "{consumer}: {found:?}");
        let text = text(&stage, consumer, &[]);
        assert_eq!(text.matches("WARNING: ").count(), words.len(), "{text}");
    }
    // The keys that are uploaded are those of the JWKS, without certificates.
    let jwks = json_file(&trust(&stage, "gcp", &[]), "jwks.json");
    let kids: Vec<&Value> = jwks["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert!(kids.len() == 2 && jwks["keys"].as_array().unwrap().iter().all(|key| key.get("x5c").is_none()), "{jwks}");
    let noted = calls(&stage, &text(&stage, "gcp", &[]));
    assert!(has_words(&noted, &["create-oidc", "--jwk-json-path=jwks.json"]), "{noted:?}");

    // An identity that is named shuts guests out, where the consumer can be told of it.
    let user = identity(&stage, USER, 1, true);
    for (consumer, guests) in [("aws", false), ("minio", true)] {
        assert_eq!(warned(&trust(&stage, consumer, &["--identity", &user]), "admits guests"), guests, "{consumer}");
    }
    let guest = identity(&stage, GUEST, 1, false);
    assert!(warned(&trust(&stage, "entra", &["--identity", &guest]), "is a guest"));

    stage.sql("update installation set kind = 'dev'");
    for consumer in CONSUMERS {
        assert!(warned(&trust(&stage, consumer, &[]), "`symbolon dev`"), "{consumer}");
    }
}

#[test]
fn principal_tags_are_told_where_they_become_session_tags() {
    let stage = fitting();
    stage.sql(
        "insert into pool_providers (pool_no, provider_no, login_key, tag_map)
           select pool_no, 9, 'idp.example.com', '{\"principal_tags\": {\"team\": \"custom:team\"}}'
           from identity_pools where name = 'web'",
    );
    for consumer in CONSUMERS {
        let told = warned(&trust(&stage, consumer, &[]), "principal tags in this pool (team)");
        assert_eq!(told, consumer == "aws", "{consumer}");
    }
}

#[test]
fn what_is_not_there_or_another_pools_is_refused() {
    let stage = fitting();
    let fails = |code: i32, args: &[&str]| stage.fails(code, &[&["trust"], args].concat());
    let nowhere = POOL.replace("6d03", "0000");
    assert!(fails(1, &["aws", "--pool", &nowhere]).contains("there is no identity pool"));
    assert!(fails(1, &["aws", "--pool", &POOL.replace("us-east-1", "eu-west-1")]).contains("did you mean"));
    assert!(fails(2, &["azure", "--pool", POOL]).contains("possible values: aws, minio, ceph"));
    assert!(fails(2, &["aws"]).contains("--pool"));
    assert!(fails(2, &["aws", "--pool", POOL, "--name", "It's"]).contains("lower-case letters"));
    assert!(fails(2, &["aws", "--pool", POOL, "--identity", "ann"]).contains("REGION:UUID"));
    let user = identity(&stage, USER, 1, true);
    let other = OTHER;
    for (pool, id) in [
        (other, user.clone()),
        (POOL, user.replace("us-east-1", "eu-west-1")),
        (POOL, user.replace("11111111-1111", "99999999-1111")),
    ] {
        assert!(fails(1, &["aws", "--pool", pool, "--identity", &id]).contains(&format!("has no identity {id}")));
    }
    let gone = identity(&stage, GUEST, 2, false);
    assert!(fails(1, &["aws", "--pool", POOL, "--identity", &gone]).contains("is disabled"));
    stage.sql("delete from signing_keys");
    assert!(fails(1, &["aws", "--pool", POOL]).contains("no signing key yet"));
    stage.sql("update identity_pools set deleted_at = now() where name = 'web'");
    assert!(fails(1, &["aws", "--pool", POOL]).contains("was deleted"));
}
