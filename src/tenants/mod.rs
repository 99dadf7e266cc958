//! Tenants and their developer credentials.

pub mod access_key;
pub mod remembered_key;
pub mod tenant;

pub use access_key::AccessKey;
pub use tenant::Tenant;
