//! Until when this process may verify from memory.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nobody else changes the database.
const FOR_EVER: u64 = u64::MAX;

/// A moment on the clock of this machine that is never set, and that goes on while the machine sleeps
/// (`CLOCK_BOOTTIME`, Linux `clock_gettime(2)`), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The present moment.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    /// This long after it.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long until then; nothing if it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }
}

/// The right to answer from memory. See `docs/leases.md`.
#[derive(Debug)]
pub struct Lease {
    until: AtomicU64,
}

impl Lease {
    /// One that does not end: nobody else changes the database.
    #[must_use]
    pub const fn for_ever() -> Self {
        Self { until: AtomicU64::new(FOR_EVER) }
    }

    /// One that has not begun.
    #[must_use]
    pub const fn ended() -> Self {
        Self { until: AtomicU64::new(0) }
    }

    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        // Acquire: whoever meets the lease meets what was taken into memory before it was extended.
        let until = self.until.load(Ordering::Acquire);
        until == FOR_EVER || Moment::now().0 < until
    }

    /// It holds until then.
    pub fn extend(&self, until: Moment) {
        self.until.store(until.0, Ordering::Release);
    }

    /// It holds no more.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_its_moment_and_not_after() {
        let lease = Lease::ended();
        assert!(!lease.holds());
        lease.extend(Moment::now().plus(Duration::from_secs(60)));
        assert!(lease.holds());
        lease.extend(Moment::now());
        assert!(!lease.holds());
        assert!(Lease::for_ever().holds());
        lease.end();
        assert!(!lease.holds());
    }
}
