//! A network between broker and Postgres that delays, cuts up, resets, half-closes and swallows, at any moment of a call of
//! any operation: whatever comes of it, the call was done once or not at all, and is answered in time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::broker::Broker;
use crate::client::Answer;
use crate::dice::{Dice, new_seed};
use crate::federation::Federation;
use crate::figures::{Figures, is_whole, size};
use crate::operations::{MAKING, Stage, cases, is_internal_error, is_of, outcome};
use crate::proxy::{Fault, Proxy, Shape};

/// `server.handler_timeout` and `upstream.fetch_timeout` here: a call ends within their sum, and what a busy machine adds.
const HANDLER: Duration = Duration::from_secs(3);
const FETCH: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(2);

/// What befalls the connections of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Every piece is late.
    Late,
    /// Pieces of a few bytes.
    Sliced,
    /// At some moment, on the connection that is used then, or on all.
    Struck(Fault, bool),
    /// Once the first transaction is committed, before anybody hears of it.
    Committed(Fault),
}

const TROUBLES: [Trouble; 13] = [
    Trouble::Late,
    Trouble::Sliced,
    Trouble::Struck(Fault::Reset, false),
    Trouble::Struck(Fault::Reset, true),
    Trouble::Struck(Fault::ClosedToBroker, false),
    Trouble::Struck(Fault::ClosedToBroker, true),
    Trouble::Struck(Fault::ClosedToServer, false),
    Trouble::Struck(Fault::ClosedToServer, true),
    Trouble::Struck(Fault::Silence, false),
    Trouble::Struck(Fault::Silence, true),
    Trouble::Committed(Fault::Reset),
    Trouble::Committed(Fault::ClosedToBroker),
    Trouble::Committed(Fault::Silence),
];

impl Trouble {
    /// Whether the broker is told that a connection has ended, and has nothing to wait for.
    fn is_heard(self) -> bool {
        matches!(self, Self::Struck(fault, _) | Self::Committed(fault) if fault != Fault::Silence)
    }
}

/// What a call comes to when nothing befalls it.
struct Undisturbed {
    outcome: String,
    before: String,
    after: String,
    /// How many pieces go between broker and Postgres for it.
    pieces: usize,
}

/// What came of many calls.
#[derive(Default)]
struct Tally {
    calls: usize,
    struck: usize,
    as_if_nothing: usize,
    refused: usize,
    refused_and_done: usize,
    /// Of those struck: with connections that were reset or closed.
    cut: usize,
    cut_and_refused: usize,
    longest: Duration,
}

/// A broker behind a proxy, with a database of its own: a transaction that is cut off in silence keeps others waiting.
struct Lane {
    at: Federation,
    broker: Broker,
    proxy: Proxy,
    dice: Dice,
    tally: Tally,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_does_each_operation_is_done_once_or_not_at_all_and_answered_in_time() {
    let (lanes, rounds) = (size(3, 8), size(1, 2));
    let seed = new_seed();
    println!("seed {seed}");
    // In the short form half of the operations, others every time.
    let all = cases();
    let count = size(all.len() / 2, all.len());
    let cases = &Dice::of(seed).some(&all, count, count);
    let work = (0..lanes).map(async |number| {
        let mut lane = Lane::start(seed.wrapping_add(number as u64)).await;
        for case in cases.iter().skip(number).step_by(lanes) {
            let undisturbed = lane.undisturbed(case).await;
            // In the short form one trouble for each, another every time.
            let chosen = lane.dice.below(TROUBLES.len());
            for (number, trouble) in TROUBLES.into_iter().enumerate() {
                for _ in 0..if is_whole() || number == chosen { rounds } else { 0 } {
                    lane.disturb(case, trouble, &undisturbed).await;
                }
            }
        }
        let said = lane.broker.said();
        assert!(!said.contains("panicked"), "{said}");
        lane.broker.until_ready().await;
        lane.broker.stop().await;
        lane.tally
    });
    let mut all = Tally::default();
    for tally in join_all(work).await {
        all.calls += tally.calls;
        all.struck += tally.struck;
        all.as_if_nothing += tally.as_if_nothing;
        all.refused += tally.refused;
        all.refused_and_done += tally.refused_and_done;
        all.cut += tally.cut;
        all.cut_and_refused += tally.cut_and_refused;
        all.longest = all.longest.max(tally.longest);
    }
    assert!(all.cut > 0, "no connection was reset or closed");
    assert!(all.cut_and_refused <= most_refused(all.cut), "{} of {} cut", all.cut_and_refused, all.cut);
    let mut figures = Figures::of("4-network", "A network that fails between broker and Postgres");
    figures.row("Calls of every operation through it", "", all.calls);
    figures.row("Of them with a connection cut, closed on one side or silent in the middle", "", all.struck);
    figures.row("Answered as if nothing had happened", "", all.as_if_nothing);
    let most = format!("≤ {}: they are tried again", most_refused(all.cut));
    let refused = format!("{} of {}", all.cut_and_refused, all.cut);
    figures.row("Refused where connections did not fall silent, but were reset or closed", &most, refused);
    figures.row("Refused (`InternalErrorException`, `Retry-After: 1`)", "", all.refused);
    figures.row("Of them done all the same: that the commit succeeded was not heard in time", "", all.refused_and_done);
    figures.row("Done twice, or in part", "0", 0);
    figures.row("Panics", "0", 0);
    let limit = format!("≤ {} s", (HANDLER + FETCH + SLACK).as_secs());
    figures.row("Longest answer", &limit, format!("{:.2} s", all.longest.as_secs_f64()));
    figures.publish();
}

/// How many calls may be refused of those whose connections were reset or closed. What has ended is tried again over another
/// connection, which nothing befalls: only a very busy machine is too late for that.
fn most_refused(cut: usize) -> usize {
    1 + cut / 50
}

impl Lane {
    async fn start(seed: u64) -> Self {
        let at = Federation::start(&["ann", "bob"]).await;
        let proxy = Proxy::start(&at.database.server).await;
        let broker = at
            .serve(&proxy.url(&at.database.url))
            .env("SYMBOLON__KEYS__POLL_INTERVAL", "59")
            .env("SYMBOLON__CREDENTIALS__BUILTIN", "true")
            .env("SYMBOLON__LIMITS__OPENID_CONNECT_PROVIDERS_PER_ACCOUNT", "10000")
            .env("SYMBOLON__LIMITS__SAML_PROVIDERS_PER_ACCOUNT", "10000")
            .env("SYMBOLON__SERVER__HANDLER_TIMEOUT", HANDLER.as_secs().to_string())
            .env("SYMBOLON__UPSTREAM__FETCH_TIMEOUT", FETCH.as_secs().to_string())
            .start()
            .await;
        Self { at, broker, proxy, dice: Dice::of(seed), tally: Tally::default() }
    }

    /// What the call comes to by itself.
    async fn undisturbed(&mut self, case: &str) -> Undisturbed {
        let stage = Stage::set(&self.at, &self.broker.url).await;
        let url = self.at.database.url.clone();
        let before = stage.state(&url).await;
        self.proxy.take_pieces();
        let outcome = outcome(&self.call(&stage, case).await.0);
        let pieces = self.proxy.take_pieces();
        assert_eq!(outcome, "200 ", "{case}");
        Undisturbed { outcome, before, after: stage.state(&url).await, pieces }
    }

    async fn call(&self, stage: &Stage, case: &str) -> (Answer, Duration) {
        let request = stage.request(&self.at, &self.broker.url, case);
        let began = Instant::now();
        (self.at.client.send(&request).await.unwrap(), began.elapsed())
    }

    async fn disturb(&mut self, case: &str, trouble: Trouble, undisturbed: &Undisturbed) {
        let url = self.at.database.url.clone();
        let stage = Stage::set(&self.at, &self.broker.url).await;
        assert_eq!(stage.state(&url).await, undisturbed.before, "{case}");
        let seed = self.dice.below(usize::MAX) as u64;
        let (piece, part) = (self.dice.below(undisturbed.pieces.max(1)), self.dice.below(101));
        match trouble {
            Trouble::Late => self.proxy.shape(Shape { delay: Duration::from_millis(20), ..Shape::default() }, seed),
            Trouble::Sliced => self.proxy.shape(Shape { slice: 1 + self.dice.below(7), ..Shape::default() }, seed),
            Trouble::Struck(fault, all) => self.proxy.strike_at_piece(fault, piece, part, all),
            Trouble::Committed(fault) => self.proxy.strike_at_commit(fault),
        }
        let (answer, took) = self.call(&stage, case).await;
        let is_struck = matches!(trouble, Trouble::Struck(..) | Trouble::Committed(_)) && !self.proxy.is_losing();
        self.proxy.spare();
        self.proxy.shape(Shape::default(), 0);
        let where_it_was =
            format!("{case}, {trouble:?} at piece {piece} ({part} %): {answer:?} {}", self.broker.said());

        assert!(took <= HANDLER + FETCH + SLACK, "{took:?}: {where_it_was}");
        let after = stage.state(&url).await;
        let is_done = after == undisturbed.after;
        assert!(is_done || after == undisturbed.before, "{where_it_was}\n{after}\n{}", undisturbed.after);
        let must_commit = matches!(trouble, Trouble::Committed(_)) && undisturbed.after != undisturbed.before;
        assert!(is_struck || !must_commit, "its commit was not seen: {where_it_was}");
        self.tally.calls += 1;
        self.tally.struck += usize::from(is_struck);
        let is_cut = is_struck && trouble.is_heard();
        self.tally.cut += usize::from(is_cut);
        self.tally.longest = self.tally.longest.max(took);
        if outcome(&answer) == undisturbed.outcome {
            assert!(is_done, "acknowledged, and not done: {where_it_was}");
            assert!(is_of(&answer, &url).await, "names what is not there: {where_it_was}");
            self.tally.as_if_nothing += 1;
        } else {
            assert!(is_struck, "refused for nothing: {where_it_was}");
            is_internal_error(&answer);
            self.tally.refused += 1;
            self.tally.cut_and_refused += usize::from(is_cut);
            self.tally.refused_and_done += usize::from(is_done && after != undisturbed.before);
        }
        self.proxy.bury();
        self.repeat(case, &stage, undisturbed, &where_it_was).await;
    }

    /// The client comes again, as an SDK does: now it is done, and still only once.
    async fn repeat(&self, case: &str, stage: &Stage, undisturbed: &Undisturbed, where_it_was: &str) {
        if MAKING.contains(&case) {
            return;
        }
        let (answer, _) = self.call(stage, case).await;
        assert_ne!(answer.status, 500, "again, {where_it_was}\n{answer:?}");
        assert_eq!(stage.state(&self.at.database.url).await, undisturbed.after, "again, {where_it_was}");
    }
}
