//! What identifies this process as a node of a cluster.

use crate::ids::{hex, new_id};
use crate::random::system_rng;
use rand::Rng;
use sha2::{Digest, Sha256};

/// What identifies this process as a node of a cluster. Its `Debug` omits the secret.
#[derive(Clone)]
pub struct NodeIdentity {
    /// Unique to this process: no other process ever has it.
    pub id: String,
    /// Where other nodes reach this one (`--node-url`); empty if they do not.
    pub url: String,
    /// Authenticates this node at other nodes. It is in memory only.
    secret: String,
}

impl std::fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeIdentity").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

impl NodeIdentity {
    /// A new identity with a random secret of 256 bits, at the time `now` in milliseconds since 1970.
    #[must_use]
    pub fn new(now: i64, url: String) -> Self {
        let rng = &mut system_rng();
        let id = new_id(now, rng);
        let mut halves = [[0; 16]; 2];
        halves.iter_mut().for_each(|half| rng.fill_bytes(half));
        Self { id, url, secret: halves.iter().map(hex).collect() }
    }

    /// The secret, for the request to another node.
    pub(crate) fn reveal_secret(&self) -> &str {
        &self.secret
    }

    /// The hash of the secret, under which other nodes know it.
    pub(crate) fn secret_hash(&self) -> Vec<u8> {
        secret_hash(&self.secret)
    }
}

/// The hash under which the secret of a node is stored.
pub(crate) fn secret_hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
