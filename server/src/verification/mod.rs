//! Whether a program is let in: a lookup in memory, exactly coherent with what was committed.
//!
//! [`secrets`] holds what may be presented, [`traffic`] what was, and [`live`] tells it to owners who watch;
//! [`outcomes`] counts for the operator. Where many processes serve one database, [`node`] keeps each one's memory true.

mod counts;
pub mod index;
pub mod lease;
pub mod live;
mod node;
pub mod outcomes;
mod places;
pub mod secrets;
pub mod traffic;
mod wire;

use crate::clock::Clock;
use crate::secret::{Prefixes, SecretDigest};
use crate::store::{Store, StoreError, within};
use app::domain::timestamp::Timestamp;
use app::domain::traffic::Reason;
use index::{Entry, Id};
use outcomes::Outcomes;
use secrets::{NoLease, Secrets};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use traffic::Traffic;
use uuid::Uuid;

/// What a program presents. It does not print the secret.
pub struct Credential<'h> {
    /// The Key ID, if the way of presenting it has one.
    pub id: Option<Cow<'h, str>>,
    /// What it says is the secret.
    pub secret: Cow<'h, str>,
}

impl std::fmt::Debug for Credential<'_> {
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

/// A key that is let in.
#[derive(Debug)]
pub enum Verified {
    /// Now.
    Admitted(Admitted),
    /// Once the old secret of the key has ended.
    First(FirstUse),
}

/// The first use of a new secret, which ends the old one.
#[derive(Debug)]
pub struct FirstUse {
    admitted: Admitted,
    secrets: Secrets,
    digest: SecretDigest,
    now: Timestamp,
    client: IpAddr,
}

impl FirstUse {
    /// Ends the old secret: it is refused by every node before this use of the new one is told. Another use that comes
    /// while this one waits for other nodes does not wait.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn settle(self) -> Result<Admitted, StoreError> {
        let Self { admitted, secrets, digest, now, client } = self;
        secrets.end_old(admitted.key, admitted.account, digest, now, client).await?;
        Ok(admitted)
    }
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

/// How long the database may take to decide one.
const PATIENCE: Duration = Duration::from_secs(4);

/// What came of a verification.
pub type Verdict = Result<Verified, Denial>;

/// A verification that memory cannot decide now.
#[derive(Debug)]
pub struct Question {
    verifier: Verifier,
    digest: SecretDigest,
    claimed: Option<Option<Id>>,
    address: IpAddr,
    agent: String,
    is_closed: bool,
}

impl Question {
    /// Asks the database.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask(self) -> Result<Verdict, StoreError> {
        let Self { verifier, digest, claimed, address, agent, is_closed } = self;
        let found = within(PATIENCE, verifier.secrets.store.find_secret(digest.as_bytes())).await?;
        Ok(verifier.judge(digest, found, claimed, Caller { address, agent: &agent }, is_closed))
    }
}

/// Lets programs in, or not.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Judges what has ended.
    pub clock: Clock,
    /// What secrets begin with.
    pub prefixes: Prefixes,
    /// All secrets.
    pub secrets: Secrets,
    /// Who used them.
    pub traffic: Arc<Traffic>,
    /// What came of it.
    pub outcomes: Arc<Outcomes>,
}

impl Verifier {
    /// Takes all secrets of a database into memory. `node` is a name that no other process has.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open(
        store: Store,
        clock: Clock,
        prefixes: Prefixes,
        node: String,
    ) -> Result<Self, StoreError> {
        let traffic = Arc::<Traffic>::default();
        let secrets = Secrets::open(store, node, Arc::clone(&traffic.live)).await?;
        Ok(Self { clock, prefixes, secrets, traffic, outcomes: Arc::default() })
    }

    /// The key that a program presents, if it is let in now; to what is closed to keys, none is. It is a lookup in
    /// memory and waits for nothing, as long as this process may believe its memory.
    ///
    /// # Errors
    /// What is to be asked instead.
    pub fn verify(
        &self,
        credential: &Credential<'_>,
        caller: Caller<'_>,
        is_closed: bool,
    ) -> Result<Verdict, Box<Question>> {
        let claimed = credential.id.as_deref().map(parse_id);
        let Some(digest) = SecretDigest::of_presented(&self.prefixes, &credential.secret) else {
            return Ok(self.unknown(claimed, caller, Denial::Malformed));
        };
        match self.secrets.find(digest.as_bytes()) {
            Ok(found) => Ok(self.judge(digest, found, claimed, caller, is_closed)),
            Err(NoLease) => Err(Box::new(Question {
                verifier: self.clone(),
                digest,
                claimed,
                address: caller.address,
                agent: caller.agent.to_owned(),
                is_closed,
            })),
        }
    }

    fn judge(
        &self,
        digest: SecretDigest,
        found: Option<Entry>,
        claimed: Option<Option<Id>>,
        caller: Caller<'_>,
        is_closed: bool,
    ) -> Verdict {
        let Some(entry) = found else { return self.unknown(claimed, caller, Denial::Unknown) };
        let now = self.clock.now();
        let closed = is_closed.then_some(Reason::ClosedModule);
        if let Some(reason) = refusal(&entry, claimed, now).or(closed) {
            if let (Reason::WrongId, Some(Some(other))) = (reason, claimed) {
                self.traffic.claimed(other, caller, now);
            }
            self.refuse(entry.key, reason, caller);
            return Err(Denial::Refused(reason));
        }
        self.traffic.used(entry.key, entry.is_old, caller, now);
        let Entry { key, account, name, until, ends_old, .. } = entry;
        let admitted = Admitted { key, account, name, until };
        Ok(if ends_old {
            Verified::First(FirstUse {
                admitted,
                secrets: self.secrets.clone(),
                digest,
                now,
                client: caller.address,
            })
        } else {
            Verified::Admitted(admitted)
        })
    }

    /// No key has the secret; one may have been named with it.
    fn unknown(&self, claimed: Option<Option<Id>>, caller: Caller<'_>, denial: Denial) -> Verdict {
        if let Some(Some(key)) = claimed {
            self.traffic.claimed(key, caller, self.clock.now());
        }
        Err(denial)
    }

    /// Notes that a program was refused that named a key.
    fn refuse(&self, key: Id, reason: Reason, caller: Caller<'_>) {
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
    // With its hyphens it is another text, and too long.
    (text.len() == 32).then(|| Uuid::try_parse(text).ok().map(Uuid::into_bytes))?
}

/// An id as 32 hex digits.
#[must_use]
pub fn hex(id: &Id) -> String {
    Uuid::from_bytes(*id).simple().to_string()
}

/// The digits of an id.
#[must_use]
pub fn hex_digits(id: &Id) -> [u8; 32] {
    let mut digits = [0; 32];
    Uuid::from_bytes(*id).simple().encode_lower(&mut digits);
    digits
}
