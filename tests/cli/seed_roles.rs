//! `symbolon apply`: roles, role mappings and principal tags, as a seed asks for them and as a broker then answers.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_cognitoidentity::Client;
use serde_json::{Value, json};

use crate::seeds::{POOL, counts, stage};
use crate::stage::Stage;

/// A pool with a provider of each kind, and what is asked of them.
const SEED: &str = r#"
[[tenant]]
account_id = "111122223333"
name = "acme"

[[tenant.identity_pool]]
identity_pool_id = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "web"
developer_provider_name = "login.acme"
supported_login_providers = { "graph.facebook.com" = "123" }
openid_connect_provider_arns = ["arn:aws:iam::111122223333:oidc-provider/idp.example.com"]
cognito_identity_provider = [
  { provider_name = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi", client_id = "client" },
]

[tenant.identity_pool.roles]
authenticated = "arn:aws:iam::111122223333:role/user"
unauthenticated = "arn:aws:iam::111122223333:role/path/guest"

[[tenant.identity_pool.role_mapping]]
identity_provider = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi:client"
type = "Rules"
ambiguous_role_resolution = "Deny"

[[tenant.identity_pool.role_mapping.mapping_rule]]
claim = "isAdmin"
match_type = "Equals"
value = "paid"
role_arn = "arn:aws:iam::111122223333:role/admin"

[[tenant.identity_pool.role_mapping.mapping_rule]]
claim = "groups"
match_type = "Contains"
value = "staff"
role_arn = "arn:aws:iam::111122223333:role/staff"

[[tenant.identity_pool.role_mapping]]
identity_provider = "graph.facebook.com"
type = "Token"
ambiguous_role_resolution = "AuthenticatedRole"

[[tenant.identity_pool.principal_tag]]
identity_provider_name = "idp.example.com"
use_defaults = false
principal_tags = { team = "custom:team", site = "site" }

[[tenant.identity_pool.principal_tag]]
identity_provider_name = "login.acme"
use_defaults = true
"#;

/// The seed without what it says of roles and principal tags.
fn bare_pool() -> &'static str {
    SEED.split("[tenant.identity_pool.roles]").next().unwrap()
}

fn items(items: &[&str]) -> Value {
    items.iter().map(|item| item.replace("POOL", &format!("identity-pool {POOL}"))).collect()
}

impl Stage {
    /// What the pool holds: roles, role mappings, and the maps of principal tags by login key.
    fn held(&self) -> [Value; 3] {
        let json = |query: &str| serde_json::from_str(&self.texts(query)[0]).unwrap();
        [
            json("select coalesce(roles, 'null')::text from identity_pools"),
            json("select coalesce(role_mappings, 'null')::text from identity_pools"),
            json(
                "select coalesce(jsonb_object_agg(login_key, tag_map) filter (where tag_map is not null), '{}')::text
                 from pool_providers",
            ),
        ]
    }
}

#[test]
fn roles_and_principal_tags_are_made_and_then_left() {
    let stage = stage();
    let applied = stage.apply(SEED);
    let made = ["roles of POOL", "principal-tags of POOL idp.example.com", "principal-tags of POOL login.acme"];
    assert_eq!(applied["Made"], items(&[&["tenant 111122223333", "POOL"], &made[..]].concat()), "{applied}");
    let dump = stage.dump();
    assert_eq!(counts(&stage.apply(SEED)), [0, 0, 5]);
    assert_eq!(stage.dump(), dump, "not even the epoch changes");
    let held = stage.held();

    // What the seed does not name is left alone.
    assert_eq!(counts(&stage.apply(bare_pool())), [0, 0, 2]);
    assert_eq!(stage.held(), held);
}

#[test]
fn roles_and_mappings_are_one_and_each_map_of_principal_tags_is_by_itself() {
    let stage = stage();
    stage.apply(SEED);
    let [roles, mappings, maps] = stage.held();
    let before = stage.epoch();

    let changed = SEED.replace("role/admin", "role/root").replace("custom:team", "team");
    let applied = stage.apply(&changed);
    assert_eq!(applied["Changed"], items(&["roles of POOL", "principal-tags of POOL idp.example.com"]), "{applied}");
    assert_eq!(stage.epoch(), before + 2);
    let [same, other_mappings, other_maps] = stage.held();
    assert_eq!((&same, &other_maps["login.acme"]), (&roles, &maps["login.acme"]));
    assert_ne!((&other_mappings, &other_maps["idp.example.com"]), (&mappings, &maps["idp.example.com"]));
    assert_eq!(counts(&stage.apply(&changed)), [0, 0, 5]);

    // Rules are in an order, and another order is another mapping.
    let [head, first, second, tail] = split_rules();
    let applied = stage.apply(&[head, second, first, tail].concat());
    assert_eq!(counts(&applied), [0, 2, 3], "{applied}");
    let order = |mappings: &Value| {
        let mapping = &mappings["cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi:client"];
        mapping["rules"].as_array().unwrap().iter().map(|rule| rule["claim"].clone()).collect::<Vec<_>>()
    };
    assert_eq!([order(&mappings), order(&stage.held()[1])], [["isAdmin", "groups"], ["groups", "isAdmin"]]);

    // Either of the two brings both.
    let only = |more: &str| format!("{}{more}", bare_pool());
    let guest = only("roles = { unauthenticated = 'arn:aws:iam::111122223333:role/guest' }\n");
    assert_eq!(stage.apply(&guest)["Changed"], items(&["roles of POOL"]));
    let [roles, mappings, same] = stage.held();
    assert_eq!(roles, json!({ "unauthenticated": "arn:aws:iam::111122223333:role/guest" }));
    assert_eq!((&mappings, &same), (&Value::Null, &maps), "mappings go, principal tags stay");
    let mapped = only(
        "[[tenant.identity_pool.role_mapping]]\nidentity_provider = 'login.acme'\ntype = 'Token'\n\
         ambiguous_role_resolution = 'Deny'\n",
    );
    assert_eq!(stage.apply(&mapped)["Changed"], items(&["roles of POOL"]));
    let [roles, mappings, _] = stage.held();
    let mapping = json!({ "login.acme": { "source": "Token", "otherwise": "Deny", "rules": null } });
    assert_eq!((roles, mappings), (Value::Null, mapping));
    for removed in ["roles = {}\n", "role_mapping = []\n"] {
        stage.apply(&mapped);
        assert_eq!(stage.apply(&only(removed))["Changed"], items(&["roles of POOL"]));
        assert_eq!(stage.held()[..2], [Value::Null, Value::Null]);
        assert_eq!(counts(&stage.apply(&only(removed))), [0, 0, 3]);
    }

    // Under another of its names, and with what was left out when it was set: the same map.
    stage.sql("update pool_providers set tag_map = '{\"use_defaults\": null}' where login_key = 'idp.example.com'");
    let arn = "arn:aws:iam::111122223333:oidc-provider/idp.example.com";
    let by_arn = only(&format!("[[tenant.identity_pool.principal_tag]]\nidentity_provider_name = '{arn}'\n"));
    assert_eq!(stage.apply(&by_arn)["Left"][2], format!("principal-tags of identity-pool {POOL} {arn}"));
    assert_eq!(counts(&stage.apply(&(by_arn + "use_defaults = true\n"))), [0, 1, 2]);
}

/// The seed before, in and after the two rules that it has.
fn split_rules() -> [&'static str; 4] {
    let rule = "[[tenant.identity_pool.role_mapping.mapping_rule]]";
    let first = SEED.find(rule).unwrap();
    let second = SEED.rfind(rule).unwrap();
    let end = second + SEED[second..].find("[[tenant.identity_pool.role_mapping]]").unwrap();
    [&SEED[..first], &SEED[first..second], &SEED[second..end], &SEED[end..]]
}

/// A seed with something wrong in nearly every section.
const WRONG: &str = r#"[[tenant]]
account_id = "111122223333"
name = "acme"
[[tenant.identity_pool]]
identity_pool_id = "us-east-1:6d03c3ca-918a-4d03-84bd-192d2cb331b8"
identity_pool_name = "web"
developer_provider_name = "login.acme"
supported_login_providers = { "graph.facebook.com" = "1", "www.amazon.com" = "2" }
openid_connect_provider_arns = ["arn:aws:iam::111122223333:oidc-provider/idp.example.com"]
role_mappings = []
[tenant.identity_pool.roles]
authenticated = "admin"
guest = "arn:aws:iam::111122223333:role/x"
[[tenant.identity_pool.role_mapping]]
identity_provider = "nowhere.example.com"
type = "Token"
ambiguous_role_resolution = "Deny"
[[tenant.identity_pool.role_mapping]]
identity_provider = "graph.facebook.com"
type = "token"
[[tenant.identity_pool.role_mapping]]
identity_provider = "graph.facebook.com"
type = "Rules"
ambiguous_role_resolution = "Deny"
[[tenant.identity_pool.role_mapping]]
identity_provider = "graph.facebook.com"
type = "Token"
ambiguous_role_resolution = "Deny"
[[tenant.identity_pool.role_mapping]]
identity_provider = "www.amazon.com"
type = "Rules"
ambiguous_role_resolution = "AuthenticatedRole"
[[tenant.identity_pool.role_mapping.mapping_rule]]
claim = "a"
match_type = "Like"
role_arn = "arn:aws:iam::111122223333:user/x"
[[tenant.identity_pool.role_mapping.mapping_rule]]
claim = "a"
match_type = "Equals"
value = "b"
role = "arn:aws:iam::111122223333:role/x"
[[tenant.identity_pool.role_mapping]]
identity_provider = "idp.example.com"
type = "Rules"
ambiguous_role_resolution = "Deny"
mapping_rule = [
  { claim = "a b", match_type = "Equals", value = "", role_arn = "arn:aws:iam::111122223333:role/x" },
]
[[tenant.identity_pool.role_mapping]]
identity_provider = "login.acme"
type = "Rules"
ambiguous_role_resolution = "Deny"
mapping_rule = [
  { claim = "a", match_type = "Equals", value = "b", role_arn = "arn:aws:iam::111122223333:role/x" },
  { claim = "a", match_type = "Equals", value = "c", role_arn = "arn:aws:iam::111122223333:role/x" },
]
[[tenant.identity_pool.principal_tag]]
identity_provider_name = "nowhere.example.com"
[[tenant.identity_pool.principal_tag]]
identity_provider_name = "idp.example.com"
principal_tags = { "aws:x" = "a" }
[[tenant.identity_pool.principal_tag]]
identity_provider_name = "arn:aws:iam::111122223333:oidc-provider/idp.example.com"
principal_tags = { x = "" }
[[tenant.identity_pool.principal_tag]]
use_defaults = "yes"
principal_tag = {}"#;

#[test]
fn roles_and_principal_tags_that_the_operations_would_refuse_are_refused_with_their_line() {
    let mut stage = stage();
    stage.set("SYMBOLON__LIMITS__RULES_PER_ROLE_MAPPING", "1");
    let told = stage.refuses(3, WRONG);
    for problem in [
        "line 10: tenant.identity_pool.role_mappings: no such field; did you mean tenant.identity_pool.role_mapping?",
        "line 12: tenant.identity_pool.roles.authenticated: must be the ARN of an IAM role: arn:aws:iam::ACCOUNT:role/NAME",
        "line 13: tenant.identity_pool.roles.guest: no such field",
        "line 15: tenant.identity_pool.role_mapping.identity_provider: this identity_pool section has no provider of this \
         name",
        "line 18: tenant.identity_pool.role_mapping.ambiguous_role_resolution: is needed",
        "line 20: tenant.identity_pool.role_mapping.type: must be \"Token\" or \"Rules\"",
        "line 21: tenant.identity_pool.role_mapping: The role mapping of 'graph.facebook.com' is of type Rules and must have",
        "line 26: tenant.identity_pool.role_mapping.identity_provider: stands twice in this pool",
        "line 35: tenant.identity_pool.role_mapping.mapping_rule.match_type: must be \"Equals\", \"Contains\",",
        "line 33: tenant.identity_pool.role_mapping.mapping_rule.value: is needed",
        "line 36: tenant.identity_pool.role_mapping.mapping_rule.role_arn: must be the ARN of an IAM role",
        "line 37: tenant.identity_pool.role_mapping.mapping_rule.role_arn: is needed",
        "line 41: tenant.identity_pool.role_mapping.mapping_rule.role: no such field",
        "line 42: tenant.identity_pool.role_mapping: Value 'a b' at \
         'roleMappings.idp.example.com.member.rulesConfiguration.rules.1.member.claim' failed to satisfy constraint: ",
        "line 42: tenant.identity_pool.role_mapping: Value '' at \
         'roleMappings.idp.example.com.member.rulesConfiguration.rules.1.member.value' failed to satisfy constraint: ",
        "line 49: tenant.identity_pool.role_mapping: The role mapping of 'login.acme' can have at most 1 rules.",
        "line 58: tenant.identity_pool.principal_tag.identity_provider_name: this identity_pool section has no provider of",
        "line 61: tenant.identity_pool.principal_tag.principal_tags: Tag key 'aws:x' begins with",
        "line 63: tenant.identity_pool.principal_tag.identity_provider_name: stands twice in this pool",
        "line 62: tenant.identity_pool.principal_tag: Value '{x=}' at 'principalTags' failed to satisfy constraint: ",
        "line 65: tenant.identity_pool.principal_tag.identity_provider_name: is needed",
        "line 66: tenant.identity_pool.principal_tag.use_defaults: must be true or false",
        "line 67: tenant.identity_pool.principal_tag.principal_tag: no such field",
    ] {
        assert!(told.contains(problem), "{problem}\nis not in\n{told}");
    }
    assert!(told.contains("has 23 problems"), "{told}");
}

#[test]
fn a_pool_has_no_more_role_mappings_than_the_model_allows() {
    let stage = stage();
    let names: Vec<String> = (0..11).map(|number| format!("p{number}.example.com")).collect();
    let arns: Vec<_> = names.iter().map(|name| format!("arn:aws:iam::111122223333:oidc-provider/{name}")).collect();
    let seed = |count: usize| {
        let mapping = "type = 'Token'\nambiguous_role_resolution = 'Deny'\n[[tenant.identity_pool.role_mapping]]\n";
        let mappings: String =
            names[..count].iter().map(|name| format!("identity_provider = '{name}'\n{mapping}")).collect();
        let head = format!(
            "[[tenant]]\naccount_id = '111122223333'\nname = 'acme'\n[[tenant.identity_pool]]\n\
             identity_pool_id = '{POOL}'\nidentity_pool_name = 'web'\nopenid_connect_provider_arns = {arns:?}\n"
        );
        let last = "[[tenant.identity_pool.role_mapping]]\n";
        format!("{head}{last}{}", mappings.strip_suffix(last).unwrap())
    };
    let told = stage.refuses(3, &seed(11));
    assert!(told.contains("line 8: tenant.identity_pool.role_mapping: Value '{"), "{told}");
    assert!(
        told.contains("' at 'roleMappings' failed to satisfy constraint: ") && told.contains("has 1 problem;"),
        "{told}"
    );
    assert_eq!(counts(&stage.apply(&seed(10))), [3, 0, 0]);
}

#[test]
fn a_broker_answers_with_the_roles_and_principal_tags_of_its_seed() {
    let mut stage = Stage::empty();
    stage.unset("SYMBOLON_MASTER_KEY");
    stage.unset("SYMBOLON__ISSUER__URL");
    let seed = stage.file("seed.toml", 0o644, SEED);
    let url = stage.url.clone();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "data"];
    let args = ["dev", "--database-url", &url, "--seed", seed.to_str().unwrap()];
    let broker = stage.broker(&[&args[..], &listen].concat());
    let env = std::fs::read_to_string(stage.folder.path().join("data/env")).unwrap();
    let endpoint = env.lines().find_map(|line| line.strip_prefix("export AWS_ENDPOINT_URL_COGNITO_IDENTITY=")).unwrap();
    let endpoint = endpoint.trim_matches(['"', '\'']);
    tokio::runtime::Runtime::new().unwrap().block_on(the_operations_show_the_seed(endpoint));
    broker.stop();
}

async fn the_operations_show_the_seed(endpoint: &str) {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .empty_test_environment()
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("111122223333", "test", None, None, "dev mode"))
        .load()
        .await;
    let client = Client::new(&config);
    let roles = client.get_identity_pool_roles().identity_pool_id(POOL).send().await.unwrap();
    let by_kind = roles.roles().unwrap();
    assert_eq!(by_kind.len(), 2);
    assert_eq!(by_kind["authenticated"], "arn:aws:iam::111122223333:role/user");
    assert_eq!(by_kind["unauthenticated"], "arn:aws:iam::111122223333:role/path/guest");
    let mappings = roles.role_mappings().unwrap();
    assert_eq!(mappings.len(), 2);
    let social = &mappings["graph.facebook.com"];
    assert_eq!((social.r#type().as_str(), social.rules_configuration()), ("Token", None));
    assert_eq!(social.ambiguous_role_resolution().unwrap().as_str(), "AuthenticatedRole");
    let user_pool = &mappings["cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi:client"];
    assert_eq!(user_pool.r#type().as_str(), "Rules");
    assert_eq!(user_pool.ambiguous_role_resolution().unwrap().as_str(), "Deny");
    let rules: Vec<_> = user_pool.rules_configuration().unwrap().rules().iter().collect();
    let rules: Vec<_> =
        rules.iter().map(|rule| (rule.claim(), rule.match_type().as_str(), rule.value(), rule.role_arn())).collect();
    assert_eq!(
        rules,
        [
            ("isAdmin", "Equals", "paid", "arn:aws:iam::111122223333:role/admin"),
            ("groups", "Contains", "staff", "arn:aws:iam::111122223333:role/staff"),
        ]
    );

    let tags = async |provider: &str| {
        let map =
            client.get_principal_tag_attribute_map().identity_pool_id(POOL).identity_provider_name(provider).send();
        let map = map.await.unwrap();
        let tags = map.principal_tags().unwrap().iter().map(|(tag, claim)| (tag.clone(), claim.clone()));
        (map.use_defaults().unwrap(), tags.collect::<BTreeMap<_, _>>())
    };
    let own = [("site", "site"), ("team", "custom:team")].map(|(tag, claim)| (tag.to_owned(), claim.to_owned()));
    assert_eq!(tags("idp.example.com").await, (false, own.into()));
    assert_eq!(tags("login.acme").await, (true, [].into()));
}
