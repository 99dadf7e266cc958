//! What tenants declare in IAM: so far, the providers of others whose tokens and assertions their pools may take.

pub mod oidc_provider;
pub mod provider_url;
pub mod saml_metadata;
pub mod saml_provider;
mod tags;

pub use oidc_provider::OidcProvider;
pub use saml_metadata::SamlMetadata;
pub use saml_provider::SamlProvider;
