//! The callers of requests in flight, whose responses end when their keys do.

use crate::ids::Id;
use crate::secret::SecretDigest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Who requests an action.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The account.
    pub(crate) account: Id,
    /// What authenticates the caller.
    pub(crate) credential: Credential,
}

/// What authenticates a caller. `Debug` shows no secret and no session.
#[derive(Clone)]
pub(crate) enum Credential {
    /// A key of the account.
    Key {
        /// The id of the key.
        id: Id,
        /// The secret that was presented.
        secret: SecretDigest,
    },
    /// The owner who is signed in to the console: the SHA-256 of the id of the session. The endpoint ends the response when
    /// the session ends.
    Session([u8; 32]),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id, .. } => f.debug_struct("Key").field("id", id).finish_non_exhaustive(),
            Self::Session(_) => f.write_str("Session(…)"),
        }
    }
}

impl Caller {
    /// The key of the caller; `None` if it is the owner.
    pub(crate) fn key(&self) -> Option<&Id> {
        match &self.credential {
            Credential::Key { id, .. } => Some(id),
            Credential::Session(_) => None,
        }
    }
}

/// Why a response ends before it is complete, other than by the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The key of the caller is no longer valid.
    KeyEnded,
    /// The key of the caller cannot be verified at the moment.
    Unverified,
    /// The runtime takes too long.
    TimedOut,
    /// This server has no memory left for the response.
    OutOfMemory,
}

/// The callers of this node whose responses are not complete.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    next: AtomicU64,
    open: Mutex<HashMap<u64, (Caller, CancellationToken)>>,
}

/// The registration of a caller. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct CallerGuard {
    callers: Arc<Callers>,
    number: u64,
    /// Cancelled when the key of the caller is no longer valid.
    pub(crate) ended: CancellationToken,
}

impl Callers {
    /// Registers a caller. From now on its response ends when its key does.
    pub(crate) fn add(self: &Arc<Self>, caller: Caller) -> CallerGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ended = CancellationToken::new();
        self.open.lock().insert(number, (caller, ended.clone()));
        CallerGuard { callers: Arc::clone(self), number, ended }
    }

    /// The number of callers.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Ends the responses to the callers for which `is_ended` returns true.
    pub(super) fn end_if(&self, is_ended: impl Fn(&Caller) -> bool) {
        let callers: Vec<_> = self.open.lock().values().cloned().collect();
        for (caller, ended) in callers {
            if is_ended(&caller) {
                ended.cancel();
            }
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.callers.open.lock().remove(&self.number);
    }
}
