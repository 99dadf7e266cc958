//! `symbolon trust`: values filled in and never more than values, warnings when they are due, and nothing written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::audiences::seed;
use crate::keys::ready;
use crate::seeds::{POOL, stage};
use crate::stage::{ISSUER, Stage};

pub const CONSUMERS: [&str; 9] = ["aws", "minio", "ceph", "vault", "kubernetes", "gcp", "snowflake", "nomad", "entra"];
/// Programs that the scripts call.
const PROGRAMS: [&str; 6] = ["aws", "vault", "nomad", "gcloud", "az", "radosgw-admin"];
pub const USER: &str = "11111111-1111-8111-8111-111111111111";
pub const GUEST: &str = "22222222-2222-8222-8222-222222222222";

/// A database with keys of this issuer, and the pool with these lines more.
pub fn with_issuer(issuer: &str, change: impl FnOnce(&mut Stage), more: &str) -> Stage {
    let mut stage = stage();
    stage.sql("delete from installation");
    stage.set("SYMBOLON__ISSUER__URL", issuer);
    change(&mut stage);
    let broker = stage.serve();
    ready(&stage, &broker);
    broker.stop();
    stage.apply(&seed(more));
    stage
}

/// One where every consumer finds what it needs.
pub fn fitting() -> Stage {
    with_issuer(ISSUER, |stage| stage.set("SYMBOLON__ISSUER__X5C", "true"), "")
}

pub fn trust(stage: &Stage, consumer: &str, more: &[&str]) -> Value {
    let args: Vec<&str> = ["trust", consumer, "--pool", POOL].iter().chain(more).copied().collect();
    let before = stage.dump();
    let shown = stage.json(&args);
    assert_eq!(stage.dump(), before, "nothing is written");
    shown
}

pub fn text(stage: &Stage, consumer: &str, more: &[&str]) -> String {
    let args: Vec<&str> = ["trust", consumer, "--pool", POOL].iter().chain(more).copied().collect();
    stage.ok(&args)
}

fn file(shown: &Value, name: &str) -> String {
    let files = shown["Files"].as_array().unwrap();
    let file = files.iter().find(|file| file["Name"] == name).unwrap_or_else(|| panic!("no {name} in {shown}"));
    file["Content"].as_str().unwrap().to_owned()
}

pub fn json_file(shown: &Value, name: &str) -> Value {
    serde_json::from_str(&file(shown, name)).unwrap()
}

fn commands(shown: &Value) -> String {
    let all = shown["Commands"].as_array().unwrap();
    all.iter().map(|command| command["Command"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

fn placeholders(shown: &Value) -> Vec<&str> {
    shown["Placeholders"].as_array().unwrap().iter().map(|placeholder| placeholder["Name"].as_str().unwrap()).collect()
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// Makes an identity of the pool, with a login or without.
pub fn identity(stage: &Stage, uuid: &str, state: i16, has_login: bool) -> String {
    stage.sql(&format!(
        "insert into identities (route, state, identity_id)
           select pool_no * 1024, {state}, '{uuid}' from identity_pools where name = 'web';
         insert into identity_routes (identity_id, route)
           select '{uuid}', pool_no * 1024 from identity_pools where name = 'web'"
    ));
    if has_login {
        stage.sql(&format!(
            "insert into logins (route, provider_no, identity_id, subject_key)
               select pool_no * 1024, 1, '{uuid}', '\\x0175736572' from identity_pools where name = 'web'"
        ));
    }
    format!("us-east-1:{uuid}")
}

/// Runs a script with programs that only note what they were called with: each call is a list of words.
pub fn calls(stage: &Stage, script: &str) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir_in(stage.folder.path()).unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in PROGRAMS {
        let path = bin.join(program);
        let note = "#!/bin/sh\n{ printf '%s\\037' \"${0##*/}\" \"$@\"; printf '\\036'; } >> calls\n";
        std::fs::write(&path, note).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(folder.path().join("token.jwt"), "a.b.c\n").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).env_clear().current_dir(folder.path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let output = shell.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{script}");
    let noted = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    let words = |call: &str| call.split_terminator('\u{1f}').map(str::to_owned).collect();
    // Each file that a call names was written by the script before it.
    for name in noted.split(['\u{1f}', '\u{1e}', '@', '=', '/']).filter(|word| is_json(word)) {
        assert!(name == "gcp-credentials.json" || folder.path().join(name).exists(), "{name}\n{script}");
    }
    noted.split_terminator('\u{1e}').map(words).collect()
}

pub fn has_words(calls: &[Vec<String>], words: &[&str]) -> bool {
    calls.iter().any(|call| words.iter().all(|word| call.iter().any(|other| other == word)))
}

#[test]
fn every_consumer_gets_the_issuer_and_the_pool_and_says_whether_it_was_run() {
    let stage = fitting();
    let help = stage.ok(&["trust", "--help"]);
    for consumer in CONSUMERS {
        assert!(help.contains(&format!("- {consumer}:")), "{consumer} in {help}");
        let shown = trust(&stage, consumer, &[]);
        let status = if consumer == "ceph" { "executed" } else { "reviewed" };
        assert_eq!((&shown["Consumer"], &shown["Status"]), (&json!(consumer), &json!(status)));
        assert_eq!((&shown["IdentityPoolId"], &shown["Issuer"]), (&json!(POOL), &json!(ISSUER)));
        assert!(
            shown["Documentation"]
                .as_array()
                .unwrap()
                .iter()
                .all(|page| page.as_str().unwrap().starts_with("https://"))
        );

        let text = text(&stage, consumer, &[]);
        let comment = if consumer == "snowflake" { "--" } else { "#" };
        assert!(text.starts_with(&format!("{comment} {status}: ")), "{text}");
        assert!(text.contains(POOL) && text.contains(ISSUER.trim_start_matches("https://")), "{text}");
        for command in shown["Commands"].as_array().unwrap() {
            let first = command["Command"].as_str().unwrap().lines().next().unwrap().to_owned();
            assert!(text.contains(&first), "{first}\nis not in\n{text}");
        }
        // Every placeholder is listed, and what is listed is there.
        let body = text.split("Replace before use:").next().unwrap();
        for name in placeholders(&shown) {
            assert!(body.contains(name) && text.matches(name).count() >= 2, "{name}: {text}");
        }
        let word = |c: char| c.is_ascii_uppercase() || c == '_';
        for rest in text.split("REPLACE_").skip(1) {
            let name = format!("REPLACE_{}", rest.chars().take_while(|c| word(*c)).collect::<String>());
            assert!(placeholders(&shown).contains(&name.as_str()), "{name} is not explained: {text}");
        }
        assert!(text.lines().all(|line| line.len() <= 120 || !line.starts_with(comment)), "{text}");
    }
}

#[test]
fn files_are_what_their_readers_parse() {
    let stage = fitting();
    let host = ISSUER.trim_start_matches("https://");
    let user = identity(&stage, USER, 1, true);
    let with_user: &[&str] = &["--identity", &user, "--name", "team-a"];

    let policy = json_file(&trust(&stage, "aws", with_user), "trust-policy.json");
    let statement = &policy["Statement"][0];
    assert_eq!(
        statement["Principal"]["Federated"][0],
        format!("arn:aws:iam::REPLACE_AWS_ACCOUNT_ID:oidc-provider/{host}")
    );
    assert_eq!(statement["Action"], json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]));
    let equals = json!({ format!("{host}:aud"): POOL, format!("{host}:sub"): user });
    assert_eq!(statement["Condition"], json!({ "StringEquals": equals }));
    let policy = json_file(&trust(&stage, "aws", &[]), "trust-policy.json");
    assert_eq!(policy["Statement"][0]["Condition"]["StringEquals"], json!({ format!("{host}:aud"): POOL }));

    let shown = trust(&stage, "vault", with_user);
    let config = json!({ "jwks_url": format!("{ISSUER}/.well-known/jwks.json"), "bound_issuer": ISSUER,
                         "jwt_supported_algs": ["RS256"] });
    assert_eq!(json_file(&shown, "vault-config.json"), config);
    let role = json_file(&shown, "vault-role.json");
    assert_eq!((&role["bound_audiences"], &role["bound_subject"]), (&json!([POOL]), &json!(user)));
    assert_eq!((&role["role_type"], &role["bound_claims"]), (&json!("jwt"), &json!({ "amr": "authenticated" })));

    let method = json_file(&trust(&stage, "nomad", &[]), "nomad-auth-method.json");
    assert_eq!((&method["BoundIssuer"], &method["BoundAudiences"]), (&json!([ISSUER]), &json!([POOL])));
    assert_eq!((&method["SigningAlgs"], &method["ClaimMappings"]), (&json!(["RS256"]), &json!({ "sub": "identity" })));

    let credential = json_file(&trust(&stage, "entra", with_user), "credential.json");
    let expected =
        json!({ "name": "team-a", "issuer": ISSUER, "subject": user, "audiences": ["api://AzureADTokenExchange"] });
    assert_eq!(credential, expected);

    // The text is the file itself.
    for more in [&[][..], with_user] {
        let shown = trust(&stage, "kubernetes", more);
        let yaml: Value = serde_saphyr::from_str(&text(&stage, "kubernetes", more)).unwrap();
        assert_eq!(yaml, serde_saphyr::from_str::<Value>(&file(&shown, "authentication.yaml")).unwrap());
        assert_eq!(
            (&yaml["apiVersion"], &yaml["kind"]),
            (&json!("apiserver.config.k8s.io/v1"), &json!("AuthenticationConfiguration"))
        );
        let jwt = &yaml["jwt"][0];
        assert_eq!(jwt["issuer"], json!({ "url": ISSUER, "audiences": [POOL], "audienceMatchPolicy": "MatchAny" }));
        assert_eq!(jwt["claimValidationRules"][0]["expression"], "\"authenticated\" in claims.amr");
        let username = &jwt["claimMappings"]["username"];
        if more.is_empty() {
            assert_eq!(username, &json!({ "claim": "sub", "prefix": "symbolon:" }));
        } else {
            assert_eq!(username["prefix"], "team-a:");
            assert_eq!(jwt["claimValidationRules"][1], json!({ "claim": "sub", "requiredValue": user }));
        }
    }
}

#[test]
fn scripts_run_and_call_each_program_with_the_values_as_they_are() {
    let stage = fitting();
    let user = identity(&stage, USER, 1, true);
    let run = |consumer: &str, more: &[&str]| calls(&stage, &text(&stage, consumer, more));
    let aws = run("aws", &[]);
    assert!(
        has_words(&aws, &["create-open-id-connect-provider", "--url", ISSUER, "--client-id-list", POOL]),
        "{aws:?}"
    );
    assert!(has_words(&aws, &["assume-role-with-web-identity", "a.b.c"]), "{aws:?}");
    let minio = run("minio", &[]);
    assert!(has_words(&minio, &["--endpoint-url", "REPLACE_MINIO_ENDPOINT", "REPLACE_MINIO_ROLE_ARN"]), "{minio:?}");
    let vault = run("vault", &["--name", "team-a"]);
    assert!(has_words(&vault, &["write", "auth/team-a/config", "@vault-config.json"]), "{vault:?}");
    assert!(has_words(&vault, &["write", "auth/team-a/login", "role=team-a", "jwt=a.b.c"]), "{vault:?}");
    let nomad = run("nomad", &["--identity", &user]);
    let selector = format!(r#""authenticated" in list.methods and value.identity == "{user}""#);
    assert!(has_words(&nomad, &["binding-rule", "-selector", &selector]), "{nomad:?}");
    let gcp = run("gcp", &["--identity", &user]);
    let condition = r#"--attribute-condition="authenticated" in assertion.amr"#;
    let issuer = format!("--issuer-uri={ISSUER}");
    let audiences = format!("--allowed-audiences={POOL}");
    assert!(has_words(&gcp, &["create-oidc", &issuer, &audiences, condition]), "{gcp:?}");
    let member = gcp.iter().flatten().find(|word| word.starts_with("--member=")).unwrap();
    assert!(
        member.starts_with("--member=principal://") && member.ends_with(&format!("/symbolon/subject/{user}")),
        "{gcp:?}"
    );
    let entra = run("entra", &["--identity", &user]);
    assert!(has_words(&entra, &["federated-credential", "--parameters", "credential.json"]), "{entra:?}");

    let minio = commands(&trust(&stage, "minio", &["--name", "team-a"]));
    for line in [
        format!("export MINIO_IDENTITY_OPENID_CONFIG_URL_TEAM_A={ISSUER}/.well-known/openid-configuration"),
        format!("export MINIO_IDENTITY_OPENID_CLIENT_ID_TEAM_A={POOL}"),
    ] {
        assert!(minio.lines().any(|other| other == line), "{minio}");
    }
    let sql = text(&stage, "snowflake", &["--identity", &user, "--name", "team-a"]);
    let statement = format!(
        "ALTER USER \"TEAM-A\" ADD WORKLOAD IDENTITY \"TEAM-A\"\n  TYPE = OIDC\n  ISSUER = '{ISSUER}'\n  SUBJECT = '{user}'\n  \
         OIDC_AUDIENCE_LIST = ('{POOL}');\n"
    );
    assert!(sql.contains(&statement), "{sql}");
}

/// The statement of the trust policy that the role was made with.
fn made_role_policy(calls: &[Vec<String>]) -> Value {
    let made = calls.iter().find(|call| call.iter().any(|word| word == "create-role")).unwrap();
    let policy: Value = serde_json::from_str(made.last().unwrap()).unwrap();
    policy["Statement"][0].clone()
}

#[test]
fn ceph_gets_the_thumbprints_of_the_key_that_signs_and_of_its_successor() {
    let stage = fitting();
    let rows = stage.texts("select public_jwk->'x5c'->>0 from signing_keys order by sign_from is null");
    let thumbprint = |certificate: &String| {
        let der = STANDARD.decode(certificate).unwrap();
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der))
    };
    let expected: Vec<String> = rows.iter().map(thumbprint).collect();
    assert_eq!(expected.len(), 2);
    let noted = calls(&stage, &text(&stage, "ceph", &[]));
    let made = noted.iter().find(|call| call.iter().any(|word| word == "create-open-id-connect-provider")).unwrap();
    assert!(made.ends_with(&[vec!["--thumbprint-list".to_owned()], expected].concat()), "{made:?}");
    assert!(made.windows(2).any(|pair| pair == ["--url", ISSUER]), "{made:?}");
    let trust = made_role_policy(&noted);
    assert_eq!(trust["Action"], json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]));
    let host = ISSUER.trim_start_matches("https://");
    assert_eq!(trust["Principal"]["Federated"], json!([format!("arn:aws:iam::111122223333:oidc-provider/{host}")]));
    assert_eq!(trust["Condition"]["StringEquals"], json!({ format!("{host}:aud"): POOL }));
    let users = json!({ format!("{host}:amr"): "authenticated" });
    assert_eq!(trust["Condition"]["ForAnyValue:StringLike"], users, "guests are shut out");
    // RGW 16 does not decode blanks.
    for call in noted.iter().filter(|call| call.iter().any(|word| word.ends_with("policy-document"))) {
        let policy = call.iter().find(|word| word.starts_with('{')).unwrap();
        assert!(!policy.contains(' '), "{policy}");
        serde_json::from_str::<Value>(policy).unwrap();
    }
    assert!(has_words(&noted, &["create-role", "--role-name", "symbolon"]));
}

#[test]
fn an_odd_issuer_stays_a_value_everywhere() {
    let odd = "https://id.example.com/it's/$(touch${IFS}broken)`touch${IFS}broken`/\"\\;--/SYMBOLON_END";
    let stage = with_issuer(odd, |_| {}, "");
    for consumer in CONSUMERS {
        let shown = trust(&stage, consumer, &[]);
        let text = text(&stage, consumer, &[]);
        match consumer {
            "kubernetes" => {
                let yaml: Value = serde_saphyr::from_str(&text).unwrap();
                assert_eq!(yaml["jwt"][0]["issuer"]["url"], odd);
            }
            "snowflake" => {
                let quoted = odd.replace('\\', "\\\\").replace('\'', "''");
                assert!(text.contains(&format!("ISSUER = '{quoted}'\n")), "{text}");
            }
            // `calls` fails if anything goes to stderr.
            _ => {
                let noted = calls(&stage, &text);
                let expected = match consumer {
                    "aws" | "ceph" => Some(odd.to_owned()),
                    "gcp" => Some(format!("--issuer-uri={odd}")),
                    _ => None,
                };
                assert!(expected.is_none_or(|word| has_words(&noted, &[&word])), "{noted:?}");
            }
        }
        for entry in shown["Files"].as_array().unwrap().iter().filter(|entry| is_json(entry["Name"].as_str().unwrap()))
        {
            let content: Value = serde_json::from_str(entry["Content"].as_str().unwrap()).unwrap();
            assert!(content.is_object());
        }
    }
    let config = json_file(&trust(&stage, "vault", &[]), "vault-config.json");
    assert_eq!(config["bound_issuer"], odd);
}
