//! What is promised of faults, replicas and attacks, measured: `make test-faults`, and in a short form `make test`.
//!
//! Real processes, a real Postgres, real networks on loopback. Each file prints what it measured, and the whole form writes
//! it into `docs/reliability.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[path = "../processes/broker.rs"]
#[allow(dead_code, reason = "this binary uses a part")]
mod broker;
#[path = "../processes/client.rs"]
#[allow(dead_code, reason = "this binary uses a part")]
mod client;
#[path = "../processes/database.rs"]
#[allow(dead_code, reason = "this binary uses a part")]
mod database;
mod everything;
mod figures;
mod forms;
#[path = "../upstream/idp.rs"]
mod idp;
#[path = "../upstream/issuer.rs"]
mod issuer;
mod needles;
mod operator;
mod verifier;

mod disaster;
mod master_keys;
mod restore;
mod secrets;
