//! A schedule of signing keys in seconds instead of days, that keeps the rules of the one in days.

use crate::broker::Launch;

/// What `keys.*` and `tokens.max_lifetime` are, in seconds.
#[derive(Clone, Copy, Default)]
pub struct Schedule {
    pub rotation_period: u64,
    pub publish_lead: u64,
    pub jwks_max_age: u64,
    pub jwks_stale_limit: u64,
    pub poll_interval: u64,
    pub sign_fence: u64,
    pub verifier_leeway: u64,
    pub verifier_skew: u64,
    pub replica_skew: u64,
    pub unpublish_delay: u64,
    pub destroy_delay: u64,
    pub max_lifetime: u64,
}

impl Schedule {
    /// The shortest lead, delays and period that the rules allow for these: no second to spare.
    pub fn tight(self) -> Self {
        let publish_lead = self.jwks_stale_limit + self.jwks_max_age + self.verifier_skew + 2 * self.replica_skew;
        Self {
            publish_lead,
            rotation_period: publish_lead,
            unpublish_delay: self.sign_fence + self.max_lifetime + self.verifier_leeway + self.verifier_skew,
            destroy_delay: self.sign_fence + 2 * self.replica_skew,
            ..self
        }
    }

    /// Asserts every bound of `symbolon config check`, but for the two hours below which no lead may be in production.
    pub fn assert_keeps_the_rules(&self) {
        assert!(
            self.publish_lead >= self.jwks_stale_limit + self.jwks_max_age + self.verifier_skew + 2 * self.replica_skew
        );
        assert!(
            self.unpublish_delay >= self.sign_fence + self.max_lifetime + self.verifier_leeway + self.verifier_skew
        );
        assert!(self.destroy_delay >= self.sign_fence + 2 * self.replica_skew);
        assert!(self.sign_fence > 2 * self.replica_skew && self.sign_fence > self.poll_interval);
        assert!(self.rotation_period >= self.publish_lead);
        assert!(2 + self.unpublish_delay.div_ceil(self.rotation_period) <= 8);
    }

    /// The process with this schedule.
    pub fn of(&self, launch: Launch) -> Launch {
        let settings = [
            ("KEYS__ROTATION_PERIOD", self.rotation_period),
            ("KEYS__PUBLISH_LEAD", self.publish_lead),
            ("KEYS__JWKS_MAX_AGE", self.jwks_max_age),
            ("KEYS__JWKS_STALE_LIMIT", self.jwks_stale_limit),
            ("KEYS__POLL_INTERVAL", self.poll_interval),
            ("KEYS__SIGN_FENCE", self.sign_fence),
            ("KEYS__VERIFIER_LEEWAY", self.verifier_leeway),
            ("KEYS__VERIFIER_SKEW", self.verifier_skew),
            ("KEYS__REPLICA_SKEW", self.replica_skew),
            ("KEYS__UNPUBLISH_DELAY", self.unpublish_delay),
            ("KEYS__DESTROY_DELAY", self.destroy_delay),
            ("TOKENS__MAX_LIFETIME", self.max_lifetime),
        ];
        let launch = launch.env("SYMBOLON__KEYS__ALLOW_UNSAFE", "true");
        settings
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(&format!("SYMBOLON__{name}"), value.to_string()))
    }
}
