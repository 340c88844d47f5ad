//! Passwords: how guessable they are, and their hashes.
//!
//! Argon2id with m = 19456 KiB, t = 2, p = 1 (OWASP Password Storage Cheat Sheet). Each hash takes 19 MiB
//! and a core, so there are never more at once than permits, on threads of their own; what
//! would wait too long is turned away.

use app::domain::account::{Email, Password};
use app::error::{ConsoleError, Problem};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use rand::CryptoRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(3);
/// The least score of a new password, of 0 to 4: safely unguessable online (zxcvbn).
const LEAST_SCORE: zxcvbn::Score = zxcvbn::Score::Three;

/// How many hashes there are.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// That run.
    pub running: usize,
    /// That wait for their turn.
    pub waiting: usize,
    /// That may run at once.
    pub most: usize,
}

/// Counted for as long as it is kept: a request that is dropped while it waits does not wait any more.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hashes and verifies passwords, so many at once.
#[derive(Clone, Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    most: usize,
    waiting: Arc<AtomicUsize>,
    /// Verified where there is no account, so that an unknown address takes as long as a wrong password.
    dummy: Arc<str>,
}

impl Passwords {
    /// With room for `permits` hashes at once.
    ///
    /// # Errors
    /// The hash function does not work on this machine.
    pub fn new(permits: usize, rng: &mut impl CryptoRng) -> Result<Self, ConsoleError> {
        let dummy = hash("no account has this password", salt(rng))?;
        let semaphore = Arc::new(Semaphore::new(permits));
        Ok(Self { permits: semaphore, most: permits, waiting: Arc::default(), dummy: dummy.into() })
    }

    /// How much there is to do.
    #[must_use]
    pub fn load(&self) -> Load {
        let running = self.most.saturating_sub(self.permits.available_permits());
        Load { running, waiting: self.waiting.load(Ordering::Relaxed), most: self.most }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] if there are too many waiting.
    pub async fn hash(&self, password: &Password, rng: &mut impl CryptoRng) -> Result<String, ConsoleError> {
        let (password, salt) = (password.clone(), salt(rng));
        self.run(move || hash(password.reveal(), salt)).await?
    }

    /// Whether this is the password with that hash; without a hash it takes as long and is not.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] if there are too many waiting.
    pub async fn verify(&self, password: &Password, hash: Option<&str>) -> Result<bool, ConsoleError> {
        let is_known = hash.is_some();
        let (password, hash) = (password.clone(), hash.unwrap_or(&self.dummy).to_owned());
        let is_right = self
            .run(move || {
                PasswordHash::new(&hash).is_ok_and(|hash| {
                    Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok()
                })
            })
            .await?;
        Ok(is_right && is_known)
    }

    /// Runs `work` on a thread of its own when it is its turn. The permit goes with the work: a client that
    /// hangs up does not make room for more hashes than there are permits.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ConsoleError> {
        let waiting = Waiting::begin(&self.waiting);
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        let Ok(Ok(permit)) = turn else { return Err(ConsoleError::Unavailable) };
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a hash did not finish");
            ConsoleError::Internal
        })
    }
}

/// Whether a new password is hard to guess, also for somebody who knows the address (OWASP ASVS 5.0, 6.2.4).
///
/// # Errors
/// [`Problem::Guessable`].
pub fn judge(password: &Password, email: &Email) -> Result<(), Problem> {
    let mut known: Vec<&str> = email.as_str().split(['@', '.', '+', '-', '_']).collect();
    known.extend([email.as_str(), "mecha", "console"]);
    if zxcvbn::zxcvbn(password.reveal(), &known).score() >= LEAST_SCORE {
        Ok(())
    } else {
        Err(Problem::Guessable)
    }
}

fn salt(rng: &mut impl CryptoRng) -> [u8; 16] {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    salt
}

fn hash(password: &str, salt: [u8; 16]) -> Result<String, ConsoleError> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a password could not be hashed");
        ConsoleError::Internal
    };
    let params = Params::new(19_456, 2, 1, None).map_err(|error| failed(&error))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| failed(&error))
}
