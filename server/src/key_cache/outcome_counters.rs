//! What came of verifications, counted.

use crate::key_cache::denial::Denial;
use app::domain::usage::DenialReason;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads that count apart from each other.
const LANES: usize = 16;
/// What there is to count, by the names that a dashboard sees.
const NAMES: [&str; 12] = [
    "allowed",
    "no-credential",
    "ambiguous",
    "malformed",
    "unknown",
    "expired",
    "inactive",
    "retired",
    "wrong-id",
    "wrong-secret",
    "closed-module",
    "unavailable",
];

/// What came of a request of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedOutcome {
    /// It was let in.
    Allowed,
    /// It presented nothing.
    NoCredential,
    /// It presented more than one credential.
    Ambiguous,
    /// It was refused.
    Denied(Denial),
    /// Neither memory nor the database could publish.
    Unavailable,
}

impl CountedOutcome {
    const fn number(self) -> usize {
        match self {
            Self::Allowed => 0,
            Self::NoCredential => 1,
            Self::Ambiguous => 2,
            Self::Denied(Denial::Malformed) => 3,
            Self::Denied(Denial::Unknown) => 4,
            Self::Denied(Denial::Key(reason)) => match reason {
                DenialReason::Expired => 5,
                DenialReason::Inactive => 6,
                DenialReason::Retired => 7,
                DenialReason::WrongId => 8,
                DenialReason::WrongSecret => 9,
                DenialReason::ClosedModule => 10,
            },
            Self::Unavailable => 11,
        }
    }
}

/// Counts of one thread, in cache lines of their own (pairs of them, which is what processors fetch): every request
/// adds to them, and waiting for another core's would cost more than counting.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane([AtomicU64; NAMES.len()]);

/// How often each outcome came.
#[derive(Debug, Default)]
pub struct OutcomeCounters([Lane; LANES]);

thread_local! {
    static LANE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % LANES
    };
}

impl OutcomeCounters {
    /// Counts one.
    pub fn count(&self, outcome: CountedOutcome) {
        let lane = self.0.get(LANE.with(|lane| *lane));
        if let Some(count) = lane.and_then(|lane| lane.0.get(outcome.number())) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How often each came so far, by its name.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().enumerate().map(|(number, name)| {
            let counts = self.0.iter().filter_map(|lane| lane.0.get(number));
            (name, counts.map(|count| count.load(Relaxed)).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_own_name() {
        let outcomes = OutcomeCounters::default();
        for reason in [
            DenialReason::Expired,
            DenialReason::Inactive,
            DenialReason::Retired,
            DenialReason::WrongId,
            DenialReason::WrongSecret,
            DenialReason::ClosedModule,
        ] {
            let number = CountedOutcome::Denied(Denial::Key(reason)).number();
            assert_eq!(NAMES[number], reason.name());
            outcomes.count(CountedOutcome::Denied(Denial::Key(reason)));
        }
        std::thread::scope(|scope| {
            for _ in 0..3 * LANES {
                scope.spawn(|| outcomes.count(CountedOutcome::Allowed));
            }
        });
        let totals: Vec<_> = outcomes.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals.len(), 7);
        assert_eq!(totals[0], ("allowed", 3 * LANES as u64));
    }
}
