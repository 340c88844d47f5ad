//! Passwords: strength check and hashing.
//!
//! Argon2id with m = 19456 KiB, t = 2, p = 1 (OWASP Password Storage Cheat Sheet). Each hash needs 19 MiB and one core.
//! Hashes run on dedicated threads, and never more at once than there are permits. A request that waits too long for a
//! permit is rejected.

use app::domain::account::{Email, Password};
use app::domain::field_error::FieldError;
use app::error::ConsoleError;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use memmap2::MmapMut;
use parking_lot::Mutex;
use rand::CryptoRng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a request waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle hashing thread keeps its 19 MiB for the next hash.
const MEMORY_KEPT_FOR: Duration = Duration::from_secs(60);
/// Niceness of the hashing threads (nice(2)). On a core that requests also want, they get about a tenth of the time.
const NICENESS: i32 = 10;
/// The minimum zxcvbn score of a new password, on a scale from 0 to 4. 3 means safely unguessable online.
const MINIMUM_SCORE: zxcvbn::Score = zxcvbn::Score::Three;

/// Numbers of password hashes.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Hashes that are running.
    pub running: usize,
    /// Requests that are waiting for a permit.
    pub waiting: usize,
    /// Maximum number of hashes that run at once.
    pub most: usize,
}

/// Counts one waiting request until it is dropped, so that an aborted request is no longer counted.
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

/// Hashes and verifies passwords. Clones share the threads and their permits.
#[derive(Clone, Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    limit: usize,
    waiting: Arc<AtomicUsize>,
    jobs: Sender<Job>,
    /// The hash to verify if there is no account, so that an unknown address takes as long as a wrong password.
    dummy: Arc<str>,
}

impl Passwords {
    /// Starts the hashing threads. At most `permits` hashes run at once.
    ///
    /// # Errors
    /// The hash function does not work on this machine, or a thread cannot be spawned.
    pub fn new(permits: usize, rng: &mut impl CryptoRng) -> Result<Self, ConsoleError> {
        let dummy = hash(&mut Memory::default(), "no account has this password", salt(rng))?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(permits)),
            limit: permits,
            waiting: Arc::default(),
            jobs: start_threads(permits)?,
            dummy: dummy.into(),
        })
    }

    /// The current load.
    #[must_use]
    pub fn load(&self) -> Load {
        let running = self.limit.saturating_sub(self.permits.available_permits());
        Load { running, waiting: self.waiting.load(Ordering::Relaxed), most: self.limit }
    }

    /// Hashes a password. Returns a PHC string.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] if no permit was free in time.
    pub async fn hash(&self, password: &Password, rng: &mut impl CryptoRng) -> Result<String, ConsoleError> {
        let (password, salt) = (password.clone(), salt(rng));
        self.run(move |memory| hash(memory, password.reveal(), salt)).await?
    }

    /// Whether the password has this hash. Without a hash it takes the same time and returns false.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] if no permit was free in time.
    pub async fn verify(&self, password: &Password, hash: Option<&str>) -> Result<bool, ConsoleError> {
        let is_known = hash.is_some();
        let (password, hash) = (password.clone(), hash.unwrap_or(&self.dummy).to_owned());
        let is_right = self
            .run(move |memory| {
                let hash = PasswordHash::new(&hash).ok()?;
                let (salt, expected) = hash.salt.zip(hash.hash)?;
                let params = Params::try_from(&hash).ok()?;
                // Outputs are compared in constant time.
                let output = output(memory, params, password.reveal(), &salt)?;
                Some(output == expected)
            })
            .await?;
        Ok(is_right == Some(true) && is_known)
    }

    /// Runs `work` on a hashing thread once a permit is free. The job holds the permit: when a client disconnects, its
    /// hash still counts until it has finished.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ConsoleError> {
        let waiting = Waiting::begin(&self.waiting);
        let permit = tokio::time::timeout(PERMIT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        let Ok(Ok(permit)) = permit else { return Err(ConsoleError::Unavailable) };
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Sending fails if the client has disconnected.
            let _ = sender.send(work(memory));
            drop(permit);
        });
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a password hash did not finish");
            ConsoleError::Internal
        };
        self.jobs.send(job).map_err(|error| failed(&error))?;
        receiver.await.map_err(|error| failed(&error))
    }
}

/// The working memory of a hash: 19 MiB from its first use until it is dropped.
///
/// It is mapped directly, because an allocator keeps memory that is freed, and these 19 MiB are most of the memory of
/// an idle server.
#[derive(Default)]
struct Memory(Option<MmapMut>);

impl Memory {
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        let bytes = count * size_of::<Block>();
        if self.0.as_ref().is_none_or(|map| map.len() < bytes) {
            self.0 = Some(MmapMut::map_anon(bytes).ok()?);
        }
        // SAFETY: a block is an array of integers. Any bytes are a valid value of it, and it needs no drop.
        #[expect(unsafe_code, reason = "a mapping is bytes, and no library provides it as blocks")]
        let (_, blocks, _) = unsafe { self.0.as_mut()?.align_to_mut::<Block>() };
        blocks.get_mut(..count)
    }
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Spawns the hashing threads, one per permit. Each keeps its memory for the next hash, because mapping it again takes
/// half of the time of a hash. The threads have a lower priority than those that serve requests.
fn start_threads(count: usize) -> Result<Sender<Job>, ConsoleError> {
    let (send, receive) = channel::<Job>();
    let jobs = Arc::new(Mutex::new(receive));
    for _ in 0..count {
        let jobs = Arc::clone(&jobs);
        let spawned = std::thread::Builder::new().name("password-hash".to_owned()).spawn(move || {
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::warn!(%error, "cannot lower the priority of password hashes");
            }
            let mut memory = Memory::default();
            loop {
                // One thread waits for a job, the others wait for the lock.
                let job = jobs.try_lock_for(MEMORY_KEPT_FOR).map(|jobs| jobs.recv_timeout(MEMORY_KEPT_FOR));
                match job {
                    Some(Ok(job)) => {
                        // A panic fails one request and does not end the thread.
                        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                            tracing::error!("a password hash panicked");
                        }
                    }
                    Some(Err(RecvTimeoutError::Disconnected)) => return,
                    Some(Err(RecvTimeoutError::Timeout)) | None => memory = Memory::default(),
                }
            }
        });
        spawned.map_err(|error| {
            tracing::error!(%error, "cannot spawn a thread for password hashes");
            ConsoleError::Internal
        })?;
    }
    Ok(send)
}

/// Checks that a new password is hard to guess, also with knowledge of the e-mail address (OWASP ASVS 5.0, 6.2.4).
///
/// # Errors
/// [`FieldError::Guessable`].
pub fn check_strength(password: &Password, email: &Email) -> Result<(), FieldError> {
    let mut known: Vec<&str> = email.as_str().split(['@', '.', '+', '-', '_']).collect();
    known.extend([email.as_str(), "mecha", "console"]);
    if zxcvbn::zxcvbn(password.reveal(), &known).score() >= MINIMUM_SCORE {
        Ok(())
    } else {
        Err(FieldError::Guessable)
    }
}

fn salt(rng: &mut impl CryptoRng) -> [u8; 16] {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    salt
}

/// Hashes a password. Returns a PHC string.
fn hash(memory: &mut Memory, password: &str, salt: [u8; 16]) -> Result<String, ConsoleError> {
    let mut hashed = || {
        let params = Params::new(19_456, 2, 1, None).ok()?;
        let salt = Salt::new(&salt).ok()?;
        Some(PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).ok()?,
            salt: Some(salt),
            hash: Some(output(memory, params, password, &salt)?),
        })
    };
    hashed().map(|hash| hash.to_string()).ok_or_else(|| {
        tracing::error!("a password could not be hashed");
        ConsoleError::Internal
    })
}

fn output(memory: &mut Memory, params: Params, password: &str, salt: &[u8]) -> Option<Output> {
    let memory = memory.blocks(params.block_count())?;
    let mut output = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory).ok()?;
    Output::new(&output).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordHasher;

    #[test]
    fn reused_memory_does_not_change_a_hash() {
        let mut memory = Memory::default();
        let first = hash(&mut memory, "plum orchard tuesday lantern", [1; 16]).unwrap();
        hash(&mut memory, "velvet anchor nineteen moss", [2; 16]).unwrap();
        assert_eq!(hash(&mut memory, "plum orchard tuesday lantern", [1; 16]).unwrap(), first);
        // The library's own result, with memory that it allocates itself.
        let params = Params::new(19_456, 2, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let expected = argon2.hash_password_with_salt(b"plum orchard tuesday lantern", &[1; 16]).unwrap();
        assert_eq!(first, expected.to_string());
    }
}
