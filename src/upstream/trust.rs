//! What a pool trusts under a login key: an issuer, how its logins are proven, and the clients that its tokens may have
//! been made for.

use super::social::Provider;
use crate::iam::OidcProvider;
use crate::ids::AccountId;
use crate::pools::Pool;

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
    /// The clients, one at least.
    pub audiences: Vec<Audience>,
}

/// How a login of a provider is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By an ID token, which the issuer has signed.
    IdToken,
    /// By an opaque token, about which the provider is asked.
    OpaqueToken(Provider),
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
}

impl Trust {
    /// What the pool trusts under `login_key`; nothing if no provider of it signs people in under this key. Where the
    /// pool names an application of a provider that is asked about its tokens, that alone counts.
    /// `declared` are the tenant's OpenID Connect providers of the keys in question.
    #[must_use]
    pub fn of(pool: &Pool, login_key: &str, declared: &[OidcProvider]) -> Option<Self> {
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
        let mut audiences = Vec::new();
        if SOCIAL.contains(&login_key)
            && let Some(ids) = providers.supported_logins.get(login_key)
        {
            let clients = ids.split(';').filter(|id| !id.is_empty());
            audiences.extend(clients.map(|id| social(id.to_owned())));
        }
        for arn in &providers.openid_connect_arns {
            let Some(key) = own_provider(pool, arn) else { continue };
            for provider in declared.iter().filter(|provider| provider.url == key && key == login_key) {
                let arn = provider_arn(pool, key);
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

/// The URL in the ARN of an OpenID Connect provider of the pool's own tenant. Terraform can leave the account out.
fn own_provider<'a>(pool: &Pool, arn: &'a str) -> Option<&'a str> {
    let (head, url) = arn.split_once(":oidc-provider/")?;
    let ["arn", _, "iam", "", account] = head.split(':').collect::<Vec<_>>()[..] else { return None };
    (account.is_empty() || account == pool.account_id.as_str()).then_some(url)
}

fn provider_arn(pool: &Pool, url: &str) -> String {
    format!("arn:{}:iam::{}:oidc-provider/{url}", pool.id.region.partition(), pool.account_id)
}
