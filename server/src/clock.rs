//! The one clock.

use app::domain::timestamp::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
    /// The present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that asks the machine")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let nanoseconds = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
                Timestamp(i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX))
            }
            Self::Set(milliseconds) => Timestamp(milliseconds.load(Ordering::SeqCst)),
        }
    }
}
