//! What came of verifications, counted.

use super::Denial;
use app::domain::traffic::Reason;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads that count apart from each other.
const LANES: usize = 16;
/// What there is to count, by the names that a dashboard sees.
const NAMES: [&str; 12] = [
    "admitted",
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
pub enum Outcome {
    /// It was let in.
    Admitted,
    /// It presented nothing.
    NoCredential,
    /// It presented more than one credential.
    Ambiguous,
    /// It was refused.
    Denied(Denial),
    /// Neither memory nor the database could tell.
    Unavailable,
}

impl Outcome {
    const fn number(self) -> usize {
        match self {
            Self::Admitted => 0,
            Self::NoCredential => 1,
            Self::Ambiguous => 2,
            Self::Denied(Denial::Malformed) => 3,
            Self::Denied(Denial::Unknown) => 4,
            Self::Denied(Denial::Refused(reason)) => match reason {
                Reason::Expired => 5,
                Reason::Inactive => 6,
                Reason::Retired => 7,
                Reason::WrongId => 8,
                Reason::WrongSecret => 9,
                Reason::ClosedModule => 10,
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
pub struct Outcomes([Lane; LANES]);

thread_local! {
    static LANE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % LANES
    };
}

impl Outcomes {
    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
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
        let outcomes = Outcomes::default();
        for reason in [
            Reason::Expired,
            Reason::Inactive,
            Reason::Retired,
            Reason::WrongId,
            Reason::WrongSecret,
            Reason::ClosedModule,
        ] {
            let number = Outcome::Denied(Denial::Refused(reason)).number();
            assert_eq!(NAMES[number], reason.name());
            outcomes.count(Outcome::Denied(Denial::Refused(reason)));
        }
        std::thread::scope(|scope| {
            for _ in 0..3 * LANES {
                scope.spawn(|| outcomes.count(Outcome::Admitted));
            }
        });
        let totals: Vec<_> = outcomes.totals().filter(|(_, total)| *total > 0).collect();
        assert_eq!(totals.len(), 7);
        assert_eq!(totals[0], ("admitted", 3 * LANES as u64));
    }
}
