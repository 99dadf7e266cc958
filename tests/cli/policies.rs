//! Policies of access keys: given with a key, set, shown, taken away, and brought by a seed.

use serde_json::{Value, json};

use crate::seeds::counts;
use crate::stage::Stage;

const ACCOUNT: &str = "111122223333";
const ISSUER: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [{"Sid": "Tokens", "Effect": "Allow",
    "Action": "cognito-identity:GetOpenIdTokenForDeveloperIdentity", "Resource": "*"}]
}
"#;
const READER: &str = r#"{"Statement": {"Effect": "Allow", "Action": "cognito-identity:List*", "Resource": "*"}}"#;

fn stage() -> Stage {
    let stage = Stage::set_up("serve");
    stage.ok(&["tenant", "create", "acme", "--account-id", ACCOUNT]);
    stage
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_key_is_made_with_a_policy_or_without_one() {
    let stage = stage();
    stage.file("issuer.json", 0o644, ISSUER);
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT, "--policy", "issuer.json"]);
    let with = made["AccessKeyId"].as_str().unwrap();
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    let without = made["AccessKeyId"].as_str().unwrap();

    let listed = stage.json(&["access-key", "list"]);
    for key in listed["AccessKeys"].as_array().unwrap() {
        assert_eq!(key["HasPolicy"], json!(key["AccessKeyId"] == with), "{listed}");
    }
    let text = stage.ok(&["access-key", "list"]);
    let line = |id: &str| text.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(text.lines().next().unwrap().ends_with("  POLICY"), "{text}");
    assert!(line(with).ends_with("  yes") && line(without).ends_with("  no"), "{text}");

    assert_eq!(document(&stage.ok(&["access-key", "show-policy", with])), document(ISSUER));
    assert_eq!(
        stage.json(&["access-key", "show-policy", with]),
        json!({ "AccessKeyId": with, "Policy": document(ISSUER) })
    );
    assert!(stage.ok(&["access-key", "show-policy", without]).contains("it may do everything in its account"));
    assert_eq!(stage.json(&["access-key", "show-policy", without])["Policy"], Value::Null);
}

#[test]
fn a_policy_is_set_replaced_and_taken_away() {
    let stage = stage();
    let issuer = stage.file("issuer.json", 0o644, ISSUER);
    stage.file("reader.json", 0o644, READER);
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    let id = made["AccessKeyId"].as_str().unwrap();
    let set: [(&[&str], Value, &str); 3] = [
        (&["--policy", issuer.to_str().unwrap()], document(ISSUER), "may do what its policy allows"),
        (&["--policy", "reader.json"], document(READER), "may do what its policy allows"),
        (&["--none"], Value::Null, "may do everything in its account"),
    ];
    for (option, expected, words) in set {
        let before = stage.epoch();
        let args: Vec<&str> = ["access-key", "set-policy", id].iter().chain(option).copied().collect();
        let done = stage.run(&[args.as_slice(), &["--output", "json"]].concat());
        let has = !expected.is_null();
        assert_eq!(document(&done.stdout), json!({ "AccessKeyId": id, "HasPolicy": has }), "{done:?}");
        assert!(done.stderr.contains("within 60 seconds on every replica"), "{done:?}");
        assert_eq!(stage.epoch(), before + 1);
        assert_eq!(stage.json(&["access-key", "show-policy", id])["Policy"], expected);
        assert!(stage.ok(&args).contains(words));
    }
}

#[test]
fn a_policy_that_is_refused_is_not_written() {
    let stage = stage();
    stage.file("issuer.json", 0o644, ISSUER);
    stage.file("wrong.json", 0o644, &ISSUER.replace("cognito-identity:Get", "Get"));
    stage.file("garbled.json", 0o644, "{");
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT, "--policy", "issuer.json"]);
    let id = made["AccessKeyId"].as_str().unwrap();
    let before = stage.dump();
    for command in [["create", "--account", ACCOUNT], ["set-policy", id, "--output=text"]] {
        for (file, words) in [
            (
                "wrong.json",
                "the policy wrong.json is refused, and nothing was written: Statement[0].Action: an action is *",
            ),
            ("garbled.json", "document: no strict JSON"),
            ("missing.json", "cannot read the policy missing.json"),
        ] {
            let args = [["access-key"].as_slice(), &command, &["--policy", file]].concat();
            let told = stage.fails(3, &args);
            assert!(told.contains(words), "{told}");
        }
    }
    stage.fails(2, &["access-key", "set-policy", id]);
    stage.fails(2, &["access-key", "set-policy", id, "--none", "--policy", "issuer.json"]);
    for args in [["set-policy", "NOBODY", "--none"].as_slice(), &["show-policy", "NOBODY"]] {
        assert!(stage.fails(1, &[&["access-key"], args].concat()).contains("no access key NOBODY"));
    }
    assert_eq!(stage.dump(), before);
}

#[test]
fn a_policy_can_be_changed_without_the_master_key() {
    let mut stage = stage();
    stage.file("reader.json", 0o644, READER);
    let made = stage.json(&["access-key", "create", "--account", ACCOUNT]);
    stage.unset("SYMBOLON_MASTER_KEY");
    stage.ok(&["access-key", "set-policy", made["AccessKeyId"].as_str().unwrap(), "--policy", "reader.json"]);
    assert_eq!(stage.json(&["access-key", "list"])["AccessKeys"][0]["HasPolicy"], true);
}

/// A seed of one key, with more fields.
fn seed(fields: &str) -> String {
    format!(
        "[[tenant]]\naccount_id = '{ACCOUNT}'\nname = 'acme'\n[[tenant.access_key]]\nid = 'AKIAEXAMPLE0000000AA'\n\
         secret_env = 'ACME_SECRET'\n{fields}"
    )
}

#[test]
fn a_seed_brings_the_policy_of_a_key() {
    let mut stage = Stage::set_up("serve");
    stage.set("ACME_SECRET", "a-secret");
    stage.file("issuer.json", 0o644, ISSUER);
    let policy = |stage: &Stage| stage.json(&["access-key", "show-policy", "AKIAEXAMPLE0000000AA"])["Policy"].clone();

    assert_eq!(counts(&stage.apply(&seed("policy_file = 'issuer.json'"))), [2, 0, 0]);
    assert_eq!(policy(&stage), document(ISSUER));
    let before = stage.dump();
    for same in [
        "policy_file = 'issuer.json'".to_owned(),
        format!("policy = '''{ISSUER}'''"),
        format!("policy = '''{}'''", document(ISSUER)),
        // Left out, it stays.
        String::new(),
    ] {
        assert_eq!(counts(&stage.apply(&seed(&same))), [0, 0, 2], "{same}");
        assert_eq!(stage.dump(), before, "not even the epoch changes");
    }

    let epoch = stage.epoch();
    let applied = stage.apply(&seed(&format!("policy = '''{READER}'''")));
    assert_eq!(applied["Changed"], json!(["access-key AKIAEXAMPLE0000000AA"]));
    assert_eq!((policy(&stage), stage.epoch()), (document(READER), epoch + 1));

    stage.set("ACME_SECRET", "another-secret");
    let applied = stage.apply(&seed("policy_file = 'issuer.json'"));
    assert_eq!(applied["Changed"], json!(["access-key AKIAEXAMPLE0000000AA"]));
    assert_eq!(policy(&stage), document(ISSUER));
    assert_eq!(counts(&stage.apply(&seed("policy_file = 'issuer.json'"))), [0, 0, 2]);
}

#[test]
fn a_seed_with_a_wrong_policy_is_refused_with_its_line_and_its_place() {
    let mut stage = Stage::set_up("serve");
    stage.set("ACME_SECRET", "a-secret");
    stage.file("issuer.json", 0o644, ISSUER);
    let action = READER.replace("cognito-identity:", "");
    for (fields, words) in [
        (format!("policy = '''{action}'''"), "line 7: tenant.access_key.policy: Statement.Action: an action is *"),
        ("policy = ''".to_owned(), "line 7: tenant.access_key.policy: document: no strict JSON"),
        ("policy = {}".to_owned(), "line 7: tenant.access_key.policy: must be text in quotes"),
        ("policy_file = 'none.json'".to_owned(), "line 7: tenant.access_key.policy_file: cannot read"),
        (format!("policy_file = 'issuer.json'\npolicy = '''{READER}'''"), "policy or policy_file is taken, not both"),
    ] {
        let told = stage.refuses(3, &seed(&fields));
        assert!(told.contains(words), "{told}");
    }
}
