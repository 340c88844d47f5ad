//! What was done to an account and its keys.

use super::timestamp::{DAY, Timestamp};

/// How long it is kept, in milliseconds.
pub const ACTIVITY_KEPT_FOR: i64 = 365 * DAY;
/// Entries on one page.
pub const ACTIVITY_A_PAGE: usize = 50;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The account was made.
    AccountMade,
    /// A session began.
    SignedIn,
    /// Somebody gave a wrong password.
    SignInRefused,
    /// A session was ended by its owner.
    SignedOut,
    /// All sessions were ended by their owner.
    SignedOutEverywhere,
    /// The account has another password.
    PasswordChanged,
    /// A key was made; it became one that expires then, in milliseconds since 1970, or never, if empty.
    KeyMade,
    /// A key was given another name, which it became.
    KeyRenamed,
    /// The expiry of a key was moved later; it became that moment, as above.
    KeyRefreshed,
    /// A key was given another secret; it became the grace time of the old one.
    KeyRotated,
    /// The old secret of a key was ended by its owner.
    OldSecretRetired,
    /// The old secret of a key ended because the new one was used.
    OldSecretReplaced,
    /// A key was switched on.
    KeySwitchedOn,
    /// A key was switched off.
    KeySwitchedOff,
    /// A key was deleted.
    KeyDeleted,
}

impl What {
    const NAMES: [(Self, &'static str); 15] = [
        (Self::AccountMade, "account-made"),
        (Self::SignedIn, "signed-in"),
        (Self::SignInRefused, "sign-in-refused"),
        (Self::SignedOut, "signed-out"),
        (Self::SignedOutEverywhere, "signed-out-everywhere"),
        (Self::PasswordChanged, "password-changed"),
        (Self::KeyMade, "key-made"),
        (Self::KeyRenamed, "key-renamed"),
        (Self::KeyRefreshed, "key-refreshed"),
        (Self::KeyRotated, "key-rotated"),
        (Self::OldSecretRetired, "old-secret-retired"),
        (Self::OldSecretReplaced, "old-secret-replaced"),
        (Self::KeySwitchedOn, "key-switched-on"),
        (Self::KeySwitchedOff, "key-switched-off"),
        (Self::KeyDeleted, "key-deleted"),
    ];

    /// Its name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(what, _)| *what == self).map_or("", |(_, name)| name)
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(what, _)| *what)
    }
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Its number: later ones are greater.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// To which key, by its name at the time; empty if it was done to the account.
    pub key_name: String,
    /// What it became; see [`What`].
    pub became: String,
    /// Where it was done from; empty: on the server itself.
    pub address: String,
}

/// Some of it, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityPage {
    /// What was done.
    pub entries: Vec<Activity>,
    /// Whether there is older activity.
    pub has_older: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_read_as_it_was_written() {
        for (what, _) in What::NAMES {
            assert_eq!(What::parse(what.name()), Some(what));
        }
        assert_eq!(What::parse(""), None);
    }
}
