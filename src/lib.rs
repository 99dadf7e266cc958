//! Symbolon: a self-hosted identity broker over Postgres, wire-compatible with Amazon Cognito Identity.

pub mod cli;
pub mod cognito;

pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod seal;
pub mod sigv4;
