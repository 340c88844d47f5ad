//! Why a credential is denied.

use app::domain::usage::DenialReason;

/// Why a credential is denied. The client does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It cannot be a secret of this console.
    Malformed,
    /// No key has this secret.
    Unknown,
    /// A key has this secret, and denies it.
    Key(DenialReason),
}
