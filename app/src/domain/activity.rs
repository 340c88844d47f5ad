//! The activity log: changes to an account and its keys.

use super::api_key::KeyId;
use super::timestamp::{DAY, Timestamp};
use super::usage::ClientName;

/// Retention period of activity entries, in milliseconds.
pub const ACTIVITY_RETENTION: i64 = 365 * DAY;
/// Number of activity entries per page.
pub const ACTIVITY_PAGE_SIZE: usize = 50;

/// The kind of an activity entry. Where a variant documents a detail, it is stored in [`Activity::became`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    /// The account was created.
    AccountCreated,
    /// A session was created.
    SignedIn,
    /// A wrong password was entered, at sign-in or to confirm a change of the account.
    SignInRejected,
    /// The owner ended a session.
    SignedOut,
    /// The owner ended another session. Detail: the `User-Agent` of that session.
    SessionEnded,
    /// The owner ended all sessions of the account.
    SignedOutEverywhere,
    /// The password was changed.
    PasswordChanged,
    /// A key was created. Detail: its expiry in milliseconds since 1970; empty if it never expires.
    KeyCreated,
    /// A key was renamed. Detail: the new name.
    KeyRenamed,
    /// The description of a key was changed.
    KeyDescribed,
    /// The access of a key was changed. Detail: its scopes, separated by spaces; empty for access to everything.
    KeyAccessChanged,
    /// The expiry of a key was extended. Detail: the new expiry, as in [`ActivityKind::KeyCreated`].
    KeyRefreshed,
    /// A key was rotated. Detail: the form value of the [`Grace`](super::rotation::Grace) period.
    KeyRotated,
    /// The owner retired the previous secret of a key.
    PreviousSecretRetired,
    /// The previous secret of a key was retired because the new one was used.
    PreviousSecretReplaced,
    /// A key was switched on.
    KeySwitchedOn,
    /// A key was switched off.
    KeySwitchedOff,
    /// A key was deleted.
    KeyDeleted,
    /// A Mecha was created.
    MechaCreated,
    /// A Mecha was renamed or described. Detail: its new name.
    MechaChanged,
    /// A Mecha was switched on.
    MechaSwitchedOn,
    /// A Mecha was switched off.
    MechaSwitchedOff,
    /// A Mecha was deleted, with its keys.
    MechaDeleted,
    /// A runtime was asked to finish its work and to disconnect. Detail: its host.
    RuntimeDrained,
    /// A runtime was disconnected. Detail: its host.
    RuntimeDisconnected,
}

impl ActivityKind {
    const NAMES: [(Self, &'static str); 25] = [
        (Self::AccountCreated, "account-made"),
        (Self::SignedIn, "signed-in"),
        (Self::SignInRejected, "sign-in-refused"),
        (Self::SignedOut, "signed-out"),
        (Self::SessionEnded, "session-ended"),
        (Self::SignedOutEverywhere, "signed-out-everywhere"),
        (Self::PasswordChanged, "password-changed"),
        (Self::KeyCreated, "key-made"),
        (Self::KeyRenamed, "key-renamed"),
        (Self::KeyDescribed, "key-described"),
        (Self::KeyAccessChanged, "key-access-changed"),
        (Self::KeyRefreshed, "key-refreshed"),
        (Self::KeyRotated, "key-rotated"),
        (Self::PreviousSecretRetired, "old-secret-retired"),
        (Self::PreviousSecretReplaced, "old-secret-replaced"),
        (Self::KeySwitchedOn, "key-switched-on"),
        (Self::KeySwitchedOff, "key-switched-off"),
        (Self::KeyDeleted, "key-deleted"),
        (Self::MechaCreated, "mecha-created"),
        (Self::MechaChanged, "mecha-changed"),
        (Self::MechaSwitchedOn, "mecha-switched-on"),
        (Self::MechaSwitchedOff, "mecha-switched-off"),
        (Self::MechaDeleted, "mecha-deleted"),
        (Self::RuntimeDrained, "runtime-drained"),
        (Self::RuntimeDisconnected, "runtime-disconnected"),
    ];

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(what, _)| *what)
    }

    /// The name under which the kind is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(what, _)| *what == self).map_or("", |(_, name)| name)
    }

    /// Parses a stored name. `None` if this version does not know it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(what, _)| *what)
    }
}

/// One activity entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Increases with each entry.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The kind.
    pub what: ActivityKind,
    /// The name of the key at that time; empty for changes to the account itself.
    pub key_name: String,
    /// The name of the Mecha at that time, for changes to it or its keys; otherwise empty.
    pub mecha_name: String,
    /// The detail that [`ActivityKind`] documents for this kind; otherwise empty.
    pub became: String,
    /// The client of the request; empty for commands run on the server.
    pub client: ClientName,
}

/// Which entries a page of the activity log shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Only entries of this kind.
    pub kind: Option<ActivityKind>,
    /// Only entries of this key.
    pub key: Option<KeyId>,
    /// Which page.
    pub position: ActivityPosition,
}

/// A position in the activity log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivityPosition {
    /// The newest entries.
    #[default]
    Newest,
    /// The newest entries that are older than the entry with this id.
    Before(i64),
    /// The oldest entries that are newer than the entry with this id.
    After(i64),
}

/// One page of the activity log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityPage {
    /// The entries of this page.
    pub entries: Vec<Activity>,
    /// Whether older entries exist.
    pub has_older: bool,
    /// Whether newer entries exist.
    pub has_newer: bool,
    /// The keys with entries, and their names: the current one, or the last one of a deleted key.
    pub keys: Vec<(KeyId, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_name_parses_to_its_kind() {
        for (what, _) in ActivityKind::NAMES {
            assert_eq!(ActivityKind::parse(what.name()), Some(what));
        }
        assert_eq!(ActivityKind::parse(""), None);
    }
}
