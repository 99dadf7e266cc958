//! The catalogue of attacks on login tokens: every one is refused for its own reason, and none makes the broker fetch.
//! Here on a clock that stands still; in [`live`] as `Logins` of a broker.

mod algorithms;
mod claims;
mod forms;
mod headers;
mod live;
mod proper;
mod signatures;
mod user_pools;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use symbolon::upstream::{Trust, Upstream};

use crate::figures::Figures;
use crate::issuer::Issuer;
use crate::issuer::minting::{Key, altered};
use crate::stage::{self, CLIENT, NOW, outcome};

/// Who the tokens are about: no text of an error may name them.
const VICTIM: &str = "victim-5b1f";
const USER_POOL: &str = "eu-central-1_Ab3dEf9hJ";

/// An attack: its name, what must come of it, and the token.
struct Attack {
    name: String,
    outcome: &'static str,
    token: String,
}

fn attack(name: impl Into<String>, outcome: &'static str, token: impl Into<String>) -> Attack {
    Attack { name: name.into(), outcome, token: token.into() }
}

/// The issuer under attack, a second one that the pool trusts too, and the attacker's own server.
struct World {
    issuer: Issuer,
    other: Issuer,
    attacker: Issuer,
    /// The keys of the issuer, all published.
    rsa: Key,
    second: Key,
    p256: Key,
    p384: Key,
    /// The attacker's key, published by the attacker alone, under the name of the issuer's own.
    rogue: Key,
    /// When the tokens are made, in epoch seconds.
    now: i64,
    /// The lines of the section `upstream` by which the issuers are reached.
    lines: String,
    upstream: Upstream,
}

impl World {
    async fn at(now: i64) -> Self {
        let (issuer, other, attacker) = (Issuer::start().await, Issuer::start().await, Issuer::start().await);
        let rsa = issuer.key();
        let second = Key::rsa(1, "second", "RS256");
        let rogue = Key::rsa(2, &rsa.kid, "RS256");
        let (p256, p384) = (Key::p256("p256"), Key::p384("p384"));
        for key in [&second, &p256, &p384] {
            issuer.publish(key.jwk());
        }
        for jwk in algorithms::odd_keys(&rsa) {
            issuer.publish(jwk);
        }
        other.remove_key(&other.key().kid);
        other.sign_with(Key::rsa(3, "of-the-other", "RS256"));
        attacker.remove_key(&attacker.key().kid);
        attacker.sign_with(rogue.clone());
        let lines = format!(
            "allow_http_issuers = ['{url}/realm', '{url}/{USER_POOL}', '{}']\nuser_pool_issuer = '{url}/{{user_pool_id}}'",
            other.url(),
            url = issuer.url()
        );
        let (upstream, _) = stage::upstream(&lines);
        Self { issuer, other, attacker, rsa, second, p256, p384, rogue, now, lines, upstream }
    }

    /// The issuer's name: with a path, so that there is something to tamper with.
    fn iss(&self) -> String {
        format!("{}/realm", self.issuer.url())
    }

    fn trust(&self) -> Trust {
        stage::declared(&format!("{}/realm", self.issuer.login_key()))
    }

    /// The claims of a proper token.
    fn claims(&self) -> Value {
        json!({"iss": self.iss(), "sub": VICTIM, "aud": CLIENT, "iat": self.now, "exp": self.now + 600})
    }

    /// A properly signed token with these claims changed; `null` takes one away.
    fn with(&self, changes: &Value) -> String {
        self.rsa.token(&altered(&self.claims(), changes))
    }

    /// A properly signed token whose header has these members changed; `null` takes one away.
    fn headed(&self, changes: &Value) -> String {
        self.headed_by(&self.rsa, changes)
    }

    /// The same by another key.
    fn headed_by(&self, key: &Key, changes: &Value) -> String {
        key.token_of(altered(&key.header(), changes).to_string(), self.claims().to_string())
    }

    /// A properly signed token with this text for its claims.
    fn reading(&self, payload: impl AsRef<[u8]>) -> String {
        self.rsa.token_of(self.rsa.header().to_string(), payload)
    }

    fn proper(&self) -> String {
        self.rsa.token(&self.claims())
    }

    /// The requests that anyone has had so far, and the connections to the attacker.
    fn traffic(&self) -> [usize; 4] {
        [self.issuer.hits(), self.other.hits(), self.attacker.hits(), self.attacker.connections()]
    }

    /// Lets the broker fetch what it may. The clock stands still, so that it may not look for an unknown key again.
    async fn warm_up(&self) {
        let logins = vec![
            (self.trust(), self.proper()),
            (stage::user_pool(USER_POOL, false), user_pools::proper(self)),
            (stage::declared(self.other.login_key()), self.other_token()),
        ];
        self.upstream.verify(logins).await.unwrap();
        let unknown = self.rsa.known_as("never-published", "RS256");
        for (trust, token) in [
            (self.trust(), unknown.token(&self.claims())),
            (stage::user_pool(USER_POOL, false), unknown.token(&user_pools::claims(self))),
        ] {
            assert_eq!(outcome(&stage::verify(&self.upstream, &trust, &token).await), "Signature");
        }
        // A document and keys of each: the issuer under attack is the user pool's too.
        assert_eq!(self.traffic(), [4, 2, 0, 0]);
    }

    /// A proper token of the second issuer.
    fn other_token(&self) -> String {
        self.other.token_with(&self.other.claims_at(self.now, VICTIM, CLIENT))
    }

    /// Tries each attack under `trust`, alone and beside a login that holds, and gives what went wrong.
    async fn attempt(&self, trust: &Trust, attacks: &[Attack]) -> Vec<String> {
        let beside = (stage::declared(self.other.login_key()), self.other_token());
        let mut wrong = Vec::new();
        for Attack { name, outcome: expected, token } in attacks {
            let before = self.traffic();
            let result = stage::verify(&self.upstream, trust, token).await;
            let shown = result.as_ref().err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
            let came = outcome(&result);
            if came != *expected {
                wrong.push(format!("{name}: {came}, not {expected}"));
            }
            if shown.contains(VICTIM) || (token.len() > 40 && shown.contains(token.as_str())) {
                wrong.push(format!("{name}: the error shows the token's contents"));
            }
            let together = self.upstream.verify(vec![beside.clone(), (trust.clone(), token.clone())]).await;
            if outcome(&together) != came {
                wrong.push(format!("{name}: {} beside a login that holds", outcome(&together)));
            }
            if self.traffic() != before {
                wrong.push(format!("{name}: it caused a fetch, {before:?} to {:?}", self.traffic()));
            }
        }
        wrong
    }
}

/// Everything but what is for user pools.
fn catalogue(world: &World) -> Vec<Attack> {
    [algorithms::attacks, headers::attacks, forms::attacks, claims::attacks, signatures::attacks]
        .iter()
        .flat_map(|part| part(world))
        .collect()
}

/// The names of all attacks, none of which is one that holds.
fn names<'a>(attacks: &'a [Attack], on_user_pools: &'a [Attack]) -> BTreeSet<&'a str> {
    let all = || attacks.iter().chain(on_user_pools);
    let names: BTreeSet<_> = all().map(|attack| attack.name.as_str()).collect();
    assert_eq!(names.len(), all().count(), "two attacks of one name");
    assert!(names.len() >= 500, "only {} attacks", names.len());
    assert!(all().all(|attack| attack.outcome != "accepted"));
    names
}

#[tokio::test]
async fn every_attack_is_refused_for_its_reason_and_causes_no_fetch() {
    let world = World::at(NOW).await;
    world.warm_up().await;
    let (attacks, on_user_pools) = (catalogue(&world), user_pools::attacks(&world));
    let names = names(&attacks, &on_user_pools);

    let mut wrong = world.attempt(&world.trust(), &attacks).await;
    wrong.extend(world.attempt(&stage::user_pool(USER_POOL, false), &on_user_pools).await);
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), names.len(), wrong.join("\n"));

    let mut figures = Figures::of("8-attacks-3-logins", "Attacks on login tokens");
    let reasons: BTreeSet<_> = attacks.iter().chain(&on_user_pools).map(|attack| attack.outcome).collect();
    figures.row("Named attacks, each alone and beside a login that holds", "≥ 120", names.len());
    figures.row("Of them accepted, or refused for another reason", "0", wrong.len());
    figures.row("Reasons among them", "exact", reasons.len());
    let [.., attacker] = world.traffic();
    figures.row("Connections to the attacker's server", "0", attacker);
    figures.publish();
}

#[tokio::test]
async fn what_a_catalogue_of_attacks_must_let_through() {
    let world = World::at(NOW).await;
    world.warm_up().await;
    let mut wrong = world.attempt(&world.trust(), &proper::tokens(&world)).await;
    let of_pool = [attack("a user pool's ID token", "accepted", user_pools::proper(&world))];
    wrong.extend(world.attempt(&stage::user_pool(USER_POOL, false), &of_pool).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
