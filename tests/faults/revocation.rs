//! An emergency: a key is revoked while brokers sign with it, of which one cannot hear, since its polls get no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::broker::{Broker, Launch, MASTER_KEY};
use crate::client::{self, Client};
use crate::database::Database;
use crate::figures::{Figures, size};
use crate::operator::Operator;
use crate::proxy::Proxy;
use crate::schedule::Schedule;
use crate::verifiers::Token;

const POLL: Duration = Duration::from_secs(1);
const FENCE: Duration = Duration::from_secs(4);
const STALE: Duration = Duration::from_secs(6);

/// Within this a broker that can poll shows a revoked key no more.
const GONE_WITHIN: Duration = Duration::from_millis(1_200 + 1_000);

/// The schedule of months, but for what a revocation has to do with.
fn launch(url: &str) -> Launch {
    let schedule = Schedule {
        rotation_period: 2_592_000,
        publish_lead: 86_400,
        jwks_max_age: 1,
        jwks_stale_limit: STALE.as_secs(),
        poll_interval: POLL.as_secs(),
        sign_fence: FENCE.as_secs(),
        unpublish_delay: 90_000,
        destroy_delay: 600,
        max_lifetime: 3_600,
        ..Schedule::default()
    };
    schedule.of(Launch::serve(url))
}

/// What was asked of a broker, when it was asked, and with which key it signed, if it did.
struct Asked {
    at: Instant,
    kid: Option<String>,
}

/// Has a broker mint, one token after the other, until told to stop.
fn mint(client: &Client, broker: &Broker, pool: &str, is_over: &Arc<AtomicBool>) -> JoinHandle<Vec<Asked>> {
    let request = client.token_request(&broker.url, pool, "alice");
    let (client, is_over) = (client.clone(), Arc::clone(is_over));
    tokio::spawn(async move {
        let mut asked = Vec::new();
        while !is_over.load(Ordering::SeqCst) {
            let at = Instant::now();
            let answer = client.send(&request).await.unwrap();
            let kid = (answer.status == 200).then(|| Token::parse(answer.member("Token")).kid);
            asked.push(Asked { at, kid });
            tokio::time::sleep(Duration::from_millis(size(40, 10))).await;
        }
        asked
    })
}

/// The names of the keys that a broker shows, the one that signs first; none if it shows no JWKS.
async fn shown(url: &str) -> Vec<String> {
    let answer = client::get(&format!("{url}/.well-known/jwks.json")).await.unwrap();
    let keys = answer.json["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// When a broker shows a key no more. One that reaches its database shows others; one that does not may show none.
fn gone(url: &str, kid: &str, reaches: bool) -> JoinHandle<Instant> {
    let (url, kid) = (url.to_owned(), kid.to_owned());
    tokio::spawn(async move {
        loop {
            let keys = shown(&url).await;
            assert!(!reaches || !keys.is_empty(), "it shows no JWKS");
            if !keys.contains(&kid) {
                return Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}

/// The longest that anything took, over all rounds.
#[derive(Default)]
struct Longest {
    signed: Duration,
    signed_deaf: Duration,
    shown: Duration,
    shown_deaf: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_signs_nothing_after_the_fence_and_is_shown_no_more_after_a_poll() {
    let (database, client) = Database::with_developer().await;
    let direct = launch(&database.url);
    let (one, other) = tokio::join!(direct.start(), direct.start());
    let pool = client.create_pool(&one.url).await;
    client.identity(&one.url, &pool, "alice").await;

    let rounds = size(1, 5);
    let mut longest = Longest::default();
    let (mut tokens, mut refused) = (0, 0);
    for _ in 0..rounds {
        let proxy = Proxy::start(&database.server).await;
        let deaf = direct.clone().env("DATABASE_URL", proxy.url(&database.url)).start().await;
        let kid = shown(&one.url).await[0].clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let minting = [&one, &other, &deaf].map(|broker| mint(&client, broker, &pool, &is_over));
        tokio::time::sleep(Duration::from_millis(500)).await;

        proxy.hold_back("keyrings");
        let deafened = Instant::now();
        let revocation = direct.clone().instead(&["key", "revoke", &kid, "--force"]).run().await;
        assert_eq!(revocation.code, Some(0), "{revocation:?}");
        let revoked = Instant::now();
        let going = [&one, &other].map(|broker| gone(&broker.url, &kid, true));
        let going_deaf = gone(&deaf.url, &kid, false);
        for going in going {
            let shown = going.await.unwrap().saturating_duration_since(revoked);
            assert!(shown <= GONE_WITHIN, "{shown:?}");
            longest.shown = longest.shown.max(shown);
        }
        // Counted from its last poll, which was before.
        let shown_deaf = going_deaf.await.unwrap() - deafened;
        assert!(shown_deaf <= STALE + Duration::from_secs(1), "{shown_deaf:?}");
        longest.shown_deaf = longest.shown_deaf.max(shown_deaf);
        tokio::time::sleep((FENCE + Duration::from_secs(1)).saturating_sub(revoked.elapsed())).await;
        is_over.store(true, Ordering::SeqCst);

        for (number, minting) in minting.into_iter().enumerate() {
            let asked = minting.await.unwrap();
            let signed = |asked: &&Asked| asked.kid.as_ref() == Some(&kid);
            let last = asked.iter().filter(signed).map(|asked| asked.at).max().unwrap();
            let after = last.saturating_duration_since(revoked);
            assert!(after <= FENCE, "{after:?}");
            let is_deaf = number == 2;
            let longest = if is_deaf { &mut longest.signed_deaf } else { &mut longest.signed };
            *longest = after.max(*longest);
            // Whoever heard of it has another key at once; whoever did not has none.
            let since = asked.iter().filter(|asked| asked.at > revoked + FENCE);
            let signed_since = since.clone().filter(|asked| asked.kid.is_some()).count();
            let count = since.count();
            assert!(
                count > 0 && signed_since == if is_deaf { 0 } else { count },
                "{number}: {signed_since} of {count}"
            );
            if !is_deaf {
                refused += asked.iter().filter(|asked| asked.kid.is_none()).count();
            }
            tokens += asked.len();
        }
        assert_eq!(refused, 0);
        // The key that signs now does so for all, and the revoked one is not shown again.
        let keys = [shown(&one.url).await, shown(&other.url).await];
        assert!(keys[0] == keys[1] && keys[0].len() >= 2 && !keys[0].contains(&kid), "{keys:?}");
        deaf.kill();
    }

    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let mut figures = Figures::of("1-rotation-3-revocation", "Emergency revocation");
    figures.row(
        "keys revoked under load, with `keys.poll_interval` 1 s and `keys.sign_fence` 4 s",
        size("1", "5"),
        rounds,
    );
    figures.row("tokens asked for meanwhile", "", tokens);
    figures.row("of these refused by a broker that can poll", "0", refused);
    figures.row("last signature by the revoked key after the revocation", "≤ 4 s", seconds(longest.signed));
    figures.row("the same on a broker whose polls get no answer", "≤ 4 s", seconds(longest.signed_deaf));
    figures.row("the key is in the JWKS after the revocation", "≤ 2.2 s", seconds(longest.shown));
    figures.row(
        "the same on a broker whose polls get no answer (`keys.jwks_stale_limit` 6 s)",
        "≤ 7 s",
        seconds(longest.shown_deaf),
    );
    figures.publish();
}

#[tokio::test]
async fn a_change_of_keys_whose_commit_is_not_answered_is_told_as_done() {
    let database = Database::migrated().await;
    let _broker = Launch::serve(&database.url).start().await;
    let direct = Operator::of(&database.url, MASTER_KEY);
    let proxy = Proxy::start(&database.server).await;
    let operator = Operator::of(&proxy.url(&database.url), MASTER_KEY);
    let [first] = direct.keys("ACTIVE").await.try_into().unwrap();
    for change in [&["key", "rotate", "--force"][..], &["key", "revoke", &first, "--force"]] {
        // Behind those to two looks at the master keys.
        proxy.lose_an_answer_after(2);
        operator.ok(change).await;
        assert!(!proxy.is_losing(), "{change:?} committed nothing");
    }
    assert_eq!(direct.keys("REVOKED").await, [first]);
    assert!(direct.ok(&["key", "audit"]).await.starts_with("clean"));
}
