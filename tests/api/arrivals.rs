//! Users who arrive at once: found by one statement, made by one transaction, each as if he had come alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection as _;
use symbolon::identities::sign_in::Change;
use symbolon::ids::PoolId;
use symbolon::pools::Pool;

use crate::client::{Developer, broker};
use crate::harness::{account, count, owner, sign_in, user};

/// The identity that each call answers, all of them made at once.
async fn at_once(callers: &[&Developer], pool: &str, users: &[String]) -> Vec<(String, String)> {
    let calls = users
        .iter()
        .zip(callers.iter().cycle())
        .map(|(user, caller)| async move { (user.clone(), caller.identity(pool, user).await) });
    join_all(calls).await
}

/// What each user's identity is, if all answers agree.
fn agreed(answers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut identities = BTreeMap::new();
    for (user, identity) in answers {
        let known = identities.entry(user).or_insert_with(|| identity.clone());
        assert_eq!(*known, identity);
    }
    identities
}

#[tokio::test]
async fn new_users_who_come_at_once_get_an_identity_each_and_keep_it() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    // More than one statement takes, each twice.
    let users: Vec<String> = (0..200).map(|number| format!("user-{}", number % 100)).collect();
    let made = agreed(at_once(&[&developer], &pool, &users).await);
    assert_eq!(made.values().collect::<BTreeSet<_>>().len(), 100);
    let conn = &mut *broker.db.conn().await;
    assert_eq!(count(conn, "select count(*) from identities").await, 100);
    assert_eq!(count(conn, "select count(*) from logins join identities using (route, identity_id)").await, 100);

    // Known and unknown ones together: each gets his own.
    let mixed: Vec<String> = (50..150).map(|number| format!("user-{number}")).collect();
    let again = agreed(at_once(&[&developer], &pool, &mixed).await);
    for (user, identity) in &made {
        assert!(again.get(user).is_none_or(|now| now == identity), "{user}");
    }
    assert_eq!(count(conn, "select count(*) from identities").await, 150);
}

#[tokio::test]
async fn whatever_a_user_is_called_he_is_made_and_told_by_that_name() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let pool = developer.pool().await;
    let names: Vec<String> = [
        "'); drop table logins; --",
        r"\'\\x00",
        "$1",
        "%s \u{7}\n\t",
        "\u{e9}\u{1f980}\u{202e}",
        "' || pg_sleep(9) || '",
    ]
    .into_iter()
    // As they are, and too long to be their own key.
    .flat_map(|name| [name.to_owned(), format!("{name}{}", "'x\\".repeat(300))])
    .collect();
    let made = agreed(at_once(&[&developer], &pool, &names).await);
    assert_eq!(made.len(), names.len());
    for (name, identity) in made {
        let asked = json!({ "IdentityPoolId": pool, "IdentityId": identity });
        let answer = developer.call("LookupDeveloperIdentity", asked).await.ok();
        assert_eq!(answer.json["DeveloperUserIdentifierList"], json!([name]));
    }
}

#[tokio::test]
async fn two_replicas_that_meet_the_same_new_users_agree_on_them() {
    let broker = broker().await;
    let other = broker.replica().await;
    other.tick().await;
    let developers = [broker.developer(1), other.developer(1)];
    let pool = developers[0].pool().await;
    for round in 0..5 {
        let users: Vec<String> = (0..60).map(|number| format!("user-{round}-{}", number / 2)).collect();
        let made = agreed(at_once(&[&developers[0], &developers[1]], &pool, &users).await);
        assert_eq!(made.len(), 30);
    }
    let conn = &mut *broker.db.conn().await;
    assert_eq!(count(conn, "select count(*) from identities").await, 150);
    assert_eq!(count(conn, "select count(*) from logins join identities using (route, identity_id)").await, 150);
}

#[tokio::test]
async fn one_who_has_to_wait_keeps_nobody_else_waiting() {
    let broker = broker().await;
    let developer = broker.developer(1);
    let id = developer.pool().await;
    developer.identity(&id, "warm").await;
    let conn = &mut *broker.db.conn().await;
    let pool = Pool::find(conn, &account(1), &PoolId::parse(&id).unwrap()).await.unwrap().unwrap();
    // Somebody else is about to make one of them, and takes long over it.
    let mut slow = conn.begin().await.unwrap();
    let made = sign_in(&mut slow, &pool, None, &user("user-7")).await.unwrap();
    assert_eq!(made.change, Change::Created);

    let started = Instant::now();
    let others: Vec<String> = (0..20).filter(|number| *number != 7).map(|number| format!("user-{number}")).collect();
    let blocked = developer.identity(&id, "user-7");
    let ending = async {
        let answers = agreed(at_once(&[&developer], &id, &others).await);
        let took = started.elapsed();
        slow.commit().await.unwrap();
        (answers, took)
    };
    let (blocked, (answers, took)) = tokio::join!(blocked, ending);
    assert_eq!(answers.len(), 19);
    assert!(took < Duration::from_secs(2), "they waited for {took:?}");
    assert!(blocked.ends_with(&made.identity.to_string()), "not the one that was made first");
    assert_eq!(owner(&mut *broker.db.conn().await, &pool, "user-7").await, Some(made.identity));
}
