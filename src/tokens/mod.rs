//! The tokens that the broker issues: what they say, what they prove when they come back, and the sessions and credentials
//! that they are exchanged for.

pub mod openid_token;
pub mod own_token;
pub mod principal_tags;
pub mod session;
pub mod web_identity;
