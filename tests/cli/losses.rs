//! What commands say when something was lost: `disaster rekey` and `post-restore`, their refusals and their two outputs.
//! What they do below running brokers is shown in `tests/faults`.

use serde_json::{Value, json};

use crate::keys::ready;
use crate::stage::{Stage, fresh_key};

const ACCOUNT: &str = "111122223333";

/// An installation with keys, a tenant and two access keys, one of them with a policy.
fn installation() -> (Stage, [String; 2]) {
    let stage = Stage::migrated();
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    stage.ok(&["tenant", "create", "acme", "--account-id", ACCOUNT]);
    let policy = r#"{"Statement": {"Effect": "Allow", "Action": "cognito-identity:GetId", "Resource": "*"}}"#;
    let policy = stage.file("policy.json", 0o644, policy);
    let made = [&[][..], &["--policy", policy.to_str().unwrap()]].map(|more| {
        let made = stage.json(&[&["access-key", "create", "--account", ACCOUNT], more].concat());
        made["AccessKeyId"].as_str().unwrap().to_owned()
    });
    (stage, made)
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn what_a_lost_master_key_sealed_is_given_up_only_when_it_is_lost_and_confirmed() {
    let (mut stage, keys) = installation();
    let old = stage.get("SYMBOLON_MASTER_KEY");
    let new = fresh_key();
    let before = stage.dump();
    for ring in [old.clone(), format!("{old},{new}"), format!("{new},{old}")] {
        stage.set("SYMBOLON_MASTER_KEY", &ring);
        let told = stage.fails(1, &["disaster", "rekey", "--yes"]);
        assert!(told.contains("none is lost") && told.contains("symbolon master-key rotate"), "{told}");
    }
    stage.set("SYMBOLON_MASTER_KEY", &new);
    let told = stage.fails(2, &["disaster", "rekey"]);
    for word in ["nothing was written", "2 access keys", &keys[0], &keys[1], "--yes", "identities"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert_eq!(stage.dump(), before);

    let done = stage.run(&["disaster", "rekey", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    for word in ["signs no more; its tokens stay good", "is revoked: it only waited", "is made", "it has a policy"] {
        assert!(done.stdout.contains(word), "{word} is not in {}", done.stdout);
    }
    assert!(done.stdout.contains("access-key create") && done.stdout.contains("fetch the JWKS again"), "{done:?}");
    assert_eq!(stage.json(&["key", "audit"])["Findings"], json!([]));
    // The policy can be had for the key that is made in its stead; the key itself opens nothing, enabled or not.
    assert!(stage.ok(&["access-key", "show-policy", &keys[1]]).contains("cognito-identity:GetId"));
    assert_eq!(stage.json(&["installation", "show"])["SealKeyIds"].as_array().unwrap().len(), 1);
    assert!(stage.ok(&["master-key", "rotate"]).contains("0 access keys, 0 signing keys"));

    // A seed with its secret brings the key back.
    let seed =
        format!("[[tenant]]\naccount_id = '{ACCOUNT}'\nname = 'acme'\n[[tenant.access_key]]\nid = '{}'\n", keys[0]);
    let seed = stage.file("seed.toml", 0o644, &(seed + "secret_env = 'SECRET'\n"));
    stage.set("SECRET", "the-secret-that-its-backend-has-in-its-hands");
    let applied = stage.json(&["apply", seed.to_str().unwrap()]);
    assert_eq!(applied["Changed"], json!([format!("access-key {}", keys[0])]));

    // Before any broker there are no signing keys to lose.
    let mut bare = Stage::migrated();
    bare.ok(&["tenant", "create", "acme", "--account-id", ACCOUNT]);
    bare.set("SYMBOLON_MASTER_KEY", &new);
    let done = bare.json(&["disaster", "rekey", "--yes"]);
    assert_eq!((&done["MadeSigningKeys"], &done["AccessKeys"]), (&json!([]), &json!([])));
    let broker = bare.serve();
    ready(&bare, &broker);
    broker.stop();
}

#[test]
fn of_several_master_keys_only_what_the_lost_one_sealed_is_given_up() {
    let (mut stage, keys) = installation();
    let (lost, kept) = (stage.get("SYMBOLON_MASTER_KEY"), fresh_key());
    // The next signing key and a third access key are sealed under the one that is kept.
    stage.set("SYMBOLON_MASTER_KEY", &format!("{kept},{lost}"));
    let next = stage.texts("select kid from signing_keys where sign_from is null")[0].clone();
    stage.ok(&["key", "revoke", &next, "--force"]);
    let third = stage.json(&["access-key", "create", "--account", ACCOUNT])["AccessKeyId"].clone();
    stage.set("SYMBOLON_MASTER_KEY", &kept);
    let done = stage.json(&["disaster", "rekey", "--yes"]);
    assert_eq!(done["EndedSigningKeys"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(done["MadeSigningKeys"].as_array().unwrap().len(), 1, "the next key that was kept signs: {done}");
    let given_up: Vec<&Value> = done["AccessKeys"].as_array().unwrap().iter().map(|key| &key["AccessKeyId"]).collect();
    assert!(given_up.len() == 2 && keys.iter().all(|key| given_up.contains(&&json!(key))), "{done}");
    let listed = stage.json(&["access-key", "list"]);
    let listed = listed["AccessKeys"].as_array().unwrap().iter().find(|key| key["AccessKeyId"] == third).unwrap();
    assert_eq!(listed["Status"], "ENABLED");
    assert_eq!(stage.json(&["key", "audit"])["Findings"], json!([]));
    assert!(stage.ok(&["master-key", "rotate"]).contains("0 access keys, 0 signing keys"));
}

#[test]
fn post_restore_wants_to_be_told_of_every_list_and_takes_only_those_that_fit() {
    let (stage, keys) = installation();
    let third = stage.json(&["access-key", "create", "--account", ACCOUNT])["AccessKeyId"].clone();
    let list = |what: &str| {
        let printed = stage.ok(&[what, "list", "--output", "json"]);
        stage.file(&format!("{what}.json"), 0o644, &printed).to_str().unwrap().to_owned()
    };
    let (signing, access, tenants) = (list("key"), list("access-key"), list("tenant"));
    let before = stage.dump();
    let told = stage.fails(2, &["post-restore", "--later", &signing]);
    assert!(told.contains("without `access-key list`, `tenant list`:"), "{told}");
    assert!(stage.fails(2, &["post-restore", "--unchanged", "--distrust"]).contains("cannot be used with"));
    assert!(stage.fails(2, &["post-restore", "--later", &signing, "--later", &signing]).contains("already"));
    let config = stage.file("other.json", 0o644, "{}");
    assert!(stage.fails(3, &["post-restore", "--later", config.to_str().unwrap()]).contains("is not what"));
    assert!(stage.fails(3, &["post-restore", "--later", "/nowhere"]).contains("cannot read"));
    assert_eq!(stage.dump(), before);

    // Lists of the state that is there change nothing but what replicas know.
    let epoch = stage.epoch();
    let all = ["post-restore", "--later", &signing, "--later", &access, "--later", &tenants];
    let done = stage.json(&all);
    for member in ["RevokedSigningKeys", "EndedSigningKeys", "MadeSigningKeys", "DisabledAccessKeys", "DisabledTenants"]
    {
        assert_eq!(done[member], json!([]), "{done}");
    }
    assert!(stage.epoch() >= epoch + 1_000_000_000);

    // Of those that say more.
    let later = |path: &str, change: &dyn Fn(&mut Value)| {
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        change(&mut document);
        stage.file("changed.json", 0o644, &document.to_string()).to_str().unwrap().to_owned()
    };
    let deleted = later(&access, &|document| {
        document["AccessKeys"].as_array_mut().unwrap().retain(|key| key["AccessKeyId"] != keys[0]);
    });
    let text = stage.ok(&["post-restore", "--unchanged", "--later", &deleted]);
    assert!(
        text.contains(&format!("access key {} of account {ACCOUNT} is disabled: it was deleted", keys[0])),
        "{text}"
    );
    assert!(text.contains("symbolon apply"), "{text}");
    let exchanged = later(&access, &|document| {
        for key in document["AccessKeys"].as_array_mut().unwrap() {
            if key["AccessKeyId"] == keys[1] {
                assert_eq!(key["Policy"]["Statement"]["Effect"], "Allow", "{key}");
                key["Policy"] = json!({ "Statement": [] });
            } else if key["AccessKeyId"] == third {
                key["SecretVersion"] = json!(key["SecretVersion"].as_i64().unwrap() + 1);
            }
        }
    });
    let text = stage.ok(&["post-restore", "--unchanged", "--later", &exchanged]);
    let third = third.as_str().unwrap();
    for (key, reason) in [(&*keys[1], "it had been given another policy"), (third, "its secret had been exchanged")] {
        assert!(text.contains(&format!("access key {key} of account {ACCOUNT} is disabled: {reason}")), "{text}");
    }
    let more = later(&tenants, &|document| {
        let tenants = document["Tenants"].as_array_mut().unwrap();
        tenants[0]["Status"] = json!("DISABLED");
        tenants.push(json!({ "AccountId": "444455556666", "Name": "new", "Status": "ENABLED", "CreatedAt": 0 }));
    });
    let done = stage.json(&["post-restore", "--unchanged", "--later", &more]);
    assert_eq!((&done["DisabledTenants"], &done["LostTenants"]), (&json!([ACCOUNT]), &json!(["444455556666"])));

    // A key that ended in a turn ends again, and the next one signs, as it did.
    let turned = later(&signing, &|document| {
        for key in document["Keys"].as_array_mut().unwrap() {
            let from = key["PublishAt"].as_i64().unwrap() + 1;
            match key["State"].as_str().unwrap() {
                "ACTIVE" => {
                    key["SignUntil"] = json!(from);
                    key["UnpublishAt"] = json!(from + 90_000);
                }
                _ => key["SignFrom"] = json!(from),
            }
        }
    });
    let done = stage.json(&["post-restore", "--unchanged", "--later", &turned]);
    assert_eq!((texts(&done["EndedSigningKeys"]).len(), texts(&done["MadeSigningKeys"]).len()), (1, 1), "{done}");
    let listed = stage.json(&["key", "list"]);
    let mut states: Vec<&str> =
        listed["Keys"].as_array().unwrap().iter().map(|key| key["State"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["ACTIVE", "NEXT", "RETIRING"]);
    let audit = stage.run(&["key", "audit"]);
    assert!(audit.code == 0 || audit.stdout.contains("KEY1"), "a turn a second after it was published: {audit:?}");
}
