//! Passwords: how guessable they are, and their hashes.
//!
//! Argon2id with m = 19456 KiB, t = 2, p = 1 (OWASP Password Storage Cheat Sheet). Each hash takes 19 MiB
//! and a core, so there are never more at once than permits, on threads of their own; what
//! would wait too long is turned away.

use app::domain::account::{Email, Password};
use app::error::{ConsoleError, Problem};
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

/// How long a request waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a thread without work keeps its 19 MiB for the next hash.
const MEMORY_KEPT_FOR: Duration = Duration::from_secs(60);
/// How far hashes give way to requests (nice(2)): to a tenth of a core that both want.
const NICENESS: i32 = 10;
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
    jobs: Sender<Job>,
    /// Verified where there is no account, so that an unknown address takes as long as a wrong password.
    dummy: Arc<str>,
}

impl Passwords {
    /// With room for `permits` hashes at once.
    ///
    /// # Errors
    /// The hash function does not work on this machine.
    pub fn new(permits: usize, rng: &mut impl CryptoRng) -> Result<Self, ConsoleError> {
        let dummy = hash(&mut Memory::default(), "no account has this password", salt(rng))?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(permits)),
            most: permits,
            waiting: Arc::default(),
            jobs: start_threads(permits)?,
            dummy: dummy.into(),
        })
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
        self.run(move |memory| hash(memory, password.reveal(), salt)).await?
    }

    /// Whether this is the password with that hash; without a hash it takes as long and is not.
    ///
    /// # Errors
    /// [`ConsoleError::Unavailable`] if there are too many waiting.
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

    /// Runs `work` on one of the threads for it when it is its turn. The permit goes with the work: a client that
    /// hangs up does not make room for more hashes than there are permits.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ConsoleError> {
        let waiting = Waiting::begin(&self.waiting);
        let turn = tokio::time::timeout(TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        let Ok(Ok(permit)) = turn else { return Err(ConsoleError::Unavailable) };
        let (publish, told) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Whoever asked may have hung up.
            let _ = publish.send(work(memory));
            drop(permit);
        });
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a hash did not finish");
            ConsoleError::Internal
        };
        self.jobs.send(job).map_err(|error| failed(&error))?;
        told.await.map_err(|error| failed(&error))
    }
}

/// What a hash is computed in: 19 MiB from its first use until it is dropped.
///
/// It is mapped by itself: an allocator keeps what it is given back, and these 19 MiB are most of what an idle server has.
#[derive(Default)]
struct Memory(Option<MmapMut>);

impl Memory {
    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        let bytes = count * size_of::<Block>();
        if self.0.as_ref().is_none_or(|map| map.len() < bytes) {
            self.0 = Some(MmapMut::map_anon(bytes).ok()?);
        }
        // SAFETY: a block is an array of numbers, for which any bytes are a value, and which needs no drop.
        #[expect(unsafe_code, reason = "a mapping has bytes, and no library has these blocks in one")]
        let (_, blocks, _) = unsafe { self.0.as_mut()?.align_to_mut::<Block>() };
        blocks.get_mut(..count)
    }
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Threads that hash, as many as there are permits. Each keeps its memory for the next hash: half of the time of a hash
/// would go into getting it again. They have a lower priority than the threads that serve requests.
fn start_threads(count: usize) -> Result<Sender<Job>, ConsoleError> {
    let (send, receive) = channel::<Job>();
    let jobs = Arc::new(Mutex::new(receive));
    for _ in 0..count {
        let jobs = Arc::clone(&jobs);
        let started = std::thread::Builder::new().name("password-hash".to_owned()).spawn(move || {
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::warn!(%error, "hashes have the priority of requests");
            }
            let mut memory = Memory::default();
            loop {
                // One thread at a time waits for a job, and the others for their turn to wait.
                let job = jobs.try_lock_for(MEMORY_KEPT_FOR).map(|jobs| jobs.recv_timeout(MEMORY_KEPT_FOR));
                match job {
                    Some(Ok(job)) => {
                        // A defect costs one request, and no thread.
                        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                            tracing::error!("a hash panicked");
                        }
                    }
                    Some(Err(RecvTimeoutError::Disconnected)) => return,
                    Some(Err(RecvTimeoutError::Timeout)) | None => memory = Memory::default(),
                }
            }
        });
        started.map_err(|error| {
            tracing::error!(%error, "no thread for password hashes");
            ConsoleError::Internal
        })?;
    }
    Ok(send)
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

/// The hash of a password, as a PHC string.
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
    fn memory_that_was_used_before_changes_no_hash() {
        let mut memory = Memory::default();
        let first = hash(&mut memory, "plum orchard tuesday lantern", [1; 16]).unwrap();
        hash(&mut memory, "velvet anchor nineteen moss", [2; 16]).unwrap();
        assert_eq!(hash(&mut memory, "plum orchard tuesday lantern", [1; 16]).unwrap(), first);
        // What the library makes of it by itself.
        let params = Params::new(19_456, 2, 1, None).unwrap();
        let own = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let theirs = own.hash_password_with_salt(b"plum orchard tuesday lantern", &[1; 16]).unwrap();
        assert_eq!(first, theirs.to_string());
    }
}
