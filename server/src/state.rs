//! The application state: one flat struct, each part reachable in one step.

use crate::client::ClientIp;
use crate::clock::Clock;
use crate::config::{Origin, ServeOptions, SignUps, cores_minus_one};
use crate::key_cache::cache::KeyCache;
use crate::key_cache::cluster::identity::NodeIdentity;
use crate::key_cache::scopes::OfferedScopes;
use crate::key_cache::verifier::Verifier;
use crate::metrics::Metrics;
use crate::random::system_rng;
use crate::runtimes::{RuntimeLimits, Runtimes};
use crate::secret::Prefixes;
use crate::services::accounts::Accounts;
use crate::services::key_prefixes::{self, PrefixError};
use crate::services::keys::Keys;
use crate::services::mechas::Mechas;
use crate::services::passwords::Passwords;
use crate::services::rate_limit::{ChangeLimiter, DenialLimiter, SharedCounters, SignInLimiter};
use crate::services::retention::Retention;
use crate::services::sessions::DatabaseSessions;
use crate::store::{Store, StoreError};
use crate::usage::recorder::UsageRecorder;
use app::error::ConsoleError;
use app::view::refusal::Refusal;
use axum::http::header::HOST;
use axum::http::{Extensions, HeaderMap};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that a request may need. Clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The database.
    pub store: Store,
    /// Source of the current time.
    pub clock: Clock,
    /// The in-memory copy of all keys.
    pub key_cache: KeyCache,
    /// Verifies credentials.
    pub verifier: Verifier,
    /// Records who used which key.
    pub usage: Arc<UsageRecorder>,
    /// Account use cases.
    pub accounts: Accounts,
    /// API key use cases.
    pub keys: Keys,
    /// Mecha use cases.
    pub mechas: Mechas,
    /// The runtimes that are connected to this node.
    pub runtimes: Runtimes,
    /// Stores sessions in the database.
    pub sessions: DatabaseSessions,
    /// Limits denied requests per network.
    pub denial_limiter: DenialLimiter,
    /// Deletes data that is past its retention period.
    pub retention: Retention,
    /// Metrics of requests.
    pub metrics: Metrics,
    /// Cancelled when shutdown begins. `/readyz` then returns 503, so that load balancers send requests to other nodes.
    pub draining: CancellationToken,
    /// Cancelled when connections start to close. This ends streams.
    pub shutdown: CancellationToken,
    /// The origin at which browsers reach the console, if `--public-url` is set.
    pub public_url: Option<Origin>,
    /// Whether only host names of this machine are accepted: the console listens on a loopback address, and
    /// `--public-url` is not set.
    pub accepts_local_hosts_only: bool,
}

/// Why the console cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// With the configured prefixes, existing keys would be denied.
    #[error(transparent)]
    Prefixes(#[from] PrefixError),
    /// The database does not respond.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Passwords cannot be hashed on this machine.
    #[error("{}", Refusal::from(.0.clone()).detail)]
    Passwords(ConsoleError),
}

impl AppState {
    /// Opens the console on a database and loads all keys into the key cache.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(store: Store, clock: Clock, options: &ServeOptions) -> Result<Self, OpenError> {
        let prefixes =
            Prefixes { current: options.key_prefix.clone(), previous: options.previous_key_prefixes.clone() };
        key_prefixes::check(&store, &prefixes).await?;
        let accounts = accounts(store.clone(), clock.clone(), options).map_err(OpenError::Passwords)?;
        let usage = Arc::<UsageRecorder>::default();
        let node = NodeIdentity::new(clock.now().0, options.reachable_node_url());
        let key_cache = KeyCache::open(store.clone(), node.clone(), Arc::clone(&usage.live)).await?;
        let policy = options.key_policy();
        let verifier = Verifier {
            clock: clock.clone(),
            prefixes: prefixes.clone(),
            scopes: Arc::new(OfferedScopes::new(policy.scopes.clone())),
            key_cache: key_cache.clone(),
            usage: Arc::clone(&usage),
            outcomes: Arc::default(),
        };
        let keys = Keys {
            store: store.clone(),
            clock: clock.clone(),
            prefixes,
            policy: Arc::new(policy),
            key_cache: key_cache.clone(),
            usage: Arc::clone(&usage),
            change_limiter: ChangeLimiter::new(options.changes_per_minute, SharedCounters::of(&store)),
        };
        let runtimes = Runtimes::new(
            store.clone(),
            clock.clone(),
            key_cache.clone(),
            Arc::clone(&usage.live),
            node,
            RuntimeLimits { connections: options.runtimes, trigger_memory: options.trigger_memory },
        );
        let mechas = Mechas {
            store: store.clone(),
            clock: clock.clone(),
            key_cache: key_cache.clone(),
            change_limiter: keys.change_limiter.clone(),
            limit: options.mechas_per_account,
            runtimes: runtimes.clone(),
        };
        let sessions = DatabaseSessions { store: store.clone(), clock: clock.clone() };
        Ok(Self {
            retention: Retention::new(
                store.clone(),
                clock.clone(),
                keys.clone(),
                sessions.clone(),
                runtimes.clone(),
            ),
            store,
            clock,
            key_cache,
            verifier,
            usage,
            accounts,
            keys,
            mechas,
            runtimes,
            sessions,
            denial_limiter: DenialLimiter::per_minute(options.denials_per_minute),
            metrics: Metrics::default(),
            draining: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            public_url: options.public_url.clone(),
            accepts_local_hosts_only: options.public_url.is_none() && options.listen.ip().is_loopback(),
        })
    }

    /// The origin at which a request reached the console: `--public-url` if it is set, or else the request's own scheme
    /// and `Host`.
    #[must_use]
    pub fn origin_of(&self, extensions: &Extensions, headers: &HeaderMap) -> Origin {
        if let Some(origin) = &self.public_url {
            return origin.clone();
        }
        let is_https = extensions.get::<ClientIp>().is_some_and(|client| client.is_https);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Origin { is_https, authority: host.to_owned() }
    }
}

/// Creates the account use cases for a database.
///
/// # Errors
/// Passwords cannot be hashed on this machine.
pub fn accounts(store: Store, clock: Clock, options: &ServeOptions) -> Result<Accounts, ConsoleError> {
    // By default one core stays free for requests.
    let permits = options.password_hashes.map_or_else(cores_minus_one, usize::from);
    Ok(Accounts {
        sign_in_limiter: SignInLimiter::new(SharedCounters::of(&store)),
        store,
        clock,
        passwords: Passwords::new(permits, &mut system_rng())?,
        is_open: options.sign_ups == SignUps::Open,
        background: TaskTracker::new(),
    })
}
