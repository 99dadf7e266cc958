//! Symbolon: a self-hosted identity broker over Postgres, wire-compatible with Amazon Cognito Identity.

pub mod cli;
pub mod cognito;

pub mod keys;

pub mod identities;
pub mod pools;
pub mod tenants;

pub mod cache;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod ids;
pub mod installation;
pub mod seal;
pub mod sigv4;
