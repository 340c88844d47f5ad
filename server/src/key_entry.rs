//! What the key cache knows of a secret.

use crate::ids::Id;
use app::domain::timestamp::Timestamp;

/// One secret of a key: the current one, or the previous one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: Id,
    /// The account that owns it.
    pub account: Id,
    /// The name of the key, 1 to 256 bytes.
    pub name: String,
    /// When the secret expires; `None` means never.
    pub until: Option<Timestamp>,
    /// Whether the key is switched on.
    pub active: bool,
    /// Whether it is the previous secret of the key.
    pub is_previous: bool,
    /// Whether `until` is the end of its grace period rather than the expiry of the key.
    pub is_retired_at_until: bool,
    /// Whether its first use retires the previous secret of the key.
    pub retires_previous: bool,
}
