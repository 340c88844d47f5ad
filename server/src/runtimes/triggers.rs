//! Triggers: requests of callers to the runtimes of an account.

use crate::ids::{Id, hex};
use crate::key_cache::cluster::lease::Moment;
use crate::runtimes::callers::{Caller, CallerGuard};
use crate::runtimes::connections::{CallerStanding, Connection, Connections, Standing};
use crate::runtimes::forwarding::{NotAccepted, RemoteResponse, forward};
use crate::runtimes::frames::ResponseEvent;
use crate::runtimes::requests::{NewRequest, PendingResponse, WINDOW};
use crate::runtimes::worker::LEASE_WAIT;
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
/// Interval at which a response that waits for a lease checks for it.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(20);
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

/// Why a response ends before it is complete, other than by the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The key of the caller is no longer valid.
    KeyEnded,
    /// The key of the caller cannot be verified at the moment.
    Unverified,
    /// The runtime takes too long.
    TimedOut,
}

/// A response that is being received. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct TriggerResponse {
    connections: Arc<Connections>,
    caller: Caller,
    guard: CallerGuard,
    source: Source,
    /// The memory of the request and its response, until they end.
    reserved: OwnedSemaphorePermit,
    deadline: Instant,
    is_started: bool,
}

/// Sends a request to a runtime of this node, or else to another node with a runtime that offers its action.
///
/// # Errors
/// No runtime gets the request.
pub(super) async fn begin(
    connections: &Arc<Connections>,
    caller: Caller,
    mecha: Option<&str>,
    request: NewRequest,
) -> Result<TriggerResponse, TriggerError> {
    let refused = match begin_here(connections, &caller, mecha, &request).await {
        Err(refused @ (TriggerError::NoRuntime | TriggerError::Busy)) => refused,
        result => return result,
    };
    let account = AccountId(hex(&caller.account));
    let others = connections.store.nodes_offering(&account, &connections.node.id, &request.action).await;
    let mut is_busy = matches!(refused, TriggerError::Busy);
    for url in others.map_err(TriggerError::Store)? {
        let response = TriggerResponse::prepare(connections, &caller, &request).await?;
        match forward(&connections.node, &url, &caller, mecha, &request).await {
            Ok(remote) => return Ok(response.of(Source::Remote(remote))),
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
    caller: &Caller,
    mecha: Option<&str>,
    request: &NewRequest,
) -> Result<TriggerResponse, TriggerError> {
    let candidates = connections.offering(&caller.account, &request.action, mecha);
    if candidates.is_empty() {
        return Err(connections.why_none(&caller.account, &request.action, mecha).await);
    }
    let response = TriggerResponse::prepare(connections, caller, request).await?;
    let pending = candidates
        .iter()
        .find_map(|connection| PendingResponse::begin(&connection.requests, request.clone()))
        .ok_or(TriggerError::Busy)?;
    Ok(response.of(Source::Local(pending)))
}

/// Where a response comes from.
#[derive(Debug)]
enum Source {
    /// A runtime of this node.
    Local(PendingResponse),
    /// Another node.
    Remote(RemoteResponse),
}

/// A response whose memory is reserved and whose caller is verified, before the request is sent.
struct Prepared {
    connections: Arc<Connections>,
    caller: Caller,
    guard: CallerGuard,
    reserved: OwnedSemaphorePermit,
}

impl Prepared {
    fn of(self, source: Source) -> TriggerResponse {
        let Self { connections, caller, guard, reserved } = self;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        TriggerResponse { connections, caller, guard, source, reserved, deadline, is_started: false }
    }
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
    async fn next(&mut self) -> ResponseEvent {
        match self {
            Self::Local(pending) => pending.next().await,
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
    /// Reserves memory for a request and verifies its caller, who is registered first: a change of the key that comes
    /// later ends the response.
    async fn prepare(
        connections: &Arc<Connections>,
        caller: &Caller,
        request: &NewRequest,
    ) -> Result<Prepared, TriggerError> {
        let reserved = reserve(&connections.trigger_memory, request.body.len() + WINDOW as usize)
            .ok_or(TriggerError::Busy)?;
        let guard = connections.callers.add(caller.clone());
        verify(connections, caller).await.map_err(TriggerError::Interrupted)?;
        Ok(Prepared { connections: Arc::clone(connections), caller: caller.clone(), guard, reserved })
    }

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
            event = timeout_at(deadline, self.source.next()) => event.map_err(|_| Interruption::TimedOut)?,
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
    /// There is none until the response times out.
    pub(crate) async fn reserve(&mut self, bytes: usize) -> Result<(), Interruption> {
        let acquired = Arc::clone(&self.connections.trigger_memory).acquire_many_owned(units(bytes));
        match timeout_at(self.deadline, acquired).await {
            Ok(Ok(permit)) => {
                self.reserved.merge(permit);
                Ok(())
            }
            _ => Err(Interruption::TimedOut),
        }
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
