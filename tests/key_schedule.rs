//! Thousands of random schedules of the signing keys, by events: whatever happens to brokers and verifiers, KEY1 to
//! KEY11 hold; and three plans that look as good do not.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use symbolon::config::{self, Algorithm};
use symbolon::error::Error;
use symbolon::keys::material::{Fresh, Numbers, PublicJwk};
use symbolon::keys::ring::View;
use symbolon::keys::rotation::{self, Step};
use symbolon::keys::signing_key::{Reading, active, published, waiting};
use symbolon::keys::{Policy, SigningKey, State};
use time::OffsetDateTime;
use time::macros::datetime;

/// True time: the database's, in milliseconds from the start of the simulation.
type Ms = i64;

const MAX_POLL: Ms = 3_000;
const MAX_COMMIT: Ms = 3_000;
const MAX_GENERATE: Ms = 5_000;
const HOUR: Ms = 3_600_000;
const START: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
/// The monotonic clocks' reading at the start.
const UP: Ms = 1_000_000_000_000;

fn at(t: Ms) -> OffsetDateTime {
    START + time::Duration::milliseconds(t)
}

fn ms(at: OffsetDateTime) -> Ms {
    i64::try_from((at - START).whole_milliseconds()).unwrap()
}

fn elapsed(t: Ms) -> Duration {
    Duration::from_millis(u64::try_from(t + UP).unwrap())
}

fn span(duration: Duration) -> Ms {
    i64::try_from(duration.as_millis()).unwrap()
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Repeatable chance.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// Between both, inclusive.
    fn within(&mut self, low: Ms, high: Ms) -> Ms {
        low + i64::try_from(self.next() % u64::try_from(high - low + 1).unwrap()).unwrap()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(length).unwrap()).unwrap()
    }
}

/// What a plan does, and whether its replicas abide by the fence.
#[derive(Clone, Copy)]
struct Design {
    plan: fn(&[SigningKey], &Policy, OffsetDateTime) -> Vec<Step>,
    fenced: bool,
}

const OURS: Design = Design { plan: rotation::plan, fenced: true };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Violation {
    /// A verifier refused a good token.
    Refused,
    /// A fresh replica had no key to sign with.
    NothingSigns,
    Key1,
    Key2,
    Key3,
    Key4,
    Key7,
    Key8,
    Key9,
    Key10,
    Key11,
}

struct Replica {
    seed: u64,
    phase: Ms,
    /// When it cannot reach the database: in order, apart from each other.
    outages: Vec<(Ms, Ms)>,
    view: Option<View>,
    skew: Ms,
    told: Ms,
}

/// One poll of a replica: when it began, when the database read for it, when it had the answer.
#[derive(Clone, Copy)]
struct Poll {
    began: Ms,
    read: Ms,
    answered: Ms,
}

impl Replica {
    fn outage(&self, t: Ms) -> Option<(Ms, Ms)> {
        self.outages.iter().copied().find(|(from, until)| (*from..*until).contains(&t))
    }

    /// The poll number `k`, if it was good. One in twenty is missed; others begin late, or take their time.
    fn poll(&self, k: i64, interval: Ms) -> Option<Poll> {
        let chance = mix(self.seed ^ k.cast_unsigned());
        let part = |bits: u32| i64::try_from((chance >> bits) % 1_000).unwrap();
        let began = self.phase + k * interval + part(0) * interval / 5_000;
        let lasts = part(16) * MAX_POLL / 1_000;
        let poll = Poll { began, read: began + lasts / 2, answered: began + lasts };
        let missed = part(32) < 50;
        let cut = self.outages.iter().any(|(from, until)| *from <= poll.answered && began < *until);
        (!missed && !cut).then_some(poll)
    }

    /// The last good poll whose answer was there at `t`.
    fn last_poll(&self, t: Ms, interval: Ms) -> Option<Poll> {
        let mut k = (t - self.phase).div_euclid(interval);
        while k >= -3 {
            if let Some(poll) = self.poll(k, interval)
                && poll.answered <= t
            {
                return Some(poll);
            }
            let outage = self.outage(self.phase + k * interval);
            k = outage.map_or(k - 1, |(from, _)| (from - self.phase).div_euclid(interval).min(k - 1));
        }
        None
    }

    /// The first good poll for which the database reads at `t` or later.
    fn next_poll(&self, t: Ms, interval: Ms) -> Poll {
        let mut k = (t - self.phase - MAX_POLL).div_euclid(interval) - 1;
        loop {
            if let Some(poll) = self.poll(k, interval)
                && poll.read >= t
            {
                return poll;
            }
            let outage = self.outage(self.phase + k * interval);
            k = outage.map_or(k + 1, |(_, until)| (until - self.phase).div_euclid(interval).max(k + 1));
        }
    }

    /// The database's time as this replica derives it.
    fn derived(&mut self, t: Ms) -> Ms {
        let read = self.view.as_ref().map_or(Ms::MIN, |view| ms(view.reading.now));
        self.told = self.told.max(t + self.skew).max(read);
        self.told
    }
}

#[derive(Clone)]
struct Rows {
    version: i64,
    keys: Arc<Vec<SigningKey>>,
}

enum Event {
    /// The database reads for a poll.
    Read(usize, Poll),
    /// A replica takes a poll over, and maintains.
    TakeOver(usize, Poll, Rows),
    /// A replica writes what its plan says, if the version is still this one; it had polled then.
    Write(usize, i64, Ms),
    /// What was written is there to read.
    Visible(Rows),
    Command,
    Mint(usize),
    Verify(usize, Token),
}

#[derive(Clone)]
struct Token {
    kid: String,
    iat: Ms,
    exp: Ms,
}

/// What a verifier has cached: since when, and which keys.
type Cache = Option<(Ms, BTreeSet<String>)>;

struct World {
    policy: Policy,
    design: Design,
    random: Random,
    now: Ms,
    end: Ms,
    rows: Rows,
    /// The version that the last writer took, perhaps not visible yet.
    taken: i64,
    made: u64,
    /// Keys that had to sign before all verifiers knew them: the first, and those forced to.
    excused: BTreeSet<String>,
    replicas: Vec<Replica>,
    verifiers: Vec<Cache>,
    queue: BinaryHeap<Reverse<(Ms, u64)>>,
    events: BTreeMap<u64, Event>,
    number: u64,
    found: BTreeMap<Violation, String>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    turns: usize,
    forced: usize,
    refused: usize,
    revoked: usize,
    resumed: usize,
    lost: usize,
    tokens: usize,
    verifications: usize,
}

fn defaults() -> config::Keys {
    config::Config::read(&config::Sources::default()).unwrap().keys
}

/// A schedule at or above every lower bound of the configuration.
fn policy(defaults: &config::Keys, random: &mut Random) -> Policy {
    let mut keys = defaults.clone();
    let mut max_lifetime = 86_400;
    if random.chance(80) {
        let mut seconds = |low: u64, high: u64| low + random.next() % (high - low + 1);
        let (skew, stale, age) = (seconds(0, 5), seconds(300, 3_600), seconds(10, 600));
        let fence = seconds(2 * skew + 10, 90);
        max_lifetime = seconds(60, 86_400);
        let lead = (stale + age + 300 + 2 * skew).max(7_200) + seconds(0, 1) * seconds(0, 40_000);
        let unpublish = fence + max_lifetime + 300 + 300 + seconds(0, 1) * seconds(0, 4_000);
        let period = lead.max(unpublish.div_ceil(6)) + seconds(0, 1) * seconds(0, 3_000_000);
        for (field, value) in [
            (&mut keys.replica_skew, skew),
            (&mut keys.jwks_stale_limit, stale),
            (&mut keys.jwks_max_age, age),
            (&mut keys.sign_fence, fence),
            (&mut keys.poll_interval, seconds(5, fence - 4)),
            (&mut keys.publish_lead, lead),
            (&mut keys.unpublish_delay, unpublish),
            (&mut keys.destroy_delay, fence + 2 * skew + seconds(0, 1) * seconds(0, 900)),
            (&mut keys.rotation_period, period),
        ] {
            *field = Duration::from_secs(value);
        }
    }
    Policy {
        issuer: "https://id.example.com".into(),
        algorithm: Algorithm::RS256,
        x5c: false,
        max_lifetime: Duration::from_secs(max_lifetime),
        keys,
    }
}

/// The outages that all replicas have, and some of a replica's own.
fn outages(random: &mut Random, end: Ms, common: &[(Ms, Ms)]) -> Vec<(Ms, Ms)> {
    let mut outages = common.to_vec();
    for _ in 0..random.within(0, 3) {
        let from = random.within(-1_000, end);
        let longest = [30_000, 300_000, 2 * HOUR, 30 * HOUR, 100 * HOUR][random.index(5)];
        outages.push((from, from + random.within(1_000, longest)));
    }
    outages.sort_unstable();
    outages.dedup_by(|next, previous| {
        let overlap = next.0 <= previous.1;
        if overlap {
            previous.1 = previous.1.max(next.1);
        }
        overlap
    });
    outages
}

impl World {
    fn new(defaults: &config::Keys, design: Design, seed: u64) -> Self {
        let mut random = Random(mix(seed));
        let policy = policy(defaults, &mut random);
        let period = span(policy.keys.rotation_period);
        let end = period * random.within(1, 2) + random.within(0, period);
        let mut common = Vec::new();
        if random.chance(25) {
            let from = random.within(0, end);
            let longest = [HOUR, period, 3 * period][random.index(3)];
            common.push((from, from + random.within(60_000, longest)));
        }
        let replicas = (0..random.within(1, 4))
            .map(|_| Replica {
                seed: random.next(),
                phase: random.within(0, span(policy.keys.poll_interval)),
                outages: outages(&mut random, end, &common),
                view: None,
                skew: 0,
                told: Ms::MIN,
            })
            .collect();
        let mut world = Self {
            policy,
            design,
            random,
            now: 0,
            end,
            rows: Rows { version: 0, keys: Arc::default() },
            taken: 0,
            made: 0,
            excused: BTreeSet::new(),
            replicas,
            verifiers: vec![None; 4],
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            found: BTreeMap::new(),
            tally: Tally::default(),
        };
        world.poll_from(0);
        for _ in 0..world.random.within(0, 4) {
            let t = world.random.within(0, end);
            world.push(t, Event::Command);
        }
        // An operator in a hurry.
        if world.random.chance(10) {
            let (t, pause) = (world.random.within(0, end), 2 * span(world.policy.keys.sign_fence));
            (0..12).for_each(|n| world.push(t + n * pause, Event::Command));
        }
        for _ in 0..4 {
            let t = world.random.within(0, end);
            world.mint_around(t);
        }
        world.mint_in_the_dark();
        world
    }

    fn push(&mut self, t: Ms, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((t.max(self.now), self.number)));
        self.events.insert(self.number, event);
    }

    /// Every replica's first good poll from `t` on.
    fn poll_from(&mut self, t: Ms) {
        for index in 0..self.replicas.len() {
            let poll = self.replicas[index].next_poll(t, span(self.policy.keys.poll_interval));
            self.push(poll.read, Event::Read(index, poll));
        }
    }

    fn mint_around(&mut self, t: Ms) {
        let (skew, fence) = (span(self.policy.keys.replica_skew), span(self.policy.keys.sign_fence));
        for reach in [2 * skew + 1_000, fence, 10 * fence] {
            let index = self.random.index(self.replicas.len());
            let t = t + self.random.within(-reach, reach);
            self.push(t, Event::Mint(index));
        }
    }

    /// Where a fence closes, and deep in an outage.
    fn mint_in_the_dark(&mut self) {
        for index in 0..self.replicas.len() {
            for (from, until) in self.replicas[index].outages.clone() {
                for t in [from + self.random.within(-5_000, 95_000), until - self.random.within(1, 30_000)] {
                    self.push(t, Event::Mint(index));
                }
            }
        }
    }

    fn violate(&mut self, violation: Violation, what: impl Into<String>) {
        let what = what.into();
        self.found.entry(violation).or_insert_with(|| format!("{what}, at {} ms", self.now));
    }

    fn run(mut self) -> Self {
        while let Some(Reverse((t, number))) = self.queue.pop() {
            let event = self.events.remove(&number).unwrap();
            if t > self.end && matches!(event, Event::Write(..) | Event::Command | Event::Mint(_)) {
                continue;
            }
            self.now = t;
            let telling = matches!(event, Event::Visible(_) | Event::Command);
            match event {
                Event::Read(index, poll) => {
                    let rows = self.rows.clone();
                    self.push(poll.answered, Event::TakeOver(index, poll, rows));
                }
                Event::TakeOver(index, poll, rows) => self.take_over(index, poll, &rows),
                Event::Write(index, version, read) => self.write(index, version, read),
                Event::Visible(rows) => self.visible(rows),
                Event::Command => self.command(),
                Event::Mint(index) => self.mint(index),
                Event::Verify(verifier, token) => self.verify(verifier, &token),
            }
            if telling {
                self.standing_rules();
            }
        }
        self
    }

    /// What must hold of the rows at every moment.
    fn standing_rules(&mut self) {
        let (rows, now) = (self.rows.clone(), at(self.now));
        if rows.version == 0 {
            return;
        }
        if active(&rows.keys, now).is_none() {
            self.violate(Violation::NothingSigns, "by the rows");
        }
        if waiting(&rows.keys, now).is_empty() {
            self.violate(Violation::Key4, "no key waits");
        }
        if published(&rows.keys, now).len() > 8 {
            self.violate(Violation::Key9, "more than eight keys");
        }
    }

    fn take_over(&mut self, index: usize, poll: Poll, rows: &Rows) {
        let read = at(poll.read);
        // As the statement for live keys has them, but in any order.
        let live = |key: &&SigningKey| {
            let shown = key.revoked_at.is_none() && key.unpublish_at.is_none_or(|unpublish| unpublish > read);
            key.private_sealed.is_some() || shown
        };
        let mut keys: Vec<SigningKey> = rows.keys.iter().filter(live).cloned().collect();
        if keys.len() > 1 {
            let (one, other) = (self.random.index(keys.len()), self.random.index(keys.len()));
            keys.swap(one, other);
        }
        let due = !(self.design.plan)(&keys, &self.policy, read).is_empty();
        let issuer = self.policy.issuer.clone();
        let reading = Reading { now: read, epoch: rows.version, issuer, others_end: None, version: rows.version, keys };
        let skew = span(self.policy.keys.replica_skew);
        let replica = &mut self.replicas[index];
        if replica.view.as_ref().is_some_and(|view| view.began > elapsed(poll.began)) {
            return;
        }
        replica.view = Some(View { reading, began: elapsed(poll.began), answered: elapsed(poll.answered) });
        replica.skew = [-skew, 0, skew, self.random.within(-skew, skew)][self.random.index(4)];
        if due {
            let t = self.now + self.random.within(0, MAX_GENERATE);
            self.push(t, Event::Write(index, rows.version, poll.read));
        }
    }

    fn write(&mut self, index: usize, version: i64, read: Ms) {
        if self.replicas[index].outage(self.now).is_some() || version != self.taken {
            self.tally.lost += 1;
            let poll = self.replicas[index].next_poll(self.now, span(self.policy.keys.poll_interval));
            self.push(poll.read, Event::Read(index, poll));
            return;
        }
        let steps = (self.design.plan)(&self.rows.keys, &self.policy, at(self.now));
        self.tally.turns += usize::from(steps.iter().any(|step| matches!(step, Step::End { .. })));
        let after = self.perform(&steps, version == 0);
        let due = |key: &SigningKey| {
            let end = key.ends_at().map(|end| ms(end) + span(self.policy.keys.destroy_delay));
            key.private_sealed.is_some() && end.is_some_and(|due| due <= read)
        };
        if after.keys.iter().any(due) {
            self.violate(Violation::Key10, "a private half outlived a good poll");
        }
    }

    /// Writes the steps, whose meaning the real writer shares; they are seen when the commit is through.
    fn perform(&mut self, steps: &[Step], excuse: bool) -> Rows {
        let made = &mut self.made;
        let fresh = std::iter::from_fn(|| {
            *made += 1;
            Some(fresh(*made))
        });
        let keys = rotation::perform(&self.rows.keys, steps, self.rows.version + 1, at(self.now), fresh).unwrap();
        for key in keys.iter().filter(|key| excuse && key.sign_from.is_some()) {
            let before = self.rows.keys.iter().find(|old| old.kid == key.kid).and_then(|old| old.sign_from);
            if key.sign_from != before {
                self.excused.insert(key.kid.clone());
            }
        }
        self.taken += 1;
        let rows = Rows { version: self.taken, keys: Arc::new(keys) };
        let t = self.now + self.random.within(0, MAX_COMMIT);
        self.push(t, Event::Visible(rows.clone()));
        rows
    }

    /// New rows: everyone polls, and again when something is due by them.
    fn visible(&mut self, rows: Rows) {
        self.rows = rows;
        let (now, end, keys) = (self.now, self.end, Arc::clone(&self.rows.keys));
        let mut dues = BTreeSet::from([now]);
        for key in keys.iter() {
            let turns: BTreeSet<Ms> = [key.sign_from, key.sign_until].into_iter().flatten().map(ms).collect();
            for turn in turns.into_iter().filter(|turn| *turn > now) {
                self.mint_around(turn);
                if self.random.chance(8) {
                    let t = turn + self.random.within(-20_000, 20_000);
                    self.push(t, Event::Command);
                }
            }
            if let Some(end) = key.ends_at().filter(|_| key.private_sealed.is_some()) {
                dues.insert(ms(end) + span(self.policy.keys.destroy_delay));
            }
            if let Some(unpublish) = key.unpublish_at.map(ms).filter(|unpublish| *unpublish > now) {
                self.mint_around(unpublish);
            }
        }
        if let Some(from) = active(&keys, at(now)).and_then(|active| active.sign_from) {
            dues.insert(ms(from) + span(self.policy.keys.rotation_period));
        }
        for next in waiting(&keys, at(now)) {
            dues.insert(ms(next.publish_at) + span(self.policy.keys.publish_lead));
        }
        for due in dues.into_iter().filter(|due| (now..=end).contains(due)) {
            self.poll_from(due);
        }
    }

    fn command(&mut self) {
        if self.rows.version == 0 || self.taken != self.rows.version {
            return;
        }
        let (keys, now, force) = (Arc::clone(&self.rows.keys), at(self.now), self.random.chance(40));
        let outcome = if self.random.chance(40) {
            rotation::rotate(&keys, &self.policy, now, force)
        } else {
            let key = match self.random.index(4) {
                0 => active(&keys, now),
                1 => waiting(&keys, now).first().copied(),
                2 => waiting(&keys, now).last().copied(),
                _ => keys.get(self.random.index(keys.len())),
            };
            let Some(key) = key else { return };
            rotation::revoke(&keys, &key.kid, &self.policy, now, force)
        };
        let steps = match outcome {
            Ok(steps) => steps,
            Err(Error::Refused(_)) => {
                self.tally.refused += 1;
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let count = |wanted: fn(&&Step) -> bool| steps.iter().filter(wanted).count();
        self.tally.turns += count(|step| matches!(step, Step::End { .. }));
        self.tally.revoked += count(|step| matches!(step, Step::Revoke { .. }));
        self.tally.resumed += count(|step| matches!(step, Step::Resume { .. }));
        self.tally.forced += usize::from(force);
        let lead = self.policy.keys.publish_lead;
        let young = |kid: &str| keys.iter().any(|key| key.kid == kid && key.publish_at + lead > now);
        if !force && steps.iter().any(|step| matches!(step, Step::Begin { kid, .. } if young(kid))) {
            self.violate(Violation::Key8, "a young key was let sign without force");
        }
        self.perform(&steps, force);
    }

    fn mint(&mut self, index: usize) {
        let t = self.now;
        let skew = span(self.policy.keys.replica_skew);
        if self.random.chance(30) {
            self.standing_rules();
        }
        let poll = self.replicas[index].last_poll(t, span(self.policy.keys.poll_interval));
        let replica = &mut self.replicas[index];
        let (Some(poll), Some(view)) = (poll, &mut replica.view) else { return };
        if view.reading.version == 0 {
            return;
        }
        view.began = view.began.max(elapsed(poll.began));
        let told = replica.told;
        let derived = replica.derived(t);
        let Some(view) = &self.replicas[index].view else { return };
        let fresh = view.within(self.policy.keys.sign_fence, elapsed(t));
        let mut policy = self.policy.clone();
        if !self.design.fenced {
            policy.keys.sign_fence = Duration::MAX;
        }
        let key = match view.signing_key(&policy, elapsed(t), at(derived)) {
            Ok(key) => key.clone(),
            Err(_) if fresh => return self.violate(Violation::NothingSigns, "on a fresh replica"),
            Err(_) => return,
        };
        // Whoever saw this version signs with the same key, unless a turn lies within the skew.
        let signs = |time: Ms| active(&view.reading.keys, at(time)).is_some_and(|active| active.kid == key.kid);
        let in_turn = signs(t) || signs(t - skew) || signs(t + skew);
        let past_fence = t + UP - span(view.began) > span(self.policy.keys.sign_fence);
        self.tally.tokens += 1;
        if !in_turn {
            self.violate(Violation::Key3, format!("{} signed out of turn", key.kid));
        }
        if past_fence {
            self.violate(Violation::Key7, format!("{} signed past the fence", key.kid));
        }
        if derived < told {
            self.violate(Violation::Key11, "time ran backwards");
        }
        let iat = derived.div_euclid(1_000) * 1_000;
        let token = Token { kid: key.kid.clone(), iat, exp: iat + span(self.policy.max_lifetime) };
        if !self.excused.contains(&key.kid) && ms(key.publish_at) + span(self.policy.keys.publish_lead) > iat {
            self.violate(Violation::Key1, format!("{} signed too young", key.kid));
        }
        let last = token.exp + span(self.policy.keys.verifier_leeway + self.policy.keys.verifier_skew) - 1;
        for moment in [t, self.random.within(t, last), last] {
            let verifier = self.random.index(self.verifiers.len());
            self.push(moment, Event::Verify(verifier, token.clone()));
        }
    }

    /// A verifier keeps what it fetched for the whole max-age, and does not ask again for a kid it lacks.
    fn verify(&mut self, verifier: usize, token: &Token) {
        let t = self.now;
        let max_age = span(self.policy.keys.jwks_max_age);
        if self.verifiers[verifier].as_ref().is_none_or(|(fetched, _)| t - fetched > max_age) {
            let (count, first) = (self.replicas.len(), self.random.index(self.replicas.len()));
            let Some(kids) = (0..count).find_map(|n| self.fetch((first + n) % count)) else { return };
            self.verifiers[verifier] = Some((t, kids));
        }
        self.tally.verifications += 1;
        let known = self.verifiers[verifier].as_ref().is_some_and(|(_, kids)| kids.contains(&token.kid));
        let Some(key) = self.rows.keys.iter().find(|key| key.kid == token.kid) else { return };
        let young = ms(key.publish_at) + span(self.policy.keys.publish_lead) > t;
        if !known && key.revoked_at.is_none() && !(young && self.excused.contains(&token.kid)) {
            let what = format!("a token of {} of {} ms", token.kid, token.iat);
            if !young {
                self.violate(Violation::Key2, what.clone());
            }
            self.violate(Violation::Refused, what);
        }
    }

    /// The kids of the JWKS that a replica serves, if it serves one.
    fn fetch(&mut self, index: usize) -> Option<BTreeSet<String>> {
        let t = self.now;
        let replica = &mut self.replicas[index];
        let poll = replica.last_poll(t, span(self.policy.keys.poll_interval))?;
        let derived = replica.derived(t);
        let view = replica.view.as_mut()?;
        view.began = view.began.max(elapsed(poll.began));
        let view = self.replicas[index].view.as_ref()?;
        let shown = view.published(&self.policy, elapsed(t), at(derived)).ok()?;
        let kids: Vec<String> = shown.iter().map(|key| key.kid.clone()).collect();
        if t + UP - span(view.began) > span(self.policy.keys.jwks_stale_limit) {
            self.violate(Violation::Key7, "a JWKS was served past its limit");
        }
        if self.random.chance(20) {
            self.order(index, derived, &kids);
        }
        Some(kids.into_iter().collect())
    }

    /// ACTIVE, RETIRING, NEXT; and another replica that saw the same version shows the same at the same time.
    fn order(&mut self, index: usize, derived: Ms, kids: &[String]) {
        let Some(Reading { version, keys, .. }) = self.replicas[index].view.as_ref().map(|view| &view.reading) else {
            return;
        };
        let state = |kid: &String| keys.iter().find(|key| key.kid == *kid).map(|key| key.state(keys, at(derived)));
        let states: Vec<Option<State>> = kids.iter().map(state).collect();
        let others = self.replicas.iter().filter_map(|other| other.view.as_ref()).map(|view| &view.reading);
        let mut peers = others.filter(|other| other.version == *version && other.now <= at(derived));
        let same = peers.all(|peer| published(&peer.keys, at(derived)).iter().map(|key| &key.kid).eq(kids.iter()));
        if !same {
            self.violate(Violation::Key9, "two replicas show different keys");
        }
        let ends = (states.first(), states.last());
        if !states.is_sorted() || ends != (Some(&Some(State::Active)), Some(&Some(State::Next))) {
            self.violate(Violation::Key9, format!("the order {states:?}"));
        }
    }
}

fn fresh(number: u64) -> Fresh {
    let numbers = Numbers::RSA { n: String::new(), e: String::new() };
    let kid = format!("k{number}");
    let public_jwk = PublicJwk { numbers, usage: String::new(), alg: String::new(), kid, x5c: Vec::new() };
    Fresh { alg: Algorithm::RS256, public_jwk, private_sealed: vec![1] }
}

/// The violations found in `count` schedules, each with the first seed, and what happened in all of them.
fn simulate(design: Design, first: u64, count: u64) -> (BTreeMap<Violation, String>, Tally) {
    let defaults = defaults();
    let mut found = BTreeMap::new();
    let mut sum = Tally::default();
    for seed in first..first + count {
        let World { found: more, tally, .. } = World::new(&defaults, design, seed).run();
        for (violation, what) in more {
            found.entry(violation).or_insert_with(|| format!("seed {seed}: {what}"));
        }
        sum.turns += tally.turns;
        sum.forced += tally.forced;
        sum.refused += tally.refused;
        sum.revoked += tally.revoked;
        sum.resumed += tally.resumed;
        sum.lost += tally.lost;
        sum.tokens += tally.tokens;
        sum.verifications += tally.verifications;
    }
    (found, sum)
}

#[test]
fn every_invariant_holds_whatever_happens() {
    let threads: Vec<_> = (0..2).map(|half| std::thread::spawn(move || simulate(OURS, half * 5_000, 5_000))).collect();
    for thread in threads {
        let (found, tally) = thread.join().unwrap();
        assert!(found.is_empty(), "{found:#?}");
        // Enough has happened for that to mean something.
        assert!(tally.turns > 5_000 && tally.revoked > 1_000 && tally.resumed > 50, "{tally:?}");
        assert!(tally.lost > 1_000 && tally.forced > 500 && tally.refused > 500, "{tally:?}");
        assert!(tally.tokens > 50_000 && tally.verifications > 150_000, "{tally:?}");
    }
}

#[test]
fn a_key_that_signs_when_it_is_made_is_refused_by_verifiers() {
    fn plan(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
        let due = |active: &&SigningKey| active.sign_from.unwrap() + policy.keys.rotation_period <= now;
        let Some(active) = active(keys, now).filter(due) else { return rotation::plan(keys, policy, now) };
        let unpublish_at = now + policy.keys.unpublish_delay;
        vec![
            Step::End { kid: active.kid.clone(), at: now, unpublish_at },
            Step::Publish { sign_from: Some(policy.at_once(now)) },
        ]
    }
    let (found, _) = simulate(Design { plan, fenced: true }, 0, 300);
    assert!(found.contains_key(&Violation::Refused), "{found:#?}");
}

#[test]
fn a_key_that_is_unpublished_when_its_last_token_ends_is_missed_by_verifiers() {
    fn plan(keys: &[SigningKey], policy: &Policy, now: OffsetDateTime) -> Vec<Step> {
        let mut policy = policy.clone();
        policy.keys.unpublish_delay = policy.max_lifetime;
        rotation::plan(keys, &policy, now)
    }
    let (found, _) = simulate(Design { plan, fenced: true }, 0, 300);
    assert!(found.contains_key(&Violation::Refused), "{found:#?}");
}

#[test]
fn a_replica_without_a_fence_signs_with_keys_that_verifiers_have_forgotten() {
    let (found, _) = simulate(Design { plan: rotation::plan, fenced: false }, 0, 1_000);
    assert!(found.contains_key(&Violation::Refused) && found.contains_key(&Violation::Key7), "{found:#?}");
}
