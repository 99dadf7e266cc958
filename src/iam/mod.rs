//! What tenants declare in IAM: the providers whose tokens and assertions their pools may take, and the roles that identities take on.

pub mod oidc_provider;
pub mod provider_url;
pub mod role;
pub mod saml_metadata;
pub mod saml_provider;
pub mod tagging;

pub use oidc_provider::OidcProvider;
pub use role::Role;
pub use saml_metadata::SamlMetadata;
pub use saml_provider::SamlProvider;
