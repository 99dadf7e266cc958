//! The matrix of tenancy: every operation with ids that are foreign, of another pool, malformed, or nobody's.

mod anyone;
pub mod home;
mod neighbours;
pub mod questions;
mod resources;
mod signed;

use std::collections::BTreeSet;

use symbolon::cognito::shapes::OPERATIONS;
use symbolon::ids::{self, IdentityId, Route};

use crate::client::{ABROAD, Answer, HOME};
use crate::shown::comparable;
use questions::{OF_ANYONES_IDENTITIES, OF_ANYONES_POOLS, OF_IDENTITIES, OF_NOTHING, OF_POOLS, OF_RESOURCES};

const MALFORMED: [&str; 6] = ["", "us-east-1", "us-east-1:", "us-east-1:ABCD", "us east:0", ":0"];

/// Everything that two answers to two ids must have in common.
fn essence(answer: &Answer, id: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = comparable(&answer.headers).into_iter().map(|(name, value)| (name, value.replace(id, "ID")));
    (answer.status.as_u16(), headers.collect(), answer.text.replace(id, "ID"))
}

fn no_pool() -> String {
    format!("{HOME}:{}", ids::new_pool_uuid().unwrap())
}

/// An identity that nobody has, in the route of one that somebody has, or in some route.
fn no_identity(like: Option<&str>) -> String {
    let route = like.map_or(Route(7), |like| ids::route_hint(&IdentityId::parse(like).unwrap().uuid).unwrap());
    format!("{HOME}:{}", ids::new_identity_uuid(route).unwrap())
}

fn elsewhere(id: &str) -> String {
    id.replace(HOME, ABROAD)
}

/// What the model takes for an id, although it is none of ours.
fn ill_formed(id: &str) -> String {
    let (region, uuid) = id.split_once(':').unwrap();
    format!("{region}:{}", uuid.replace('-', "0"))
}

#[test]
fn no_operation_is_left_out() {
    let of_ids = [OF_POOLS, OF_IDENTITIES, OF_ANYONES_POOLS, OF_ANYONES_IDENTITIES];
    let mut named: BTreeSet<&str> = of_ids.into_iter().flatten().map(|(operation, _)| *operation).collect();
    named.extend(OF_RESOURCES.iter().map(|(operation, _)| *operation));
    named.extend(OF_NOTHING);
    assert_eq!(named, OPERATIONS.iter().copied().collect());
}
