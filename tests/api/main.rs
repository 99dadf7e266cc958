//! The broker in this process against a real Postgres: one binary, so that the server is started once.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod arrivals;
mod audiences;
mod by_the_model;
mod claim_tags;
mod client;
mod connections;
mod credentials;
mod dev_mode;
#[path = "../processes/dice.rs"]
mod dice;
mod elapsed;
mod federation;
mod harness;
mod identities;
#[path = "../upstream/idp.rs"]
mod idp;
#[path = "../upstream/issuer.rs"]
mod issuer;
mod keys;
mod login_races;
mod long_ids;
mod merges;
mod migrations;
mod openid;
mod openid_connect_providers;
#[path = "../upstream/other_sts.rs"]
mod other_sts;
mod page_tokens;
mod policies;
mod policy_evasions;
mod policy_matrix;
mod pools;
mod principal_tags;
mod public_logins;
mod query;
mod races;
mod replicas;
mod roles;
mod roles_of_iam;
mod router;
mod saml_logins;
mod saml_providers;
mod sessions;
mod shown;
mod sign_in_model;
mod social_logins;
#[path = "../upstream/social_providers.rs"]
mod social_providers;
mod spread;
mod sts;
mod sweep;
mod tags;
mod tenancy;
mod tenants;
mod tokens;
mod unlinks;
mod using_identities;
