//! The entries of the key cache.

use crate::ids::Id;
use app::domain::timestamp::Timestamp;

/// The entry of one secret in the key cache. A key has an entry for its current secret and, after a rotation, another
/// for its previous secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The id of the key.
    pub key: Id,
    /// The id of the account that owns the key.
    pub account: Id,
    /// The name of the key, 1 to 256 bytes.
    pub name: String,
    /// When the secret stops being valid: the expiry of the key, or the end of the grace period of a previous secret.
    /// `None` means never.
    pub until: Option<Timestamp>,
    /// The Mecha that owns the key; `None` if the account itself does.
    pub mecha: Option<Box<EntryMecha>>,
    /// The scopes of a restricted key, separated by spaces; `None` if it has access to everything.
    pub scopes: Option<Box<str>>,
    /// Whether the key is active. An inactive key is denied.
    pub active: bool,
    /// Whether this is the previous secret of the key.
    pub is_previous: bool,
    /// Whether `until` is the end of the grace period. Otherwise `until` is the expiry of the key.
    pub is_retired_at_until: bool,
    /// Whether the first use of this secret retires the previous secret of the key.
    pub retires_previous: bool,
}

/// The Mecha of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryMecha {
    /// Its id.
    pub id: Id,
    /// Whether it is active. The keys of an inactive Mecha are denied.
    pub active: bool,
    /// Its name, 1 to 256 bytes.
    pub name: String,
}
