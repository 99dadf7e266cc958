//! The Amazon Cognito Identity API over AWS JSON 1.1.

pub mod json;
pub mod model;
pub mod shapes;
pub mod validate;
