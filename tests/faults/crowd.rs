//! Many verifiers that look at the tokens of one installation at all times of the tokens' lives, and what they made of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use symbolon::clock::Clock;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::client;
use crate::dice::Dice;
use crate::schedule::Schedule;
use crate::verifiers::{Fetched, KINDS, Token, Verifier};

/// How many there are of each kind: all fetch at other moments.
const OF_A_KIND: usize = 12;

/// How long before its end a token is looked at the last time, at the least: less, and a busy machine comes too late.
const LAST_MOMENT: Duration = Duration::from_millis(100);

pub fn now() -> OffsetDateTime {
    Clock::System.wall()
}

/// What a verifier made of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
    /// The test was too slow: its time was over when it was looked at.
    Late,
}

/// A verdict, with what it may be excused by.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub minted: OffsetDateTime,
    pub looked: OffsetDateTime,
    /// Since when the verifier would refuse the token.
    pub end: OffsetDateTime,
    pub verdict: Verdict,
}

/// All verifiers, and the replicas that they fetch from.
pub struct Crowd {
    schedule: Schedule,
    urls: Vec<String>,
    http: reqwest::Client,
    /// The clock of every other verifier is behind.
    kinds: Vec<Vec<Mutex<Box<dyn Verifier>>>>,
    looks: Vec<Mutex<Vec<Look>>>,
    /// Looks that are due, and not over.
    due: AtomicUsize,
    /// The last replica is cut off from its database.
    pub is_cut_off: AtomicBool,
    /// Sets that it showed while it was.
    shown_cut_off: AtomicUsize,
    /// Times that it showed none.
    withheld_cut_off: AtomicUsize,
}

impl Crowd {
    pub fn of(schedule: Schedule, urls: Vec<String>) -> Arc<Self> {
        let kind = |make: fn() -> Box<dyn Verifier>| (0..OF_A_KIND).map(|_| Mutex::new(make())).collect();
        Arc::new(Self {
            schedule,
            urls,
            http: client::http(),
            kinds: KINDS.iter().map(|(_, make)| kind(*make)).collect(),
            looks: KINDS.iter().map(|_| Mutex::default()).collect(),
            due: AtomicUsize::new(0),
            is_cut_off: AtomicBool::new(false),
            shown_cut_off: AtomicUsize::new(0),
            withheld_cut_off: AtomicUsize::new(0),
        })
    }

    /// Has one verifier of each kind look at the token: at once, at the last moment, or at any between.
    pub fn show(self: &Arc<Self>, token: Token, minted: OffsetDateTime, dice: &mut Dice, looks: &mut JoinSet<()>) {
        let token = Arc::new(token);
        for kind in 0..self.kinds.len() {
            let number = dice.below(OF_A_KIND);
            let left = (self.end(&token, number) - now()).unsigned_abs().saturating_sub(LAST_MOMENT);
            let wait = match dice.below(4) {
                0 => Duration::ZERO,
                1 => left.saturating_sub(Duration::from_millis(dice.below(800) as u64)),
                _ => left.mul_f64(f64::from(u16::try_from(dice.below(1_000)).unwrap()) / 1_000.0),
            };
            let (crowd, token, first) = (Arc::clone(self), Arc::clone(&token), dice.below(self.urls.len()));
            looks.spawn(async move {
                tokio::time::sleep(wait).await;
                crowd.due.fetch_add(1, Ordering::Relaxed);
                crowd.look(kind, number, &token, minted, first).await;
                crowd.due.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// How far the clock of a verifier is behind, in seconds.
    fn behind(&self, number: usize) -> i64 {
        if number.is_multiple_of(2) { 0 } else { i64::try_from(self.schedule.verifier_skew).unwrap() }
    }

    /// When a verifier refuses the token by its clock.
    fn end(&self, token: &Token, number: usize) -> OffsetDateTime {
        let leeway = i64::try_from(self.schedule.verifier_leeway).unwrap();
        OffsetDateTime::from_unix_timestamp(token.exp + leeway + self.behind(number)).unwrap()
    }

    async fn look(&self, kind: usize, number: usize, token: &Token, minted: OffsetDateTime, first: usize) {
        let verifier = &self.kinds[kind][number];
        let fetches = verifier.lock().unwrap().fetches(&token.kid, Instant::now());
        // Nobody waits for another's fetch: that would be a queue which on a busy machine does not end.
        let fetched = if fetches { Some(self.fetch(first).await) } else { None };
        let look = {
            let mut verifier = verifier.lock().unwrap();
            if let Some(fetched) = fetched {
                verifier.learn(fetched);
            }
            let (looked, end) = (now(), self.end(token, number));
            let early = token.iat - i64::try_from(self.schedule.verifier_leeway).unwrap();
            let has_begun = early <= looked.unix_timestamp() - self.behind(number);
            let verdict = match has_begun && verifier.accepts(token) {
                _ if looked >= end => Verdict::Late,
                true => Verdict::Accepted,
                false => Verdict::Refused,
            };
            Look { minted, looked, end, verdict }
        };
        self.looks[kind].lock().unwrap().push(look);
    }

    /// The JWKS of any replica that shows one, as behind a balancer. A machine that stood still for longer than a JWKS may be
    /// shown has none for a moment.
    async fn fetch(&self, first: usize) -> Fetched {
        for number in 0..self.urls.len() * 100 {
            let at = (first + number) % self.urls.len();
            let is_cut_off = at == self.urls.len() - 1 && self.is_cut_off.load(Ordering::SeqCst);
            let url = format!("{}/.well-known/jwks.json", self.urls[at]);
            let answer = client::get_by(&self.http, &url).await.unwrap();
            if is_cut_off {
                let count = if answer.status == 200 { &self.shown_cut_off } else { &self.withheld_cut_off };
                count.fetch_add(1, Ordering::Relaxed);
            }
            if answer.status == 200 {
                return Fetched::of(&answer);
            }
            if (number + 1).is_multiple_of(self.urls.len()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        panic!("no replica shows a JWKS");
    }

    /// Whether there is no room for more: looks that are due wait for the machine, and would come too late.
    pub fn is_behind(&self) -> bool {
        self.due.load(Ordering::Relaxed) > 200
    }

    /// Waits until every replica shows a JWKS.
    pub async fn until_all_show(&self) {
        for url in &self.urls {
            let shows = async || client::get(&format!("{url}/.well-known/jwks.json")).await.unwrap().status == 200;
            while !shows().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// How often the replica that was cut off showed a JWKS, and how often none.
    pub fn by_the_cut_off(&self) -> [usize; 2] {
        [&self.shown_cut_off, &self.withheld_cut_off].map(|count| count.load(Ordering::SeqCst))
    }

    /// All that verifiers of this kind made of tokens.
    pub fn looks(&self, kind: usize) -> Vec<Look> {
        self.looks[kind].lock().unwrap().clone()
    }
}
