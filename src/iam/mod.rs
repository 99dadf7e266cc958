//! What tenants declare in IAM: the providers whose tokens their pools may take, and the roles that identities take on.

pub mod oidc_provider;
pub mod provider_url;
pub mod role;
pub mod tagging;

pub use oidc_provider::OidcProvider;
pub use role::Role;
