//! What the operator allows for keys: the scopes, and limits.

use super::access::{Access, Scope};
use super::expiry::{Expiry, Period};
use super::field_error::{Field, FieldError};
use super::mecha::KeyOwner;
use super::timestamp::{DAY, SECOND, Timestamp};

/// Default of the maximum number of unexpired keys of an account.
pub const KEYS_PER_ACCOUNT: u32 = 10;
/// Maximum number of unexpired keys of a Mecha.
pub const KEYS_PER_MECHA: u32 = 10;
/// How far in the future a date of expiry can be, in days, if the operator sets no limit.
const LATEST_DATE: i64 = 36_500;

/// What the operator allows for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// The scopes that a key can be restricted to, in display order.
    pub scopes: Vec<Scope>,
    /// Maximum number of unexpired keys of an account, without those of its Mechas.
    pub keys_per_account: u32,
    /// Maximum number of days until a key expires; `None` for no limit.
    pub longest_expiry: Option<u32>,
}

impl KeyPolicy {
    /// Maximum number of unexpired keys of an owner.
    #[must_use]
    pub fn limit_of(&self, owner: &KeyOwner) -> u32 {
        if owner.mecha().is_some() { KEYS_PER_MECHA } else { self.keys_per_account }
    }

    /// The periods that are allowed, shortest first.
    pub fn periods(&self) -> impl Iterator<Item = Period> {
        Period::ALL.into_iter().filter(|period| self.allows_period(*period))
    }

    fn allows_period(&self, period: Period) -> bool {
        self.longest_expiry.is_none_or(|longest| period.days().is_some_and(|days| days <= longest))
    }

    /// The latest time at which a key may expire; `None` if it may also never expire.
    #[must_use]
    pub fn latest_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.longest_expiry.map(|days| now.plus(i64::from(days) * DAY))
    }

    /// Whether a key that expires at this time, or never, expires later than is allowed now: it was created under an
    /// earlier policy.
    #[must_use]
    pub fn is_beyond_limit(&self, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
        self.latest_expiry(now).is_some_and(|latest| expires_at.is_none_or(|at| at > latest))
    }

    /// The first and the last day on which a key may expire, in days since 1970-01-01. With `later_than`, only days that
    /// end later.
    #[must_use]
    pub fn dates(&self, later_than: Option<Timestamp>, now: Timestamp) -> (i64, i64) {
        // A day ends one second before the next one begins.
        let last = self.latest_expiry(now).map_or(now.day() + LATEST_DATE, |at| at.plus(SECOND).day() - 1);
        let after = later_than.map_or(now, |at| at.max(now));
        let day = after.day();
        (if Timestamp::end_of_day(day) > after { day } else { day + 1 }, last)
    }

    /// The preselected expiry: 90 days, or the next period that is later than `later_than`, or else the longest one, or a
    /// date (`None`) if no period is possible.
    #[must_use]
    pub fn default_period(&self, later_than: Option<Timestamp>, now: Timestamp) -> Option<Period> {
        let is_later = |period: &Period| later_than.is_none_or(|at| period.is_later_than(at, now));
        let preferred = self.periods().find(|period| *period >= Period::default() && is_later(period));
        preferred.or_else(|| self.periods().filter(is_later).last())
    }

    /// When a key with this expiry expires; `None` means never.
    ///
    /// # Errors
    /// The field whose value is not allowed, and why.
    pub fn check(&self, expiry: Expiry, now: Timestamp) -> Result<Option<Timestamp>, (Field, FieldError)> {
        match expiry {
            Expiry::After(period) if !self.allows_period(period) => {
                Err((Field::ExpireIn, FieldError::NotOnOffer))
            }
            Expiry::On(day) => {
                let (first, last) = self.dates(None, now);
                if (first..=last).contains(&day) {
                    Ok(expiry.expires_at(now))
                } else {
                    Err((Field::ExpiresOn, FieldError::OutOfRange { first, last }))
                }
            }
            Expiry::After(_) => Ok(expiry.expires_at(now)),
        }
    }

    /// Checks the access that was chosen for a key: its scopes must be offered, or be among those that the key has. Returns
    /// them in display order.
    ///
    /// # Errors
    /// Why the choice is not allowed.
    pub fn check_access(&self, chosen: &Access, of_key: &Access) -> Result<Access, FieldError> {
        let Some(scopes) = chosen.scopes() else { return Ok(Access::Everything) };
        let known: Vec<&Scope> = self.scopes.iter().chain(self.no_longer_offered(of_key)).collect();
        if !scopes.iter().all(|scope| known.contains(&scope)) {
            return Err(FieldError::NotOnOffer);
        }
        Ok(Access::Scopes(known.into_iter().filter(|scope| scopes.contains(scope)).cloned().collect()))
    }

    /// The scopes of a key that are no longer offered.
    pub fn no_longer_offered<'a>(&self, access: &'a Access) -> impl Iterator<Item = &'a Scope> {
        access.scopes().unwrap_or_default().iter().filter(|scope| !self.scopes.contains(scope))
    }
}

impl Default for KeyPolicy {
    /// Without limits other than the number of keys, and with the built-in scope only.
    fn default() -> Self {
        Self {
            scopes: Scope::parse(super::access::TRIGGER).into_iter().collect(),
            keys_per_account: KEYS_PER_ACCOUNT,
            longest_expiry: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_257_125_000);

    fn policy(longest_expiry: Option<u32>) -> KeyPolicy {
        let scopes = ["read", "write"].into_iter().filter_map(Scope::parse).collect();
        KeyPolicy { scopes, longest_expiry, ..KeyPolicy::default() }
    }

    #[test]
    fn a_refresh_preselects_a_period_that_extends_the_expiry() {
        let unlimited = policy(None);
        let default_after = |days: i64| unlimited.default_period(Some(NOW.plus(days * DAY)), NOW);
        assert_eq!(unlimited.default_period(None, NOW), Some(Period::Days90));
        assert_eq!(default_after(7), Some(Period::Days90));
        assert_eq!(default_after(200), Some(Period::Days365));
        assert_eq!(default_after(400), Some(Period::NoExpiry));
    }

    #[test]
    fn longer_periods_than_the_longest_expiry_are_not_offered() {
        let limited = policy(Some(30));
        assert_eq!(limited.periods().collect::<Vec<_>>(), [Period::Days7, Period::Days30]);
        assert_eq!(limited.default_period(None, NOW), Some(Period::Days30));
        assert_eq!(policy(Some(5)).default_period(None, NOW), None);
        let refused = Err((Field::ExpireIn, FieldError::NotOnOffer));
        assert_eq!(limited.check(Expiry::After(Period::Days90), NOW), refused);
        assert_eq!(limited.check(Expiry::After(Period::NoExpiry), NOW), refused);
        assert!(limited.check(Expiry::After(Period::Days30), NOW).is_ok());
        assert!(limited.is_beyond_limit(None, NOW) && limited.is_beyond_limit(Some(NOW.plus(31 * DAY)), NOW));
        assert!(!limited.is_beyond_limit(Some(NOW.plus(30 * DAY)), NOW));
        assert!(!policy(None).is_beyond_limit(None, NOW));
    }

    #[test]
    fn a_date_of_expiry_is_in_the_future_and_within_the_longest_expiry() {
        let limited = policy(Some(30));
        let (first, last) = limited.dates(None, NOW);
        assert_eq!(first, NOW.day());
        assert!(Timestamp::end_of_day(last) <= NOW.plus(30 * DAY));
        assert!(Timestamp::end_of_day(last + 1) > NOW.plus(30 * DAY));
        for day in [first, last] {
            assert_eq!(limited.check(Expiry::On(day), NOW), Ok(Some(Timestamp::end_of_day(day))));
        }
        for day in [first - 1, last + 1, i64::MIN, i64::MAX] {
            let out_of_range = Err((Field::ExpiresOn, FieldError::OutOfRange { first, last }));
            assert_eq!(limited.check(Expiry::On(day), NOW), out_of_range);
        }
        let later_than = Timestamp::end_of_day(first + 3);
        assert_eq!(limited.dates(Some(later_than), NOW).0, first + 4);
    }

    #[test]
    fn chosen_scopes_must_be_offered_or_be_those_of_the_key() {
        let policy = policy(None);
        let access = |scopes| Access::from_text(Some(scopes));
        let new = Access::Everything;
        assert_eq!(policy.check_access(&Access::Everything, &new), Ok(Access::Everything));
        assert_eq!(policy.check_access(&access("write read write"), &new), Ok(access("read write")));
        assert_eq!(policy.check_access(&access("read old"), &new), Err(FieldError::NotOnOffer));
        assert_eq!(policy.check_access(&access("old read"), &access("old")), Ok(access("read old")));
    }
}
