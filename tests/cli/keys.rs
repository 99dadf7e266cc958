//! Signing keys, master keys, the issuer and health, with a broker that runs.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Broker, ISSUER, Stage, fresh_key};

/// Waits until the broker says that it is ready.
pub fn ready(stage: &Stage, broker: &Broker) {
    let start = Instant::now();
    loop {
        let done = stage.run(&["health", "--admin-listen", &broker.admin]);
        if done.code == 0 {
            assert_eq!(done.stdout, "ready\n");
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{done:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn keys(stage: &Stage) -> Vec<Value> {
    let listed = stage.json(&["key", "list"]);
    assert_eq!(listed.as_object().unwrap().keys().collect::<Vec<_>>(), ["Keys"]);
    listed["Keys"].as_array().unwrap().clone()
}

fn key_that_is(stage: &Stage, what: &str) -> String {
    let found = keys(stage).into_iter().find(|key| key["State"] == what).unwrap();
    found["KeyId"].as_str().unwrap().to_owned()
}

#[test]
fn signing_keys_are_listed_rotated_revoked_and_audited() {
    let stage = Stage::migrated();
    let broker = stage.serve();
    ready(&stage, &broker);
    let shown = keys(&stage);
    let mut states: Vec<&str> = shown.iter().map(|key| key["State"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["ACTIVE", "NEXT"]);
    let members: Vec<&String> = shown[0].as_object().unwrap().keys().collect();
    let expected = ["Algorithm", "KeyId", "PublishAt", "SignFrom", "SignUntil", "State", "UnpublishAt"];
    assert_eq!(members, expected, "serde_json sorts them");
    assert!(shown[0]["PublishAt"].is_i64() && shown[0]["SignUntil"].is_null());
    assert!(stage.ok(&["key", "list"]).starts_with("KEY"));
    assert!(stage.ok(&["key", "audit"]).starts_with("clean"));
    assert_eq!(stage.json(&["key", "audit"])["Findings"], json!([]));

    // The next key is too young, and the command says from when it is not.
    assert!(stage.fails(1, &["key", "rotate"]).contains("--force"));
    let done = stage.run(&["key", "rotate", "--force", "--output", "json"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(serde_json::from_str::<Value>(&done.stdout).unwrap()["Keys"].is_array());
    assert!(done.stderr.contains("60 seconds"), "{done:?}");
    assert!(stage.fails(1, &["key", "rotate", "--force"]).contains("under way"));

    let active = key_that_is(&stage, "ACTIVE");
    assert!(stage.fails(1, &["key", "revoke", &active]).contains("--force"));
    let text = stage.ok(&["key", "revoke", &active, "--force"]);
    assert!(text.contains("REVOKED") && text.contains("within 60 seconds"), "{text}");
    assert!(stage.fails(1, &["key", "revoke", &active]).contains("was revoked at"));
    // A key id may begin with a dash.
    assert!(stage.fails(1, &["key", "revoke", "-VxhkfFq"]).contains("no signing key -VxhkfFq"));

    stage.sql("update signing_keys set public_jwk = public_jwk || '{\"d\":\"x\"}'");
    let done = stage.run(&["key", "audit", "--output", "json"]);
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    assert!(
        done.code == 1 && found["Findings"][0]["Rule"] == "KEY6" && done.stderr.contains("broken rule"),
        "{done:?}"
    );
    broker.stop();
}

#[test]
fn health_is_0_when_ready_and_1_with_the_reasons_otherwise() {
    let mut stage = Stage::migrated();
    let broker = stage.serve();
    ready(&stage, &broker);
    stage.set("SYMBOLON__SERVER__ADMIN_LISTEN", &broker.admin.replace("127.0.0.1", "0.0.0.0"));
    assert_eq!(stage.ok(&["health"]), "ready\n");
    broker.stop();
    assert!(stage.fails(1, &["health"]).contains("no broker answers"));

    // A sealed broker lives, and says what is missing.
    stage.unset("SYMBOLON__SERVER__ADMIN_LISTEN");
    stage.set("SYMBOLON_MASTER_KEY", &fresh_key());
    let sealed = stage.serve();
    let told = stage.fails(1, &["health", "--admin-listen", &sealed.admin]);
    assert!(told.starts_with("symbolon: not ready: ") && told.contains("sealed"), "{told}");
    sealed.stop();

    // Accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let told = stage.fails(1, &["health", "--admin-listen", &silent.local_addr().unwrap().to_string()]);
    assert!(told.contains("within 3 seconds") && start.elapsed() < Duration::from_secs(5), "{told}");
    // Container runtimes know 0 and 1 alone.
    stage.set("SYMBOLON__SERVER__ADMIN_LISTEN", "nowhere");
    assert!(stage.fails(1, &["health"]).contains("server.admin_listen"));
}

#[test]
fn a_master_key_is_replaced_step_by_step() {
    let mut stage = Stage::migrated();
    let (old, new) = (stage.get("SYMBOLON_MASTER_KEY"), fresh_key());
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    stage.ok(&["tenant", "create", "acme", "--account-id", "111122223333"]);
    let made: Vec<Value> = (0..3).map(|_| stage.json(&["access-key", "create", "--account", "111122223333"])).collect();
    let old_id = stage.json(&["installation", "show"])["SealKeyIds"][0].clone();

    // Second: nothing changes.
    stage.set("SYMBOLON_MASTER_KEY", &format!("{old},{new}"));
    let rotated = stage.json(&["master-key", "rotate"]);
    assert_eq!(
        (&rotated["AccessKeys"], &rotated["SigningKeys"], &rotated["PrimaryKeyId"]),
        (&json!(0), &json!(0), &old_id)
    );

    // First: and a run that was interrupted in the middle, by a trigger that fails for one row.
    stage.set("SYMBOLON_MASTER_KEY", &format!("{new}\n{old}"));
    stage.sql(
        "create function fail() returns trigger language plpgsql as $$ begin raise 'interrupted'; end $$;
         create trigger interrupt before update on signing_keys for each row execute function fail();",
    );
    let told = stage.fails(4, &["master-key", "rotate"]);
    assert!(told.contains("interrupted"), "{told}");
    let ids = |stage: &Stage| stage.json(&["installation", "show"])["SealKeyIds"].as_array().unwrap().clone();
    assert_eq!(ids(&stage).len(), 2, "secrets lie under both keys");
    stage.sql("drop trigger interrupt on signing_keys");
    let before = stage.epoch();
    let rotated = stage.json(&["master-key", "rotate"]);
    assert_eq!((&rotated["AccessKeys"], &rotated["SigningKeys"]), (&json!(0), &json!(2)));
    assert_eq!(rotated["RemovedKeyIds"], json!([old_id]));
    assert_eq!(ids(&stage), [rotated["PrimaryKeyId"].clone()]);
    assert!(stage.epoch() > before);
    assert!(stage.ok(&["master-key", "rotate"]).contains("0 access keys, 0 signing keys"));

    // The new one alone opens everything; the old one nothing.
    stage.set("SYMBOLON_MASTER_KEY", &old);
    assert!(stage.fails(3, &["master-key", "rotate"]).contains("sealed"));
    stage.set("SYMBOLON_MASTER_KEY", &new);
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    let mut seed = "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n".to_owned();
    for (number, key) in made.iter().enumerate() {
        writeln!(seed, "[[tenant.access_key]]\nid = {}\nsecret_env = 'S{number}'", key["AccessKeyId"]).unwrap();
        stage.set(&format!("S{number}"), key["SecretAccessKey"].as_str().unwrap());
    }
    let seed = stage.file("seed.toml", 0o644, &seed);
    let applied = stage.json(&["apply", seed.to_str().unwrap()]);
    assert_eq!(applied["Left"].as_array().unwrap().len(), 4, "every secret is what it was: {applied}");
}

#[test]
fn the_issuer_is_changed_on_purpose_only() {
    let mut stage = Stage::migrated();
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    let shown = stage.json(&["installation", "show"]);
    assert_eq!(
        (&shown["Kind"], &shown["Issuer"], &shown["Schema"]),
        (&json!("serve"), &json!(ISSUER), &json!("CURRENT"))
    );
    assert!(
        shown["Epoch"].is_i64() && shown["CreatedAt"].is_i64() && shown["SealKeyIds"].as_array().unwrap().len() == 1
    );
    let text = stage.ok(&["installation", "show"]);
    assert!(text.contains(&format!("issuer       {ISSUER}\n")) && text.contains("schema       CURRENT"), "{text}");

    for bad in ["id.example.org", "http://id.example.org", "https://id.example.org/", "https://id.example.org:8443"] {
        assert!(stage.fails(2, &["installation", "set-issuer", bad]).contains("issuer.url"), "{bad}");
    }
    assert!(stage.ok(&["installation", "set-issuer", ISSUER]).contains("already"));
    assert_eq!(stage.epoch().to_string(), shown["Epoch"].to_string());

    let other = "https://id.example.org/tenants";
    let done = stage.run(&["installation", "set-issuer", other, "--output", "json"]);
    let changed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(changed, json!({ "Issuer": other, "PreviousIssuer": ISSUER }));
    assert!(done.stderr.contains("tell every verifier") && done.stderr.contains("restart every broker"), "{done:?}");
    assert_eq!(stage.json(&["installation", "show"])["Issuer"], other);
    assert_eq!(keys(&stage).len(), 0, "the new issuer's keys are made by its first broker");

    let told = stage.fails_to_serve();
    assert!(told.contains(other) && told.contains("set-issuer"), "{told}");
    stage.set("SYMBOLON__ISSUER__URL", other);
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    assert_eq!(keys(&stage).len(), 2);
}

impl Stage {
    /// What `serve` says when it refuses to start, last.
    fn fails_to_serve(&self) -> String {
        let done = self.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        assert_eq!(done.code, 3, "{done:?}");
        done.stderr
    }
}

#[test]
fn dev_shows_the_certificates_of_its_keys_if_it_is_told_to() {
    let mut stage = Stage::empty();
    for variable in ["SYMBOLON_MASTER_KEY", "SYMBOLON__ISSUER__URL"] {
        stage.unset(variable);
    }
    stage.set("SYMBOLON__ISSUER__X5C", "true");
    let url = stage.url.clone();
    let args =
        ["dev", "--database-url", &url, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "d"];
    let broker = stage.broker(&args);
    ready(&stage, &broker);
    let env = std::fs::read_to_string(stage.folder.path().join("d/env")).unwrap();
    let endpoint = env.lines().find_map(|line| line.strip_prefix("export AWS_ENDPOINT_URL_COGNITO_IDENTITY=http://"));
    let mut stream = TcpStream::connect(endpoint.unwrap()).unwrap();
    stream.write_all(b"GET /.well-known/jwks.json HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let jwks: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let shown = jwks["keys"].as_array().unwrap().iter().map(|key| key["x5c"][0].as_str().unwrap());
    let stored = stage.texts("select public_jwk->'x5c'->>0 from signing_keys order by sign_from is null");
    assert_eq!(shown.collect::<Vec<_>>(), stored);
    // Every other command sees it, too.
    stage.unset("SYMBOLON__ISSUER__X5C");
    stage.set("SYMBOLON_CONFIG", stage.folder.path().join("d/symbolon.toml").to_str().unwrap());
    assert!(stage.ok(&["config", "show"]).contains("x5c = true"));
    broker.stop();
}
