//! `symbolon apply`: roles of IAM with their trust policies, as a seed asks for them.

use serde_json::{Value, json};

use crate::seeds::{POOL, counts, stage};
use crate::stage::Stage;

const ACCOUNT: &str = "111122223333";

fn trust(kind: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": { "Federated": "cognito-identity.amazonaws.com" },
        "Condition": {
            "StringEquals": { "cognito-identity.amazonaws.com:aud": POOL },
            "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": kind },
        },
    }] })
    .to_string()
}

/// A seed of a tenant and what stands in its sections of roles, `---` between them.
fn seed(roles: &str) -> String {
    let roles: String = roles.split("---").map(|role| format!("[[tenant.role]]\n{}\n", role.trim())).collect();
    format!("[[tenant]]\naccount_id = '{ACCOUNT}'\nname = 'acme'\n{roles}")
}

impl Stage {
    /// The roles that there are, without what is drawn for them.
    fn roles(&self) -> Vec<Value> {
        let rows = self.texts(
            "select (to_jsonb(r) - 'role_id' - 'created_at' - 'name_key')::text from iam_roles r order by name_key",
        );
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }
}

fn role(name: &str, path: &str, seconds: u32, trust: &str, description: Option<&str>, tags: &Value) -> Value {
    json!({ "account_id": ACCOUNT, "name": name, "path": path, "description": description, "tags": tags,
            "max_session_duration": seconds, "trust_policy": trust })
}

#[test]
fn a_role_is_made_and_brought_to_what_the_seed_says() {
    let stage = stage();
    let (user, guest) = (trust("authenticated"), trust("unauthenticated"));
    stage.file("guest.json", 0o644, &guest);
    let whole = format!(
        "name = 'User'\npath = '/web/'\ndescription = 'people'\nmax_session_duration = 7_200\ntags = {{ Team = 'web' }}\n\
         trust_policy = '{user}'\n---\nname = 'guest'\ntrust_policy_file = 'guest.json'"
    );
    let applied = stage.apply(&seed(&whole));
    assert_eq!(applied["Made"], json!(["tenant 111122223333", "role User", "role guest"]), "{applied}");
    let made = [
        role("guest", "/", 3_600, &guest, None, &json!({})),
        role("User", "/web/", 7_200, &user, Some("people"), &json!({ "Team": "web" })),
    ];
    assert_eq!(stage.roles(), made);
    let ids = "select role_id from iam_roles where role_id ~ '^AROA[A-Z2-7]{16}$' order by name_key";
    assert_eq!(stage.texts(ids).len(), 2);
    let dump = stage.dump();
    assert_eq!(counts(&stage.apply(&seed(&whole))), [0, 0, 3]);
    assert_eq!(stage.dump(), dump, "not even the epoch changes");

    // What is left out stays, but for the trust policy, which there must be.
    let before = (stage.epoch(), stage.texts(ids));
    let short = seed(&format!("name = 'User'\ntrust_policy = '{guest}'"));
    let applied = stage.apply(&short);
    assert_eq!((&applied["Changed"], counts(&applied)), (&json!(["role User"]), [0, 1, 1]), "{applied}");
    assert_eq!((stage.epoch(), stage.texts(ids)), (before.0 + 1, before.1), "it is the same role");
    let changed = role("User", "/web/", 7_200, &guest, Some("people"), &json!({ "Team": "web" }));
    assert_eq!(stage.roles(), [made[0].clone(), changed]);
    let emptied = seed(&format!(
        "name = 'User'\npath = '/web/'\ndescription = ''\nmax_session_duration = 3600\ntags = {{}}\ntrust_policy = '{guest}'"
    ));
    assert_eq!(counts(&stage.apply(&emptied)), [0, 1, 1]);
    assert_eq!(stage.roles()[1], role("User", "/web/", 3_600, &guest, Some(""), &json!({})));
    assert_eq!(counts(&stage.apply(&emptied)), [0, 0, 2]);
    // The file of a trust policy is read at every run.
    stage.file("guest.json", 0o644, &user);
    assert_eq!(stage.apply(&seed(&whole))["Changed"], json!(["role User", "role guest"]));
}

#[test]
fn a_role_that_is_there_under_another_path_or_in_another_case_is_refused_before_anything_is_written() {
    let stage = stage();
    let trust = trust("authenticated");
    let of = |name: &str, more: &str| format!("name = '{name}'\n{more}\ntrust_policy = '{trust}'");
    stage.apply(&seed(&of("User", "path = '/web/'")));
    let both = [of("new", ""), of("User", "path = '/'"), of("user", "path = '/web/'")];
    let told = stage.refuses(1, &seed(&both[..2].join("---")));
    let path = "line 8: role User has the path /web/, which cannot be changed: set path to it, or leave it out";
    assert!(told.contains(path) && told.contains("1 problem;"), "{told}");
    let told = stage.refuses(1, &seed(&both[2]));
    assert!(told.contains("line 4: role user is there as User, and no two names differ by their case alone"), "{told}");
    // Of another tenant it is another.
    let other = seed(&both[2]).replace(ACCOUNT, "222233334444");
    assert_eq!(counts(&stage.apply(&other)), [2, 0, 0]);
}

#[test]
fn roles_that_iam_would_refuse_are_refused_with_their_line() {
    let mut stage = stage();
    stage.file("no.json", 0o644, "{}");
    let trust = trust("authenticated");
    let good = format!("trust_policy = '{trust}'");
    let wrong = [
        format!("name = 'a b'\npath = 'web'\n{good}"),
        "name = 'b'".to_owned(),
        good.clone(),
        "name = 'c'\ntrust_policy_file = 'no.json'".to_owned(),
        "name = 'd'\ntrust_policy_file = 'missing.json'".to_owned(),
        format!("name = 'e'\ntrust_policy_file = 'no.json'\n{good}"),
        format!("name = 'E'\nmax_session_duration = 60\n{good}"),
        format!("name = 'f'\nmax_session_duration = '1h'\n{good}"),
        format!("name = 'g'\ntags = {{ 'aws:x' = 'y' }}\n{good}"),
        format!("name = 'h'\ntags = {{ team = 'a', Team = 'b' }}\n{good}\nassume_role_policy = '{{}}'"),
        "name = 'i'\ntrust_policy = '{\"Statement\": {\"Effect\": \"Allow\", \"Principal\": \"*\", \"Action\": \"s3:*\"}}'"
            .to_owned(),
    ];
    let told = stage.refuses(3, &seed(&wrong.join("---")));
    for problem in [
        "line 4: tenant.role: Value 'a b' at 'roleName' failed to satisfy constraint: ",
        "line 4: tenant.role: Value 'web' at 'path' failed to satisfy constraint: ",
        "line 8: tenant.role: needs trust_policy = 'JSON' or trust_policy_file = \"FILE\"",
        "line 10: tenant.role.name: is needed",
        "line 14: tenant.role.trust_policy_file: Statement: is needed",
        "line 17: tenant.role.trust_policy_file: cannot read ",
        "line 21: tenant.role.trust_policy: trust_policy or trust_policy_file is taken, not both",
        "line 23: tenant.role.name: stands twice in this tenant",
        "line 22: tenant.role: Value '60' at 'maxSessionDuration' failed to satisfy constraint: ",
        "line 28: tenant.role.max_session_duration: must be a whole number",
        "line 32: tenant.role.tags: Tag key 'aws:x'",
        "line 36: tenant.role.tags: two keys differ by their case alone",
        "line 38: tenant.role.assume_role_policy: no such field",
        "line 41: tenant.role.trust_policy: Statement.Action: a trust policy speaks of the actions of sts alone",
    ] {
        assert!(told.contains(problem), "{problem}\nis not in\n{told}");
    }
    assert!(told.contains("has 14 problems"), "{told}");
    stage.set("SYMBOLON__LIMITS__ROLES_PER_ACCOUNT", "1");
    let two = seed(&format!("name = 'a'\n{good}\n---\nname = 'b'\n{good}"));
    let told = stage.fails(1, &["apply", stage.file("two.toml", 0o644, &two).to_str().unwrap()]);
    assert!(told.contains("role b: ") && told.contains("RolesPerAccount: 1"), "{told}");
    assert!(told.contains("2 items before it were made or changed"), "{told}");
}
