//! What tenants declare in IAM: so far, the OpenID Connect providers whose tokens their pools may take.

pub mod oidc_provider;

pub use oidc_provider::OidcProvider;
