//! Tenants and access keys, and what wrong master keys must not do.

use serde_json::{Value, json};

use crate::stage::{Stage, fresh_key};

const ACCOUNT: &str = "111122223333";

fn tenant(kind: &str) -> Stage {
    let stage = Stage::set_up(kind);
    stage.ok(&["tenant", "create", "acme", "--account-id", ACCOUNT]);
    stage
}

#[test]
fn tenants_are_made_listed_disabled_and_enabled() {
    let stage = Stage::set_up("serve");
    let made = stage.json(&["tenant", "create", "acme", "--account-id", ACCOUNT]);
    assert_eq!(made, json!({ "AccountId": ACCOUNT, "Name": "acme" }));
    let told = stage.fails(1, &["tenant", "create", "other", "--account-id", ACCOUNT]);
    assert!(told.contains("exists already (acme)"), "{told}");
    let random = stage.json(&["tenant", "create", "Grüße & Co"]);
    let number = random["AccountId"].as_str().unwrap();
    assert!(number.len() == 12 && number.bytes().all(|byte| byte.is_ascii_digit()), "{random}");
    assert!(stage.ok(&["tenant", "create", "third"]).contains("(third) made"));

    let listed = stage.json(&["tenant", "list"]);
    let names: Vec<&Value> = listed["Tenants"].as_array().unwrap().iter().map(|tenant| &tenant["Name"]).collect();
    assert!(names.len() == 3 && names.contains(&&json!("Grüße & Co")), "{listed}");
    assert!(listed["Tenants"][0]["CreatedAt"].is_i64());
    assert!(stage.ok(&["tenant", "list"]).starts_with("ACCOUNT       STATUS   CREATED"));

    let before = stage.epoch();
    let done = stage.run(&["tenant", "disable", ACCOUNT, "--output", "json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&done.stdout).unwrap(),
        json!({ "AccountId": ACCOUNT, "Status": "DISABLED" })
    );
    assert!(done.stderr.contains("within 60 seconds"), "{done:?}");
    assert_eq!(stage.epoch(), before + 1);
    assert!(stage.ok(&["tenant", "list"]).contains("DISABLED"));
    assert!(stage.ok(&["tenant", "enable", ACCOUNT]).contains("ENABLED"));
    assert_eq!(stage.epoch(), before + 2);

    for action in ["enable", "disable"] {
        assert!(stage.fails(1, &["tenant", action, "999999999999"]).contains("no tenant 999999999999"));
    }
    assert_eq!(stage.epoch(), before + 2, "nothing changed");
}

#[test]
fn a_secret_is_shown_once_and_is_not_in_the_database() {
    let stage = tenant("serve");
    let before = stage.epoch();
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    assert_eq!(stage.epoch(), before + 1);
    assert_eq!(made.as_object().unwrap().len(), 3);
    let (id, secret) = (made["AccessKeyId"].as_str().unwrap(), made["SecretAccessKey"].as_str().unwrap());
    assert!(id.len() == 20 && id.starts_with("AKIA") && secret.len() == 40 && made["AccountId"] == ACCOUNT, "{made}");

    let text = stage.ok(&["access-key", "create", "--account", ACCOUNT]);
    assert!(text.contains("The secret is not shown again."));
    let other = text.lines().find_map(|line| line.strip_prefix("secret      ")).unwrap();
    let dump = stage.dump().join("\n");
    assert!(dump.contains(id), "the search finds what is there");
    for secret in [secret, other] {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode(secret)), "{secret}");
        for args in [&["access-key", "list"] as &[&str], &["access-key", "list", "--output", "json"]] {
            assert!(!stage.ok(args).contains(secret));
        }
    }
}

#[test]
fn access_keys_are_listed_disabled_enabled_and_deleted() {
    let stage = tenant("serve");
    stage.ok(&["tenant", "create", "other", "--account-id", "222233334444"]);
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    let id = made["AccessKeyId"].as_str().unwrap();
    stage.ok(&["access-key", "create", "--account", "222233334444"]);

    assert_eq!(stage.json(&["access-key", "list"])["AccessKeys"].as_array().unwrap().len(), 2);
    let listed = stage.json(&["access-key", "list", "--account", ACCOUNT]);
    let key = &listed["AccessKeys"][0];
    assert_eq!(
        (&key["AccessKeyId"], &key["Status"], &key["LastUsedAt"]),
        (&json!(id), &json!("ENABLED"), &Value::Null)
    );
    assert_eq!(listed["AccessKeys"].as_array().unwrap().len(), 1);

    for (action, status) in [("disable", "DISABLED"), ("enable", "ENABLED"), ("delete", "DELETED")] {
        let before = stage.epoch();
        let done = stage.run(&["access-key", action, id, "--output", "json"]);
        let expected = json!({ "AccessKeyId": id, "Status": status });
        assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap(), expected, "{done:?}");
        assert!(done.stderr.contains("within 60 seconds on every replica"), "{done:?}");
        assert_eq!(stage.epoch(), before + 1);
        assert_eq!(stage.ok(&["access-key", "list"]).contains(status), status != "DELETED");
    }
    for action in ["disable", "enable", "delete"] {
        let before = stage.dump();
        assert!(stage.fails(1, &["access-key", action, id]).contains("no access key"));
        assert_eq!(stage.dump(), before);
    }
    for args in
        [&["access-key", "create", "--account", "999999999999"], &["access-key", "list", "--account", "999999999999"]]
    {
        assert!(stage.fails(1, args).contains("no tenant 999999999999"));
    }
}

#[test]
fn without_the_right_master_key_nothing_is_written() {
    let mut stage = tenant("serve");
    let key = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    let right = stage.get("SYMBOLON_MASTER_KEY");
    let seed = stage.file("seed.toml", 0o644, "[[tenant]]\naccount_id = '222233334444'\nname = 'x'\n");
    let before = stage.dump();
    let writing: [&[&str]; 7] = [
        &["tenant", "create", "other"],
        &["access-key", "create", "--account", ACCOUNT],
        &["key", "rotate", "--force"],
        &["key", "revoke", "any", "--force"],
        &["master-key", "rotate"],
        &["installation", "set-issuer", "https://id.example.org"],
        &["apply", seed.to_str().unwrap()],
    ];

    stage.set("SYMBOLON_MASTER_KEY", &fresh_key());
    for args in writing {
        let told = stage.fails(3, args);
        assert!(told.contains("sealed") && told.contains("nothing was written") && !told.contains(&right), "{told}");
    }
    stage.unset("SYMBOLON_MASTER_KEY");
    for args in writing {
        assert!(stage.fails(3, args).contains("symbolon master-key generate"), "{args:?}");
    }
    assert_eq!(stage.dump(), before);

    // To see what there is, and to take access away, must always be possible.
    stage.ok(&["tenant", "list"]);
    stage.ok(&["access-key", "list"]);
    stage.ok(&["access-key", "disable", key["AccessKeyId"].as_str().unwrap()]);
}
