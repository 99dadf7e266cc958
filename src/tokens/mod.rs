//! The tokens that the broker issues: what they say, and what they prove when they come back.

pub mod openid_token;
pub mod own_token;
pub mod principal_tags;
pub mod session;
