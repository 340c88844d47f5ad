//! The lease: how long this process may verify from memory.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The value of a lease that does not expire.
const NEVER: u64 = u64::MAX;

/// A point in time on `CLOCK_BOOTTIME` (Linux `clock_gettime(2)`), in nanoseconds. This clock cannot be set, and it
/// continues while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The time since an earlier moment; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    /// This moment plus a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time that remains until this moment; zero if it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }
}

/// The right to verify from memory. See `docs/leases.md`.
#[derive(Debug)]
pub struct Lease {
    /// When it expires, as a [`Moment`].
    until: AtomicU64,
}

impl Lease {
    /// Creates a lease that does not expire, for a process that is the only one to change the database.
    #[must_use]
    pub const fn permanent() -> Self {
        Self { until: AtomicU64::new(NEVER) }
    }

    /// Creates a lease that does not hold until it is extended.
    #[must_use]
    pub const fn ended() -> Self {
        Self { until: AtomicU64::new(0) }
    }

    /// Whether the lease holds now.
    pub fn holds(&self) -> bool {
        // Acquire, paired with Release in `extend`: a thread that sees the extension also sees everything that was
        // applied to the index before it.
        let until = self.until.load(Ordering::Acquire);
        until == NEVER || Moment::now().0 < until
    }

    /// Lets the lease hold until this moment.
    pub fn extend(&self, until: Moment) {
        self.until.store(until.0, Ordering::Release);
    }

    /// Ends the lease immediately.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_it_expires_or_is_ended() {
        let lease = Lease::ended();
        assert!(!lease.holds());
        lease.extend(Moment::now().plus(Duration::from_secs(60)));
        assert!(lease.holds());
        lease.extend(Moment::now());
        assert!(!lease.holds());
        assert!(Lease::permanent().holds());
        lease.end();
        assert!(!lease.holds());
    }
}
