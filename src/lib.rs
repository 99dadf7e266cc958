//! Symbolon: a self-hosted identity broker over Postgres, wire-compatible with Amazon Cognito Identity.

pub mod app;
pub mod cli;
pub mod cognito;
pub mod http;

pub mod identities;
pub mod keys;
pub mod pools;
pub mod tenants;
pub mod tokens;

pub mod cache;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod ids;
pub mod installation;
pub mod limits;
pub mod request;
pub mod seal;
pub mod sigv4;
pub mod telemetry;
