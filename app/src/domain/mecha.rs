//! Mechas: named actors of an account, each with its own keys.

use super::id;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Default of the maximum number of Mechas per account.
pub const MECHAS_PER_ACCOUNT: u32 = 20;

/// Public id of a Mecha: a UUID as 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MechaId(String);

impl MechaId {
    /// Parses an id. Upper-case hex digits are accepted and converted to lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        id::parse(text).map(Self)
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What owns a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOwner {
    /// The account itself.
    #[default]
    Account,
    /// A Mecha of the account.
    Mecha(MechaId),
}

impl KeyOwner {
    /// The Mecha, if it is one.
    #[must_use]
    pub fn mecha(&self) -> Option<&MechaId> {
        match self {
            Self::Account => None,
            Self::Mecha(mecha) => Some(mecha),
        }
    }
}

impl From<Option<MechaId>> for KeyOwner {
    fn from(mecha: Option<MechaId>) -> Self {
        mecha.map_or(Self::Account, Self::Mecha)
    }
}

/// A Mecha, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mecha {
    /// Public id.
    pub id: MechaId,
    /// Its name, unique within the account.
    pub name: String,
    /// The owner's description; may be empty.
    pub description: String,
    /// Whether it is switched on. While it is not, all its keys are denied.
    pub active: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Number of its unexpired keys.
    pub keys: u32,
}
