//! Identity pools and what is configured on them.

pub mod audiences;
pub mod pool;
pub mod principal_tags;
pub mod providers;
pub mod role_choice;
pub mod roles;
pub mod settings;
pub mod sweep;

pub use audiences::Audiences;
pub use pool::Pool;
pub use settings::Settings;
