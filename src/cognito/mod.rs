//! The Amazon Cognito Identity API over AWS JSON 1.1.
pub mod model;
pub mod validate;
