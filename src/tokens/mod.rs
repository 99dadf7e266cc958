//! The tokens that the broker issues.

pub mod openid_token;
