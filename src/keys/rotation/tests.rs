//! The rules of rotation, one by one.

use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::keys::material::{Numbers, PublicJwk};
use crate::keys::testing::policy;

const START: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

/// Rows, their version, and a time that goes on.
struct Rows {
    keys: Vec<SigningKey>,
    version: i64,
    now: OffsetDateTime,
}

impl Rows {
    /// An issuer with its first keys: k0 signs, k1 waits.
    fn begun() -> Self {
        let mut rows = Self { keys: Vec::new(), version: 0, now: START };
        rows.write(&plan(&rows.keys, &policy(), rows.now));
        rows
    }

    fn write(&mut self, steps: &[Step]) {
        let made = self.keys.len();
        let fresh = (made..).map(|number| Fresh {
            alg: crate::config::Algorithm::RS256,
            public_jwk: PublicJwk {
                numbers: Numbers::RSA { n: String::new(), e: String::new() },
                usage: "sig".into(),
                alg: "RS256".into(),
                kid: format!("k{number}"),
                x5c: Vec::new(),
            },
            private_sealed: vec![1],
        });
        self.version += 1;
        self.keys = perform(&self.keys, steps, self.version, self.now, fresh).unwrap();
    }

    fn pass(&mut self, by: Duration) {
        self.now = after(self.now, by);
    }

    fn plan(&mut self) -> Vec<Step> {
        let steps = plan(&self.keys, &policy(), self.now);
        self.write(&steps);
        steps
    }

    fn revoke(&mut self, kid: &str, force: bool) -> Result<()> {
        let steps = revoke(&self.keys, kid, &policy(), self.now, force)?;
        self.write(&steps);
        Ok(())
    }

    fn rotate(&mut self, force: bool) -> Result<()> {
        let steps = rotate(&self.keys, &policy(), self.now, force)?;
        self.write(&steps);
        Ok(())
    }

    fn states(&self) -> String {
        let states = self.keys.iter().map(|key| format!("{}:{}", key.kid, key.state(&self.keys, self.now).as_str()));
        states.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn the_first_two_keys_come_together_and_one_signs_at_once() {
    let mut rows = Rows::begun();
    assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT");
    assert_eq!(rows.keys[0].sign_from, Some(START - 2 * policy().keys.replica_skew));
    assert_eq!(rows.plan(), []);
}

#[test]
fn a_key_turns_when_it_is_old_and_its_successor_is_known() {
    let (mut rows, policy) = (Rows::begun(), policy());
    // The first key signs since a little before it was made.
    rows.now = policy.at_once(after(rows.now, policy.keys.rotation_period)) - Duration::from_micros(1);
    assert_eq!(rows.plan(), []);
    rows.pass(Duration::from_micros(1));
    let turn = after(rows.now, policy.keys.sign_fence);
    assert_eq!(next_transition(&rows.keys, &policy, rows.now), Some(rows.now));
    assert_eq!(
        rows.plan(),
        [
            Step::End { kid: "k0".into(), at: turn, unpublish_at: turn + policy.keys.unpublish_delay },
            Step::Begin { kid: "k1".into(), at: turn },
            Step::Publish { sign_from: None },
        ]
    );
    assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT k2:NEXT");
    assert_eq!(next_transition(&rows.keys, &policy, rows.now), Some(turn));
    rows.pass(policy.keys.sign_fence);
    assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:NEXT");
    rows.pass(policy.keys.destroy_delay);
    assert_eq!(rows.plan(), [Step::Destroy { kid: "k0".into() }]);
    rows.pass(policy.keys.unpublish_delay);
    assert_eq!(rows.states(), "k0:RETIRED k1:ACTIVE k2:NEXT");
}

#[test]
fn a_late_rotation_is_late_and_nothing_else() {
    let mut rows = Rows::begun();
    rows.pass(policy().keys.rotation_period * 3);
    assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT");
    rows.plan();
    assert_eq!(rows.states(), "k0:ACTIVE k1:NEXT k2:NEXT");
    assert_eq!(rows.plan(), []);
}

#[test]
fn a_rotation_by_hand_says_from_when_it_is_safe() {
    let mut rows = Rows::begun();
    let refusal = rows.rotate(false).unwrap_err().to_string();
    assert!(refusal.contains("safe to rotate from 2030-01-02T00:00:00Z; --force"), "{refusal}");
    rows.rotate(true).unwrap();
    let refusal = rows.rotate(true).unwrap_err().to_string();
    assert!(
        refusal.contains("k1 takes over at 2030-01-01T00:01:00Z; the next one is safe from 2030-01-02"),
        "{refusal}"
    );
    rows.pass(policy().keys.publish_lead);
    rows.rotate(false).unwrap();
    assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:NEXT k3:NEXT");
}

#[test]
fn the_next_key_signs_at_once_when_the_active_one_is_revoked() {
    let mut rows = Rows::begun();
    let refusal = rows.revoke("k0", false).unwrap_err().to_string();
    assert!(refusal.contains("for up to 3900 s; it is safe to revoke from 2030-01-02T00:00:00Z"), "{refusal}");
    rows.pass(policy().keys.publish_lead);
    rows.revoke("k0", false).unwrap();
    assert_eq!(rows.states(), "k0:REVOKED k1:ACTIVE k2:NEXT");
    assert_eq!(rows.keys[1].sign_from, Some(policy().at_once(rows.now)));
    assert!(rows.revoke("k0", true).is_err() && rows.revoke("k9", true).is_err());
    rows.pass(policy().keys.destroy_delay);
    assert_eq!(rows.plan(), [Step::Destroy { kid: "k0".into() }]);
}

#[test]
fn a_revoked_next_key_is_replaced() {
    let mut rows = Rows::begun();
    rows.revoke("k1", false).unwrap();
    assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
}

#[test]
fn the_active_key_signs_on_when_its_successor_is_revoked_before_the_turn() {
    let mut rows = Rows::begun();
    rows.rotate(true).unwrap();
    assert!(rows.keys[0].sign_until.is_some());
    rows.revoke("k1", false).unwrap();
    assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
    assert_eq!((rows.keys[0].sign_until, rows.keys[0].unpublish_at), (None, None));
    rows.pass(policy().keys.unpublish_delay);
    assert_eq!(rows.states(), "k0:ACTIVE k1:REVOKED k2:NEXT");
}

#[test]
fn the_one_that_waits_behind_a_turn_is_replaced_too() {
    let mut rows = Rows::begun();
    rows.rotate(true).unwrap();
    rows.revoke("k2", false).unwrap();
    rows.pass(policy().keys.sign_fence);
    assert_eq!(rows.states(), "k0:RETIRING k1:ACTIVE k2:REVOKED k3:NEXT");
}

#[test]
fn a_ninth_key_is_not_published() {
    let (mut rows, policy) = (Rows::begun(), policy());
    for _ in 0..6 {
        rows.rotate(true).unwrap();
        rows.pass(policy.keys.sign_fence);
    }
    assert_eq!(published(&rows.keys, rows.now).len(), 8);
    let refusal = rows.rotate(true).unwrap_err().to_string();
    assert!(refusal.contains("more than 8 keys; there is room for another from 2030-01-02T01:01:00Z"), "{refusal}");
    // Nor by itself: the rotation waits for room.
    let mut crowded = policy.clone();
    crowded.keys.rotation_period = Duration::from_secs(1);
    crowded.keys.publish_lead = Duration::from_secs(1);
    crowded.keys.destroy_delay = policy.keys.rotation_period;
    rows.pass(Duration::from_secs(2));
    assert_eq!(plan(&rows.keys, &crowded, rows.now), []);
    rows.pass(policy.keys.unpublish_delay);
    assert_eq!(plan(&rows.keys, &crowded, rows.now).len(), 3);
    // A revocation makes its own room.
    rows.revoke("k6", true).unwrap();
}

#[test]
fn if_nothing_signs_something_does() {
    let mut rows = Rows::begun();
    rows.keys[0].revoked_at = Some(rows.now);
    rows.plan();
    assert_eq!(rows.states(), "k0:REVOKED k1:ACTIVE k2:NEXT");
}
