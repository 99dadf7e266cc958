//! The broker as operators meet it: real processes, started, killed, starved of their database, drained, misconfigured.
//!
//! Every test runs the binary itself in an environment of its own, on ports that the system picks, and ends only what
//! it started. Requests are signed by Amazon's own signer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers panic as its tests do")]
#![allow(clippy::print_stdout, reason = "figures are printed")]

#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
mod broker;
#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
mod client;
#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
mod database;
mod dice;
mod federation;
#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
#[path = "../faults/figures.rs"]
mod figures;
#[path = "../upstream/idp.rs"]
mod idp;
#[path = "../upstream/issuer.rs"]
mod issuer;
#[path = "../upstream/other_sts.rs"]
mod other_sts;
mod overheard;
mod ports;
#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
mod proxy;
#[allow(dead_code, reason = "shared with tests/faults, and not all of it is used here")]
mod raw;
mod seen;
#[path = "../upstream/social_providers.rs"]
mod social_providers;

mod collisions;
mod dev;
mod endurance;
mod limits;
mod logs;
mod lost_answers;
mod lost_database;
mod misuse;
mod replicas;
mod round_trips;
mod start;
