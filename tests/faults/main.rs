//! What is promised of faults, replicas and attacks, measured: `make test-faults`, and in a short form `make test`.
//!
//! Real processes, a real Postgres, real networks on loopback. Each file prints what it measured, and the whole form writes
//! it into `docs/reliability.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../processes/broker.rs"]
mod broker;
#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../processes/client.rs"]
mod client;
#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../processes/database.rs"]
mod database;
#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../processes/dice.rs"]
mod dice;
mod figures;
#[path = "../upstream/issuer.rs"]
mod issuer;
#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../processes/raw.rs"]
mod raw;
#[allow(dead_code, reason = "other test binaries use the rest")]
#[path = "../upstream/stage.rs"]
mod stage;

mod attacks;
mod fuzzing;
