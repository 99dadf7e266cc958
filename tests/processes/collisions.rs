//! Two brokers on one database, and callers who get in each other's way with every call: whatever comes first, nobody is
//! told of a failure, and what is left is as if one call had come after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::task::JoinSet;

use crate::client::{Answer, PROVIDER, unsigned};
use crate::database::{connect, count, run};
use crate::dice::{Dice, new_seed};
use crate::federation::{Federation, PATHS};

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

/// What a call may be refused with, and what the statistics call that.
const REFUSALS: [(&str, &str, &str); 10] = [
    ("NotAuthorizedException", "Access to Identity '", "forbidden"),
    ("NotAuthorizedException", "Logins don't match. ", "no match"),
    ("ResourceNotFoundException", "Identity '", "no identity"),
    ("ResourceNotFoundException", "Developer user identifier not found.", "no user"),
    ("ResourceConflictException", "Login already linked to a different user ", "second user"),
    ("ResourceConflictException", "Too many linked logins.", "too many"),
    ("ResourceConflictException", "DeveloperUserIdentifier is not linked ", "not linked"),
    ("ResourceConflictException", "DeveloperUserIdentifier does not match ", "mismatch"),
    ("DeveloperUserAlreadyRegisteredException", "This developer user identifier ", "registered"),
    // Every rule but that of roles was kept.
    ("InvalidIdentityPoolConfigurationException", "Invalid identity pool configuration.", "no role"),
];

/// The outcomes that each operation may have. All of them must come to pass.
const OUTCOMES: [(&str, &[&str]); 9] = [
    ("GetId", &["done", "second user", "too many"]),
    ("GetOpenIdToken", &["done", "forbidden", "no match", "no identity", "second user", "too many"]),
    (
        "GetOpenIdTokenForDeveloperIdentity",
        &["done", "forbidden", "no match", "no identity", "second user", "too many", "registered"],
    ),
    ("GetCredentialsForIdentity", &["no role", "forbidden", "no match", "no identity", "second user", "too many"]),
    ("MergeDeveloperIdentities", &["done", "no user", "second user", "too many"]),
    ("UnlinkIdentity", &["done", "forbidden", "no match", "no identity"]),
    ("UnlinkDeveloperIdentity", &["done", "no identity", "no user", "not linked"]),
    ("DeleteIdentities", &["done"]),
    ("LookupDeveloperIdentity", &["done", "no identity", "no user", "mismatch"]),
];

/// A success that told users' identity.
struct Told {
    began: Instant,
    ended: Instant,
    users: Vec<String>,
    identity: String,
}

/// A success that took users from an identity: one of the developer's, or all of a provider's, as `PATH:`.
struct Taken {
    began: Instant,
    ended: Instant,
    user: String,
    identity: String,
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<(&'static str, &'static str), usize>,
    told: Vec<Told>,
    taken: Vec<Taken>,
    guests: BTreeSet<String>,
    /// The identities told last, each with the users it was told to; none for a guest.
    recent: Vec<(String, Vec<String>)>,
}

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
    crowd.assert_much_happened(calls);
    crowd.assert_sound().await;
    crowd.assert_nobody_was_moved_without_reason().await;
    for broker in [one, other] {
        let metrics = broker.ask("/metrics").await.text;
        assert!(!metrics.contains("sqlstate=\"40P01\""), "seed {seed}: a deadlock: {metrics}");
        broker.stop().await;
    }
    // Servers count when a connection ends.
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(count(&crowd.at.database.url, deadlocks).await, 0, "seed {seed}");
    let routes = count(&crowd.at.database.url, "select count(distinct route) from identities").await;
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
        if users.is_empty() {
            seen.guests.insert(identity.clone());
        } else {
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

    /// The answer with what it is called. It must be one of those expected.
    fn count(&self, operation: &'static str, answer: Answer) -> (Answer, &'static str) {
        let outcome = if answer.status == 200 {
            Some("done")
        } else {
            let text = answer.json["message"].as_str().unwrap_or_default();
            let is_it = |(exception, begin, _): &&(&str, &str, &str)| {
                answer.status == 400 && answer.exception() == *exception && text.starts_with(begin)
            };
            REFUSALS.iter().find(is_it).map(|(_, _, name)| *name)
        };
        let expected = OUTCOMES.iter().find(|(name, _)| *name == operation).map_or(&[][..], |(_, outcomes)| outcomes);
        let outcome = outcome.filter(|outcome| expected.contains(outcome));
        let outcome = outcome.unwrap_or_else(|| panic!("seed {}: {operation}: {answer:?}", self.seed));
        *self.seen.lock().unwrap().outcomes.entry((operation, outcome)).or_default() += 1;
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

    /// That the calls got in each other's way: every outcome came to pass, or, where there are few calls, nearly every.
    fn assert_much_happened(&self, calls: usize) {
        let seen = self.seen.lock().unwrap();
        let all = OUTCOMES.iter().flat_map(|(operation, outcomes)| outcomes.iter().map(move |one| (*operation, *one)));
        let missed: Vec<_> = all.filter(|what| !seen.outcomes.contains_key(what)).collect();
        let few = if calls < 5_000 { 8 } else { 0 };
        assert!(missed.len() <= few, "seed {}: {missed:?} never happened in {:#?}", self.seed, seen.outcomes);
        let made: usize = seen.outcomes.values().sum();
        assert!(made >= calls, "seed {}: only {made} calls", self.seed);
    }

    async fn assert_sound(&self) {
        let url = &self.at.database.url;
        let astray = "select count(*) from logins l left join identities i
                        on i.identity_id = l.identity_id and i.route / 1024 = l.route / 1024 and i.state = 1
                      where i.identity_id is null";
        assert_eq!(count(url, astray).await, 0, "seed {}: logins of dead identities", self.seed);
        let shared = "select count(*) from (select from logins group by provider_no, subject_key
                      having count(*) > 1) as more";
        assert_eq!(count(url, shared).await, 0, "seed {}: logins of two identities", self.seed);
        let second = "select count(*) from (select from logins where provider_no > 1
                      group by identity_id, provider_no having count(*) > 1) as more";
        assert_eq!(count(url, second).await, 0, "seed {}: two users of one public provider", self.seed);
        let most = "select max(n) from (select count(*) as n from logins group by identity_id) as each";
        let most = count(url, most).await;
        assert_eq!(most, i64::try_from(LOGINS).unwrap(), "seed {}: the limit was missed or passed", self.seed);
    }

    /// The identities by id, each with whether it is enabled and whether it has logins.
    async fn identities(&self) -> BTreeMap<String, (bool, bool)> {
        let query = "select i.identity_id::text as id, i.state = 1 as enabled,
                       exists (select from logins l where l.identity_id = i.identity_id) as used from identities i";
        let rows = sqlx::query(query).fetch_all(&mut connect(&self.at.database.url).await).await.unwrap();
        let id = |row: &PgRow| format!("us-east-1:{}", row.get::<String, _>("id"));
        rows.iter().map(|row| (id(row), (row.get("enabled"), row.get("used")))).collect()
    }

    /// Who was told an identity is told the same again, unless it was merged away or deleted, or the user taken from it.
    /// An identity that had a user and has none any more is no guest.
    async fn assert_nobody_was_moved_without_reason(&self) {
        let identities = self.identities().await;
        let seen = self.seen.lock().unwrap();
        let is_alive = |id: &String| identities.get(id).is_some_and(|(enabled, _)| *enabled);
        let mut by_user: BTreeMap<&String, Vec<&Told>> = BTreeMap::new();
        for told in &seen.told {
            for user in &told.users {
                by_user.entry(user).or_default().push(told);
            }
            assert_ne!(identities.get(&told.identity), Some(&(true, false)), "seed {}: a guest again", self.seed);
        }
        for (user, all) in by_user {
            for before in all.iter().filter(|told| is_alive(&told.identity)) {
                let was_taken = |until: Instant| {
                    seen.taken.iter().any(|taken| {
                        taken.identity == before.identity
                            && (taken.user == *user || taken.user.ends_with(':') && user.starts_with(&taken.user))
                            && taken.ended >= before.began
                            && taken.began <= until
                    })
                };
                for after in all.iter().filter(|after| after.began > before.ended) {
                    let (first, then) = (&before.identity, &after.identity);
                    let explained = first == then || was_taken(after.ended);
                    assert!(explained, "seed {}: {user} was told {first}, then {then}", self.seed);
                }
            }
            let told: BTreeSet<&String> = all.iter().map(|told| &told.identity).collect();
            let moved = told.len() > 1;
            assert_eq!(moved, !LEFT_ALONE.contains(&user.as_str()), "seed {}: {user}: {told:?}", self.seed);
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
