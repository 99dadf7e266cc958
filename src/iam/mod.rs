//! What tenants declare in IAM: so far, the OpenID Connect providers whose tokens their pools may take.

pub mod oidc_provider;
pub mod provider_url;

pub use oidc_provider::OidcProvider;
