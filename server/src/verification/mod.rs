//! Whether a program is let in: a lookup in memory, exactly coherent with what was committed.
//!
//! [`secrets`] holds what may be presented, [`traffic`] what was, and [`live`] tells it to owners who watch.

pub mod index;
pub mod live;
pub mod secrets;
pub mod traffic;

use crate::clock::Clock;
use crate::secret::{PlainSecret, Prefix};
use crate::store::{Store, StoreError};
use app::domain::api_key::KeyId;
use app::domain::timestamp::Timestamp;
use app::domain::traffic::Reason;
use index::{Entry, Id};
use secrets::Secrets;
use std::net::IpAddr;
use std::sync::Arc;
use traffic::Traffic;

/// What a program presents. It does not print the secret.
pub struct Credential {
    /// The Key ID, if the way of presenting it has one.
    pub id: Option<String>,
    /// What it says is the secret.
    pub secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who presents it.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'r> {
    /// Where it is.
    pub address: IpAddr,
    /// What it says it is.
    pub agent: &'r str,
}

/// A key that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Which.
    pub key: Id,
    /// Whose it is.
    pub account: Id,
    /// Its name.
    pub name: String,
    /// When the secret that was presented ends: with the key, or with its grace.
    pub until: Option<Timestamp>,
}

/// Why a key was not let in. Whoever presented it is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// What was presented cannot be a secret.
    Malformed,
    /// No key has this secret.
    Unknown,
    /// A key has this secret, and is refused.
    Refused(Reason),
}

/// Lets programs in, or not.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Judges what has ended.
    pub clock: Clock,
    /// What secrets begin with.
    pub prefix: Prefix,
    /// All secrets.
    pub secrets: Secrets,
    /// Who used them.
    pub traffic: Arc<Traffic>,
}

impl Verifier {
    /// Takes all secrets of a database into memory.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open(store: Store, clock: Clock, prefix: Prefix) -> Result<Self, StoreError> {
        let secrets = Secrets::open(store).await?;
        Ok(Self { clock, prefix, secrets, traffic: Arc::default() })
    }

    /// The key that a program presents, if it is let in now.
    ///
    /// # Errors
    /// Why not: for the log, and for the owner of the key.
    pub async fn verify(&self, credential: &Credential, caller: Caller<'_>) -> Result<Admitted, Denial> {
        let now = self.clock.now();
        let found = PlainSecret::parse(&self.prefix, &credential.secret).map(|secret| {
            let digest = secret.digest();
            (digest, self.secrets.index.find(digest.as_bytes()))
        });
        let claimed = credential.id.as_deref().map(parse_id);
        let (digest, entry) = match found {
            Some((digest, Some(entry))) => (digest, entry),
            not_found => {
                if let Some(Some(key)) = claimed {
                    self.traffic.claimed(key, caller, now);
                }
                return Err(if not_found.is_some() { Denial::Unknown } else { Denial::Malformed });
            }
        };
        if let Some(reason) = refusal(&entry, claimed, now) {
            if let (Reason::WrongId, Some(Some(other))) = (reason, claimed) {
                self.traffic.claimed(other, caller, now);
            }
            self.refuse(entry.key, reason, caller);
            return Err(Denial::Refused(reason));
        }
        if entry.ends_old {
            // Once for each rotation: the old secret has ended before the new one's first success is told.
            self.secrets.end_old(entry.key, entry.account, digest, now).await;
        }
        self.traffic.used(entry.key, caller, now);
        Ok(Admitted { key: entry.key, account: entry.account, name: entry.name, until: entry.until })
    }

    /// Notes that a program was refused that named a key.
    pub fn refuse(&self, key: Id, reason: Reason, caller: Caller<'_>) {
        if self.traffic.refused(key, reason, caller, self.clock.now()) {
            tracing::info!(key = hex(&key), reason = reason.name(), client = %caller.address, "key refused");
        }
    }
}

/// `claimed` is the Key ID given with the secret, if one was given and as far as it is one.
fn refusal(entry: &Entry, claimed: Option<Option<Id>>, now: Timestamp) -> Option<Reason> {
    if claimed.is_some_and(|claimed| claimed != Some(entry.key)) {
        Some(Reason::WrongId)
    } else if entry.until.is_some_and(|until| until <= now) {
        Some(if entry.retires { Reason::Retired } else { Reason::Expired })
    } else if !entry.active {
        Some(Reason::Inactive)
    } else {
        None
    }
}

/// The bits of an id that is written as 32 hex digits.
#[must_use]
pub fn parse_id(text: &str) -> Option<Id> {
    let text = KeyId::parse(text)?;
    u128::from_str_radix(text.as_str(), 16).ok().map(u128::to_be_bytes)
}

/// An id as 32 hex digits.
#[must_use]
pub fn hex(id: &Id) -> String {
    let mut text = String::with_capacity(32);
    for byte in id {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
        }
    }
    text
}
