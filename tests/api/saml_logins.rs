//! SAML responses as logins, from `GetId` to a token: whose provider, what becomes of attributes, and that nothing is
//! taken twice.

use serde_json::{Value, json};
use symbolon::config::Config;
use symbolon::identities::taken;

use crate::client::{Answer, Broker, Developer, Visitor, broker_with};
use crate::federation::{NOT_SUPPORTED, claims};
use crate::harness::{self, DEVELOPER};
use crate::idp::Idp;
use crate::other_sts::OtherSts;

const REPLAYED: &str =
    "Invalid login token. This SAML assertion was taken by the operation before; sign in at the provider again.";
const ENTITY: &str = "https://idp.example.com/saml";

struct Saml {
    broker: Broker,
    developer: Developer,
    visitor: Visitor,
    idp: Idp,
    pool: String,
    arn: String,
}

fn now() -> i64 {
    symbolon::clock::Clock::System.wall().unix_timestamp()
}

async fn declare(developer: &Developer, name: &str, idp: &Idp) {
    let metadata = idp.metadata();
    developer.iam("CreateSAMLProvider", &[("Name", name), ("SAMLMetadataDocument", &metadata)]).await.ok();
}

async fn saml() -> Saml {
    saml_with(|_| {}).await
}

async fn saml_with(change: impl FnOnce(&mut Config)) -> Saml {
    let broker = broker_with(change).await;
    let (developer, visitor, idp) = (broker.developer(1), broker.visitor(), Idp::rsa(ENTITY, 0));
    declare(&developer, "okta", &idp).await;
    let arn = "arn:aws:iam::000000000001:saml-provider/okta".to_owned();
    let mut made = Saml { broker, developer, visitor, idp, pool: String::new(), arn };
    made.pool = made.pool_with(&[&made.arn]).await;
    made
}

impl Saml {
    async fn pool_with(&self, arns: &[&str]) -> String {
        let body = json!({ "IdentityPoolName": "saml", "AllowUnauthenticatedIdentities": true,
                           "DeveloperProviderName": DEVELOPER, "SamlProviderARNs": arns });
        self.developer.call("CreateIdentityPool", body).await.member("IdentityPoolId")
    }

    fn logins(&self, response: &str) -> Value {
        json!({ &self.arn: response })
    }

    async fn get_id(&self, response: &str) -> Answer {
        self.visitor.call("GetId", json!({ "IdentityPoolId": self.pool, "Logins": self.logins(response) })).await
    }

    async fn of_identity(&self, operation: &str, identity: &str, response: &str) -> Answer {
        let mut body = json!({ "IdentityId": identity, "Logins": self.logins(response) });
        if operation == "UnlinkIdentity" {
            body["LoginsToRemove"] = json!(["graph.facebook.com"]);
        }
        self.visitor.call(operation, body).await
    }

    async fn developer_token(&self, response: &str) -> Answer {
        let mut logins = self.logins(response);
        logins[DEVELOPER] = json!("backend-ann");
        let body = json!({ "IdentityPoolId": self.pool, "Logins": logins });
        self.developer.call("GetOpenIdTokenForDeveloperIdentity", body).await
    }

    async fn taken(&self) -> i64 {
        harness::count(&mut *self.broker.db.conn().await, "select count(*) from saml_assertions").await
    }
}

#[tokio::test]
async fn a_response_finds_its_users_identity_and_gets_its_token() {
    let at = saml().await;
    let ann = at.get_id(&at.idp.login("ann", now())).await.member("IdentityId");
    assert_eq!(at.get_id(&at.idp.login("ann", now())).await.member("IdentityId"), ann);
    assert_ne!(at.get_id(&at.idp.login("bob", now())).await.member("IdentityId"), ann);
    let answer = at.of_identity("GetOpenIdToken", &ann, &at.idp.login("ann", now())).await;
    let token = claims(&answer.member("Token"));
    assert_eq!(token["amr"], json!(["authenticated", at.arn, format!("{}:SAML:ann", at.arn)]));
    let described = at.developer.call("DescribeIdentity", json!({ "IdentityId": ann })).await.ok();
    assert_eq!(described.json["Logins"], json!([at.arn]));
    // Another user's response does not open it, and what is stored tells nobody's name.
    let refused = at.of_identity("GetOpenIdToken", &ann, &at.idp.login("bob", now())).await;
    assert_eq!(refused.exception(), "NotAuthorizedException");
    let rows = harness::dump(&mut *at.broker.db.conn().await, &["logins", "saml_assertions"]).await.join("\n");
    assert!(!rows.contains("ann") && !rows.contains("bob"), "{rows}");
}

#[tokio::test]
async fn one_response_serves_each_operation_once() {
    let at = saml().await;
    let response = at.idp.login("ann", now());
    let ann = at.get_id(&response).await.member("IdentityId");
    at.get_id(&response).await.refused("NotAuthorizedException", REPLAYED);
    at.of_identity("GetOpenIdToken", &ann, &response).await.ok();
    at.of_identity("GetOpenIdToken", &ann, &response).await.refused("NotAuthorizedException", REPLAYED);
    // No role is set: that far it comes, and no further the second time.
    let first = at.of_identity("GetCredentialsForIdentity", &ann, &response).await;
    assert_eq!(first.exception(), "InvalidIdentityPoolConfigurationException");
    let second = at.of_identity("GetCredentialsForIdentity", &ann, &response).await;
    second.refused("NotAuthorizedException", REPLAYED);
    at.of_identity("UnlinkIdentity", &ann, &response).await.ok();
    at.of_identity("UnlinkIdentity", &ann, &response).await.refused("NotAuthorizedException", REPLAYED);
    at.developer_token(&response).await.ok();
    at.developer_token(&response).await.refused("NotAuthorizedException", REPLAYED);
    assert_eq!(at.taken().await, 5);
    // The same assertion around which another response was put, signed or not, is the same.
    let text = String::from_utf8(base64(&response)).unwrap();
    let again = text.replacen("<samlp:Response ", "<samlp:Response Consent=\"x\" ", 1);
    at.get_id(&crate::idp::login(&again)).await.refused("NotAuthorizedException", REPLAYED);
    // A new one is another.
    assert_eq!(at.get_id(&at.idp.login("ann", now())).await.member("IdentityId"), ann);
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn of_many_who_bring_one_response_at_once_one_is_let_in() {
    let at = saml().await;
    let response = at.idp.login("ann", now());
    let answers = futures_util::future::join_all((0..8).map(|_| at.get_id(&response))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused("NotAuthorizedException", REPLAYED);
    }
    assert_eq!(harness::count(&mut *at.broker.db.conn().await, "select count(*) from identities").await, 1);
}

#[tokio::test]
async fn a_response_that_does_not_hold_takes_nothing_and_makes_nobody() {
    let at = saml().await;
    let forged = Idp::rsa(ENTITY, 1).login("ann", now());
    at.get_id(&forged).await.refused("NotAuthorizedException", "Invalid login token. Couldn't verify signed token.");
    let text = "Invalid login token. Not a SAML response: send samlp:Response in base64.";
    at.get_id("eyJhbGciOiJSUzI1NiJ9.e30.AAAA").await.refused("NotAuthorizedException", text);
    let expired = at.get_id(&at.idp.login("ann", now() - 700)).await;
    assert!(expired.text.contains("Invalid login token. Token expired: "), "{expired:?}");
    assert_eq!(at.taken().await, 0);
    assert_eq!(harness::count(&mut *at.broker.db.conn().await, "select count(*) from identities").await, 0);
    // Nor does a good one beside a login that does not hold: the user may use it then.
    let response = at.idp.login("ann", now());
    let both = json!({ &at.arn: response, "accounts.google.com": "x" });
    let body = json!({ "IdentityPoolId": at.pool, "Logins": both });
    at.visitor.call("GetId", body).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    assert_eq!(at.taken().await, 0);
    at.get_id(&response).await.ok();
}

#[tokio::test]
async fn a_provider_counts_for_pools_of_its_tenant_that_name_it() {
    let at = saml().await;
    let response = || at.idp.login("ann", now());
    let ask = async |pool: &str, key: &str| {
        let body = json!({ "IdentityPoolId": pool, "Logins": { key: response() } });
        at.visitor.call("GetId", body).await
    };
    // Named by another tenant's pool, it is not that tenant's, even if that has one of the same name and key.
    let stranger = at.broker.developer(2);
    let body = json!({ "IdentityPoolName": "x", "AllowUnauthenticatedIdentities": true, "SamlProviderARNs": [at.arn] });
    let theirs = stranger.call("CreateIdentityPool", body).await.member("IdentityPoolId");
    ask(&theirs, &at.arn).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    declare(&stranger, "okta", &at.idp).await;
    ask(&theirs, &at.arn).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    // Not declared, or not named by the pool.
    let missing = "arn:aws:iam::000000000001:saml-provider/missing";
    ask(&at.pool_with(&[missing]).await, missing).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    ask(&at.pool_with(&[]).await, &at.arn).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    // Terraform can leave the account out.
    let short = "arn:aws:iam:::saml-provider/okta";
    ask(&at.pool_with(&[short]).await, short).await.ok();
    // Once deleted, it counts no more; declared again with another key, neither do its old responses.
    at.developer.iam("DeleteSAMLProvider", &[("SAMLProviderArn", &at.arn)]).await.ok();
    ask(&at.pool, &at.arn).await.refused("NotAuthorizedException", NOT_SUPPORTED);
    declare(&at.developer, "okta", &Idp::rsa(ENTITY, 1)).await;
    let text = "Invalid login token. Couldn't verify signed token.";
    ask(&at.pool, &at.arn).await.refused("NotAuthorizedException", text);
}

#[tokio::test]
async fn new_metadata_counts_at_once_and_the_old_key_no_more() {
    let at = saml().await;
    let other = Idp::p256(ENTITY);
    let update = |metadata: String| {
        let (developer, arn) = (&at.developer, &at.arn);
        async move {
            let parameters = [("SAMLProviderArn", arn.as_str()), ("SAMLMetadataDocument", &metadata)];
            developer.iam("UpdateSAMLProvider", &parameters).await.ok();
        }
    };
    let keys =
        |idps: &[&Idp]| idps.iter().map(|idp| crate::idp::key_descriptor("", &idp.certificate)).collect::<String>();
    update(at.idp.metadata_with("", &keys(&[&at.idp, &other]))).await;
    at.get_id(&at.idp.login("ann", now())).await.ok();
    update(at.idp.metadata_with("", &keys(&[&other]))).await;
    at.get_id(&at.idp.login("ann", now()))
        .await
        .refused("NotAuthorizedException", "Invalid login token. Couldn't verify signed token.");
}

#[tokio::test]
async fn attributes_become_principal_tags() {
    let at = saml().await;
    let set = async |use_defaults: bool, tags: Value| {
        let body = json!({ "IdentityPoolId": at.pool, "IdentityProviderName": at.arn,
                           "UseDefaults": use_defaults, "PrincipalTags": tags });
        at.developer.call("SetPrincipalTagAttributeMap", body).await.ok();
    };
    let ann = at.get_id(&at.idp.login("ann", now())).await.member("IdentityId");
    let tags = async || {
        let answer = at.of_identity("GetOpenIdToken", &ann, &at.idp.login("ann", now())).await;
        claims(&answer.member("Token"))["https://aws.amazon.com/tags"]["principal_tags"].clone()
    };
    set(false, json!({ "team": "team", "user": "sub", "for": "aud", "by": "iss", "none": "none" })).await;
    let expected = json!({ "team": ["blue"], "user": ["ann"], "for": ["urn:amazon:webservices"], "by": [ENTITY] });
    assert_eq!(tags().await, expected);
    // The provider gives no attribute of the other name, so that the default mapping makes one tag.
    set(true, json!({})).await;
    assert_eq!(tags().await, json!({ "client": ["ann"] }));
}

#[tokio::test]
async fn attributes_choose_the_role_of_credentials() {
    let sts = OtherSts::start().await;
    let at = saml_with(|config| config.credentials.sts_endpoint.clone_from(&sts.url)).await;
    let role = |name: &str| format!("arn:aws:iam::000000000001:role/{name}");
    let rule = |value: &str, name: &str| json!({ "Claim": "team", "MatchType": "Equals", "Value": value, "RoleARN": role(name) });
    let mapping = json!({ "Type": "Rules", "AmbiguousRoleResolution": "Deny",
                          "RulesConfiguration": { "Rules": [rule("red", "red"), rule("blue", "blue")] } });
    let body = json!({ "IdentityPoolId": at.pool, "Roles": { "authenticated": role("user") },
                       "RoleMappings": { &at.arn: mapping } });
    at.developer.call("SetIdentityPoolRoles", body).await.ok();
    // As AWS's clients do: the same response for both.
    let response = at.idp.login("ann", now());
    let ann = at.get_id(&response).await.member("IdentityId");
    at.of_identity("GetCredentialsForIdentity", &ann, &response).await.ok();
    assert_eq!(sts.asked().last().unwrap().form["RoleArn"], role("blue"));
    let green = at.idp.assertion("ann", now()).replace(">blue<", ">green<");
    let green = at.idp.response(&at.idp.sign(&green, &crate::idp::How::default()), now()).replace(crate::idp::MARK, "");
    let refused = at.of_identity("GetCredentialsForIdentity", &ann, &crate::idp::login(&green)).await;
    assert_eq!(refused.exception(), "NotAuthorizedException", "{refused:?}");
    assert!(refused.text.contains("ole mapping") && refused.text.contains(&at.arn), "{refused:?}");
    assert_eq!(sts.asked().len(), 1);
}

#[tokio::test]
async fn what_was_taken_is_forgotten_an_hour_after_it_expired_and_not_before() {
    let at = saml().await;
    at.get_id(&at.idp.login("ann", now())).await.ok();
    at.get_id(&at.idp.login("bob", now())).await.ok();
    let mut conn = at.broker.db.conn().await;
    assert_eq!(taken::sweep(&mut conn).await.unwrap(), 0);
    let age = |minutes: i32| {
        format!(
            "update saml_assertions set expires_at = clock_timestamp() - interval '{minutes} minutes'
                 where assertion = (select assertion from saml_assertions order by 1 limit 1)"
        )
    };
    for (minutes, swept) in [(59, 0), (61, 1)] {
        sqlx::query(sqlx::AssertSqlSafe(age(minutes))).execute(&mut *conn).await.unwrap();
        assert_eq!(taken::sweep(&mut conn).await.unwrap(), swept, "{minutes}");
    }
    drop(conn);
    assert_eq!(at.taken().await, 1);
}

#[tokio::test]
async fn a_call_that_is_tried_again_finds_what_it_has_taken() {
    let at = saml().await;
    let pool = symbolon::ids::PoolId::parse(&at.pool).unwrap();
    let mut conn = at.broker.db.conn().await;
    let pool = symbolon::pools::Pool::find_public(&mut conn, &pool).await.unwrap().unwrap();
    let names = ["okta".to_owned()];
    let saml = symbolon::iam::SamlProvider::of_names(&mut conn, &at.developer.account, &names).await.unwrap();
    let declared = symbolon::upstream::Declared { saml, ..Default::default() };
    let trust = symbolon::upstream::Trust::of(&pool, &at.arn, &declared).unwrap();
    let verified = at.broker.app.upstream.verify(vec![(trust, at.idp.login("ann", now()))]).await.unwrap();
    let call = || taken::Call::new(&at.developer.account, "GetId").unwrap();
    let first = call();
    for _ in 0..3 {
        taken::take(&mut conn, first, &verified).await.unwrap();
    }
    let other = taken::Call { operation: "GetOpenIdToken", ..call() };
    taken::take(&mut conn, other, &verified).await.unwrap();
    assert!(taken::take(&mut conn, call(), &verified).await.unwrap_err().to_string().contains("taken before"));
}
