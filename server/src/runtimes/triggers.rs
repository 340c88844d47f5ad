//! Triggers: requests of callers to the runtimes of an account.

use crate::ids::{Id, hex};
use crate::key_cache::cluster::lease::Moment;
use crate::runtimes::callers::{Caller, CallerGuard, Interruption};
use crate::runtimes::connections::{CallerStanding, Connection, Connections, Standing};
use crate::runtimes::forwarding::{NotAccepted, RemoteResponse, forward};
use crate::runtimes::frames::ResponseEvent;
use crate::runtimes::requests::{NewRequest, PendingResponse, WINDOW};
use crate::runtimes::worker::{LEASE_POLL_INTERVAL, LEASE_WAIT};
use crate::store::StoreError;
use app::domain::account::AccountId;
use app::domain::unicode::fold;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

/// Timeout of the first part of a response.
const FIRST_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of a whole response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Unit in which memory is counted, in bytes.
const MEMORY_UNIT: usize = 1024;

/// Why no runtime gets a request.
#[derive(Debug)]
pub(crate) enum TriggerError {
    /// No runtime offers the action, and none did in the last 30 days.
    NeverOffered,
    /// No runtime that is connected now offers the action.
    NoRuntime,
    /// All runtimes that offer the action have too many requests in flight, or this server does.
    Busy,
    /// Another node was lost. It may have sent the request to a runtime.
    Lost,
    /// The key of the caller is no longer valid, or cannot be verified.
    Interrupted(Interruption),
    /// The database does not respond.
    Store(StoreError),
}

/// Memory that is reserved for a request and its response.
#[derive(Debug)]
pub(crate) struct Reserved(OwnedSemaphorePermit);

impl Reserved {
    /// Reserves memory for a request with a body of this length, and for the window of its response; `None` if there is
    /// not enough.
    pub(super) fn new(connections: &Connections, body: usize) -> Option<Self> {
        reserve(&connections.trigger_memory, body + WINDOW as usize).map(Self)
    }

    /// Keeps only what a body of this length needs.
    pub(crate) fn shrink(&mut self, body: usize) {
        let excess = self.0.num_permits().saturating_sub(units(body + WINDOW as usize) as usize);
        drop(self.0.split(excess));
    }
}

/// A response that is being received. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct TriggerResponse {
    connections: Arc<Connections>,
    caller: Caller,
    guard: CallerGuard,
    source: Source,
    reserved: Reserved,
    deadline: Instant,
    is_started: bool,
}

/// Where a response comes from.
#[derive(Debug)]
enum Source {
    /// A runtime of this node.
    Local(PendingResponse),
    /// Another node.
    Remote(RemoteResponse),
}

/// Sends a request to a runtime of this node, or else to another node with a runtime that offers its action.
///
/// # Errors
/// No runtime gets the request.
pub(super) async fn begin(
    connections: &Arc<Connections>,
    mecha: Option<&str>,
    request: NewRequest,
    reserved: Reserved,
) -> Result<TriggerResponse, TriggerError> {
    let guard = register(connections, &request.caller).await?;
    let refused = match send_here(connections, mecha, &request).await {
        Err(refused @ (TriggerError::NoRuntime | TriggerError::Busy)) => refused,
        pending => {
            return Ok(response(connections, request.caller, guard, Source::Local(pending?), reserved));
        }
    };
    let account = AccountId(hex(&request.caller.account));
    let others = connections.store.nodes_offering(&account, &connections.node.id, &request.action).await;
    let mut is_busy = matches!(refused, TriggerError::Busy);
    for url in others.map_err(TriggerError::Store)? {
        match forward(&connections.node, &url, mecha, &request).await {
            Ok(remote) => {
                return Ok(response(connections, request.caller, guard, Source::Remote(remote), reserved));
            }
            Err(NotAccepted::NoRuntime) => {}
            Err(NotAccepted::Busy) => is_busy = true,
            Err(NotAccepted::KeyEnded) => return Err(TriggerError::Interrupted(Interruption::KeyEnded)),
            Err(NotAccepted::Lost) => return Err(TriggerError::Lost),
        }
    }
    Err(if is_busy { TriggerError::Busy } else { refused })
}

/// Sends a request to a runtime of this node.
///
/// # Errors
/// No runtime of this node gets the request.
pub(super) async fn begin_here(
    connections: &Arc<Connections>,
    mecha: Option<&str>,
    request: NewRequest,
    reserved: Reserved,
) -> Result<TriggerResponse, TriggerError> {
    let guard = register(connections, &request.caller).await?;
    let pending = send_here(connections, mecha, &request).await?;
    Ok(response(connections, request.caller, guard, Source::Local(pending), reserved))
}

/// Registers a caller, and then verifies it: a change of the key that comes later ends the response.
async fn register(connections: &Connections, caller: &Caller) -> Result<CallerGuard, TriggerError> {
    let guard = connections.callers.add(caller.clone());
    verify(connections, caller).await.map_err(TriggerError::Interrupted)?;
    Ok(guard)
}

async fn send_here(
    connections: &Connections,
    mecha: Option<&str>,
    request: &NewRequest,
) -> Result<PendingResponse, TriggerError> {
    let account = &request.caller.account;
    let candidates = connections.offering(account, &request.action, mecha);
    if candidates.is_empty() {
        return Err(connections.why_none(account, &request.action, mecha).await);
    }
    candidates
        .iter()
        .find_map(|connection| PendingResponse::begin(&connection.requests, request.clone()))
        .ok_or(TriggerError::Busy)
}

fn response(
    connections: &Arc<Connections>,
    caller: Caller,
    guard: CallerGuard,
    source: Source,
    reserved: Reserved,
) -> TriggerResponse {
    let (connections, deadline) = (Arc::clone(connections), Instant::now() + RESPONSE_TIMEOUT);
    TriggerResponse { connections, caller, guard, source, reserved, deadline, is_started: false }
}

impl Connections {
    /// The runtimes of this node that offer an action now, those with the fewest requests in flight first.
    fn offering(&self, account: &Id, action: &str, mecha: Option<&str>) -> Vec<Arc<Connection>> {
        let offers = |connection: &Connection| {
            connection.accepts_requests()
                && connection.actions.get().is_some_and(|actions| actions.iter().any(|it| it == action))
        };
        let mut offering: Vec<_> =
            self.open.lock().of_account(account).filter(|it| offers(it)).cloned().collect();
        if let Some(mecha) = mecha {
            offering.retain(|connection| self.is_of_mecha(connection, mecha));
        }
        offering.sort_by_cached_key(|connection| connection.requests.in_flight());
        offering
    }

    /// Whether the Mecha of a connection has this id or name.
    fn is_of_mecha(&self, connection: &Connection, mecha: &str) -> bool {
        if hex(&connection.mecha).eq_ignore_ascii_case(mecha) {
            return true;
        }
        let Standing::Valid(entry) = self.standing(connection) else { return false };
        entry.mecha.is_some_and(|entry| fold(&entry.name) == fold(mecha))
    }

    /// Why no runtime of this node offers an action.
    async fn why_none(&self, account: &Id, action: &str, mecha: Option<&str>) -> TriggerError {
        let account = AccountId(hex(account));
        match self.store.offered_actions(&account, mecha, self.clock.now()).await {
            Ok(offered) if offered.contains(action) => TriggerError::NoRuntime,
            Ok(_) => TriggerError::NeverOffered,
            Err(error) => TriggerError::Store(error),
        }
    }
}

impl Source {
    async fn next(&mut self) -> Result<ResponseEvent, Interruption> {
        match self {
            Self::Local(pending) => Ok(pending.next().await),
            Self::Remote(remote) => remote.next().await,
        }
    }
}

/// Waits until the key of a caller is verified: for a lease, if this node holds none.
async fn verify(connections: &Connections, caller: &Caller) -> Result<(), Interruption> {
    let deadline = Moment::now().plus(LEASE_WAIT);
    loop {
        match connections.standing_of_caller(caller) {
            CallerStanding::Valid => return Ok(()),
            CallerStanding::Ended => return Err(Interruption::KeyEnded),
            CallerStanding::Unknown if deadline.left().is_zero() => return Err(Interruption::Unverified),
            CallerStanding::Unknown => sleep(LEASE_POLL_INTERVAL).await,
        }
    }
}

impl TriggerResponse {
    /// Waits for the next part of the response, and verifies the caller's key before it is returned.
    ///
    /// # Errors
    /// The response ends here.
    pub(crate) async fn next(&mut self) -> Result<ResponseEvent, Interruption> {
        let started_by = Instant::now() + FIRST_TIMEOUT;
        let deadline = if self.is_started { self.deadline } else { started_by.min(self.deadline) };
        let event = tokio::select! {
            biased;
            () = self.guard.ended.cancelled() => return Err(self.interruption()),
            event = timeout_at(deadline, self.source.next()) => event.map_err(|_| Interruption::TimedOut)??,
        };
        verify(&self.connections, &self.caller).await?;
        self.is_started = true;
        Ok(event)
    }

    /// Lets the runtime send this many bytes more: the caller has read as many.
    pub(crate) fn extend_window(&self, bytes: usize) {
        // Another node extends it as this one reads.
        if let Source::Local(pending) = &self.source {
            pending.extend_window(bytes);
        }
    }

    /// Reserves memory for a part of the response that is kept until the response is complete.
    ///
    /// # Errors
    /// There is not enough.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), Interruption> {
        let permit = reserve(&self.connections.trigger_memory, bytes).ok_or(Interruption::OutOfMemory)?;
        self.reserved.0.merge(permit);
        Ok(())
    }

    /// Waits until `delivery` is complete: a part of the response is passed on to the caller, who may read slowly.
    ///
    /// # Errors
    /// The response ends first.
    pub(crate) async fn deliver<T>(&self, delivery: impl Future<Output = T>) -> Result<T, Interruption> {
        tokio::select! {
            biased;
            () = self.guard.ended.cancelled() => Err(self.interruption()),
            delivered = timeout_at(self.deadline, delivery) => delivered.map_err(|_| Interruption::TimedOut),
        }
    }

    /// The memory of the response, for as long as its body exists.
    pub(crate) fn into_reserved(self) -> Reserved {
        self.reserved
    }

    fn interruption(&self) -> Interruption {
        match self.connections.standing_of_caller(&self.caller) {
            CallerStanding::Ended => Interruption::KeyEnded,
            CallerStanding::Valid | CallerStanding::Unknown => Interruption::Unverified,
        }
    }
}

/// Reserves memory; `None` if there is not enough.
fn reserve(memory: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(memory).try_acquire_many_owned(units(bytes)).ok()
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX)
}

/// The memory of `mebibytes`, as permits.
pub(super) fn trigger_memory(mebibytes: u32) -> Arc<Semaphore> {
    let units = usize::try_from(mebibytes).unwrap_or(usize::MAX).saturating_mul(1024 * 1024 / MEMORY_UNIT);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}
