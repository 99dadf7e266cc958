//! `symbolon apply`: what a seed makes, changes, leaves and is refused for.

use serde_json::{Value, json};

use crate::stage::Stage;

pub const POOL: &str = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8";
const OTHER_POOL: &str = "us-east-1:11111111-918a-4d03-84bd-192d2cb331b8";

const SEED: &str = r#"
[[tenant]]
account_id = "111122223333"
name = "acme"

[[tenant.access_key]]
id = "AKIAEXAMPLE0000000AA"
secret_env = "ACME_SECRET"

[[tenant.access_key]]
id = "AKIAEXAMPLE0000000BB"
secret_file = "acme.secret"

[[tenant.openid_connect_provider]]
url = "https://idp.example.com"
client_id_list = ["web", "app"]
thumbprint_list = ["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"]
tags = { team = "web" }

[[tenant.identity_pool]]
identity_pool_id = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "web"
allow_unauthenticated_identities = false
allow_classic_flow = true
developer_provider_name = "login.acme"
supported_login_providers = { "graph.facebook.com" = "123" }
openid_connect_provider_arns = ["arn:aws:iam::111122223333:oidc-provider/idp.example.com"]
saml_provider_arns = []

[[tenant.identity_pool.cognito_identity_provider]]
provider_name = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi"
client_id = "client"
server_side_token_check = false

[tenant.identity_pool.tags]
team = "web"

[[tenant.identity_pool]]
identity_pool_id = "us-east-1:11111111-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "plain"

[[tenant]]
account_id = "222233334444"
name = "other"
"#;

pub fn stage() -> Stage {
    let mut stage = Stage::set_up("serve");
    stage.set("ACME_SECRET", "acme-secret-of-the-environment");
    stage.file("acme.secret", 0o600, "acme-secret-of-a-file\n");
    stage
}

pub fn counts(applied: &Value) -> [usize; 3] {
    ["Made", "Changed", "Left"].map(|fate| applied[fate].as_array().unwrap().len())
}

impl Stage {
    pub fn apply(&self, seed: &str) -> Value {
        let file = self.file("seed.toml", 0o644, seed);
        self.json(&["apply", file.to_str().unwrap()])
    }

    pub fn refuses(&self, code: i32, seed: &str) -> String {
        let (file, before) = (self.file("seed.toml", 0o644, seed), self.dump());
        let told = self.fails(code, &["apply", file.to_str().unwrap()]);
        assert_eq!(self.dump(), before, "nothing is written");
        told
    }
}

#[test]
fn a_seed_applied_again_leaves_everything() {
    let stage = stage();
    let applied = stage.apply(SEED);
    assert_eq!(counts(&applied), [7, 0, 0], "{applied}");
    assert_eq!(applied["Made"][0], "tenant 111122223333");
    assert_eq!(applied["Made"][3], "openid-connect-provider idp.example.com");
    assert_eq!(applied["Made"][4], format!("identity-pool {POOL}"));
    let dump = stage.dump();
    assert_eq!(counts(&stage.apply(SEED)), [0, 0, 7]);
    assert_eq!(stage.dump(), dump, "not even the epoch changes");
    let text = stage.ok(&["apply", "seed.toml"]);
    assert!(text.starts_with("left     tenant 111122223333\nleft     access-key AKIAEXAMPLE0000000AA\n"), "{text}");
    assert!(!dump.join("\n").contains("acme-secret"));

    let row = stage.texts("select (to_jsonb(p) - 'pool_no')::text from identity_pools p where name = 'web'");
    let row: Value = serde_json::from_str(&row[0]).unwrap();
    assert_eq!(row["providers"]["user_pools"][0]["client_id"], "client");
    assert_eq!((&row["tags"], &row["allow_classic"]), (&json!({ "team": "web" }), &json!(true)));
    assert_eq!((&row["developer_provider"], &row["region"]), (&json!("login.acme"), &json!("us-east-1")));
}

#[test]
fn what_changed_in_a_seed_is_changed() {
    let mut stage = stage();
    stage.apply(SEED);
    stage.set("ACME_SECRET", "another-secret");
    let before = stage.epoch();
    let changed = SEED.replace("name = \"other\"", "name = \"renamed\"").replace("= \"plain\"", "= \"plainer\"");
    let applied = stage.apply(&changed);
    assert_eq!(counts(&applied), [0, 3, 4], "{applied}");
    assert_eq!(applied["Changed"][0], "access-key AKIAEXAMPLE0000000AA");
    assert_eq!(stage.epoch(), before + 3);
    assert_eq!(counts(&stage.apply(&changed)), [0, 0, 7]);

    // As by UpdateIdentityPool: public providers left out go; developer provider, tags and classic flow stay.
    let short = format!(
        "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n[[tenant.identity_pool]]\nidentity_pool_id = '{POOL}'\n\
         identity_pool_name = 'web'\n"
    );
    assert_eq!(counts(&stage.apply(&short)), [0, 1, 1]);
    let row = stage.texts(
        "select concat_ws(' ', developer_provider, allow_classic, tags, providers->'supported_logins') from identity_pools
         where name = 'web'",
    );
    assert_eq!(row, ["login.acme t {\"team\": \"web\"} {}"]);
}

#[test]
fn an_openid_connect_provider_is_made_and_brought_to_what_the_seed_says() {
    let stage = stage();
    stage.apply(SEED);
    let rows =
        || stage.texts("select concat_ws(' ', account_id, url, client_ids, thumbprints, tags) from oidc_providers");
    let thumbprints = r#"["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"]"#;
    assert_eq!(rows(), [format!(r#"111122223333 idp.example.com ["web", "app"] {thumbprints} {{"team": "web"}}"#)]);
    let seed = |more: &str| {
        format!(
            "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n[[tenant.openid_connect_provider]]\n\
             url = 'https://idp.example.com'\n{more}"
        )
    };
    let before = stage.epoch();
    // Another order is another list, as for Terraform; a client that stands twice is one.
    let applied = stage.apply(&seed("client_id_list = ['app', 'web', 'app']\n"));
    assert_eq!(applied["Changed"], json!(["openid-connect-provider idp.example.com"]), "{applied}");
    assert_eq!(
        rows(),
        [format!(r#"111122223333 idp.example.com ["app", "web"] {thumbprints} {{"team": "web"}}"#)],
        "thumbprints and tags left out stay"
    );
    assert_eq!(stage.epoch(), before + 1);
    let emptied = seed("client_id_list = []\nthumbprint_list = []\ntags = {}\n");
    assert_eq!(counts(&stage.apply(&emptied)), [0, 1, 1]);
    assert_eq!(rows(), ["111122223333 idp.example.com [] [] {}"]);
    assert_eq!(counts(&stage.apply(&emptied)), [0, 0, 2]);
}

#[test]
fn a_saml_provider_is_made_and_brought_to_what_the_seed_says() {
    let stage = stage();
    let metadata = |name: &str| {
        let path = format!("{}/tests/upstream/saml/good/{name}.metadata.xml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    stage.file("idp.xml", 0o644, &metadata("adfs"));
    let seed = |more: &str| {
        format!(
            "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n[[tenant.saml_provider]]\nname = 'Corp'\n\
             metadata_file = 'idp.xml'\n{more}"
        )
    };
    let rows = || stage.texts("select concat_ws(' ', account_id, name, entity_id, tags) from saml_providers");
    let applied = stage.apply(&seed("tags = { team = 'web' }\n"));
    assert_eq!(applied["Made"], json!(["tenant 111122223333", "saml-provider Corp"]), "{applied}");
    assert_eq!(rows(), ["111122223333 Corp http://adfs.example.com/adfs/services/trust {\"team\": \"web\"}"]);
    assert_eq!(counts(&stage.apply(&seed(""))), [0, 0, 2], "tags left out stay");
    stage.file("idp.xml", 0o644, &metadata("keycloak"));
    assert_eq!(counts(&stage.apply(&seed("tags = {}\n"))), [0, 1, 1]);
    assert_eq!(rows(), ["111122223333 Corp https://keycloak.example.com/realms/acme {}"]);
    assert_eq!(counts(&stage.apply(&seed("tags = {}\n"))), [0, 0, 2]);

    stage.file("bad.xml", 0o644, "<a/>");
    let told = stage.refuses(3, &seed("").replace("idp.xml", "bad.xml"));
    assert!(told.contains("line 4: tenant.saml_provider: ") && told.contains("Could not parse metadata: "), "{told}");
    let told = stage.refuses(3, &seed("").replace("idp.xml", "missing.xml"));
    assert!(told.contains("line 6: tenant.saml_provider.metadata_file: cannot read "), "{told}");
    let twice = format!("{}[[tenant.saml_provider]]\nname = 'Corp'\nmetadata_file = 'idp.xml'\n", seed(""));
    assert!(stage.refuses(3, &twice).contains("line 8: tenant.saml_provider.name: stands twice in this tenant"));
}

#[test]
fn providers_that_iam_would_refuse_are_refused_with_their_line() {
    let stage = stage();
    let told = stage.refuses(
        3,
        r#"[[tenant]]
account_id = "111122223333"
name = "acme"
[[tenant.openid_connect_provider]]
url = "http://idp.example.com"
client_id_list = ["a"]
[[tenant.openid_connect_provider]]
url = "https://idp.example.com:8443"
client_id_list = ["a"]
[[tenant.openid_connect_provider]]
url = "https://idp.example.com"
[[tenant.openid_connect_provider]]
client_id_list = ["a"]
[[tenant.openid_connect_provider]]
url = "https://b.example.com"
client_id_list = ["", "b"]
client_ids = []
[[tenant.openid_connect_provider]]
url = "https://c.example.com"
client_id_list = ["c"]
thumbprint_list = ["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]
[[tenant.openid_connect_provider]]
url = "https://c.example.com"
client_id_list = ["c"]
tags = { "aws:x" = "y" }
"#,
    );
    for problem in [
        "line 5: tenant.openid_connect_provider.url: Invalid Open ID Connect Provider URL. The URL must begin with https://",
        "line 8: tenant.openid_connect_provider.url: Invalid Open ID Connect Provider URL. The URL must not have a port, but \
         for those that upstream.allow_ports names.",
        "line 10: tenant.openid_connect_provider.client_id_list: is needed",
        "line 12: tenant.openid_connect_provider.url: is needed",
        "line 14: tenant.openid_connect_provider: Value '[, b]' at 'clientIDList' failed to satisfy constraint: ",
        "line 17: tenant.openid_connect_provider.client_ids: no such field",
        "line 18: tenant.openid_connect_provider: A thumbprint is the SHA-1 hash",
        "line 23: tenant.openid_connect_provider.url: stands twice in this tenant",
        "line 22: tenant.openid_connect_provider: Tag key 'aws:x'",
    ] {
        assert!(told.contains(problem), "{problem}\nis not in\n{told}");
    }
    assert!(told.contains("has 9 problems"), "{told}");
}

#[test]
fn every_problem_of_a_seed_is_told_with_its_line() {
    let stage = stage();
    stage.file("open.secret", 0o644, "x");
    let told = stage.refuses(
        3,
        r#"[[tenant]]
account_id = "12"
nam = "acme"
[[tenant.access_key]]
id = "test"
secret_env = "NO_SUCH_VARIABLE"
[[tenant.access_key]]
id = "AKIAEXAMPLE0000000AA"
secret_file = "open.secret"
[[tenant.access_key]]
id = "AKIAEXAMPLE0000000AA"
secret = "in plain sight"
[[tenant.identity_pool]]
identity_pool_id = "eu-west-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "a*b"
allow_classic_flow = "yes"
developer_provider_name = "no blanks"
roles = "arn:aws:iam::111122223333:role/x"
[[tenant.identity_pool]]
identity_pool_id = "us-east-1:NONE"
identity_pool_name = "b"
developer_provider_name = "graph.facebook.com"
supported_login_providers = { "graph.facebook.com" = "1" }
tags = { "aws:x" = "y" }
[[tenant.identity_pool.cognito_identity_provider]]
provider_name = "nowhere"
client_id = "c"
[[tenant.identity_pool]]
identity_pool_id = "us-east-1:7d03c3ca-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "c"
saml_provider_arns = ["arn:aws:iam::111122223333:saml-provider/\u0007"]
[[tenants]]
"#,
    );
    for problem in [
        "line 2: tenant.account_id: an account number has 12 digits",
        "line 1: tenant.name: is needed",
        "line 3: tenant.nam: no such field; did you mean tenant.name?",
        "line 5: tenant.access_key.id: `test` and account numbers",
        "line 6: tenant.access_key.secret_env: the environment has no variable NO_SUCH_VARIABLE",
        "line 9: tenant.access_key.secret_file: ",
        "chmod 600",
        "line 11: tenant.access_key.id: stands twice",
        "line 10: tenant.access_key: needs secret_env",
        "line 12: tenant.access_key.secret: no such field",
        "line 14: tenant.identity_pool.identity_pool_id: region eu-west-1 is not served",
        "line 16: tenant.identity_pool.allow_classic_flow: must be true or false",
        "line 18: tenant.identity_pool.roles: must be a table: [tenant.identity_pool.roles]",
        "line 13: tenant.identity_pool: Value 'a*b' at 'identityPoolName' failed to satisfy constraint: ",
        "line 13: tenant.identity_pool: Value 'no blanks' at 'developerProviderName' failed",
        "line 20: tenant.identity_pool.identity_pool_id: must be REGION:UUID",
        "line 19: tenant.identity_pool: Invalid Cognito Identity Provider",
        "line 19: tenant.identity_pool: Tag key 'aws:x'",
        "line 19: tenant.identity_pool: DeveloperProviderName must differ",
        "line 28: tenant.identity_pool: The name or ARN of a login provider can have at most 2048 bytes",
        "line 32: tenants: no such field; did you mean tenant?",
        "nothing was written",
    ] {
        assert!(told.contains(problem), "{problem}\nis not in\n{told}");
    }
    assert!(told.contains("has 20 problems") && !told.contains("in plain sight"), "{told}");
    assert!(stage.refuses(3, "[[tenant]]\nname = \n").contains("line 2: "));
    assert!(stage.fails(3, &["apply", "nowhere.toml"]).contains("cannot read the seed nowhere.toml"));
}

#[test]
fn what_belongs_to_others_or_was_deleted_is_refused_before_anything_is_written() {
    let stage = stage();
    stage.apply(SEED);
    stage.sql("update identity_pools set deleted_at = now() where name = 'plain'");
    let told = stage.refuses(
        1,
        &format!(
            "[[tenant]]\naccount_id = '333344445555'\nname = 'third'\n\
             [[tenant.access_key]]\nid = 'AKIAEXAMPLE0000000AA'\nsecret_env = 'ACME_SECRET'\n\
             [[tenant.identity_pool]]\nidentity_pool_id = '{POOL}'\nidentity_pool_name = 'web'\n"
        ),
    );
    assert!(told.contains("line 4: access key AKIAEXAMPLE0000000AA belongs to tenant 111122223333"), "{told}");
    assert!(told.contains(&format!("line 7: identity pool {POOL} belongs to tenant 111122223333")), "{told}");
    let told = stage.refuses(1, &SEED.replace("login.acme", "login.other"));
    assert!(told.contains("login.acme, which cannot be changed"), "{told}");
    assert!(told.contains(&format!("identity pool {OTHER_POOL} was deleted")), "{told}");
}

#[test]
fn names_that_a_pool_has_given_away_are_refused_before_anything_is_written() {
    let stage = stage();
    stage.apply(SEED);
    let seed = |pool: &str, more: &str| {
        format!(
            "[[tenant]]\naccount_id = '111122223333'\nname = 'renamed'\n\
             [[tenant.identity_pool]]\nidentity_pool_id = '{pool}'\nidentity_pool_name = 'p'\n{more}\n"
        )
    };
    let provider =
        |url: &str| format!("openid_connect_provider_arns = ['arn:aws:iam::111122223333:oidc-provider/{url}']");
    // The developer provider that is left out stays.
    let told = stage.refuses(1, &seed(POOL, &provider("login.acme")));
    assert!(told.contains("line 4: ") && told.contains("login.acme, which cannot be a login provider"), "{told}");
    stage.apply(&seed(OTHER_POOL, &provider("idp.example.com")));
    stage.apply(&seed(OTHER_POOL, ""));
    let told = stage.refuses(1, &seed(OTHER_POOL, "developer_provider_name = 'idp.example.com'"));
    assert!(told.contains("has or had a login provider idp.example.com"), "{told}");
}

#[test]
fn dev_seeds_its_database_and_takes_well_known_keys() {
    let mut stage = Stage::empty();
    stage.set("DEV_SECRET", "test");
    stage.unset("SYMBOLON_MASTER_KEY");
    stage.unset("SYMBOLON__ISSUER__URL");
    let seed = SEED.split("[[tenant.access_key]]").next().unwrap().to_owned();
    let seed = seed + "[[tenant.access_key]]\nid = '111122223333'\nsecret_env = 'DEV_SECRET'\n";
    let seed = stage.file("seed.toml", 0o644, &seed);
    let url = stage.url.clone();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "data"];
    let args = ["dev", "--database-url", &url, "--seed", seed.to_str().unwrap()];
    let broker = stage.broker(&[&args[..], &listen].concat());
    stage.set("SYMBOLON_CONFIG", stage.folder.path().join("data/symbolon.toml").to_str().unwrap());
    // The folder's own configuration names the ports that were given.
    assert_eq!(stage.ok(&["health"]), "ready\n");
    assert_eq!(counts(&stage.json(&["apply", "seed.toml"])), [0, 0, 2]);
    let env = std::fs::read_to_string(stage.folder.path().join("data/env")).unwrap();
    let endpoint = |name: &str| env.lines().find_map(|line| line.strip_prefix(&format!("export {name}="))).unwrap();
    for service in ["IAM", "STS"] {
        assert_eq!(endpoint(&format!("AWS_ENDPOINT_URL_{service}")), endpoint("AWS_ENDPOINT_URL_COGNITO_IDENTITY"));
    }
    assert!(stage.ok(&["installation", "show"]).starts_with("kind         dev\n"));
    assert!(stage.ok(&["access-key", "list"]).contains("111122223333"));
    broker.stop();
}
