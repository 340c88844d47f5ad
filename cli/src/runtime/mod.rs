//! `mecha connect`: connects as a Mecha, and stays connected.

mod connection;
mod frames;
pub(crate) mod handler;
mod response;
mod session;

use crate::args::{ConnectOptions, TargetOptions};
use crate::failure::Failure;
use crate::output::log;
use crate::random;
use crate::secret::{KeySource, Secret};
use crate::server_url::ServerUrl;
use crate::target::Target;
use connection::{Connected, End, connect};
use frames::Hello;
use handler::Handle;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Limit of the first random wait before a reconnect. It doubles up to [`LONGEST_WAIT`].
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// Limit of the random wait before a reconnect.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Limit of the wait that a server asks for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(5 * 60);
/// A connection that lasted this long resets the wait.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Interval of attempts while the key or the Mecha is switched off.
const SWITCHED_OFF_WAIT: Duration = Duration::from_secs(60);
/// How long a runtime waits until it is switched on again.
const SWITCHED_OFF_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval at which the key file is read.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(1);

/// What all connections of this process share.
struct Runtime {
    url: ServerUrl,
    key: KeySource,
    hello: Hello,
    handles: Vec<Handle>,
    /// Limits the commands that run at the same time.
    permits: Arc<Semaphore>,
    timeout: Duration,
    /// This process was asked to stop: finish the requests in flight.
    draining: CancellationToken,
    /// This process was asked to stop for the second time: cancel them.
    aborting: CancellationToken,
}

/// Runs the command.
///
/// # Errors
/// The runtime cannot connect, or may not do so any more.
pub(crate) async fn run(options: &TargetOptions, connect: ConnectOptions) -> Result<(), Failure> {
    let target = Target::find(options)?;
    handler::check(&connect.handles)?;
    let runtime = Arc::new(Runtime {
        url: target.url,
        key: target.key,
        hello: hello(&connect),
        permits: Arc::new(Semaphore::new(connect.concurrency.into())),
        timeout: Duration::from_secs(connect.timeout.into()),
        handles: connect.handles,
        draining: CancellationToken::new(),
        aborting: CancellationToken::new(),
    });
    listen_for_signals(&runtime)?;
    Supervisor {
        runtime,
        once: connect.once,
        attempt: 0,
        switched_off_at: None,
        rejected: None,
        is_adopting: false,
        replaced: JoinSet::new(),
    }
    .run()
    .await
}

fn hello(options: &ConnectOptions) -> Hello {
    Hello {
        instance: random::instance(),
        name: options.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        actions: options.handles.iter().map(|handle| handle.action.clone()).collect(),
    }
}

/// The first signal drains the runtime, the second one cancels its requests.
fn listen_for_signals(runtime: &Runtime) -> Result<(), Failure> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(|error| Failure::error(format!("signals: {error}")))?;
        let (draining, aborting) = (runtime.draining.clone(), runtime.aborting.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if draining.is_cancelled() {
                    aborting.cancel();
                }
                draining.cancel();
            }
        });
    }
    Ok(())
}

impl Runtime {
    /// What a notice of the server means for this runtime.
    fn notice(&self, what: &str, at: &str) -> String {
        let next = match &self.key {
            KeySource::File(path) => format!("write the new one to {}", path.display()),
            KeySource::Value(_) => "start this runtime with the new one".to_owned(),
        };
        match what {
            "rotated" => format!("the key was rotated: this secret stops being valid at {at}; {next}"),
            "expiring" => format!("the key expires at {at}: issue another one, and {next}"),
            _ => format!("notice of the server: {what} at {at}"),
        }
    }
}

/// Keeps a runtime connected.
struct Supervisor {
    runtime: Arc<Runtime>,
    once: bool,
    /// Attempts since the last connection that was stable.
    attempt: u32,
    switched_off_at: Option<Instant>,
    /// The last secret in the key file with which no connection was possible.
    rejected: Option<Secret>,
    /// Whether an attempt to connect with a new secret has failed, although the server may have accepted it.
    is_adopting: bool,
    /// Connections that were replaced with a new secret, until they have finished their requests.
    replaced: JoinSet<()>,
}

/// The connection that gets requests.
struct Current {
    secret: Secret,
    serving: JoinHandle<End>,
    since: Instant,
    /// Lets this connection finish its requests and end.
    draining: CancellationToken,
}

impl Supervisor {
    async fn run(mut self) -> Result<(), Failure> {
        let result = self.stay_connected().await;
        while self.replaced.join_next().await.is_some() {}
        result
    }

    async fn stay_connected(&mut self) -> Result<(), Failure> {
        let mut secret = self.runtime.key.read()?;
        while !self.runtime.draining.is_cancelled() {
            let end = match self.connect(&secret).await {
                Some(Ok(current)) => {
                    let (end, last) = self.serve(current).await;
                    secret = last;
                    end
                }
                Some(Err(end)) => end,
                None => return Ok(()),
            };
            match self.wait_before_next(end, &secret)? {
                Some(wait) => {
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.runtime.draining.cancelled() => {}
                        _ = self.changed_secret(&secret) => {}
                    }
                }
                None => return Ok(()),
            }
            secret = self.new_secret(&secret).unwrap_or(secret);
        }
        Ok(())
    }

    /// Connects. `None` if this process was asked to stop.
    async fn connect(&self, secret: &Secret) -> Option<Result<Current, End>> {
        let runtime = &self.runtime;
        let connecting = connect(&runtime.url, secret, &runtime.hello);
        let connected = runtime.draining.run_until_cancelled(connecting).await?;
        Some(connected.map(|connected| self.start(connected, secret.clone())))
    }

    fn start(&self, connected: Connected, secret: Secret) -> Current {
        let Connected { mecha, key_id, expires_at, .. } = &connected;
        let expires = expires_at.as_ref().map_or("never expires".to_owned(), |at| format!("expires at {at}"));
        log(format_args!("connected to {} as {mecha} (the key {key_id} {expires})", self.runtime.url));
        let (runtime, draining) = (Arc::clone(&self.runtime), self.runtime.draining.child_token());
        let serving = tokio::spawn(session::serve(runtime, connected, secret.clone(), draining.clone()));
        Current { secret, serving, since: Instant::now(), draining }
    }

    /// Serves a connection to its end. A new secret in the key file is adopted: another connection replaces this one, which
    /// finishes its requests. Returns the last secret.
    async fn serve(&mut self, mut current: Current) -> (End, Secret) {
        loop {
            let new = tokio::select! {
                end = &mut current.serving => return self.ended(end, current.secret, current.since),
                new = self.changed_secret(&current.secret) => new,
            };
            match self.connect(&new).await {
                Some(Ok(replacement)) => {
                    log("adopted the new secret of the key file");
                    let previous = std::mem::replace(&mut current, replacement);
                    // The server lets it finish its requests if the key is the same. Another key replaces nothing.
                    previous.draining.cancel();
                    while self.replaced.try_join_next().is_some() {}
                    self.replaced.spawn(async move { drop(previous.serving.await) });
                    (self.rejected, self.is_adopting) = (None, false);
                }
                Some(Err(End::Retry(failure, after))) => {
                    // The server may have accepted the connection, and closes this one as replaced.
                    self.is_adopting = true;
                    let wait = self.backoff(after);
                    log(format_args!("the new secret cannot be adopted yet: {}", failure.message));
                    tokio::select! {
                        () = sleep(wait) => {}
                        end = &mut current.serving => return self.ended(end, current.secret, current.since),
                    }
                }
                Some(Err(end)) => {
                    let why = end.failure().map_or_else(String::new, |failure| format!(": {failure}"));
                    log(format_args!(
                        "the new secret of the key file cannot be adopted{why}\nstaying connected with the previous one"
                    ));
                    self.rejected = Some(new);
                }
                None => {}
            }
        }
    }

    fn ended(&mut self, end: Result<End, JoinError>, secret: Secret, since: Instant) -> (End, Secret) {
        if since.elapsed() >= STABLE_AFTER {
            self.attempt = 0;
        }
        self.switched_off_at = None;
        let end = match end.unwrap_or_else(|_| End::lost("the connection has failed")) {
            End::Replaced if self.is_adopting => End::lost("the connection with the new secret was lost"),
            end => end,
        };
        self.is_adopting = false;
        (end, secret)
    }

    /// The wait before the next attempt: full jitter, after the time that the server states.
    fn backoff(&mut self, after: Option<Duration>) -> Duration {
        let limit = SHORTEST_WAIT.saturating_mul(1 << self.attempt.min(10)).min(LONGEST_WAIT);
        self.attempt = self.attempt.saturating_add(1);
        limit.mul_f64(random::fraction()) + after.unwrap_or_default().min(RETRY_AFTER_LIMIT)
    }

    /// Waits until the key file contains a secret that was not tried.
    async fn changed_secret(&self, current: &Secret) -> Secret {
        loop {
            let KeySource::File(_) = &self.runtime.key else { return std::future::pending().await };
            sleep(KEY_FILE_INTERVAL).await;
            if let Some(secret) = self.new_secret(current) {
                return secret;
            }
        }
    }

    /// The secret in the key file, if it was not tried. While the file is being replaced, it may be empty or missing.
    fn new_secret(&self, current: &Secret) -> Option<Secret> {
        let secret = self.runtime.key.read().ok()?;
        (secret != *current && self.rejected.as_ref() != Some(&secret)).then_some(secret)
    }

    /// How long to wait before the next attempt; `None` if the runtime has stopped.
    fn wait_before_next(&mut self, end: End, secret: &Secret) -> Result<Option<Duration>, Failure> {
        if self.runtime.draining.is_cancelled() && !matches!(end, End::Final(_) | End::KeyEnded(_)) {
            return Ok(None);
        }
        let (failure, wait) = match end {
            End::Stopped => return Ok(None),
            End::Replaced => {
                return Err(Failure::denied("another connection of this process has replaced this one"));
            }
            // The key was rotated a moment ago.
            End::KeyEnded(failure) | End::Unauthorized(failure)
                if !self.once && self.new_secret(secret).is_some() =>
            {
                log(format_args!("{}; the key file contains another secret", failure.message));
                return Ok(Some(Duration::ZERO));
            }
            End::KeyEnded(failure) | End::Disconnected(failure) | End::Final(failure) => return Err(failure),
            End::Unauthorized(failure) => match self.switched_off_at {
                Some(since) if since.elapsed() < SWITCHED_OFF_LIMIT => (failure, SWITCHED_OFF_WAIT),
                _ => return Err(failure),
            },
            End::SwitchedOff(failure) => {
                self.switched_off_at.get_or_insert_with(Instant::now);
                (failure, SWITCHED_OFF_WAIT)
            }
            End::Retry(failure, after) => (failure, self.backoff(after)),
        };
        if self.once {
            return Err(failure);
        }
        log(format_args!("{}; trying again in {:.1} s", failure.message, wait.as_secs_f64()));
        Ok(Some(wait))
    }
}
