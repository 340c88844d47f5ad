//! Rate limits of sign-ins, denied requests, and changes of keys.
//!
//! Sign-in attempts are counted per account and network together, and per network alone. They are never counted per
//! account alone, because then anyone could lock the owner out. A network is what one customer usually has: an IPv4
//! address, or an IPv6 /64 (RFC 6177).
//!
//! Each process has its own counters, which are cheap. If several nodes share a database, sign-in attempts and changes
//! are also counted in the database, so that a client gains nothing by switching nodes. Denied requests are not,
//! because each would cost a write.

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

/// Attempts per account and network: the burst size, and the time after which one more is allowed.
const PER_ACCOUNT: (NonZeroU32, Duration) = (NonZeroU32::new(10).unwrap(), Duration::from_secs(30));
/// Attempts per network: the burst size, and the time after which one more is allowed.
const PER_NETWORK: (NonZeroU32, Duration) = (NonZeroU32::new(300).unwrap(), Duration::from_secs(1));
/// Above this number of counters, those that have run down to zero are removed.
const CLEANUP_THRESHOLD: usize = 10_000;

/// Limits sign-in and sign-up attempts. Clones share the counters.
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
    /// Counts in this process, and in `shared` for all nodes.
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

    /// Counts a sign-in attempt.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`] with the seconds to wait, or the database does not respond.
    pub async fn sign_in(&self, email: &Email, client: IpAddr) -> Result<(), ConsoleError> {
        let (network, account) = (network(client), fold(email.as_str()));
        count(&self.by_network, &network)?;
        count(&self.by_account, &(account.clone(), network))?;
        self.shared.count(&["network", &network.to_string()], PER_NETWORK).await?;
        self.shared.count(&["account", &account, &network.to_string()], PER_ACCOUNT).await
    }

    /// Counts a sign-up attempt.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`] with the seconds to wait, or the database does not respond.
    pub async fn sign_up(&self, client: IpAddr) -> Result<(), ConsoleError> {
        let network = network(client);
        count(&self.by_network, &network)?;
        self.shared.count(&["network", &network.to_string()], PER_NETWORK).await
    }
}

/// Counters in the database, shared by all its nodes. They count nothing if only one process can use the database.
#[derive(Clone, Debug, Default)]
pub struct SharedCounters(Option<Store>);

impl SharedCounters {
    /// Counts in this database, if several nodes can use it.
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

/// Limits denied requests per network. Clones share the counters.
///
/// The limit only applies to requests that are denied anyway, because clients that guess keys and clients with valid
/// keys may use the same gateway.
#[derive(Clone, Debug)]
pub struct DenialLimiter(PerMinuteLimiter<IpAddr>);

impl DenialLimiter {
    /// Allows `count` denied requests per minute and network. 0 means no limit.
    #[must_use]
    pub fn per_minute(count: u32) -> Self {
        Self(PerMinuteLimiter::new(count))
    }

    /// Counts a denied request. Returns the seconds to wait if the limit is exceeded.
    #[must_use]
    pub fn count(&self, client: IpAddr) -> Option<u32> {
        match self.0.count(&network(client)) {
            Err(ConsoleError::TooManyAttempts { retry_after }) => Some(retry_after),
            _ => None,
        }
    }
}

/// Limits changes of keys per account. Clones share the counters.
///
/// Each change stays in the account's activity log for a year. Without a limit, one account could fill the disk.
#[derive(Clone, Debug)]
pub struct ChangeLimiter {
    local: PerMinuteLimiter<AccountId>,
    per_minute: u32,
    shared: SharedCounters,
}

impl ChangeLimiter {
    /// Allows `per_minute` changes per minute and account. 0 means no limit.
    #[must_use]
    pub fn new(per_minute: u32, shared: SharedCounters) -> Self {
        Self { local: PerMinuteLimiter::new(per_minute), per_minute, shared }
    }

    /// Counts a change.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`] with the seconds to wait, or the database does not respond.
    pub async fn count(&self, account: &AccountId) -> Result<(), ConsoleError> {
        self.local.count(account)?;
        let Some(burst) = NonZeroU32::new(self.per_minute) else { return Ok(()) };
        self.shared.count(&["changes", &account.0], (burst, Duration::from_secs(60) / self.per_minute)).await
    }
}

/// A limit per minute for each `K`, such as a network or an account. Clones share the counters.
#[derive(Clone)]
pub struct PerMinuteLimiter<K: Clone + Eq + Hash>(Option<Arc<DefaultKeyedRateLimiter<K>>>);

impl<K: Clone + Eq + Hash> std::fmt::Debug for PerMinuteLimiter<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerMinuteLimiter").finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> PerMinuteLimiter<K> {
    /// Allows `count` events per minute for each `K`. 0 means no limit.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(NonZeroU32::new(count).map(|count| Arc::new(RateLimiter::keyed(Quota::per_minute(count)))))
    }

    /// Counts an event.
    ///
    /// # Errors
    /// [`ConsoleError::TooManyAttempts`] with the seconds to wait.
    pub fn count(&self, key: &K) -> Result<(), ConsoleError> {
        self.0.as_ref().map_or(Ok(()), |limiter| count(limiter, key))
    }
}

fn count<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), ConsoleError> {
    // The cleanup visits every counter, so it must not run on each attempt of a flood.
    let counters = limiter.len();
    if counters > CLEANUP_THRESHOLD && counters.is_multiple_of(CLEANUP_THRESHOLD / 10) {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(limiter.clock().now()).as_secs_f64().ceil();
        ConsoleError::TooManyAttempts { retry_after: (wait as u32).max(1) }
    })
}

/// The network of a client: the IPv4 address, or the IPv6 /64.
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
    async fn too_many_attempts_from_one_network_do_not_lock_the_owner_out() {
        let (sign_in_limiter, ada) =
            (SignInLimiter::new(SharedCounters::default()), Email::parse("ada@example.com").unwrap());
        let attacker = "203.0.113.7".parse().unwrap();
        for _ in 0..10 {
            assert_eq!(sign_in_limiter.sign_in(&ada, attacker).await, Ok(()));
        }
        let other_case = Email::parse("ADA@example.com").unwrap();
        assert!(matches!(
            sign_in_limiter.sign_in(&other_case, attacker).await,
            Err(ConsoleError::TooManyAttempts { retry_after: 1..=30 })
        ));
        assert_eq!(sign_in_limiter.sign_in(&ada, "198.51.100.1".parse().unwrap()).await, Ok(()));
    }

    #[test]
    fn addresses_in_the_same_ipv6_64_are_one_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
