//! Keys turn while tokens are minted, and no verifier notices, whatever it keeps and for how long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::broker::{Broker, Launch};
use crate::client::{Answer, Client, Signed};
use crate::crowd::{Crowd, Look, Verdict, now};
use crate::database::{Database, connect};
use crate::dice::{Dice, new_seed};
use crate::figures::{Figures, size};
use crate::proxy::Proxy;
use crate::schedule::Schedule;
use crate::verifiers::{FIRST_KEY, KINDS, REFETCHING, STRICT, Token};

/// What minting and looking may be off by, as against the times in the rows: a replica knows the time by an answer that took
/// its way, on a machine that is busy.
const MARGIN: Duration = Duration::from_secs(1);

/// How many tokens are asked for at once, at the most.
const MINTING_AT_ONCE: usize = 32;

/// Two brokers that mint, and one that only shows keys, from behind a proxy.
struct Stage {
    schedule: Schedule,
    database: Database,
    client: Client,
    brokers: [Broker; 3],
    proxy: Arc<Proxy>,
    /// For each of the two that mint.
    pool: String,
}

/// A token's key, and when the token was asked for and had.
struct Minted {
    kid: String,
    asked: OffsetDateTime,
    had: OffsetDateTime,
}

/// When a key signed by its row.
struct Key {
    kid: String,
    from: OffsetDateTime,
    until: Option<OffsetDateTime>,
}

/// What happened.
struct Outcome {
    crowd: Arc<Crowd>,
    minted: Vec<Minted>,
    refused: Vec<Answer>,
    /// The oldest first.
    keys: Vec<Key>,
}

impl Stage {
    async fn of(schedule: Schedule) -> Self {
        let (database, client) = Database::with_developer().await;
        let proxy = Arc::new(Proxy::start(&database.server).await);
        let direct = schedule.of(Launch::serve(&database.url));
        let behind = direct.clone().env("DATABASE_URL", proxy.url(&database.url));
        let (one, other, cut_off) = tokio::join!(direct.start(), direct.start(), behind.start());
        let pool = client.create_pool(&one.url).await;
        Self { schedule, database, client, brokers: [one, other, cut_off], proxy, pool }
    }

    /// Requests for the first two brokers.
    fn signed(&self) -> [Vec<Signed>; 2] {
        [0, 1].map(|broker: usize| {
            let url = &self.brokers[broker].url;
            (0..4).map(|user| self.client.token_request(url, &self.pool, &format!("user-{user}"))).collect()
        })
    }

    /// Mints so many tokens a second, at least so many and until `enough`; and has verifiers look at them until the last one
    /// has its end.
    async fn run<F>(&self, rate: u32, tokens: usize, enough: impl FnOnce(String, Arc<Crowd>) -> F) -> Outcome
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seed = new_seed();
        println!("the seed is {seed}");
        let mut dice = Dice::of(seed);
        let crowd = Crowd::of(self.schedule, self.brokers.iter().map(|broker| broker.url.clone()).collect());
        let cutting = tokio::spawn(cut_off_again_and_again(self.schedule, Arc::clone(&self.proxy), Arc::clone(&crowd)));
        let enough = tokio::spawn(enough(self.database.url.clone(), Arc::clone(&crowd)));
        let mut outcome = Outcome { crowd, minted: Vec::new(), refused: Vec::new(), keys: Vec::new() };
        let (mut minting, mut looks) = (JoinSet::new(), JoinSet::new());
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = 0;
        let (mut requests, mut signed) = (self.signed(), Instant::now());
        while !enough.is_finished() || asked < tokens {
            tick.tick().await;
            while let Some(answered) = minting.try_join_next() {
                outcome.take(answered.unwrap(), &mut dice, &mut looks);
            }
            while let Some(look) = looks.try_join_next() {
                look.unwrap();
            }
            // A machine that is busy takes longer for as many, rather than none of them in time.
            if minting.len() > MINTING_AT_ONCE || outcome.crowd.is_behind() {
                continue;
            }
            // What is measured is no client: each is signed for many times, and good for five minutes.
            if signed.elapsed() > Duration::from_mins(2) {
                (requests, signed) = (self.signed(), Instant::now());
            }
            let of_broker = &requests[asked % 2];
            let (client, request) = (self.client.clone(), of_broker[asked / 2 % of_broker.len()].clone());
            minting.spawn(async move {
                let asked = now();
                (client.send(&request).await.unwrap(), asked, now())
            });
            asked += 1;
        }
        while let Some(answered) = minting.join_next().await {
            outcome.take(answered.unwrap(), &mut dice, &mut looks);
        }
        looks.join_all().await;
        cutting.abort();
        outcome.keys = keys(&self.database.url).await;
        outcome
    }
}

/// The last broker loses its database for longer than it may show keys, and finds it again.
async fn cut_off_again_and_again(schedule: Schedule, proxy: Arc<Proxy>, crowd: Arc<Crowd>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        crowd.is_cut_off.store(true, Ordering::SeqCst);
        proxy.strike_all_dumb();
        tokio::time::sleep(Duration::from_secs(schedule.jwks_stale_limit + 1)).await;
        proxy.recover();
        crowd.is_cut_off.store(false, Ordering::SeqCst);
        // It takes its time to give up on the connections that it had.
        crowd.until_all_show().await;
    }
}

/// Waits until so many keys have taken over from another, and a little longer.
async fn wait_for_turns(url: String, turns: usize) {
    while keys(&url).await.len() <= turns {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Waits until a verifier that keeps to max-age has refused a token; not for ever.
async fn wait_for_a_refusal(crowd: Arc<Crowd>) {
    let began = Instant::now();
    let has_refused = || crowd.looks(STRICT).iter().any(|look| look.verdict == Verdict::Refused);
    while !has_refused() && began.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The keys that sign or have signed.
async fn keys(url: &str) -> Vec<Key> {
    let query =
        "select kid, sign_from, sign_until from signing_keys where sign_from <= clock_timestamp() order by sign_from";
    let rows = sqlx::query(query).fetch_all(&mut connect(url).await).await.unwrap();
    rows.iter().map(|row| Key { kid: row.get(0), from: row.get(1), until: row.get(2) }).collect()
}

impl Outcome {
    fn take(
        &mut self,
        (answer, asked, had): (Answer, OffsetDateTime, OffsetDateTime),
        dice: &mut Dice,
        looks: &mut JoinSet<()>,
    ) {
        if answer.status != 200 {
            self.refused.push(answer);
            return;
        }
        let token = Token::parse(answer.member("Token"));
        self.minted.push(Minted { kid: token.kid.clone(), asked, had });
        self.crowd.show(token, asked, dice, looks);
    }

    fn turns(&self) -> impl Iterator<Item = OffsetDateTime> {
        self.keys.iter().skip(1).map(|key| key.from)
    }

    /// Whether a turn lies between these times, or not more than the margin from them.
    fn turns_within(&self, from: OffsetDateTime, until: OffsetDateTime) -> bool {
        self.turns().any(|turn| from - MARGIN <= turn && turn <= until + MARGIN)
    }

    /// The tokens whose key was not the one that signed by the rows.
    fn out_of_turn(&self) -> usize {
        let signed = |token: &Minted, key: &Key| {
            key.kid == token.kid
                && key.from - MARGIN <= token.had
                && key.until.is_none_or(|until| token.asked <= until + MARGIN)
        };
        self.minted.iter().filter(|token| !self.keys.iter().any(|key| signed(token, key))).count()
    }

    /// What verifiers of a kind made of the tokens that they are made for.
    fn of_kind(&self, kind: usize) -> Seen {
        let looks = self.crowd.looks(kind);
        let counts = |look: &&Look| kind != FIRST_KEY || !self.turns_within(look.minted, look.looked);
        let looks: Vec<Look> = looks.into_iter().filter(|look| counts(&look)).collect();
        let count = |wanted: &dyn Fn(&Look) -> bool| looks.iter().filter(|look| wanted(look)).count();
        Seen {
            accepted: count(&|look| look.verdict == Verdict::Accepted),
            refused: count(&|look| look.verdict == Verdict::Refused),
            late: count(&|look| look.verdict == Verdict::Late),
            at_a_turn: count(&|look| self.turns_within(look.looked, look.looked)),
            at_the_end: count(&|look| {
                look.verdict == Verdict::Accepted && look.looked > look.end - Duration::from_secs(1)
            }),
        }
    }
}

/// How often tokens were accepted, and not; and how many of the looks were at the moments that matter.
#[derive(Debug)]
struct Seen {
    accepted: usize,
    refused: usize,
    late: usize,
    at_a_turn: usize,
    at_the_end: usize,
}

/// In the short form two seconds are the age of a JWKS that is shown, and one that of a JWKS that is kept; no clock is off.
fn schedule() -> Schedule {
    let short = Schedule {
        jwks_stale_limit: 2,
        jwks_max_age: 1,
        poll_interval: 1,
        sign_fence: 4,
        verifier_leeway: 1,
        max_lifetime: 3,
        ..Schedule::default()
    };
    let whole = Schedule {
        jwks_stale_limit: 3,
        jwks_max_age: 2,
        verifier_leeway: 2,
        verifier_skew: 1,
        replica_skew: 1,
        max_lifetime: 6,
        ..short
    };
    size(short, whole).tight()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verifier_of_any_kind_notices_a_turn() {
    let schedule = schedule();
    schedule.assert_keeps_the_rules();
    let (turns, tokens) = size((1, 200), (8, 20_000));
    let stage = Stage::of(schedule).await;
    let outcome = stage.run(size(30, 220), tokens, |url, _| wait_for_turns(url, turns)).await;

    let refused = outcome.refused.len();
    assert_eq!(refused, 0, "{:?}", outcome.refused.first());
    assert!(outcome.minted.len() >= tokens && outcome.turns().count() >= turns);
    assert_eq!(outcome.out_of_turn(), 0);
    let mut figures = Figures::of("1-rotation-1-load", "Rotation under load");
    figures.row("turns from one key to the next", size("1", "≥ 8"), outcome.turns().count());
    figures.row("tokens minted by two brokers", size("≥ 200", "≥ 20 000"), outcome.minted.len());
    figures.row("tokens that a broker refused, or signed with a key out of turn", "0", "0");
    for (kind, (name, _)) in KINDS.iter().enumerate() {
        let seen = outcome.of_kind(kind);
        assert_eq!(seen.refused, 0, "{name}: {seen:?}");
        assert!(seen.accepted > size(0, 100 * seen.late), "{name}: the machine is too slow: {seen:?}");
        // At turns all is excused for this one, and at the end most.
        assert!(kind == FIRST_KEY || (seen.at_the_end > 0 && seen.at_a_turn > 0), "{name}: {seen:?}");
        let Seen { accepted, late, at_a_turn, at_the_end, .. } = seen;
        let told = format!(
            "0 of {accepted} ({at_a_turn} within 1 s of a turn, {at_the_end} in a token's last second); {late} came too late"
        );
        figures.row(&format!("refused by {name}"), "0", told);
    }
    let [shown, withheld] = outcome.crowd.by_the_cut_off();
    assert!(shown > 0 && withheld > 0, "{shown} {withheld}");
    figures.row(
        "a third broker without its database: JWKS shown, and withheld once it was too old",
        "some",
        format!("{shown}, {withheld}"),
    );
    let audit = schedule.of(Launch::serve(&stage.database.url)).instead(&["key", "audit"]).run().await;
    assert_eq!(audit.code, Some(0), "{audit:?}");
    figures.row("findings of `symbolon key audit`", "0", "0");
    figures.publish();
}

/// That the test above could fail: with a lead that is shorter than the time for which verifiers keep a JWKS, it would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_that_is_shorter_than_the_max_age_is_noticed_by_who_keeps_to_that() {
    let schedule = Schedule {
        rotation_period: 1,
        publish_lead: 1,
        jwks_max_age: 60,
        jwks_stale_limit: 2,
        poll_interval: 1,
        sign_fence: 2,
        verifier_leeway: 1,
        max_lifetime: 2,
        unpublish_delay: 6,
        ..Schedule::default()
    };
    // The first key that was not there when the first verifiers fetched is the third.
    let outcome = Stage::of(schedule).await.run(20, 0, |_, crowd| wait_for_a_refusal(crowd)).await;
    let (strict, refetching) = (outcome.of_kind(STRICT), outcome.of_kind(REFETCHING));
    assert!(strict.refused > 0 && strict.accepted > 0, "{strict:?}");
    assert_eq!(refetching.refused, 0, "{refetching:?}");
    let mut figures = Figures::of("1-rotation-2-too-early", "Rotation with a lead that is too short");
    let promise = "some: the test can fail";
    figures.row(
        "refused by a verifier that keeps to max-age",
        promise,
        format!("{} of {}", strict.refused, strict.refused + strict.accepted),
    );
    figures.row(&format!("refused by {}", KINDS[REFETCHING].0), "0", refetching.refused);
    figures.publish();
}
