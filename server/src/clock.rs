//! The clock from which all code gets the current time.

use app::domain::timestamp::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// The latest time that [`Clock::now`] has returned for the system clock, in milliseconds since 1970.
static LATEST: AtomicI64 = AtomicI64::new(0);

/// A source of the current time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system clock.
    #[default]
    System,
    /// A clock for tests, in milliseconds since 1970. It advances only when the test sets it.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The current time. Within one process, the time of the system clock never decreases.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let now = self.system_time().0;
                // If the system clock is set back, expired keys and sessions must stay expired.
                let latest = LATEST.load(Ordering::Relaxed);
                if now > latest {
                    LATEST.fetch_max(now, Ordering::Relaxed);
                }
                Timestamp(now.max(latest))
            }
            Self::Set(milliseconds) => Timestamp(milliseconds.load(Ordering::SeqCst)),
        }
    }

    /// The current time without the guarantee of [`Clock::now`]: it decreases when the system clock is set back.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
    pub fn system_time(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Set(_) => self.now(),
        }
    }
}
