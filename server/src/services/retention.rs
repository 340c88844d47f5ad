//! Deletes what has been kept for long enough, unless the clock may be wrong.
//!
//! A clock that is ahead would delete for good what has not expired. A deletion can wait: keys that have expired are
//! rejected all the same.

use crate::clock::Clock;
use crate::services::keys::Keys;
use crate::services::sessions::DatabaseSessions;
use crate::store::{Store, StoreError, instance_state, spawn_transaction};
use app::domain::timestamp::{DAY, HOUR, MINUTE, Timestamp};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far two clocks may differ, in milliseconds.
const TOLERANCE: i64 = 5 * MINUTE;
/// How long a server may have been stopped before its clock has to prove itself, in milliseconds.
const LONGEST_STOP: i64 = 2 * DAY;
/// How long a clock that is later than expected has to go on steadily before it is believed.
const PROBATION: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is recorded that the clock is right, in milliseconds.
const RECORD_EVERY: i64 = HOUR;

/// What clocks show, and what is recorded of them.
#[derive(Clone, Copy, Debug)]
struct Readings {
    /// The time that this process judges keys by; it never goes back.
    now: Timestamp,
    /// The machine's clock.
    machine: Timestamp,
    /// The clock of the database's machine, if that is another.
    database: Option<Timestamp>,
    /// When this clock, or that of another node, was last found to be right.
    recorded: Option<Timestamp>,
}

/// Why the clock may be wrong. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockProblem {
    /// The machine's clock was set back while this process ran.
    SetBack(i64),
    /// It differs from the clock of the database.
    DiffersFromDatabase(i64),
    /// It is earlier than this database has seen it.
    Behind(i64),
    /// It is later than this database has seen it by more than a server is usually stopped.
    Ahead(i64),
}

impl fmt::Display for ClockProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, what) = match self {
            Self::SetBack(by) => (by, "was set back while the server ran: restart the server"),
            Self::DiffersFromDatabase(by) => (by, "differs from the clock of the database"),
            Self::Behind(by) => (by, "is earlier than the time that the database has recorded"),
            Self::Ahead(by) => (
                by,
                "is later than the time that the database has recorded: correct it, or wait a day if the server was \
                 stopped for so long",
            ),
        };
        write!(f, "the clock {what} ({} h {} min)", by / HOUR, by % HOUR / MINUTE)
    }
}

/// Judges the clock from what it shows over time.
#[derive(Debug, Default)]
struct ClockCheck {
    /// When the clock was first found to be ahead: on the clock that is never set, and on itself.
    ahead_since: Option<(Duration, Timestamp)>,
}

impl ClockCheck {
    /// `uptime` is the time since some fixed moment, on a clock that is never set.
    fn judge(&mut self, readings: Readings, uptime: Duration) -> Option<ClockProblem> {
        let Readings { now, machine, database, recorded } = readings;
        if now.0 - machine.0 > TOLERANCE {
            return Some(ClockProblem::SetBack(now.0 - machine.0));
        }
        let difference = database.map_or(0, |database| now.0.abs_diff(database.0).cast_signed());
        if difference > TOLERANCE {
            return Some(ClockProblem::DiffersFromDatabase(difference));
        }
        let passed = recorded.map_or(0, |recorded| now.0 - recorded.0);
        if passed < -TOLERANCE {
            return Some(ClockProblem::Behind(-passed));
        }
        if passed <= LONGEST_STOP {
            self.ahead_since = None;
            return None;
        }
        let (since, then) = *self.ahead_since.get_or_insert((uptime, now));
        let steady = i64::try_from((uptime - since).as_millis()).unwrap_or(i64::MAX);
        if (now.0 - then.0).abs_diff(steady) > TOLERANCE.unsigned_abs() {
            // It was set again.
            self.ahead_since = Some((uptime, now));
        } else if uptime - since >= PROBATION {
            self.ahead_since = None;
            return None;
        }
        Some(ClockProblem::Ahead(passed))
    }
}

/// Deletes what has been kept for long enough. Copies are the same.
#[derive(Clone, Debug)]
pub struct Retention {
    store: Store,
    clock: Clock,
    keys: Keys,
    sessions: DatabaseSessions,
    started: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    check: ClockCheck,
    problem: Option<ClockProblem>,
}

impl Retention {
    /// Of this console.
    #[must_use]
    pub fn new(store: Store, clock: Clock, keys: Keys, sessions: DatabaseSessions) -> Self {
        Self { store, clock, keys, sessions, started: Instant::now(), state: Arc::default() }
    }

    /// Why nothing is deleted, as of the last [`Retention::check_clock`].
    #[must_use]
    pub fn paused(&self) -> Option<ClockProblem> {
        self.state.lock().problem
    }

    /// Judges the clock, and records that it is right. Logs when that changes.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn check_clock(&self) -> Result<Option<ClockProblem>, StoreError> {
        let recorded = self.store.clock_checked_at().await?;
        let readings = Readings {
            database: self.store.database_clock().await?,
            recorded,
            now: self.clock.now(),
            machine: self.clock.unadjusted(),
        };
        let problem = {
            let mut state = self.state.lock();
            let problem = state.check.judge(readings, self.started.elapsed());
            match (problem, state.problem) {
                (Some(problem), None) => tracing::warn!("nothing is deleted for now: {problem}"),
                (None, Some(_)) => tracing::info!("the clock is right again"),
                _ => {}
            }
            state.problem = problem;
            problem
        };
        let is_due = recorded.is_none_or(|recorded| (readings.now.0 - recorded.0).abs() >= RECORD_EVERY);
        if problem.is_none() && is_due {
            let (store, now) = (self.store.clone(), readings.now);
            spawn_transaction(async move {
                let mut tx = store.begin().await?;
                instance_state::record_clock(&mut tx, now).await?;
                Ok::<_, StoreError>(tx.commit().await?)
            })
            .await?;
        }
        Ok(problem)
    }

    /// Deletes keys, sessions, usage and activity that have been kept for long enough, if the clock is right.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        if self.check_clock().await?.is_some() {
            return Ok(());
        }
        self.keys.sweep().await?;
        self.sessions.sweep().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_262_400_000);

    fn readings(now: Timestamp, recorded: Option<Timestamp>) -> Readings {
        Readings { now, machine: now, database: None, recorded }
    }

    #[test]
    fn a_clock_that_agrees_with_what_was_recorded_is_right() {
        let mut check = ClockCheck::default();
        for recorded in [None, Some(NOW), Some(NOW.plus(-LONGEST_STOP)), Some(NOW.plus(TOLERANCE))] {
            assert_eq!(check.judge(readings(NOW, recorded), Duration::ZERO), None, "{recorded:?}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_behind_or_set_back_is_not() {
        let mut check = ClockCheck::default();
        let mut judge = |readings| check.judge(readings, Duration::ZERO);
        assert_eq!(judge(readings(NOW, Some(NOW.plus(-60 * DAY)))), Some(ClockProblem::Ahead(60 * DAY)));
        assert_eq!(judge(readings(NOW, Some(NOW.plus(HOUR)))), Some(ClockProblem::Behind(HOUR)));
        let set_back = Readings { machine: NOW.plus(-DAY), ..readings(NOW, None) };
        assert_eq!(judge(set_back), Some(ClockProblem::SetBack(DAY)));
        for database in [NOW.plus(DAY), NOW.plus(-DAY)] {
            let differs = Readings { database: Some(database), ..readings(NOW, None) };
            assert_eq!(judge(differs), Some(ClockProblem::DiffersFromDatabase(DAY)));
        }
    }

    #[test]
    fn after_a_long_stop_a_clock_that_goes_on_steadily_for_a_day_is_believed() {
        let mut check = ClockCheck::default();
        let hour = Duration::from_secs(3_600);
        let stopped = Some(NOW.plus(-60 * DAY));
        for hours in 0..24_u32 {
            let now = NOW.plus(i64::from(hours) * HOUR);
            assert!(check.judge(readings(now, stopped), hour * hours).is_some(), "{hours}");
        }
        assert_eq!(check.judge(readings(NOW.plus(DAY), stopped), hour * 24), None);
    }

    #[test]
    fn a_clock_that_is_set_again_starts_its_day_again() {
        let mut check = ClockCheck::default();
        let (hour, stopped) = (Duration::from_secs(3_600), Some(NOW.plus(-60 * DAY)));
        assert!(check.judge(readings(NOW, stopped), Duration::ZERO).is_some());
        assert!(check.judge(readings(NOW.plus(10 * DAY), stopped), hour * 23).is_some());
        assert!(check.judge(readings(NOW.plus(10 * DAY + HOUR), stopped), hour * 24).is_some());
    }

    #[test]
    fn a_problem_says_what_to_do() {
        let text = ClockProblem::Ahead(60 * DAY + 5 * MINUTE).to_string();
        assert!(text.contains("1440 h 5 min") && text.contains("correct it"), "{text}");
    }
}
