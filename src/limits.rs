//! Rates: how often an address, an account or a pool may ask, per replica. Exceeding one is `TooManyRequestsException`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::config;
use crate::error::{Error, Result};
use crate::ids::{AccountId, PoolId};

/// Every rate limit; those configured as 0 admit everything.
#[derive(Debug)]
pub struct Limits {
    address: Limit<IpAddr>,
    account: Limit<AccountId>,
    guest_address: Limit<IpAddr>,
    guest_pool: Limit<PoolId>,
    operations: HashMap<&'static str, Limit<AccountId>>,
}

#[derive(Debug)]
struct Limit<K: Hash + Eq + Clone>(Option<RateLimiter<K, DashMapStateStore<K>, DefaultClock>>);

impl<K: Hash + Eq + Clone> Limit<K> {
    fn per_second(rate: u32) -> Self {
        Self(NonZeroU32::new(rate).map(|rate| RateLimiter::dashmap(Quota::per_second(rate))))
    }

    fn admit(&self, key: &K) -> Result<()> {
        match &self.0 {
            Some(limiter) if limiter.check_key(key).is_err() => Err(Error::RateExceeded),
            _ => Ok(()),
        }
    }

    fn forget_idle(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl Limits {
    /// The limits of a configuration.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        Self {
            address: Limit::per_second(config.requests_per_second_per_address),
            account: Limit::per_second(config.signed_requests_per_second_per_account),
            guest_address: Limit::per_second(config.guests_per_second_per_address),
            guest_pool: Limit::per_second(config.guests_per_second_per_pool),
            // In order: a name in lower case comes last and wins, as the environment does over a file.
            operations: (config.requests_per_second.iter())
                .filter_map(|(name, rate)| Some((operation(name)?, Limit::per_second(*rate))))
                .collect(),
        }
    }

    /// Any request, before its body is read.
    ///
    /// # Errors
    /// [`Error::RateExceeded`]
    pub fn admit_address(&self, address: IpAddr) -> Result<()> {
        self.address.admit(&address)
    }

    /// A request that an access key has signed, once its signature holds.
    ///
    /// # Errors
    /// [`Error::RateExceeded`]
    pub fn admit_account(&self, account: &AccountId) -> Result<()> {
        self.account.admit(account)
    }

    /// A request for an operation, once it is known whose it is: the caller's, or for anyone's operations the pool's
    /// account.
    ///
    /// # Errors
    /// [`Error::RateExceeded`]
    pub fn admit_operation(&self, account: &AccountId, operation: &str) -> Result<()> {
        self.operations.get(operation).map_or(Ok(()), |limit| limit.admit(account))
    }

    /// A new guest, of which anyone may ask for any number.
    ///
    /// # Errors
    /// [`Error::RateExceeded`]
    pub fn admit_guest(&self, address: IpAddr, pool: &PoolId) -> Result<()> {
        self.guest_address.admit(&address)?;
        self.guest_pool.admit(pool)
    }

    /// Drops what is remembered of those who have not asked lately.
    pub fn forget_idle(&self) {
        self.address.forget_idle();
        self.account.forget_idle();
        self.guest_address.forget_idle();
        self.guest_pool.forget_idle();
        self.operations.values().for_each(Limit::forget_idle);
    }
}

/// The operation of this name, in whatever case.
fn operation(name: &str) -> Option<&'static str> {
    config::OPERATIONS.iter().find(|operation| operation.eq_ignore_ascii_case(name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_rate_and_zero_means_none() {
        let limit = Limit::per_second(2);
        assert!(limit.admit(&1).is_ok() && limit.admit(&1).is_ok());
        assert!(matches!(limit.admit(&1), Err(Error::RateExceeded)));
        assert!(limit.admit(&2).is_ok());
        let none = Limit::per_second(0);
        assert!((0..1_000).all(|_| none.admit(&1).is_ok()));
    }

    #[test]
    fn operations_have_rates_of_their_own_for_each_account() {
        let mut config = config::Config::read(&config::Sources::default()).unwrap().limits;
        config.requests_per_second =
            [("GetId", 9), ("getid", 2), ("TagResource", 0)].map(|(k, v)| (k.into(), v)).into();
        let limits = Limits::new(&config);
        let account = |number: u32| AccountId::parse(&format!("{number:012}")).unwrap();
        let admitted =
            |number, operation| (0..20).filter(|_| limits.admit_operation(&account(number), operation).is_ok()).count();
        assert_eq!((admitted(1, "GetId"), admitted(2, "GetId")), (2, 2));
        assert_eq!((admitted(1, "TagResource"), admitted(1, "DescribeIdentity")), (20, 20));
        assert!(matches!(limits.admit_operation(&account(1), "GetId"), Err(Error::RateExceeded)));
    }
}
