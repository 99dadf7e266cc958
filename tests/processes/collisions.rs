//! Two brokers on one database, and callers who get in each other's way with every call: whatever comes first, nobody is
//! told of a failure, and what is left is as if one call had come after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Answer, PROVIDER, unsigned};
use crate::database::{count, run};
use crate::dice::{Dice, new_seed};
use crate::federation::{Federation, PATHS};
use crate::seen::{Seen, Taken, Told, assert_sound, identities};

const CALLERS: usize = 20;
const DEVELOPERS_USERS: usize = 12;
/// The users of each public provider.
const NAMES: [&str; 8] = ["ann", "bob", "cy", "dan", "eve", "flo", "gus", "hal"];
/// Users with whose identities nobody interferes.
const LEFT_ALONE: [&str; 4] = ["calm-0", "calm-1", "a:calm", "b:calm"];
/// The limit of linked logins: lower than by default, so that it is met.
const LOGINS: usize = 5;
/// How many of the identities told last are named by others.
const RECENT: usize = 30;

/// The brokers' callers.
struct Crowd {
    at: Federation,
    urls: [String; 2],
    pool: String,
    seed: u64,
    seen: Mutex<Seen>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_calls_that_collide_over_two_replicas_leave_every_login_where_it_belongs() {
    collide(1, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_collide_in_pools_of_many_routes_with_as_little_harm() {
    collide(64, 1_000).await;
}

async fn collide(spread: i16, calls: usize) {
    let seed = new_seed();
    let names: Vec<&str> = NAMES.into_iter().chain(["calm"]).collect();
    let at = Federation::start(&names).await;
    let launch = at
        .serve(&at.database.url)
        .env("SYMBOLON__LIMITS__LINKED_LOGINS_PER_IDENTITY", LOGINS.to_string())
        .env("SYMBOLON__TELEMETRY__LOG_LEVEL", "warn,symbolon::cli=info");
    let (one, other) = tokio::join!(launch.start(), launch.start());
    let pool = at.create_pool(&one.url).await;
    run(&at.database.url, &format!("update identity_pools set spread = {spread}")).await;

    let urls = [one.url.clone(), other.url.clone()];
    let crowd = Arc::new(Crowd { at, urls, pool, seed, seen: Mutex::default() });
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let crowd = Arc::clone(&crowd);
        callers.spawn(async move {
            let mut dice = Dice::of(seed.wrapping_add(caller as u64));
            for _ in 0..calls / CALLERS {
                crowd.call(&mut dice).await;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        assert!(ended.is_ok(), "seed {seed}: {ended:?}; {} {}", one.said(), other.said());
    }

    crowd.ask_everybody().await;
    let url = &crowd.at.database.url;
    let seen = std::mem::take(&mut *crowd.seen.lock().unwrap());
    seen.assert_much_happened(calls >= 5_000, seed);
    assert_sound(url, LOGINS, seed).await;
    seen.assert_nobody_was_moved_without_reason(&identities(url).await, &LEFT_ALONE, seed);
    for broker in [one, other] {
        let metrics = broker.ask("/metrics").await.text;
        assert!(!metrics.contains("sqlstate=\"40P01\""), "seed {seed}: a deadlock: {metrics}");
        broker.stop().await;
    }
    // Servers count when a connection ends.
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(count(url, deadlocks).await, 0, "seed {seed}");
    let routes = count(url, "select count(distinct route) from identities").await;
    assert_eq!(routes > 1, spread > 1, "seed {seed}: {routes} routes");
}

impl Crowd {
    /// One call of some operation; of one that names an identity only once there are some.
    async fn call(&self, dice: &mut Dice) {
        let developers: Vec<String> = (0..DEVELOPERS_USERS).map(|user| format!("user-{user}")).collect();
        let choice = if self.recent(dice).is_some() { dice.below(100) } else { 0 };
        match choice {
            0..5 => self.sign_in("GetId", None, &[], dice).await,
            5..25 => {
                let users = public(dice, 1, 3);
                self.sign_in("GetId", None, &users, dice).await;
            }
            25..30 => {
                let user = dice.pick(&LEFT_ALONE).to_string();
                let by = if user.contains(':') { "GetId" } else { "GetOpenIdTokenForDeveloperIdentity" };
                self.sign_in(by, None, &[user], dice).await;
            }
            30..50 => {
                let by = if dice.chance(70) { "GetOpenIdToken" } else { "GetCredentialsForIdentity" };
                let Some((named, known)) = self.recent(dice) else { return };
                let known: Vec<String> = known.into_iter().filter(|user| user.contains(':')).collect();
                let users = joined(&known, public(dice, 0, 2), dice);
                self.sign_in(by, Some(named), &users, dice).await;
            }
            50..68 => {
                let (named, known) = self.recent(dice).filter(|_| dice.chance(60)).unzip();
                let known: Vec<String> = known.unwrap_or_default();
                let mut users = joined(&known, public(dice, 0, 1), dice);
                if users.iter().all(|user| user.contains(':')) {
                    users.push(dice.pick(&developers).clone());
                }
                self.sign_in("GetOpenIdTokenForDeveloperIdentity", named, &users, dice).await;
            }
            68..82 => {
                let pair = dice.some(&developers[..8], 2, 2);
                self.merge(&pair[0], &pair[1], dice).await;
            }
            82..88 => self.unlink_public(dice).await,
            88..93 => self.unlink_developers(dice, &developers).await,
            93..95 => {
                let Some((identity, _)) = self.recent(dice) else { return };
                let body = json!({ "IdentityIdsToDelete": [identity] });
                let (answer, outcome) = self.signed("DeleteIdentities", &body, dice).await;
                assert_eq!(answer.json["UnprocessedIdentityIds"], json!([]), "{outcome}");
            }
            _ => {
                let named = self.recent(dice).map(|(identity, _)| identity).filter(|_| dice.chance(60));
                let user = Some(dice.pick(&developers)).filter(|_| named.is_none() || dice.chance(50));
                let body = json!({ "IdentityPoolId": self.pool, "IdentityId": named, "DeveloperUserIdentifier": user });
                let (answer, outcome) = self.signed("LookupDeveloperIdentity", &body, dice).await;
                if let Some(named) = named.filter(|_| outcome == "done") {
                    assert_eq!(answer.member("IdentityId"), named);
                }
            }
        }
    }

    /// The identity of `users`, or of a guest if there are none.
    async fn sign_in(&self, by: &'static str, named: Option<String>, users: &[String], dice: &mut Dice) {
        let mut body = json!({ "IdentityPoolId": self.pool, "IdentityId": named, "Logins": self.at.logins(users) });
        if named.is_some() && by != "GetOpenIdTokenForDeveloperIdentity" {
            body.as_object_mut().unwrap().remove("IdentityPoolId");
        }
        let began = Instant::now();
        let (answer, outcome) = if by == "GetOpenIdTokenForDeveloperIdentity" {
            self.signed(by, &body, dice).await
        } else {
            self.unsigned(by, &body, dice).await
        };
        if outcome != "done" {
            return;
        }
        let identity = answer.member("IdentityId");
        let mut seen = self.seen.lock().unwrap();
        if !users.is_empty() {
            let told = Told { began, ended: Instant::now(), users: users.to_vec(), identity: identity.clone() };
            seen.told.push(told);
        }
        if !users.iter().any(|user| LEFT_ALONE.contains(&user.as_str())) {
            seen.recent.push((identity, users.to_vec()));
            if seen.recent.len() > RECENT {
                seen.recent.remove(0);
            }
        }
    }

    async fn merge(&self, source: &str, destination: &str, dice: &mut Dice) {
        let body = json!({ "IdentityPoolId": self.pool, "DeveloperProviderName": PROVIDER,
                           "SourceUserIdentifier": source, "DestinationUserIdentifier": destination });
        let began = Instant::now();
        let (answer, outcome) = self.signed("MergeDeveloperIdentities", &body, dice).await;
        if outcome == "done" {
            let (ended, identity) = (Instant::now(), answer.member("IdentityId"));
            let users = vec![source.to_owned(), destination.to_owned()];
            self.seen.lock().unwrap().told.push(Told { began, ended, users, identity });
        }
    }

    async fn unlink_public(&self, dice: &mut Dice) {
        let Some((identity, known)) = self.recent(dice) else { return };
        let known: Vec<String> = known.into_iter().filter(|user| user.contains(':')).collect();
        let proof = joined(&known, public(dice, 1, 1), dice);
        let paths = dice.some(&PATHS, 1, 2);
        let remove: Vec<String> = paths.iter().map(|path| self.at.key(path)).collect();
        let body = json!({ "IdentityId": identity, "Logins": self.at.logins(&proof), "LoginsToRemove": remove });
        let began = Instant::now();
        let (_, outcome) = self.unsigned("UnlinkIdentity", &body, dice).await;
        if outcome == "done" {
            let ended = Instant::now();
            let taken = paths.iter().map(|path| (format!("{path}:"), identity.clone()));
            let taken = taken.map(|(user, identity)| Taken { began, ended, user, identity });
            self.seen.lock().unwrap().taken.extend(taken);
        }
    }

    async fn unlink_developers(&self, dice: &mut Dice, developers: &[String]) {
        let Some((identity, known)) = self.recent(dice) else { return };
        let own = known.into_iter().find(|user| !user.contains(':')).filter(|_| dice.chance(80));
        let user = own.unwrap_or_else(|| dice.pick(developers).clone());
        let body = json!({ "IdentityId": identity, "IdentityPoolId": self.pool, "DeveloperProviderName": PROVIDER,
                           "DeveloperUserIdentifier": user });
        let began = Instant::now();
        let (_, outcome) = self.signed("UnlinkDeveloperIdentity", &body, dice).await;
        if outcome == "done" {
            self.seen.lock().unwrap().taken.push(Taken { began, ended: Instant::now(), user, identity });
        }
    }

    fn recent(&self, dice: &mut Dice) -> Option<(String, Vec<String>)> {
        let seen = self.seen.lock().unwrap();
        if seen.recent.is_empty() { None } else { Some(dice.pick(&seen.recent).clone()) }
    }

    async fn signed(&self, operation: &'static str, body: &Value, dice: &mut Dice) -> (Answer, &'static str) {
        let request = self.at.client.sign(dice.pick(&self.urls).as_str(), operation, body);
        self.count(operation, self.at.client.send(&request).await.unwrap())
    }

    async fn unsigned(&self, operation: &'static str, body: &Value, dice: &mut Dice) -> (Answer, &'static str) {
        let request = unsigned(dice.pick(&self.urls).as_str(), operation, body);
        self.count(operation, self.at.client.send(&request).await.unwrap())
    }

    fn count(&self, operation: &'static str, answer: Answer) -> (Answer, &'static str) {
        let Some(outcome) = self.seen.lock().unwrap().count(operation, &answer) else {
            panic!("seed {}: {operation}: {answer:?}", self.seed)
        };
        (answer, outcome)
    }

    /// Asks for everybody alone, at both brokers.
    async fn ask_everybody(&self) {
        let developers = (0..DEVELOPERS_USERS).map(|user| format!("user-{user}"));
        let public = PATHS.iter().flat_map(|path| NAMES.iter().map(move |name| format!("{path}:{name}")));
        for user in developers.chain(public).chain(LEFT_ALONE.map(str::to_owned)) {
            let mut told = BTreeSet::new();
            for url in &self.urls {
                let body = json!({ "IdentityPoolId": self.pool, "Logins": self.at.logins(&[&user]) });
                let began = Instant::now();
                let request = if user.contains(':') {
                    unsigned(url, "GetId", &body)
                } else {
                    self.at.client.sign(url, "GetOpenIdTokenForDeveloperIdentity", &body)
                };
                let identity = self.at.client.send(&request).await.unwrap().member("IdentityId");
                told.insert(identity.clone());
                let told = Told { began, ended: Instant::now(), users: vec![user.clone()], identity };
                self.seen.lock().unwrap().told.push(told);
            }
            assert_eq!(told.len(), 1, "seed {}: {user}: {told:?}", self.seed);
        }
    }
}

/// Users of so many public providers, one of each.
fn public(dice: &mut Dice, least: usize, most: usize) -> Vec<String> {
    let paths = dice.some(&PATHS, least, most);
    paths.into_iter().map(|path| format!("{path}:{}", dice.pick(&NAMES))).collect()
}

/// One of the users known, mostly, and others: one of each public provider, and one of the developer's.
fn joined(known: &[String], others: Vec<String>, dice: &mut Dice) -> Vec<String> {
    let mut users = if known.is_empty() || dice.chance(20) { Vec::new() } else { vec![dice.pick(known).clone()] };
    for other in others {
        let provider = |user: &String| user.split_once(':').map(|(path, _)| path.to_owned());
        if users.iter().all(|user| provider(user) != provider(&other)) {
            users.push(other);
        }
    }
    users
}
