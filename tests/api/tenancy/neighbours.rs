//! Two pools of one tenant: whatever is asked of the one, the other does not change.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::home::{Home, rows};
use super::questions::{
    Named, OF_ANYONES_IDENTITIES, OF_ANYONES_POOLS, OF_IDENTITIES, OF_POOLS, OF_RESOURCES, Question,
};
use crate::federation::{Federation, federation};

/// The operations that change something in the pool that they are asked about.
const CHANGING: [&str; 14] = [
    "DeleteIdentities",
    "DeleteIdentityPool",
    "GetCredentialsForIdentity",
    "GetId",
    "GetOpenIdToken",
    "GetOpenIdTokenForDeveloperIdentity",
    "MergeDeveloperIdentities",
    "SetIdentityPoolRoles",
    "SetPrincipalTagAttributeMap",
    "TagResource",
    "UnlinkDeveloperIdentity",
    "UnlinkIdentity",
    "UntagResource",
    "UpdateIdentityPool",
];

/// Every operation that names something, as what it is asked of the pool and its people: the user, then the guest.
fn questions(of: &Home) -> Vec<(&'static str, [Value; 2])> {
    let about = |question: &Question| {
        [&of.user, &of.guest].map(|identity| question(&Named { pool: &of.pool, identity, logins: &of.logins }))
    };
    let tables = [OF_POOLS, OF_IDENTITIES, OF_ANYONES_POOLS, OF_ANYONES_IDENTITIES];
    let of_ids = tables.into_iter().flatten().map(|(operation, question)| (*operation, about(question)));
    let of_resources =
        OF_RESOURCES.iter().map(|(operation, question)| (*operation, [0, 1].map(|_| question(&of.arn()))));
    of_ids.chain(of_resources).collect()
}

async fn ask(at: &Federation, operation: &str, body: Value) -> String {
    let is_public = [OF_ANYONES_POOLS, OF_ANYONES_IDENTITIES].into_iter().flatten().any(|(name, _)| *name == operation);
    let answer =
        if is_public { at.visitor.call(operation, body).await } else { at.developer.call(operation, body).await };
    answer.exception().to_owned()
}

#[tokio::test]
async fn what_is_asked_of_one_pool_changes_no_other() {
    let at = federation().await;
    let one = Home::of(&at, 1).await;
    let mut conn = at.broker.db.conn().await;
    let before = one.rows(&mut conn).await;
    let mut changing = BTreeSet::new();
    for number in 0..questions(&one).len() {
        let other = Home::another(&at, &one.developer).await;
        let untouched = other.rows(&mut conn).await;
        let (operation, [of_user, of_guest]) = questions(&other).swap_remove(number);
        let first = ask(&at, operation, of_user).await;
        assert_ne!(first, "ResourceNotFoundException", "{operation}");
        ask(&at, operation, of_guest).await;
        assert_eq!(one.rows(&mut conn).await, before, "{operation}");
        if other.rows(&mut conn).await != untouched {
            changing.insert(operation);
        }
    }
    assert_eq!(changing.into_iter().collect::<Vec<_>>(), CHANGING);
}

#[tokio::test]
async fn two_pools_know_two_users_of_one_name_and_one_goes_without_the_other() {
    let at = federation().await;
    let one = Home::of(&at, 1).await;
    let other = Home::another(&at, &one.developer).await;
    assert_ne!(one.user, other.user);
    let kept = one.rows(&mut *at.broker.db.conn().await).await;
    at.developer.call("DeleteIdentityPool", json!({ "IdentityPoolId": other.pool })).await.ok();
    at.developer.call("DescribeIdentity", json!({ "IdentityId": other.user })).await.no_identity(&other.user);
    at.developer.call("DescribeIdentity", json!({ "IdentityId": one.user })).await.ok();
    assert_eq!(one.rows(&mut *at.broker.db.conn().await).await, kept);
    // What the tenant has beside its pools is no pool's.
    assert_ne!(rows(&mut *at.broker.db.conn().await, &at.developer).await, kept);
}
