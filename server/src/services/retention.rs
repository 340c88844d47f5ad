//! Deletes data that is past its retention period, unless the clock may be wrong.
//!
//! With a clock that is ahead, data that has not expired would be lost. Deletion can wait: expired keys are denied in
//! any case.

use crate::clock::Clock;
use crate::key_cache::cluster::lease::Moment;
use crate::runtimes::Runtimes;
use crate::services::keys::Keys;
use crate::services::sessions::DatabaseSessions;
use crate::store::{Store, StoreError, instance_state, spawn_transaction};
use app::domain::timestamp::{DAY, HOUR, MINUTE, Timestamp};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Maximum difference between two clocks, in milliseconds.
const TOLERANCE: i64 = 5 * MINUTE;
/// Longest downtime after which the clock is accepted without a probation, in milliseconds.
const LONGEST_DOWNTIME: i64 = 2 * DAY;
/// How long a clock that is later than expected must run steadily before it is accepted.
const PROBATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval at which the time of a correct clock is recorded, in milliseconds.
const RECORD_INTERVAL: i64 = HOUR;

/// The times that are compared to check the clock.
#[derive(Clone, Copy, Debug)]
struct Readings {
    /// The time that this process uses for keys. It never goes back.
    now: Timestamp,
    /// The machine's clock, as it is now.
    machine: Timestamp,
    /// The clock of the database's machine, if that is another machine.
    database: Option<Timestamp>,
    /// The last time at which this node or another one found its clock correct.
    recorded: Option<Timestamp>,
}

/// Why the clock may be wrong. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockProblem {
    /// The machine's clock was set back while this process ran.
    SetBack(i64),
    /// It differs from the clock of the database.
    DiffersFromDatabase(i64),
    /// It is earlier than the time that is recorded in the database.
    Behind(i64),
    /// It is later than the time that is recorded in the database, by more than a usual downtime.
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
                 down for that long",
            ),
        };
        write!(f, "the clock {what} ({} h {} min)", by / HOUR, by % HOUR / MINUTE)
    }
}

/// Decides from successive readings whether the clock is correct. Each is a time on a clock that is never set, and what
/// the clock showed then.
#[derive(Debug, Default)]
struct ClockCheck {
    /// The first reading that this process accepted. It stays: many small steps add up.
    accepted: Option<(Duration, Timestamp)>,
    /// The first reading of a clock that is not accepted yet.
    probation: Option<(Duration, Timestamp)>,
}

impl ClockCheck {
    /// Returns why the clock may be wrong. `uptime` is the time since a fixed moment, on a clock that is never set.
    fn evaluate(&mut self, readings: Readings, uptime: Duration) -> Option<ClockProblem> {
        let Readings { now, machine, database, recorded } = readings;
        if now.0 - machine.0 > TOLERANCE {
            return Some(ClockProblem::SetBack(now.0 - machine.0));
        }
        let difference = database.map_or(0, |database| now.0.abs_diff(database.0).cast_signed());
        if difference > TOLERANCE {
            return Some(ClockProblem::DiffersFromDatabase(difference));
        }
        // What this clock showed more than the other one since then; it would show 0 if neither was set.
        let drift = |(then, showed): (Duration, Timestamp)| {
            now.0 - showed.0 - milliseconds(uptime.saturating_sub(then))
        };
        let (by, limit) = match (self.accepted, recorded) {
            (Some(accepted), _) => (drift(accepted), TOLERANCE),
            (None, Some(recorded)) => (now.0 - recorded.0, LONGEST_DOWNTIME),
            (None, None) => (0, TOLERANCE),
        };
        let problem = match by {
            _ if by < -TOLERANCE => ClockProblem::Behind(-by),
            _ if by > limit => ClockProblem::Ahead(by),
            _ => {
                self.accepted = self.accepted.or(Some((uptime, now)));
                self.probation = None;
                return None;
            }
        };
        let probation = *self.probation.get_or_insert((uptime, now));
        if drift(probation).abs() > TOLERANCE {
            // The clock was set again, so its probation starts over.
            self.probation = Some((uptime, now));
        } else if uptime.saturating_sub(probation.0) >= PROBATION {
            self.accepted = Some((uptime, now));
            self.probation = None;
            return None;
        }
        Some(problem)
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Deletes data that is past its retention period. Clones share their state.
#[derive(Clone, Debug)]
pub struct Retention {
    store: Store,
    clock: Clock,
    keys: Keys,
    sessions: DatabaseSessions,
    runtimes: Runtimes,
    started: Moment,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    check: ClockCheck,
    problem: Option<ClockProblem>,
}

impl Retention {
    /// Creates the retention of this database's data. No clock problem is known yet.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        keys: Keys,
        sessions: DatabaseSessions,
        runtimes: Runtimes,
    ) -> Self {
        Self { store, clock, keys, sessions, runtimes, started: Moment::now(), state: Arc::default() }
    }

    /// Why nothing is deleted, as of the last [`Retention::check_clock`]; `None` if the clock was correct.
    #[must_use]
    pub fn paused(&self) -> Option<ClockProblem> {
        self.state.lock().problem
    }

    /// Checks the clock, and records the time if the clock is correct. Logs when the result changes.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn check_clock(&self) -> Result<Option<ClockProblem>, StoreError> {
        let recorded = self.store.clock_checked_at().await?;
        let readings = Readings {
            database: self.store.database_clock().await?,
            recorded,
            now: self.clock.now(),
            machine: self.clock.system_time(),
        };
        let problem = {
            let mut state = self.state.lock();
            let problem = state.check.evaluate(readings, Moment::now().since(self.started));
            match (problem, state.problem) {
                (Some(problem), None) => tracing::warn!("nothing is deleted for now: {problem}"),
                (None, Some(_)) => tracing::info!("the clock is correct again; deletion resumes"),
                _ => {}
            }
            state.problem = problem;
            problem
        };
        let is_due = recorded.is_none_or(|recorded| (readings.now.0 - recorded.0).abs() >= RECORD_INTERVAL);
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

    /// Deletes keys, sessions, usage, activity and connections of runtimes that are past their retention periods, if the clock is correct.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        if self.check_clock().await?.is_some() {
            return Ok(());
        }
        self.keys.sweep().await?;
        self.sessions.sweep().await?;
        self.runtimes.sweep().await
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
    fn a_clock_that_is_set_while_the_process_runs_is_not_believed_in_however_small_steps() {
        let mut check = ClockCheck::default();
        let minute = Duration::from_secs(60);
        assert_eq!(check.evaluate(readings(NOW, None), Duration::ZERO), None);
        let stepped = |minutes: i64| NOW.plus(minutes * MINUTE + minutes * 4 * MINUTE);
        assert_eq!(check.evaluate(readings(stepped(1), Some(NOW)), minute), None);
        assert_eq!(
            check.evaluate(readings(stepped(2), Some(stepped(1))), minute * 2),
            Some(ClockProblem::Ahead(8 * MINUTE))
        );
        let jump = NOW.plus(47 * HOUR);
        assert_eq!(
            check.evaluate(readings(jump, Some(NOW)), Duration::ZERO),
            Some(ClockProblem::Ahead(47 * HOUR))
        );
    }

    #[test]
    fn a_clock_that_was_corrected_is_believed_after_a_day() {
        let mut check = ClockCheck::default();
        let recorded = Some(NOW.plus(60 * DAY));
        assert_eq!(
            check.evaluate(readings(NOW, recorded), Duration::ZERO),
            Some(ClockProblem::Behind(60 * DAY))
        );
        assert_eq!(check.evaluate(readings(NOW.plus(DAY), recorded), PROBATION), None);
    }

    #[test]
    fn a_clock_that_agrees_with_the_recorded_time_is_correct() {
        let mut check = ClockCheck::default();
        for recorded in [None, Some(NOW), Some(NOW.plus(-LONGEST_DOWNTIME)), Some(NOW.plus(TOLERANCE))] {
            assert_eq!(check.evaluate(readings(NOW, recorded), Duration::ZERO), None, "{recorded:?}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_behind_or_set_back_is_a_problem() {
        let mut check = ClockCheck::default();
        let mut evaluate = |readings| check.evaluate(readings, Duration::ZERO);
        assert_eq!(evaluate(readings(NOW, Some(NOW.plus(-60 * DAY)))), Some(ClockProblem::Ahead(60 * DAY)));
        assert_eq!(evaluate(readings(NOW, Some(NOW.plus(HOUR)))), Some(ClockProblem::Behind(HOUR)));
        let set_back = Readings { machine: NOW.plus(-DAY), ..readings(NOW, None) };
        assert_eq!(evaluate(set_back), Some(ClockProblem::SetBack(DAY)));
        for database in [NOW.plus(DAY), NOW.plus(-DAY)] {
            let differs = Readings { database: Some(database), ..readings(NOW, None) };
            assert_eq!(evaluate(differs), Some(ClockProblem::DiffersFromDatabase(DAY)));
        }
    }

    #[test]
    fn after_a_long_downtime_a_clock_that_runs_steadily_for_a_day_is_accepted() {
        let mut check = ClockCheck::default();
        let hour = Duration::from_secs(3_600);
        let recorded = Some(NOW.plus(-60 * DAY));
        for hours in 0..24_u32 {
            let now = NOW.plus(i64::from(hours) * HOUR);
            assert!(check.evaluate(readings(now, recorded), hour * hours).is_some(), "{hours}");
        }
        assert_eq!(check.evaluate(readings(NOW.plus(DAY), recorded), hour * 24), None);
    }

    #[test]
    fn a_clock_that_is_set_again_restarts_its_probation() {
        let mut check = ClockCheck::default();
        let (hour, recorded) = (Duration::from_secs(3_600), Some(NOW.plus(-60 * DAY)));
        assert!(check.evaluate(readings(NOW, recorded), Duration::ZERO).is_some());
        assert!(check.evaluate(readings(NOW.plus(10 * DAY), recorded), hour * 23).is_some());
        assert!(check.evaluate(readings(NOW.plus(10 * DAY + HOUR), recorded), hour * 24).is_some());
    }

    #[test]
    fn a_clock_problem_states_the_remedy() {
        let text = ClockProblem::Ahead(60 * DAY + 5 * MINUTE).to_string();
        assert!(text.contains("1440 h 5 min") && text.contains("correct it"), "{text}");
    }
}
