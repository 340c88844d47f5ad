//! A Mecha as its page shows it.

use crate::domain::api_key::KeyId;
use crate::domain::mecha::Mecha;
use crate::domain::runtime::{MechaRuntimes, MechaState, Runtime, RuntimeId};

/// A Mecha, its state and its runtimes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MechaView {
    /// The Mecha.
    pub mecha: Mecha,
    /// Its state.
    pub state: MechaState,
    /// Its runtimes.
    pub runtimes: MechaRuntimes,
    /// The origin of this console, for the examples: `https://keys.example.com`.
    pub origin: String,
}

impl MechaView {
    /// The view of a Mecha with these runtimes.
    #[must_use]
    pub fn of(mecha: Mecha, runtimes: MechaRuntimes, origin: String) -> Self {
        Self { state: MechaState::of(&mecha, &runtimes), mecha, runtimes, origin }
    }

    /// The connected runtime with this id.
    #[must_use]
    pub fn find(&self, id: &RuntimeId) -> Option<&Runtime> {
        self.runtimes.connected.iter().find(|runtime| runtime.id == *id)
    }

    /// The connected runtimes that use a key.
    #[must_use]
    pub fn using(&self, key: &KeyId) -> Vec<Runtime> {
        self.runtimes.connected.iter().filter(|runtime| runtime.key == *key).cloned().collect()
    }
}
