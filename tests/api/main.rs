//! The broker in this process against a real Postgres: one binary, so that the server is started once.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod client;
mod dev_mode;
mod harness;
mod identities;
mod keys;
mod long_ids;
mod merges;
mod migrations;
mod openid;
mod openid_connect_providers;
mod page_tokens;
mod pools;
mod races;
mod replicas;
mod router;
mod shown;
mod spread;
mod sweep;
mod tenancy;
mod tenants;
mod tokens;
mod unlinks;
