//! What is promised of faults, replicas and attacks, measured: `make test-faults`, and in a short form `make test`.
//!
//! Real processes, a real Postgres, real networks on loopback. Each file prints what it measured, and the whole form writes
//! it into `docs/reliability.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/database.rs"]
mod database;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/dice.rs"]
mod dice;
#[path = "../api/elapsed.rs"]
mod elapsed;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/federation.rs"]
mod federation;
#[path = "../upstream/idp.rs"]
mod idp;
#[path = "../upstream/issuer.rs"]
mod issuer;
#[path = "../processes/overheard.rs"]
mod overheard;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../api/tenancy/questions.rs"]
mod questions;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../processes/raw.rs"]
mod raw;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../api/sign_in_model.rs"]
mod sign_in_model;
#[allow(dead_code, reason = "shared with other binaries, and not all of it is used here")]
#[path = "../upstream/stage.rs"]
mod stage;

mod balancer;
mod calls;
mod crowd;
mod data_dir;
mod everything;
mod figures;
mod forms;
mod histories;
mod needles;
mod operations;
mod operator;
mod query_operations;
mod registrants;
mod replication;
mod schedule;
mod verifier;
mod verifiers;

mod attacks;
mod crash;
mod disaster;
mod disk_full;
mod drain;
mod due_rotations;
mod failover;
mod fuzzing;
mod isolation;
mod isolation_work;
mod linearizability;
mod master_keys;
mod network;
mod pressure;
mod restore;
mod revocation;
mod rotation;
mod secrets;
mod slow_senders;
mod supply_chain;
mod wrong_node;
