//! What a pool trusts under a login key: an issuer, how its logins are proven, and the clients that its tokens may have
//! been made for.

use super::social::Provider;
use crate::iam::{OidcProvider, SamlProvider};
use crate::ids::AccountId;
use crate::pools::Pool;

/// The kinds of providers, as ARNs have them.
const OPENID_CONNECT: &str = "oidc-provider";
const SAML: &str = "saml-provider";

/// Google and Apple sign people in with ID tokens; the other social providers are asked about theirs.
const SOCIAL: [&str; 2] = ["accounts.google.com", "appleid.apple.com"];

/// The issuer behind a login key, and the clients that are configured for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The tenant: what is fetched for one is not used for another.
    pub account_id: AccountId,
    /// The key in `Logins`: the issuer without its scheme.
    pub login_key: String,
    /// How a login is proven.
    pub proof: Proof,
    /// The clients, one at least; none of a SAML provider, whose audiences are those of the installation.
    pub audiences: Vec<Audience>,
}

/// How a login of a provider is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By an ID token, which the issuer has signed.
    IdToken,
    /// By an opaque token, about which the provider is asked.
    OpaqueToken(Provider),
    /// By a SAML response, which the provider has signed.
    SamlResponse(Box<Saml>),
}

/// A SAML provider of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saml {
    /// Its ARN, with the account.
    pub arn: String,
    /// What was declared.
    pub provider: SamlProvider,
}

/// What a tenant has declared in IAM under the login keys in question.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// OpenID Connect providers.
    pub openid_connect: Vec<OidcProvider>,
    /// SAML providers.
    pub saml: Vec<SamlProvider>,
}

/// A client of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// What the token's `aud` or `azp` must be.
    pub client_id: String,
    /// How the pool has it.
    pub kind: Kind,
}

/// How a pool has a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OpenID Connect provider declared in IAM.
    OpenIdConnect {
        /// Its ARN.
        arn: String,
    },
    /// A Cognito user pool.
    UserPool {
        /// Whether the user pool itself is asked about each token.
        server_side_token_check: bool,
    },
    /// A social provider, by its application.
    Social,
    /// A SAML provider declared in IAM.
    Saml {
        /// Its ARN.
        arn: String,
    },
}

impl Trust {
    /// What the pool trusts under `login_key`; nothing if no provider of it signs people in under this key. Where the
    /// pool names an application of a provider that is asked about its tokens, that alone counts.
    #[must_use]
    pub fn of(pool: &Pool, login_key: &str, declared: &Declared) -> Option<Self> {
        let providers = &pool.settings.providers;
        let trust = |proof, audiences: Vec<Audience>| {
            let (account_id, login_key) = (pool.account_id.clone(), login_key.to_owned());
            (!audiences.is_empty()).then_some(Self { account_id, login_key, proof, audiences })
        };
        let social = |client_id| Audience { client_id, kind: Kind::Social };
        if let Some(value) = providers.supported_logins.get(login_key)
            && Provider::has_key(login_key)
        {
            let (provider, ids) = Provider::of(login_key, value)?;
            return trust(Proof::OpaqueToken(provider), ids.into_iter().map(social).collect());
        }
        if let Some(name) = saml_name(pool, login_key) {
            let provider = declared.saml.iter().find(|provider| provider.name == name)?.clone();
            let proof = Proof::SamlResponse(Box::new(Saml { arn: provider_arn(pool, SAML, name), provider }));
            let (account_id, login_key) = (pool.account_id.clone(), login_key.to_owned());
            return Some(Self { account_id, login_key, proof, audiences: Vec::new() });
        }
        let mut audiences = Vec::new();
        if SOCIAL.contains(&login_key)
            && let Some(ids) = providers.supported_logins.get(login_key)
        {
            let clients = ids.split(';').filter(|id| !id.is_empty());
            audiences.extend(clients.map(|id| social(id.to_owned())));
        }
        for arn in &providers.openid_connect_arns {
            let Some(key) = own_provider(pool, OPENID_CONNECT, arn) else { continue };
            for provider in declared.openid_connect.iter().filter(|provider| provider.url == key && key == login_key) {
                let arn = provider_arn(pool, OPENID_CONNECT, key);
                audiences.extend(
                    provider
                        .client_ids
                        .iter()
                        .map(|id| Audience { client_id: id.clone(), kind: Kind::OpenIdConnect { arn: arn.clone() } }),
                );
            }
        }
        for client in providers.user_pools.iter().filter(|client| client.provider_name == login_key) {
            let kind = Kind::UserPool { server_side_token_check: client.server_side_token_check == Some(true) };
            audiences.push(Audience { client_id: client.client_id.clone(), kind });
        }
        trust(Proof::IdToken, audiences)
    }
}

/// The name of the SAML provider whose ARN a login key is, if the pool has it and its tenant can own it.
#[must_use]
pub fn saml_name<'a>(pool: &Pool, login_key: &'a str) -> Option<&'a str> {
    let is_configured = pool.settings.providers.saml_arns.iter().any(|arn| arn == login_key);
    own_provider(pool, SAML, login_key).filter(|_| is_configured)
}

/// The end of the ARN of a provider of the pool's own tenant: a URL or a name. Terraform can leave the account out.
fn own_provider<'a>(pool: &Pool, kind: &str, arn: &'a str) -> Option<&'a str> {
    let (head, rest) = arn.split_once(kind)?;
    let ["arn", _, "iam", "", account, ""] = head.split(':').collect::<Vec<_>>()[..] else { return None };
    rest.strip_prefix('/').filter(|_| account.is_empty() || account == pool.account_id.as_str())
}

fn provider_arn(pool: &Pool, kind: &str, end: &str) -> String {
    format!("arn:{}:iam::{}:{kind}/{end}", pool.id.region.partition(), pool.account_id)
}
