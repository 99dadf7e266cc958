//! What the callers of brokers saw when they got in each other's way, and whether it fits what is left in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::client::Answer;
use crate::database::{connect, count};

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
pub struct Told {
    pub began: Instant,
    pub ended: Instant,
    pub users: Vec<String>,
    pub identity: String,
}

/// A success that took users from an identity: one of the developer's, or all of a provider's, as `PATH:`.
pub struct Taken {
    pub began: Instant,
    pub ended: Instant,
    pub user: String,
    pub identity: String,
}

/// What the callers saw.
#[derive(Default)]
pub struct Seen {
    outcomes: BTreeMap<(&'static str, &'static str), usize>,
    pub told: Vec<Told>,
    pub taken: Vec<Taken>,
    /// The identities told last, each with the users it was told to; none for a guest.
    pub recent: Vec<(String, Vec<String>)>,
}

impl Seen {
    /// Counts the answer, and says what it is called; nothing if it is none of those expected.
    pub fn count(&mut self, operation: &'static str, answer: &Answer) -> Option<&'static str> {
        let outcome = if answer.status == 200 {
            "done"
        } else {
            let text = answer.json["message"].as_str().unwrap_or_default();
            let is_it = |(exception, begin, _): &&(&str, &str, &str)| {
                answer.status == 400 && answer.exception() == *exception && text.starts_with(begin)
            };
            REFUSALS.iter().find(is_it).map(|(_, _, name)| *name)?
        };
        let (_, expected) = OUTCOMES.iter().find(|(name, _)| *name == operation)?;
        let outcome = expected.iter().find(|name| **name == outcome)?;
        *self.outcomes.entry((operation, outcome)).or_default() += 1;
        Some(outcome)
    }

    /// That every operation succeeded; and, if the calls were many, that each came to every outcome, but for the rare one
    /// of too many logins.
    pub fn assert_much_happened(&self, many: bool, seed: u64) {
        let all = OUTCOMES.iter().flat_map(|(operation, outcomes)| outcomes.iter().map(move |one| (*operation, *one)));
        let bound = |(operation, outcome): &(&str, &str)| match *outcome {
            "done" | "no role" => true,
            "too many" => many && *operation == "MergeDeveloperIdentities",
            _ => many,
        };
        let missed: Vec<_> = all.filter(bound).filter(|what| !self.outcomes.contains_key(what)).collect();
        assert!(missed.is_empty(), "seed {seed}: {missed:?} never happened in {:#?}", self.outcomes);
    }

    /// Who was told an identity is told the same again, unless it was merged away or deleted, or the user taken from it.
    /// An identity that had a user and has none any more is no guest.
    pub fn assert_nobody_was_moved_without_reason(&self, identities: &Identities, left_alone: &[&str], seed: u64) {
        let is_alive = |id: &String| identities.get(id).is_some_and(|(enabled, _)| *enabled);
        let mut by_user: BTreeMap<&String, Vec<&Told>> = BTreeMap::new();
        for told in &self.told {
            for user in &told.users {
                by_user.entry(user).or_default().push(told);
            }
            assert_ne!(identities.get(&told.identity), Some(&(true, false)), "seed {seed}: a guest again");
        }
        let mut moved = 0;
        for (user, all) in by_user {
            for before in all.iter().filter(|told| is_alive(&told.identity)) {
                let was_taken = |until: Instant| {
                    self.taken.iter().any(|taken| {
                        taken.identity == before.identity
                            && (taken.user == *user || taken.user.ends_with(':') && user.starts_with(&taken.user))
                            && taken.ended >= before.began
                            && taken.began <= until
                    })
                };
                for after in all.iter().filter(|after| after.began > before.ended) {
                    let (first, then) = (&before.identity, &after.identity);
                    let explained = first == then || was_taken(after.ended);
                    assert!(explained, "seed {seed}: {user} was told {first}, then {then}");
                }
            }
            let told: BTreeSet<&String> = all.iter().map(|told| &told.identity).collect();
            if left_alone.contains(&user.as_str()) {
                assert_eq!(told.len(), 1, "seed {seed}: {user}: {told:?}");
            } else {
                moved += usize::from(told.len() > 1);
            }
        }
        assert!(moved > 10, "seed {seed}: only {moved} users ever changed their identity");
    }
}

/// Whether each identity is enabled, and whether it has logins.
pub type Identities = BTreeMap<String, (bool, bool)>;

/// The identities by id, each with whether it is enabled and whether it has logins.
pub async fn identities(url: &str) -> Identities {
    let query = "select i.identity_id::text as id, i.state = 1 as enabled,
                   exists (select from logins l where l.identity_id = i.identity_id) as used from identities i";
    let rows = sqlx::query(query).fetch_all(&mut connect(url).await).await.unwrap();
    let id = |row: &PgRow| format!("us-east-1:{}", row.get::<String, _>("id"));
    rows.iter().map(|row| (id(row), (row.get("enabled"), row.get("used")))).collect()
}

/// What holds at every moment: each login is that of one living identity, which has one user of each public provider at
/// most, and no more logins than the limit.
pub async fn assert_sound(url: &str, limit: usize, seed: u64) {
    let astray = "select count(*) from logins l left join identities i
                    on i.identity_id = l.identity_id and i.route / 1024 = l.route / 1024 and i.state = 1
                  where i.identity_id is null";
    assert_eq!(count(url, astray).await, 0, "seed {seed}: logins of dead identities");
    let shared = "select count(*) from (select from logins group by provider_no, subject_key
                  having count(*) > 1) as more";
    assert_eq!(count(url, shared).await, 0, "seed {seed}: logins of two identities");
    let second = "select count(*) from (select from logins where provider_no > 1
                  group by identity_id, provider_no having count(*) > 1) as more";
    assert_eq!(count(url, second).await, 0, "seed {seed}: two users of one public provider");
    let most = "select max(n) from (select count(*) as n from logins group by identity_id) as each";
    let most = count(url, most).await;
    assert!(most <= i64::try_from(limit).unwrap(), "seed {seed}: {most} logins of one identity");
}
