//! Decides whether a credential is allowed: one lookup in memory, coherent with the committed state of the database.

use crate::client::Client;
use crate::clock::Clock;
use crate::ids::{Id, hex, parse_id};
use crate::key_cache::cache::{KeyCache, NoLease};
use crate::key_cache::denial::Denial;
use crate::key_cache::outcome_counters::OutcomeCounters;
use crate::key_cache::scopes::{MissingScope, OfferedScopes, RequiredScopes};
use crate::key_entry::{EntryMecha, KeyEntry};
use crate::secret::{Prefixes, SecretDigest};
use crate::store::{StoreError, with_timeout};
use crate::usage::recorder::UsageRecorder;
use app::domain::timestamp::Timestamp;
use app::domain::usage::ClientName;
use app::domain::usage::DenialReason;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Timeout of a database lookup for a verification.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(4);

/// The credential that a client presents. Its `Debug` omits the secret.
pub struct Credential<'h> {
    /// The Key ID, if this form of credential has one.
    pub id: Option<Cow<'h, str>>,
    /// The secret, not validated.
    pub secret: Cow<'h, str>,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key whose credential was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedKey {
    /// The Key ID.
    pub key: Id,
    /// The account that owns it.
    pub account: Id,
    /// Its name.
    pub name: String,
    /// The secret that was presented.
    pub secret: SecretDigest,
    /// The Mecha that owns it; `None` if the account itself does.
    pub mecha: Option<Box<EntryMecha>>,
    /// The scopes of a restricted key, separated by spaces; `None` if it has access to everything.
    pub scopes: Option<Box<str>>,
    /// When the presented secret expires: at the expiry of the key, or at the end of the secret's grace period. `None`
    /// means never.
    pub until: Option<Timestamp>,
}

/// The outcome of a verification.
#[derive(Debug)]
pub enum Outcome {
    /// The request may proceed.
    Allowed(AllowedKey),
    /// The credential is denied.
    Denied(Denial),
    /// This node holds no lease, so the database must decide.
    NeedsDatabase(Box<DatabaseLookup>),
    /// The request may proceed once the key's previous secret is retired: this is the first use of the new secret.
    RetiresPreviousSecret(FirstUse),
}

/// The first use of a new secret, which retires the previous secret.
#[derive(Debug)]
pub struct FirstUse {
    key: AllowedKey,
    key_cache: KeyCache,
    digest: SecretDigest,
    now: Timestamp,
    client: ClientName,
}

impl FirstUse {
    /// Retires the previous secret. Every node denies it before this returns. A concurrent use of the new secret does
    /// not wait for the other nodes.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn retire_previous(self) -> Result<AllowedKey, StoreError> {
        let Self { key, key_cache, digest, now, client } = self;
        key_cache.retire_previous(key.key, key.account, digest, now, client).await?;
        Ok(key)
    }
}

/// The Key ID that was presented with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimedId {
    /// None was.
    Absent,
    /// A text that is no Key ID.
    Invalid,
    /// This one.
    Valid(Id),
}

impl ClaimedId {
    fn of(credential: &Credential<'_>) -> Self {
        match credential.id.as_deref().map(parse_id) {
            None => Self::Absent,
            Some(None) => Self::Invalid,
            Some(Some(id)) => Self::Valid(id),
        }
    }
}

/// What a request requires of its key, besides being valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Whether the request is for a module that is closed to keys: every key is denied.
    pub is_closed: bool,
    /// The scopes that the key must have.
    pub scopes: RequiredScopes,
}

/// What a credential is checked against, besides the entry of its secret.
#[derive(Clone, Copy, Debug)]
struct Check {
    claimed: ClaimedId,
    requirement: Requirement,
}

/// A verification for which the database must be queried.
#[derive(Debug)]
pub struct DatabaseLookup {
    verifier: Verifier,
    digest: SecretDigest,
    check: Check,
    address: IpAddr,
    user_agent: String,
}

impl DatabaseLookup {
    /// Looks the secret up in the database. The outcome is never [`Outcome::NeedsDatabase`].
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn run(self) -> Result<Outcome, StoreError> {
        let Self { verifier, digest, check, address, user_agent } = self;
        let lookup = verifier.key_cache.store.find_key_entry(digest.as_bytes());
        let found = with_timeout(DATABASE_TIMEOUT, lookup).await?;
        Ok(verifier.decide(digest, found, check, Client { address, user_agent: &user_agent }))
    }
}

/// Verifies credentials, and records their use. Clones share state.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The clock for expiry checks.
    pub clock: Clock,
    /// The prefixes of valid secrets.
    pub prefixes: Prefixes,
    /// The scopes that the operator offers.
    pub scopes: Arc<OfferedScopes>,
    /// In-memory copy of all keys.
    pub key_cache: KeyCache,
    /// Records who used which key.
    pub usage: Arc<UsageRecorder>,
    /// Counts verifications by outcome.
    pub outcomes: Arc<OutcomeCounters>,
}

impl Verifier {
    /// Verifies a credential. This function does not block.
    #[must_use]
    pub fn verify(
        &self,
        credential: &Credential<'_>,
        client: Client<'_>,
        requirement: Requirement,
    ) -> Outcome {
        let check = Check { claimed: ClaimedId::of(credential), requirement };
        let Some(digest) = SecretDigest::parse_presented(&self.prefixes, &credential.secret) else {
            return self.deny_unknown(check, client, Denial::Malformed);
        };
        match self.key_cache.find(digest.as_bytes()) {
            Ok(found) => self.decide(digest, found, check, client),
            Err(NoLease) => Outcome::NeedsDatabase(Box::new(DatabaseLookup {
                verifier: self.clone(),
                digest,
                check,
                address: client.address,
                user_agent: client.user_agent.to_owned(),
            })),
        }
    }

    fn decide(
        &self,
        digest: SecretDigest,
        found: Option<KeyEntry>,
        check: Check,
        client: Client<'_>,
    ) -> Outcome {
        let Some(entry) = found else { return self.deny_unknown(check, client, Denial::Unknown) };
        let now = self.clock.now();
        if let Some((reason, MissingScope(scope))) = self.denial_reason(&entry, check, now) {
            if let (DenialReason::WrongId, ClaimedId::Valid(claimed)) = (reason, check.claimed) {
                self.usage.denied_by_id(claimed, client, now);
            }
            if self.usage.denied(entry.key, reason, scope, client, now) {
                let (key, client) = (hex(&entry.key), client.address);
                tracing::info!(key, reason = reason.name(), scope, %client, "key denied");
            }
            return Outcome::Denied(Denial::Key(reason));
        }
        self.usage.allowed(entry.key, entry.is_previous, client, now);
        let KeyEntry { key, account, name, mecha, scopes, until, retires_previous, .. } = entry;
        let key = AllowedKey { key, account, name, secret: digest, mecha, scopes, until };
        if !retires_previous {
            return Outcome::Allowed(key);
        }
        let key_cache = self.key_cache.clone();
        Outcome::RetiresPreviousSecret(FirstUse { key, key_cache, digest, now, client: client.name() })
    }

    /// Denies a secret that no key has. If a Key ID was presented, records a denied request for that id.
    fn deny_unknown(&self, check: Check, client: Client<'_>, denial: Denial) -> Outcome {
        if let ClaimedId::Valid(key) = check.claimed {
            self.usage.denied_by_id(key, client, self.clock.now());
        }
        Outcome::Denied(denial)
    }

    /// The reason why a secret with this entry is denied, and the scope that it lacks. `None` if it is allowed.
    fn denial_reason(
        &self,
        entry: &KeyEntry,
        check: Check,
        now: Timestamp,
    ) -> Option<(DenialReason, MissingScope<'_>)> {
        let Requirement { is_closed, scopes } = check.requirement;
        let reason =
            if !matches!(check.claimed, ClaimedId::Absent) && check.claimed != ClaimedId::Valid(entry.key) {
                DenialReason::WrongId
            } else if entry.until.is_some_and(|until| until <= now) {
                if entry.is_retired_at_until { DenialReason::Retired } else { DenialReason::Expired }
            } else if !entry.active {
                DenialReason::Inactive
            } else if entry.mecha.as_ref().is_some_and(|mecha| !mecha.active) {
                DenialReason::MechaInactive
            } else if is_closed {
                DenialReason::ClosedModule
            } else {
                let missing = self.scopes.missing(scopes, entry.scopes.as_deref())?;
                return Some((DenialReason::InsufficientScope, missing));
            };
        Some((reason, MissingScope("")))
    }
}
