//! Why a credential is denied.

use app::domain::usage::DenialReason;

/// Why a credential is denied. The client does not learn the reason, except that a module is closed to
/// keys and which scopes are required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The credential does not have the format of a secret of this console.
    Malformed,
    /// No key has this secret.
    Unknown,
    /// A key has this secret, but may not be used.
    Key(DenialReason),
}
