//! Counts verifications by outcome.

use crate::key_cache::denial::Denial;
use app::domain::usage::DenialReason;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Sets of counters. Threads are distributed over them.
const SHARDS: usize = 16;
/// Values of the metric's `outcome` label, in the order of [`CountedOutcome::index`].
const LABELS: [&str; 14] = [
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
    "mecha-inactive",
    "insufficient-scope",
];

/// The outcome of a client's request, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedOutcome {
    /// The credential was allowed.
    Allowed,
    /// The request had no credential.
    NoCredential,
    /// The request had more than one credential.
    Ambiguous,
    /// The credential was denied.
    Denied(Denial),
    /// The node held no lease, and the database did not respond.
    Unavailable,
}

impl CountedOutcome {
    const fn index(self) -> usize {
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
                DenialReason::MechaInactive => 12,
                DenialReason::InsufficientScope => 13,
            },
            Self::Unavailable => 11,
        }
    }
}

/// One set of counters, in cache lines of its own. Every request increments one of them, and contention with another
/// core would cost more than the increment. The alignment is two cache lines because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([AtomicU64; LABELS.len()]);

/// The number of verifications by outcome, since the process started.
#[derive(Debug, Default)]
pub struct OutcomeCounters([Shard; SHARDS]);

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SHARDS
    };
}

impl OutcomeCounters {
    /// Counts one outcome.
    pub fn count(&self, outcome: CountedOutcome) {
        let shard = self.0.get(SHARD.with(|shard| *shard));
        if let Some(counter) = shard.and_then(|shard| shard.0.get(outcome.index())) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// The total of each outcome, with its label value.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LABELS.into_iter().enumerate().map(|(index, label)| {
            let counters = self.0.iter().filter_map(|shard| shard.0.get(index));
            (label, counters.map(|counter| counter.load(Relaxed)).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_denial_reason_has_a_counter_with_its_own_label() {
        let outcomes = OutcomeCounters::default();
        for reason in [
            DenialReason::Expired,
            DenialReason::Inactive,
            DenialReason::Retired,
            DenialReason::WrongId,
            DenialReason::WrongSecret,
            DenialReason::ClosedModule,
            DenialReason::MechaInactive,
            DenialReason::InsufficientScope,
        ] {
            let index = CountedOutcome::Denied(Denial::Key(reason)).index();
            assert_eq!(LABELS[index], reason.name());
            outcomes.count(CountedOutcome::Denied(Denial::Key(reason)));
        }
        std::thread::scope(|scope| {
            for _ in 0..3 * SHARDS {
                scope.spawn(|| outcomes.count(CountedOutcome::Allowed));
            }
        });
        let totals: Vec<_> = outcomes.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals.len(), 9);
        assert_eq!(totals[0], ("allowed", 3 * SHARDS as u64));
    }
}
