//! The one clock.

use app::domain::timestamp::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// The latest moment that this process has seen.
static LATEST: AtomicI64 = AtomicI64::new(0);

/// Tells what time it is; in tests, the time that the test says it is.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands until it is set, in milliseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The present moment. It never goes back in one process.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let now = self.unadjusted().0;
                // A clock that is set back must not bring back what has ended.
                let latest = LATEST.load(Ordering::Relaxed);
                if now > latest {
                    LATEST.fetch_max(now, Ordering::Relaxed);
                }
                Timestamp(now.max(latest))
            }
            Self::Set(milliseconds) => Timestamp(milliseconds.load(Ordering::SeqCst)),
        }
    }

    /// What the machine's clock shows, also after it was set back.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks the machine")]
    pub fn unadjusted(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Set(_) => self.now(),
        }
    }
}
