//! What is promised of faults, replicas and attacks, measured: `make test-faults`, and in a short form `make test`.
//!
//! Real processes, a real Postgres, real networks on loopback. Each file prints what it measured, and the whole form writes
//! it into `docs/reliability.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[path = "../processes/broker.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod broker;
#[path = "../processes/client.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod client;
#[path = "../processes/database.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod database;
#[path = "../processes/dice.rs"]
mod dice;
#[path = "../processes/federation.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod federation;
mod figures;
#[path = "../upstream/issuer.rs"]
mod issuer;
#[path = "../processes/proxy.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod proxy;
#[path = "../api/tenancy/questions.rs"]
#[allow(dead_code, reason = "tests of the API use more of it")]
mod questions;
#[path = "../processes/raw.rs"]
#[allow(dead_code, reason = "processes use more of it")]
mod raw;
#[path = "../api/sign_in_model.rs"]
#[allow(dead_code, reason = "tests of the API use more of it")]
mod sign_in_model;

mod calls;
mod disk_full;
mod histories;
mod isolation;
mod linearizability;
mod pressure;
mod slow_senders;
