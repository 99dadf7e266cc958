//! Identities, the logins linked to them, and how the one is found by the other.

pub mod aftercheck;
mod arrivals;
pub mod identity;
mod link;
pub mod login;
pub mod merge;
pub mod sign_in;
pub mod taken;
mod tried;
pub mod unlink;

pub use arrivals::Arrivals;
pub use identity::Identity;
pub use login::{DeveloperUser, Login};
pub use tried::Tried;
