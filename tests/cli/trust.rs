//! `symbolon trust`: values filled in and never more than values, warnings when they are due, and nothing written.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::audiences::seed;
use crate::keys::ready;
use crate::seeds::{POOL, stage};
use crate::stage::{ISSUER, Stage};

const CONSUMERS: [&str; 9] = ["aws", "minio", "ceph", "vault", "kubernetes", "gcp", "snowflake", "nomad", "entra"];
/// Programs that the scripts call.
const PROGRAMS: [&str; 6] = ["aws", "vault", "nomad", "gcloud", "az", "radosgw-admin"];
const USER: &str = "11111111-1111-8111-8111-111111111111";
const GUEST: &str = "22222222-2222-8222-8222-222222222222";

/// A database with keys of this issuer, and the pool with these lines more.
fn with_issuer(issuer: &str, change: impl FnOnce(&mut Stage), more: &str) -> Stage {
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
fn fitting() -> Stage {
    with_issuer(ISSUER, |stage| stage.set("SYMBOLON__ISSUER__X5C", "true"), "")
}

fn trust(stage: &Stage, consumer: &str, more: &[&str]) -> Value {
    let args: Vec<&str> = ["trust", consumer, "--pool", POOL].iter().chain(more).copied().collect();
    let before = stage.dump();
    let shown = stage.json(&args);
    assert_eq!(stage.dump(), before, "nothing is written");
    shown
}

fn text(stage: &Stage, consumer: &str, more: &[&str]) -> String {
    let args: Vec<&str> = ["trust", consumer, "--pool", POOL].iter().chain(more).copied().collect();
    stage.ok(&args)
}

fn file(shown: &Value, name: &str) -> String {
    let files = shown["Files"].as_array().unwrap();
    let file = files.iter().find(|file| file["Name"] == name).unwrap_or_else(|| panic!("no {name} in {shown}"));
    file["Content"].as_str().unwrap().to_owned()
}

fn json_file(shown: &Value, name: &str) -> Value {
    serde_json::from_str(&file(shown, name)).unwrap()
}

fn commands(shown: &Value) -> String {
    let all = shown["Commands"].as_array().unwrap();
    all.iter().map(|command| command["Command"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

fn warnings(shown: &Value) -> Vec<String> {
    let all = shown["Warnings"].as_array().unwrap();
    all.iter().map(|warning| warning["Message"].as_str().unwrap().to_owned()).collect()
}

fn placeholders(shown: &Value) -> Vec<&str> {
    shown["Placeholders"].as_array().unwrap().iter().map(|placeholder| placeholder["Name"].as_str().unwrap()).collect()
}

/// Whether a warning has these words in it.
fn warned(shown: &Value, words: &str) -> bool {
    warnings(shown).iter().any(|warning| warning.contains(words))
}

/// Makes an identity of the pool, with a login or without.
fn identity(stage: &Stage, uuid: &str, state: i16, has_login: bool) -> String {
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
fn calls(stage: &Stage, script: &str) -> Vec<Vec<String>> {
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
    for name in noted.split(['\u{1f}', '\u{1e}', '@', '=', '/']).filter(|word| word.ends_with(".json")) {
        assert!(name == "gcp-credentials.json" || folder.path().join(name).exists(), "{name}\n{script}");
    }
    noted.split_terminator('\u{1e}').map(words).collect()
}

fn has_words(calls: &[Vec<String>], words: &[&str]) -> bool {
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
        for entry in
            shown["Files"].as_array().unwrap().iter().filter(|entry| entry["Name"].as_str().unwrap().ends_with(".json"))
        {
            let content: Value = serde_json::from_str(entry["Content"].as_str().unwrap()).unwrap();
            assert!(content.is_object());
        }
    }
    let config = json_file(&trust(&stage, "vault", &[]), "vault-config.json");
    assert_eq!(config["bound_issuer"], odd);
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
    let other = "us-east-1:11111111-918a-4d03-84bd-192d2cb331b8";
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
