//! The command line against a real database: what each command prints, writes and exits with.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod audiences;
mod configuration;
mod keys;
mod losses;
mod policies;
mod seed_iam_roles;
mod seed_roles;
mod seeds;
mod stage;
mod tenancy;
mod trust;
mod trust_warnings;
