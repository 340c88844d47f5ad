//! How often one may try to sign in, guess a key, or change one.
//!
//! Attempts are counted by account and network together, and by network alone; never by account alone,
//! which would let a stranger lock its owner out. A network is what one customer usually has: an IPv4
//! address, or an IPv6 /64 (RFC 6177).
//!
//! Each process counts for itself, which costs nothing. Where many nodes serve one database, attempts and changes are
//! counted there as well, so that nobody gains by turning to another node; refusals of programs are not, because each
//! would be a write.

use crate::store::Store;
use app::domain::account::{AccountId, Email};
use app::domain::unicode::fold;
use app::error::ConsoleError;
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Attempts at one account from one network at once, and the time after which each comes back.
const PER_ACCOUNT: (NonZeroU32, Duration) = (NonZeroU32::new(10).unwrap(), Duration::from_secs(30));
/// Attempts from one network at once, and the time after which each comes back.
const PER_NETWORK: (NonZeroU32, Duration) = (NonZeroU32::new(300).unwrap(), Duration::from_secs(1));
/// Beyond so many counters, those that have run down are forgotten.
const MANY: usize = 10_000;

/// Counts attempts. Copies count together.
#[derive(Clone)]
pub struct SignInLimiter {
    by_account: Arc<DefaultKeyedRateLimiter<(String, IpAddr)>>,
    by_network: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    shared: SharedCounters,
}

impl std::fmt::Debug for SignInLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInLimiter").field("networks", &self.by_network.len()).finish_non_exhaustive()
    }
}

impl SignInLimiter {
    /// Counts for this process, and with `shared` for others.
    #[must_use]
    pub fn new(shared: SharedCounters) -> Self {
        let quota = |(burst, every): (NonZeroU32, Duration)| {
            Quota::with_period(every)
                .map_or_else(|| Quota::per_minute(burst), |quota| quota.allow_burst(burst))
        };
        Self {
            by_account: Arc::new(RateLimiter::keyed(quota(PER_ACCOUNT))),
            by_network: Arc::new(RateLimiter::keyed(quota(PER_NETWORK))),
            shared,
        }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`], with the time to wait.
    pub async fn sign_in(&self, email: &Email, client: IpAddr) -> Result<(), ConsoleError> {
        let (network, account) = (network(client), fold(email.as_str()));
        count(&self.by_network, &network)?;
        count(&self.by_account, &(account.clone(), network))?;
        self.shared.count(&["network", &network.to_string()], PER_NETWORK).await?;
        self.shared.count(&["account", &account, &network.to_string()], PER_ACCOUNT).await
    }

    /// Counts an attempt to make an account.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`], with the time to wait.
    pub async fn sign_up(&self, client: IpAddr) -> Result<(), ConsoleError> {
        let network = network(client);
        count(&self.by_network, &network)?;
        self.shared.count(&["network", &network.to_string()], PER_NETWORK).await
    }
}

/// Counts for all nodes on one database; where there is one process, for nobody. Copies count together.
#[derive(Clone, Debug, Default)]
pub struct SharedCounters(Option<Store>);

impl SharedCounters {
    /// With the other nodes on this database, if it may have others.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self(store.is_shared().then(|| store.clone()))
    }

    async fn count(&self, what: &[&str], (burst, every): (NonZeroU32, Duration)) -> Result<(), ConsoleError> {
        let Some(store) = &self.0 else { return Ok(()) };
        let counter = Sha256::digest(what.join("\n"));
        match store.count_attempt(&counter, burst.get(), every).await? {
            None => Ok(()),
            Some(wait) => {
                Err(ConsoleError::TooManyAttempts { retry_after: (wait.as_secs_f64().ceil() as u32).max(1) })
            }
        }
    }
}

/// Counts requests that were refused, by network. Copies count together.
///
/// Only what is refused anyway is ever told to wait: behind one gateway there may be strangers who guess and
/// programs with good keys.
#[derive(Clone, Debug)]
pub struct DenialLimiter(PerMinute<IpAddr>);

impl DenialLimiter {
    /// So many a minute from one network; 0 means any number.
    #[must_use]
    pub fn per_minute(count: u32) -> Self {
        Self(PerMinute::new(count))
    }

    /// Counts one. Answers how many seconds to wait, if there were too many.
    #[must_use]
    pub fn count(&self, client: IpAddr) -> Option<u32> {
        match self.0.count(&network(client)) {
            Err(ConsoleError::TooManyAttempts { retry_after }) => Some(retry_after),
            _ => None,
        }
    }
}

/// Counts changes of keys, by account. Copies count together.
///
/// Each change is kept for a year in the account's activity: without a bound, one account could fill the disk.
#[derive(Clone, Debug)]
pub struct ChangeLimiter {
    here: PerMinute<AccountId>,
    per_minute: u32,
    shared: SharedCounters,
}

impl ChangeLimiter {
    /// So many a minute of one account; 0 means any number.
    #[must_use]
    pub fn new(per_minute: u32, shared: SharedCounters) -> Self {
        Self { here: PerMinute::new(per_minute), per_minute, shared }
    }

    /// Counts one.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`], with the time to wait.
    pub async fn count(&self, account: &AccountId) -> Result<(), ConsoleError> {
        self.here.count(account)?;
        let Some(burst) = NonZeroU32::new(self.per_minute) else { return Ok(()) };
        self.shared.count(&["changes", &account.0], (burst, Duration::from_secs(60) / self.per_minute)).await
    }
}

/// Counts by the minute. Copies count together.
#[derive(Clone)]
pub struct PerMinute<K: Clone + Eq + Hash>(Option<Arc<DefaultKeyedRateLimiter<K>>>);

impl<K: Clone + Eq + Hash> std::fmt::Debug for PerMinute<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerMinute").finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> PerMinute<K> {
    /// So many of each; 0 means any number.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(NonZeroU32::new(count).map(|count| Arc::new(RateLimiter::keyed(Quota::per_minute(count)))))
    }

    /// Counts one.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`], with the time to wait.
    pub fn count(&self, of: &K) -> Result<(), ConsoleError> {
        self.0.as_ref().map_or(Ok(()), |limiter| count(limiter, of))
    }
}

fn count<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), ConsoleError> {
    // Now and then, and not at each attempt of a flood.
    let counters = limiter.len();
    if counters > MANY && counters.is_multiple_of(MANY / 10) {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(limiter.clock().now()).as_secs_f64().ceil();
        ConsoleError::TooManyAttempts { retry_after: (wait as u32).max(1) }
    })
}

fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_who_tries_too_often_does_not_lock_the_owner_out() {
        let (sign_in_limiter, ada) =
            (SignInLimiter::new(SharedCounters::default()), Email::parse("ada@example.com").unwrap());
        let stranger = "203.0.113.7".parse().unwrap();
        for _ in 0..10 {
            assert_eq!(sign_in_limiter.sign_in(&ada, stranger).await, Ok(()));
        }
        let spelled_otherwise = Email::parse("ADA@example.com").unwrap();
        assert!(matches!(
            sign_in_limiter.sign_in(&spelled_otherwise, stranger).await,
            Err(ConsoleError::TooManyAttempts { retry_after: 1..=30 })
        ));
        assert_eq!(sign_in_limiter.sign_in(&ada, "198.51.100.1".parse().unwrap()).await, Ok(()));
    }

    #[test]
    fn one_ipv6_customer_is_one_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
