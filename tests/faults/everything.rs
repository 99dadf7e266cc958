//! A client that uses every operation there is, and keeps every secret that it gives and gets.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use symbolon::clock::Clock;

use crate::broker::Broker;
use crate::client::{self, Answer, Client, PROVIDER};
use crate::database::ACCOUNT;
use crate::forms::{Caller, element, sts_unsigned};
use crate::idp::{self, Idp};
use crate::issuer::Issuer;
use crate::needles::Needles;

/// The client of the issuer that tokens are for.
pub const CLIENT: &str = "a-client";

/// The one access key, both ways of asking with it, and what was seen.
pub struct Everything<'a> {
    pub url: String,
    pub client: Client,
    pub caller: Caller,
    pub issuer: &'a Issuer,
    pub needles: &'a mut Needles,
    /// Every operation that succeeded.
    pub called: &'a mut BTreeSet<String>,
}

impl Everything<'_> {
    async fn call(&mut self, operation: &str, body: Value) -> Answer {
        let answer = self.client.call(&self.url, operation, &body).await;
        self.succeeded(operation, answer)
    }

    async fn open(&mut self, operation: &str, body: Value) -> Answer {
        let answer = client::call_unsigned(&self.url, operation, &body).await;
        self.succeeded(operation, answer)
    }

    fn succeeded(&mut self, operation: &str, answer: Answer) -> Answer {
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        self.called.insert(operation.to_owned());
        answer
    }

    async fn iam(&mut self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let answer = self.caller.iam(&self.url, action, parameters).await;
        self.succeeded(action, answer)
    }

    /// The token of an answer, which is a secret.
    fn token(&mut self, answer: &Answer) -> String {
        let token = answer.member("Token");
        self.needles.add_token("OpenID tokens", &token);
        token
    }

    fn page(&mut self, answer: &Answer) -> String {
        let token = answer.member("NextToken");
        self.needles.add("page tokens", &token);
        token
    }

    /// Of a session: secrets both.
    fn session(&mut self, key: &str, secret: &str, token: &str) -> Caller {
        self.needles.add("session secrets", secret);
        self.needles.add("session tokens", token);
        Caller::of_session(key, secret, token)
    }

    /// Uses everything, and is refused a few things.
    pub async fn use_it(&mut self, broker: &Broker) {
        self.url.clone_from(&broker.url);
        let (oidc, saml, idp) = self.providers().await;
        let pool = self.pools(&oidc, &saml).await;
        self.roles(&pool).await;
        self.identities(&pool, &saml, &idp).await;
        self.sessions(&pool).await;
        self.refusals(&pool).await;
        self.deletions(&oidc, &saml, &pool).await;
    }

    async fn providers(&mut self) -> (String, String, Idp) {
        let parameters = [("Url", "https://idp.example.com"), ("ClientIDList.member.1", CLIENT)];
        let made = self.iam("CreateOpenIDConnectProvider", &parameters).await;
        let oidc = element(&made, "OpenIDConnectProviderArn");
        let arn = ("OpenIDConnectProviderArn", oidc.as_str());
        let client = ("ClientID", "another");
        self.iam("AddClientIDToOpenIDConnectProvider", &[arn, client]).await;
        self.iam("RemoveClientIDFromOpenIDConnectProvider", &[arn, client]).await;
        let thumbprint = ("ThumbprintList.member.1", "0123456789012345678901234567890123456789");
        self.iam("UpdateOpenIDConnectProviderThumbprint", &[arn, thumbprint]).await;
        self.tags("OpenIDConnectProvider", arn).await;
        self.iam("GetOpenIDConnectProvider", &[arn]).await;
        self.iam("ListOpenIDConnectProviders", &[]).await;

        let idp = Idp::rsa("https://idp.example.com/saml", 0);
        let metadata = idp.metadata();
        let document = ("SAMLMetadataDocument", metadata.as_str());
        let made = self.iam("CreateSAMLProvider", &[("Name", "idp"), document]).await;
        let saml = element(&made, "SAMLProviderArn");
        let arn = ("SAMLProviderArn", saml.as_str());
        self.iam("UpdateSAMLProvider", &[arn, document]).await;
        self.tags("SAMLProvider", arn).await;
        self.iam("GetSAMLProvider", &[arn]).await;
        self.iam("ListSAMLProviders", &[]).await;
        (oidc, saml, idp)
    }

    async fn tags(&mut self, of: &str, named: (&str, &str)) {
        let tag = [named, ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "web")];
        self.iam(&format!("Tag{of}"), &tag).await;
        self.iam(&format!("List{of}Tags"), &[named]).await;
        self.iam(&format!("Untag{of}"), &[named, ("TagKeys.member.1", "team")]).await;
    }

    async fn pools(&mut self, oidc: &str, saml: &str) -> String {
        let real = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{}/a", self.issuer.login_key());
        let mut pool = json!({
            "IdentityPoolName": "everything", "AllowUnauthenticatedIdentities": true, "AllowClassicFlow": true,
            "DeveloperProviderName": PROVIDER, "OpenIdConnectProviderARNs": [oidc, real], "SamlProviderARNs": [saml],
        });
        let id = self.call("CreateIdentityPool", pool.clone()).await.member("IdentityPoolId");
        self.call("CreateIdentityPool", json!({ "IdentityPoolName": "b", "AllowUnauthenticatedIdentities": true }))
            .await;
        pool["IdentityPoolId"] = json!(id);
        self.call("UpdateIdentityPool", pool).await;
        let named = json!({ "IdentityPoolId": id });
        self.call("DescribeIdentityPool", named.clone()).await;
        let first = self.call("ListIdentityPools", json!({ "MaxResults": 1 })).await;
        let token = self.page(&first);
        self.call("ListIdentityPools", json!({ "MaxResults": 1, "NextToken": token })).await;
        let arn = format!("arn:aws:cognito-identity:us-east-1:{ACCOUNT}:identitypool/{id}");
        self.call("TagResource", json!({ "ResourceArn": arn, "Tags": { "team": "web" } })).await;
        self.call("ListTagsForResource", json!({ "ResourceArn": arn })).await;
        self.call("UntagResource", json!({ "ResourceArn": arn, "TagKeys": ["team"] })).await;
        let provider = format!("{}/a", self.issuer.login_key());
        let tags =
            json!({ "IdentityPoolId": id, "IdentityProviderName": provider, "PrincipalTags": { "team": "sub" } });
        self.call("SetPrincipalTagAttributeMap", tags).await;
        let asked = json!({ "IdentityPoolId": id, "IdentityProviderName": provider });
        self.call("GetPrincipalTagAttributeMap", asked).await;
        id
    }

    async fn roles(&mut self, pool: &str) {
        let trust = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
            "Principal": { "Federated": "cognito-identity.amazonaws.com" },
            "Condition": { "StringEquals": { "cognito-identity.amazonaws.com:aud": pool } } } });
        let trust = trust.to_string();
        let role = ("RoleName", "app");
        self.iam("CreateRole", &[role, ("AssumeRolePolicyDocument", &trust)]).await;
        self.iam("UpdateAssumeRolePolicy", &[role, ("PolicyDocument", &trust)]).await;
        self.iam("UpdateRole", &[role, ("Description", "an app")]).await;
        self.iam("UpdateRoleDescription", &[role, ("Description", "the app")]).await;
        self.tags("Role", role).await;
        self.iam("GetRole", &[role]).await;
        self.iam("ListRoles", &[]).await;
        for list in ["ListRolePolicies", "ListAttachedRolePolicies", "ListInstanceProfilesForRole"] {
            self.iam(list, &[role]).await;
        }
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/app");
        let roles = json!({ "authenticated": arn, "unauthenticated": arn });
        self.call("SetIdentityPoolRoles", json!({ "IdentityPoolId": pool, "Roles": roles })).await;
        self.call("GetIdentityPoolRoles", json!({ "IdentityPoolId": pool })).await;
    }

    /// A token of the issuer's for this user: a secret of its user's.
    fn upstream_token(&mut self, user: &str) -> Value {
        let mut claims = self.issuer.claims(user, CLIENT);
        claims["iss"] = json!(format!("{}/a", self.issuer.url()));
        let token = self.issuer.token_with(&claims);
        self.needles.add_token("tokens of other providers", &token);
        json!({ format!("{}/a", self.issuer.login_key()): token })
    }

    async fn identities(&mut self, pool: &str, saml: &str, idp: &Idp) {
        let guest = self.open("GetId", json!({ "IdentityPoolId": pool })).await.member("IdentityId");
        let answer = self.open("GetOpenIdToken", json!({ "IdentityId": guest })).await;
        self.token(&answer);
        let logins = self.upstream_token("ann");
        let ann = self.open("GetId", json!({ "IdentityPoolId": pool, "Logins": logins })).await.member("IdentityId");
        let answer = self.open("GetOpenIdToken", json!({ "IdentityId": ann, "Logins": logins })).await;
        self.token(&answer);
        let document = idp.document("eve", Clock::System.wall().unix_timestamp());
        let login = idp::login(&document);
        self.needles.add("SAML responses", &login);
        self.needles.add("SAML responses", &document);
        let value = document.split_once("<ds:SignatureValue>").unwrap().1.split_once('<').unwrap().0;
        self.needles.add("SAML responses", value);
        self.open("GetId", json!({ "IdentityPoolId": pool, "Logins": { saml: login } })).await;

        for user in ["one-of-them", "two-of-them", "three-of-them"] {
            let answer = self
                .call(
                    "GetOpenIdTokenForDeveloperIdentity",
                    json!({ "IdentityPoolId": pool, "Logins": { PROVIDER: user } }),
                )
                .await;
            self.token(&answer);
        }
        let merge = json!({ "IdentityPoolId": pool, "DeveloperProviderName": PROVIDER,
                            "SourceUserIdentifier": "two-of-them", "DestinationUserIdentifier": "one-of-them" });
        let one = self.call("MergeDeveloperIdentities", merge).await.member("IdentityId");
        let asked = json!({ "IdentityPoolId": pool, "IdentityId": one, "MaxResults": 1 });
        let first = self.call("LookupDeveloperIdentity", asked).await;
        self.page(&first);
        let unlink = json!({ "IdentityPoolId": pool, "IdentityId": one, "DeveloperProviderName": PROVIDER,
                             "DeveloperUserIdentifier": "two-of-them" });
        self.call("UnlinkDeveloperIdentity", unlink).await;
        let logins = self.upstream_token("ann");
        let keys: Vec<String> = logins.as_object().unwrap().keys().cloned().collect();
        self.open("UnlinkIdentity", json!({ "IdentityId": ann, "Logins": logins, "LoginsToRemove": keys })).await;
        self.call("DescribeIdentity", json!({ "IdentityId": one })).await;
        let first = self.call("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 1 })).await;
        let token = self.page(&first);
        let next = json!({ "IdentityPoolId": pool, "MaxResults": 1, "NextToken": token });
        let second = self.call("ListIdentities", next).await;
        self.page(&second);
    }

    async fn sessions(&mut self, pool: &str) {
        let guest = self.open("GetId", json!({ "IdentityPoolId": pool })).await.member("IdentityId");
        let given = self.open("GetCredentialsForIdentity", json!({ "IdentityId": guest })).await;
        let of = |name: &str| given.json["Credentials"][name].as_str().unwrap().to_owned();
        let session = self.session(&of("AccessKeyId"), &of("SecretKey"), &of("SessionToken"));
        self.says_who_it_is(&session).await;

        let user = json!({ "IdentityPoolId": pool, "Logins": { PROVIDER: "four-of-them" } });
        let answer = self.call("GetOpenIdTokenForDeveloperIdentity", user).await;
        let token = self.token(&answer);
        let role = format!("arn:aws:iam::{ACCOUNT}:role/app");
        let asked = [("RoleArn", role.as_str()), ("RoleSessionName", "app"), ("WebIdentityToken", token.as_str())];
        let answer = sts_unsigned(&self.url, "AssumeRoleWithWebIdentity", &asked).await;
        let answer = self.succeeded("AssumeRoleWithWebIdentity", answer);
        let of = |name: &str| element(&answer, name);
        let session = self.session(&of("AccessKeyId"), &of("SecretAccessKey"), &of("SessionToken"));
        self.says_who_it_is(&session).await;
        let caller = self.caller.clone();
        self.says_who_it_is(&caller).await;
    }

    async fn says_who_it_is(&mut self, caller: &Caller) {
        let answer = caller.who(&client::http(), &self.url).await.unwrap();
        self.succeeded("GetCallerIdentity", answer);
    }

    /// Refusals are logged: with good secrets in bad places, and bad ones that are nearly good.
    async fn refusals(&mut self, pool: &str) {
        let url = self.url.clone();
        let user = json!({ "IdentityPoolId": pool, "Logins": { PROVIDER: "five-of-them" } });
        let answer = self.call("GetOpenIdTokenForDeveloperIdentity", user).await;
        let token = self.token(&answer);
        let own = json!({ "IdentityPoolId": pool, "Logins": { "cognito-identity.amazonaws.com": token } });
        let foreign = self.upstream_token("bob");
        let (key, value) = foreign.as_object().unwrap().iter().next().unwrap();
        let altered = value.as_str().unwrap().replacen('.', ".x", 1);
        let reversed: String = self.caller.secret.chars().rev().collect();
        let session = self.caller.clone();
        let refused = [
            client::call_unsigned(&url, "GetId", &own).await,
            client::call_unsigned(&url, "GetId", &json!({ "IdentityPoolId": pool, "Logins": { key: altered } })).await,
            client::call_unsigned(&url, "GetId", &json!({ "IdentityPoolId": pool, "Logins": { "a.example": value } }))
                .await,
            client::call_unsigned(&url, "GetOpenIdToken", &json!({ "IdentityId": token, "Logins": foreign })).await,
            Client::new(&self.caller.key, &reversed).token(&url, pool, "six-of-them").await,
            Client::new(&self.caller.secret.replace(['/', '+'], "A"), &reversed).token(&url, pool, "six-of-them").await,
            self.client.call(&url, "ListIdentityPools", &json!({ "MaxResults": 1, "NextToken": token })).await,
        ];
        for answer in refused {
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        let asked = [("RoleArn", "arn:aws:iam::999999999999:role/x"), ("RoleSessionName", "app")];
        let asked = [&asked[..], &[("WebIdentityToken", token.as_str())]].concat();
        assert_ne!(sts_unsigned(&url, "AssumeRoleWithWebIdentity", &asked).await.status, 200);
        let wrong = Caller { secret: reversed, ..session };
        assert_ne!(wrong.who(&client::http(), &url).await.unwrap().status, 200);
    }

    async fn deletions(&mut self, oidc: &str, saml: &str, pool: &str) {
        let listed = self.call("ListIdentities", json!({ "IdentityPoolId": pool, "MaxResults": 60 })).await;
        let some = listed.json["Identities"][0]["IdentityId"].clone();
        self.call("DeleteIdentities", json!({ "IdentityIdsToDelete": [some] })).await;
        self.call("DeleteIdentityPool", json!({ "IdentityPoolId": pool })).await;
        self.iam("DeleteRole", &[("RoleName", "app")]).await;
        self.iam("DeleteOpenIDConnectProvider", &[("OpenIDConnectProviderArn", oidc)]).await;
        self.iam("DeleteSAMLProvider", &[("SAMLProviderArn", saml)]).await;
    }
}
