//! What is decided about keys after a loss and after a restore.

use std::sync::LazyLock;
use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::config::Algorithm;
use crate::keys::control::audit_rows;
use crate::keys::material::{Numbers, PublicJwk};
use crate::keys::rotation::{plan, revoke, rotate};
use crate::keys::signing_key::{State, published};
use crate::keys::testing;

const START: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
const DAY: Duration = Duration::from_hours(24);

/// Read once: histories ask for it thousands of times.
static POLICY: LazyLock<Policy> = LazyLock::new(testing::policy);

/// Rows at a time that goes on; k0 signs first, k1 waits.
#[derive(Clone)]
struct Rows {
    keys: Vec<SigningKey>,
    now: OffsetDateTime,
    version: i64,
    /// What names of keys made from now on begin with.
    branch: char,
}

impl Rows {
    fn begun() -> Self {
        let mut rows = Self { keys: Vec::new(), now: START, version: 0, branch: 'k' };
        rows.maintain();
        rows
    }

    fn write(&mut self, steps: &[Step]) {
        let branch = self.branch;
        let fresh = (self.keys.len()..).map(|number| Fresh {
            alg: Algorithm::RS256,
            public_jwk: PublicJwk {
                numbers: Numbers::RSA { n: String::new(), e: String::new() },
                usage: "sig".into(),
                alg: "RS256".into(),
                kid: format!("{branch}{number}"),
                x5c: Vec::new(),
            },
            private_sealed: vec![1],
        });
        self.version += 1;
        self.keys = perform(&self.keys, steps, self.version, self.now, fresh).unwrap();
    }

    fn maintain(&mut self) {
        self.write(&plan(&self.keys, &POLICY, self.now));
    }

    /// Time goes on, with brokers that do what is due every hour.
    fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / 3_600 {
            self.now = after(self.now, Duration::from_hours(1));
            self.maintain();
        }
    }

    fn states(&self) -> String {
        let states = self.keys.iter().map(|key| format!("{}:{}", key.kid, key.state(&self.keys, self.now).as_str()));
        states.collect::<Vec<_>>().join(" ")
    }

    fn lose(&mut self, lost: &[&str]) {
        let steps = lose(&self.keys, |key| lost.contains(&key.kid.as_str()), &POLICY, self.now);
        self.write(&steps);
    }

    /// What `key list` would tell.
    fn known(&self) -> Vec<LaterKey> {
        let known = |key: &SigningKey| LaterKey {
            kid: key.kid.clone(),
            is_revoked: key.revoked_at.is_some(),
            sign_from: key.sign_from,
            end: key.sign_until.zip(key.unpublish_at),
        };
        self.keys.iter().map(known).collect()
    }

    fn restore(&mut self, later: &[LaterKey]) {
        let steps = restore(&self.keys, later, &POLICY, self.now);
        self.write(&steps);
    }

    fn is_sound(&self) {
        let findings = audit_rows(&self.keys, &POLICY, self.now);
        assert_eq!(findings, [], "{}", self.states());
    }

    fn shown(&self) -> Vec<&str> {
        published(&self.keys, self.now).into_iter().map(|key| key.kid.as_str()).collect()
    }
}

#[test]
fn lost_keys_stay_published_until_their_tokens_have_run_out_and_a_fresh_one_signs_at_once() {
    let mut rows = Rows::begun();
    rows.pass(DAY);
    rows.lose(&["k0", "k1"]);
    assert_eq!(rows.states(), "k0:RETIRING k1:REVOKED k2:ACTIVE k3:NEXT");
    assert_eq!(rows.shown(), ["k2", "k0", "k3"]);
    assert!(rows.keys[..2].iter().all(|key| key.private_sealed.is_none()));
    assert_eq!(rows.keys[0].sign_until, Some(rows.now));
    assert_eq!(rows.keys[0].unpublish_at, Some(after(rows.now, POLICY.keys.unpublish_delay)));
    rows.is_sound();
    rows.pass(POLICY.keys.unpublish_delay);
    assert_eq!(rows.states(), "k0:RETIRED k1:REVOKED k2:ACTIVE k3:NEXT");
    rows.is_sound();
}

#[test]
fn a_key_that_had_only_just_begun_to_sign_does_not_stand_in_the_way_of_the_fresh_one() {
    for seconds in [0, 1, 9, 10, 11] {
        let mut rows = Rows::begun();
        rows.now = after(rows.now, Duration::from_secs(seconds));
        // A broker whose idea of the skew is another one.
        rows.keys[0].sign_from = Some(START);
        rows.lose(&["k0", "k1"]);
        rows.now = after(rows.now, Duration::from_millis(1));
        assert_eq!(rows.states(), "k0:RETIRING k1:REVOKED k2:ACTIVE k3:NEXT", "{seconds}");
        assert_eq!(plan(&rows.keys, &POLICY, rows.now), [], "{seconds}");
        if seconds > 0 {
            rows.is_sound();
        }
    }
}

#[test]
fn a_key_that_is_left_signs_on_or_takes_over() {
    let mut rows = Rows::begun();
    rows.pass(DAY);
    let mut other = rows.clone();
    rows.lose(&["k0"]);
    assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:NEXT");
    other.lose(&["k1"]);
    assert_eq!(other.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
    other.lose(&[]);
    assert_eq!(other.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
    // In the middle of a turn, either way.
    let mut turning = Rows::begun();
    turning.pass(2 * DAY);
    let steps = rotate(&turning.keys, &POLICY, turning.now, false).unwrap();
    turning.write(&steps);
    let mut other = turning.clone();
    turning.lose(&["k1"]);
    assert_eq!((turning.states().as_str(), turning.keys[0].sign_until), ("k0:ACTIVE k1:REVOKED k2:NEXT", None));
    other.lose(&["k0"]);
    assert_eq!(other.states(), "k0:RETIRING k1:ACTIVE k2:NEXT");
    assert_eq!(other.keys[0].sign_until, Some(other.now));
    // A key that has just ceased to sign loses its half and nothing else.
    let mut turned = Rows::begun();
    turned.pass(2 * DAY);
    let steps = rotate(&turned.keys, &POLICY, turned.now, false).unwrap();
    turned.write(&steps);
    turned.now = after(turned.now, 2 * POLICY.keys.sign_fence);
    let before = turned.keys[0].clone();
    turned.lose(&["k0"]);
    assert_eq!(turned.keys[0], SigningKey { private_sealed: None, ..before });
    for rows in [rows, turning, other, turned] {
        rows.is_sound();
    }
}

#[test]
fn what_was_revoked_or_had_ended_after_the_dump_is_so_again_whenever_the_dump_was_taken() {
    // A history of 70 days: planned turns at 30 and 60, revocations of what signs and of what waits, a dump on each day.
    let mut rows = Rows::begun();
    let mut dumps = Vec::new();
    for day in 0..70 {
        dumps.push(rows.clone());
        rows.pass(DAY);
        let which = if day == 10 { State::Active } else { State::Next };
        if day == 10 || day == 40 {
            let kid = rows.keys.iter().find(|key| key.state(&rows.keys, rows.now) == which).unwrap().kid.clone();
            let steps = revoke(&rows.keys, &kid, &POLICY, rows.now, false).unwrap();
            rows.write(&steps);
        }
    }
    let revoked = |rows: &Rows| -> Vec<String> {
        rows.keys.iter().filter(|key| key.revoked_at.is_some()).map(|key| key.kid.clone()).collect()
    };
    assert_eq!(revoked(&rows).len(), 2);
    for (day, dump) in dumps.into_iter().enumerate() {
        let mut restored = Rows { now: after(rows.now, Duration::from_hours(1)), branch: 'r', ..dump };
        restored.restore(&rows.known());
        for kid in revoked(&rows) {
            let Some(key) = restored.keys.iter().find(|key| key.kid == kid) else { continue };
            assert_eq!(key.state(&restored.keys, restored.now), State::Revoked, "day {day}: {}", restored.states());
        }
        for later in rows.keys.iter().filter(|key| key.sign_until.is_some()) {
            let key = restored.keys.iter().find(|key| key.kid == later.kid);
            assert!(key.is_none_or(|key| key.sign_until == later.sign_until), "day {day}: {}", restored.states());
        }
        assert!(active(&restored.keys, restored.now).is_some(), "day {day}: {}", restored.states());
        restored.maintain();
        restored.is_sound();
        let halves = restored.keys.iter().filter(|key| key.revoked_at.is_some() && key.private_sealed.is_some());
        assert_eq!(halves.count(), 0, "day {day}");
        // Again, it changes nothing.
        let before = restored.keys.clone();
        restored.restore(&rows.known());
        assert_eq!(restored.keys, before, "day {day}");
    }
}

#[test]
fn a_history_of_which_nothing_is_known_leaves_no_key_of_the_dump() {
    let mut rows = Rows::begun();
    rows.pass(40 * DAY);
    let old: Vec<LaterKey> = rows.keys.iter().map(|key| LaterKey::revoked(&key.kid)).collect();
    rows.restore(&old);
    assert_eq!(rows.states(), "k0:REVOKED k1:REVOKED k2:REVOKED k3:ACTIVE k4:NEXT");
    assert_eq!(rows.shown(), ["k3", "k4"]);
    rows.is_sound();
}

#[test]
fn a_dump_of_which_nothing_has_changed_since_goes_on() {
    let mut rows = Rows::begun();
    rows.pass(DAY);
    let before = rows.keys.clone();
    rows.restore(&[]);
    assert_eq!(rows.keys, before);
}
