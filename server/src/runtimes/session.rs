//! Serves the connection of one runtime.
//!
//! Every frame is a verification: when its handling begins, the lease and the entry of the secret are checked, and only
//! then it takes effect. `docs/leases.md` states what that guarantees.

use crate::ids::{hex, new_id, parse_id};
use crate::key_cache::verifier::AllowedKey;
use crate::key_entry::KeyEntry;
use crate::random::system_rng;
use crate::runtimes::callers::Caller;
use crate::runtimes::connections::{CallerStanding, Connection, Connections, Instruction, Standing};
use crate::runtimes::frames::{
    ClientFrame, End, FrameMecha, HELLO_LIMIT, Hello, ResponseEvent, ServerFrame, StatedState, shown,
};
use crate::runtimes::requests::Received;
use crate::runtimes::socket::Socket;
use crate::runtimes::worker::{LEASE_POLL_INTERVAL, LEASE_WAIT, LOST_AFTER_SECONDS};
use crate::store::runtimes::{self as rows, NewRuntime, Registration};
use crate::store::{StoreError, spawn_transaction};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::mecha::MechaId;
use app::domain::runtime::{EndReason, Program, RuntimeState};
use app::domain::timestamp::Timestamp;
use hyper::upgrade::OnUpgrade;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Timeout of the upgrade, and then of the hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of sending a frame, or a fragment of a long one.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of pings.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A runtime that has sent no frame for this long is late.
const LATE_AFTER: Duration = Duration::from_secs(30);
/// A runtime that has sent no frame for this long is lost.
const LOST_AFTER: Duration = Duration::from_secs(45);
/// How long a runtime may finish its work after it was asked to drain, or after another connection has replaced it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may take at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(9);
/// Maximum number of frames per second of each kind: status frames with empty chunks, and control frames.
const FRAMES_PER_SECOND: u32 = 20;
/// Maximum number of frames per second for requests that have ended. Some are on their way when a caller leaves.
const IGNORED_FRAMES_PER_SECOND: u32 = 10_000;
/// Pause after a frame beyond that.
const FLOOD_PAUSE: Duration = Duration::from_millis(100);
/// The payload of a ping that measures the round trip.
const TEST: Bytes = Bytes::from_static(b"test");
/// Instructions that are queued for a connection.
const INSTRUCTIONS_CAPACITY: usize = 4;

/// A connection that was accepted: what it presented, and where it comes from.
pub(crate) struct Accepted {
    pub(crate) key: AllowedKey,
    pub(crate) address: IpAddr,
    /// Held for as long as the connection.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Serves a connection from its upgrade to its end.
pub(crate) async fn serve(runtimes: Arc<Connections>, upgrade: OnUpgrade, accepted: Accepted) {
    let Accepted { key, address, permit: _permit } = accepted;
    let Some(mecha) = key.mecha.as_ref().map(|mecha| mecha.id) else { return };
    let Some(id) = parse_id(&new_id(runtimes.clock.now().0, &mut system_rng())) else { return };
    let (sender, instructions) = channel(INSTRUCTIONS_CAPACITY);
    let connection = Arc::new(Connection::new(id, [key.account, mecha, key.key], key.secret, sender));
    runtimes.add(Arc::clone(&connection));
    let guard = RemovalGuard { runtimes: &runtimes, connection: &connection, reason: EndReason::Lost };
    let upgraded = tokio::select! {
        upgraded = timeout(HELLO_TIMEOUT, upgrade) => upgraded,
        _ = connection.wait_for_end() => return,
        () = runtimes.shutdown.cancelled() => return,
    };
    let Ok(Ok(upgraded)) = upgraded else { return };
    let mut socket = Socket::new(upgraded).await;
    let address = address.to_string();
    let session = Session { runtimes: &runtimes, connection: &connection, key_name: &key.name, address };
    let end = tokio::select! {
        biased;
        end = connection.wait_for_end() => end,
        end = session.run(&mut socket, instructions) => end,
    };
    connection.end(end);
    // Pages show the end before the close handshake, which may take a second.
    guard.remove(end.reason);
    tracing::info!(runtime = %connection, reason = end.reason.name(), code = end.code, "runtime disconnected");
    socket.close(end).await;
    if matches!(end.reason, EndReason::KeyEnded | EndReason::SwitchedOff) {
        runtimes.counters.cuts.observe(connection.time_since_end().as_secs_f64());
    }
}

/// Removes a connection, also if its task is aborted.
struct RemovalGuard<'s> {
    runtimes: &'s Connections,
    connection: &'s Connection,
    reason: EndReason,
}

impl RemovalGuard<'_> {
    fn remove(mut self, reason: EndReason) {
        self.reason = reason;
    }
}

impl Drop for RemovalGuard<'_> {
    fn drop(&mut self) {
        self.connection.requests.fail();
        self.runtimes.remove(self.connection, self.reason);
    }
}

/// One connection while it is open.
struct Session<'s> {
    runtimes: &'s Connections,
    connection: &'s Connection,
    key_name: &'s str,
    address: String,
}

impl Session<'_> {
    /// Serves frames until the connection ends.
    async fn run(&self, socket: &mut Socket, instructions: Receiver<Instruction>) -> End {
        let connected = tokio::select! {
            biased;
            () = self.runtimes.shutdown.cancelled() => return End::SERVER_STOPPED,
            connected = self.connect(socket) => connected,
        };
        match connected {
            Ok(()) => self.serve_frames(socket, instructions).await,
            Err(end) => end,
        }
    }

    /// Receives the hello, registers the runtime and welcomes it.
    async fn connect(&self, socket: &mut Socket) -> Result<(), End> {
        let hello = match timeout(HELLO_TIMEOUT, self.receive_hello(socket)).await {
            Ok(Ok(hello)) => hello,
            rejected => {
                let end = rejected.map_or(End::NO_HELLO, |hello| hello.err().unwrap_or(End::NO_HELLO));
                self.valid_entry().await?;
                self.record_attempt().await;
                return Err(End { reason: EndReason::NoHello, ..end });
            }
        };
        self.valid_entry().await?;
        let registration = self.register(&hello).await.map_err(|error| {
            tracing::warn!(%error, "a runtime could not be registered");
            End::UNVERIFIED
        })?;
        match registration {
            Registration::NotAllowed => return Err(self.end_of_key().await),
            Registration::Outdated => return Err(End::OUTDATED),
            Registration::TooMany => return Err(End::TOO_MANY),
            Registration::Registered { replaced_on } => {
                let _ = self.connection.actions.set(hello.actions);
                self.connection.set_registered();
                if let Some(node) = replaced_on {
                    self.runtimes.live.publish_command(&node);
                }
            }
        }
        self.runtimes.live.publish_runtimes(self.connection.account);
        self.runtimes.counters.connects.inc();
        tracing::info!(
            runtime = %self.connection,
            mecha = hex(&self.connection.mecha),
            key = hex(&self.connection.key),
            client = self.address,
            "runtime connected"
        );
        let entry = self.valid_entry().await?;
        let welcome = ServerFrame::Welcome {
            runtime: hex(&self.connection.id),
            mecha: FrameMecha {
                id: hex(&self.connection.mecha),
                name: entry.mecha.map(|mecha| mecha.name).unwrap_or_default(),
            },
            key_id: hex(&self.connection.key),
            expires_at: entry.until.map(Timestamp::rfc3339),
            ping_interval_ms: milliseconds(PING_INTERVAL),
        };
        self.send(socket, &welcome).await
    }

    async fn receive_hello(&self, socket: &mut Socket) -> Result<Hello, End> {
        let mut controls = Budget::new(FRAMES_PER_SECOND);
        loop {
            let hello = match socket.receive().await? {
                Message::Text(text) if text.len() > HELLO_LIMIT => {
                    return Err(End::violation(1009, "the hello must have at most 16 KiB"));
                }
                Message::Text(text) => Hello::parse(&text),
                Message::Binary(_) => return Err(BINARY),
                _ => {
                    controls.take()?;
                    continue;
                }
            };
            socket.allow_large_frames();
            return hello.map_err(|text| End::violation(1008, text));
        }
    }

    /// Serves frames and instructions until the connection ends.
    async fn serve_frames(&self, socket: &mut Socket, mut instructions: Receiver<Instruction>) -> End {
        let mut timers = Timers::new();
        let mut budgets = Budgets {
            statuses: Budget::new(FRAMES_PER_SECOND),
            ignored: Budget::new(IGNORED_FRAMES_PER_SECOND),
            is_flooded: false,
        };
        let mut controls = Budget::new(FRAMES_PER_SECOND);
        let mut state = RuntimeState::Idle;
        let mut tested_at: Option<Instant> = None;
        let mut last: Option<LastRequests> = None;
        let requests = &self.connection.requests;
        // The runtime must respond to pings, so these pongs do not count against it.
        let mut expected_pongs = 0_u32;
        loop {
            let next = timers.next();
            let event = tokio::select! {
                message = socket.receive() => Event::Message(message),
                Some(instruction) = instructions.recv() => Event::Instruction(instruction),
                () = requests.changed.notified() => Event::Requests,
                () = self.runtimes.shutdown.cancelled(), if last.is_none_or(|last| last.end != End::SERVER_STOPPED) => {
                    requests.close();
                    last = Some(LastRequests::within(SHUTDOWN_TIMEOUT, End::SERVER_STOPPED));
                    Event::Requests
                }
                () = sleep_until(last.map_or(next, |last| last.by.min(next))) => Event::Timer,
            };
            if matches!(event, Event::Message(Ok(_))) {
                // Every frame is verified before it takes effect, also a pong.
                if let Err(end) = self.valid_entry().await {
                    return end;
                }
                timers.heard_at = Instant::now();
            }
            let handled = match event {
                Event::Message(Ok(Message::Text(text))) => match self.apply(&text, &mut budgets) {
                    Ok(None) => Ok(()),
                    Ok(Some(stated)) => {
                        state = stated;
                        requests.set_draining(state == RuntimeState::Draining);
                        // The requests that were accepted are sent first: none follows the pong to a later ping.
                        self.send_requests(socket).await
                    }
                    Err(end) => Err(end),
                },
                Event::Message(Ok(Message::Binary(_))) => Err(BINARY),
                Event::Message(Ok(Message::Pong(payload))) => {
                    if let Some(sent_at) = tested_at.take_if(|_| payload == TEST) {
                        self.runtimes.set_round_trip(self.connection, sent_at.elapsed());
                    }
                    match expected_pongs.checked_sub(1) {
                        Some(left) => {
                            expected_pongs = left;
                            Ok(())
                        }
                        None => controls.take(),
                    }
                }
                Event::Message(Ok(_)) => controls.take(),
                Event::Message(Err(end)) => Err(end),
                // The runtime has not responded to the last one yet.
                Event::Instruction(Instruction::Test) if tested_at.is_some() => Ok(()),
                Event::Instruction(Instruction::Test) => {
                    tested_at = Some(Instant::now());
                    expected_pongs += 1;
                    ping(socket, TEST).await
                }
                Event::Instruction(Instruction::Drain) => {
                    requests.close();
                    last = last.or(Some(LastRequests::within(DRAIN_TIMEOUT, End::DISCONNECTED)));
                    self.send(socket, &ServerFrame::Drain { deadline_ms: milliseconds(DRAIN_TIMEOUT) }).await
                }
                Event::Instruction(Instruction::Replace) => {
                    requests.close();
                    let new = LastRequests::within(DRAIN_TIMEOUT, End::REPLACED);
                    // This instruction is repeated until the connection has ended.
                    last = Some(last.map_or(new, |last| LastRequests { by: last.by, ..new }));
                    Ok(())
                }
                Event::Requests => self.send_requests(socket).await,
                Event::Instruction(Instruction::Notify(what, at)) => {
                    self.send(socket, &ServerFrame::Notice { what, at: at.rfc3339() }).await
                }
                Event::Timer if timers.is_lost() => Err(End::LOST),
                Event::Timer if last.is_some_and(|last| last.by <= Instant::now()) => {
                    Err(last.map_or(End::DISCONNECTED, |last| last.end))
                }
                Event::Timer if timers.is_ping_due() => {
                    expected_pongs += 1;
                    ping(socket, Bytes::new()).await
                }
                Event::Timer => Ok(()),
            };
            if let Err(end) = handled {
                return end;
            }
            if std::mem::take(&mut budgets.is_flooded) {
                sleep(FLOOD_PAUSE).await;
            }
            // A runtime that is asked to drain says goodbye itself.
            if let Some(last) = last.filter(|last| last.end != End::DISCONNECTED && requests.in_flight() == 0)
            {
                return last.end;
            }
            let shown = match last {
                _ if timers.is_late() => RuntimeState::Late,
                Some(_) => RuntimeState::Draining,
                None => state,
            };
            self.connection.set_state(shown);
        }
    }

    /// Sends the frames of requests, each after the keys of the runtime and of the caller are verified.
    async fn send_requests(&self, socket: &mut Socket) -> Result<(), End> {
        while let Some((frame, caller)) = self.connection.requests.next_frame(&self.connection.id) {
            // A request has no effect if the key of its caller is no longer valid. The endpoint ends it.
            if let Some(caller) = caller
                && !self.is_caller_valid(&caller).await?
            {
                continue;
            }
            self.send(socket, &frame).await?;
        }
        Ok(())
    }

    /// Whether the key of a caller is valid. Without a lease, waits for one.
    async fn is_caller_valid(&self, caller: &Caller) -> Result<bool, End> {
        loop {
            self.valid_entry().await?;
            match self.runtimes.standing_of_caller(caller) {
                CallerStanding::Valid => return Ok(true),
                CallerStanding::Ended => return Ok(false),
                CallerStanding::Unknown => sleep(LEASE_POLL_INTERVAL).await,
            }
        }
    }

    /// Applies the effect of a frame that was verified. Returns the state of the runtime, if the frame states it.
    fn apply(&self, text: &str, budgets: &mut Budgets) -> Result<Option<RuntimeState>, End> {
        match ClientFrame::parse(text).map_err(|text| End::violation(1008, text))? {
            ClientFrame::Bye => Err(End::STOPPED),
            ClientFrame::Response { event: ResponseEvent::Chunk(data), .. } if data.is_empty() => {
                budgets.statuses.take().map(|()| None)
            }
            ClientFrame::Response { id, event } => {
                match self.connection.requests.receive(&self.connection.id, &id, event) {
                    Received::Passed => {}
                    Received::Ignored => budgets.is_flooded = budgets.ignored.take().is_err(),
                    Received::NeverIssued => {
                        return Err(End::violation(1008, "a request that was never sent"));
                    }
                }
                Ok(None)
            }
            ClientFrame::Status { state, note } => {
                budgets.statuses.take()?;
                let state = match state {
                    StatedState::Idle => RuntimeState::Idle,
                    StatedState::Busy => RuntimeState::Busy,
                    StatedState::Draining => RuntimeState::Draining,
                };
                self.connection.set_note(shown(&note));
                Ok(Some(state))
            }
        }
    }

    /// The entry of the secret, if frames may take effect. Without a lease, waits for one.
    async fn valid_entry(&self) -> Result<KeyEntry, End> {
        let deadline = Instant::now() + LEASE_WAIT;
        loop {
            match self.runtimes.standing(self.connection) {
                Standing::Valid(entry) => return Ok(entry),
                Standing::Ended(end) => return Err(end),
                Standing::Unknown if Instant::now() >= deadline => return Err(End::UNVERIFIED),
                Standing::Unknown => sleep(LEASE_POLL_INTERVAL).await,
            }
        }
    }

    /// Why the key is no longer valid. The database knows it first: waits until the index has applied that change.
    async fn end_of_key(&self) -> End {
        let deadline = Instant::now() + LEASE_WAIT;
        loop {
            match self.valid_entry().await {
                Err(end) => return end,
                // The key is valid again. The runtime reconnects.
                Ok(_) if Instant::now() >= deadline => return End::UNVERIFIED,
                Ok(_) => sleep(LEASE_POLL_INTERVAL).await,
            }
        }
    }

    /// Verifies the key, and sends a frame.
    async fn send(&self, socket: &mut Socket, frame: &ServerFrame) -> Result<(), End> {
        self.valid_entry().await?;
        let text = serde_json::to_string(frame).unwrap_or_default();
        socket.send_text(text, SEND_TIMEOUT).await
    }

    async fn register(&self, hello: &Hello) -> Result<Registration, StoreError> {
        let store = self.runtimes.store.clone();
        let instance_hash = Sha256::digest(hello.instance.as_bytes()).to_vec();
        let new = self.new_runtime(instance_hash, hello.program(), hello.actions.clone());
        let Some(new) = new else { return Ok(Registration::NotAllowed) };
        let _permit = self.write_permit().await;
        spawn_transaction(async move {
            // A node whose lease ended a moment ago still holds its connections.
            let nodes = store.live_nodes(&new.node, LOST_AFTER_SECONDS).await?;
            let mut tx = store.begin().await?;
            let registration = rows::register(&mut tx, &new, &nodes).await?;
            tx.commit().await?;
            Ok(registration)
        })
        .await
    }

    /// Records that this connection sent no valid hello, for the owner who waits for it.
    async fn record_attempt(&self) {
        let Some(new) = self.new_runtime(Vec::new(), Program::default(), Vec::new()) else { return };
        let store = self.runtimes.store.clone();
        let _permit = self.write_permit().await;
        let inserted = spawn_transaction(async move {
            let mut tx = store.begin().await?;
            rows::insert_attempt(&mut tx, &new, EndReason::NoHello).await?;
            Ok::<_, StoreError>(tx.commit().await?)
        });
        match inserted.await {
            Ok(()) => self.runtimes.live.publish_runtimes(self.connection.account),
            Err(error) => tracing::warn!(%error, "an attempt to connect could not be recorded"),
        }
    }

    /// Waits until few enough connections are registered at the same time.
    async fn write_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.runtimes.writes.acquire().await.ok()
    }

    fn new_runtime(
        &self,
        instance_hash: Vec<u8>,
        program: Program,
        actions: Vec<String>,
    ) -> Option<NewRuntime> {
        Some(NewRuntime {
            id: hex(&self.connection.id),
            account: AccountId(hex(&self.connection.account)),
            mecha: MechaId::parse(&hex(&self.connection.mecha))?,
            key: KeyId::parse(&hex(&self.connection.key))?,
            key_name: self.key_name.to_owned(),
            secret: self.connection.secret,
            instance_hash,
            node: self.runtimes.node.id.clone(),
            program,
            actions,
            address: self.address.clone(),
            now: self.runtimes.clock.now(),
        })
    }
}

const BINARY: End = End::violation(1003, "frames are JSON texts");

async fn send(socket: &mut Socket, message: Message) -> Result<(), End> {
    timeout(SEND_TIMEOUT, socket.send(message)).await.map_err(|_| End::LOST)?
}

async fn ping(socket: &mut Socket, payload: Bytes) -> Result<(), End> {
    send(socket, Message::Ping(payload)).await
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a session waits for.
enum Event {
    Message(Result<Message, End>),
    Instruction(Instruction),
    /// There are frames of requests to send, or a request has ended.
    Requests,
    Timer,
}

/// The connection accepts no more requests, and ends when those in flight have ended.
#[derive(Clone, Copy, Debug)]
struct LastRequests {
    /// When it ends at the latest.
    by: Instant,
    end: End,
}

impl LastRequests {
    fn within(duration: Duration, end: End) -> Self {
        Self { by: Instant::now() + duration, end }
    }
}

/// Limits of frames that do not count against a window.
struct Budgets {
    statuses: Budget,
    ignored: Budget,
    /// Whether more frames than [`IGNORED_FRAMES_PER_SECOND`] arrived: the next one waits.
    is_flooded: bool,
}

/// When the runtime was last heard, and when it is pinged next.
struct Timers {
    heard_at: Instant,
    ping_at: Instant,
}

impl Timers {
    fn new() -> Self {
        let now = Instant::now();
        Self { heard_at: now, ping_at: now + PING_INTERVAL }
    }

    fn is_late(&self) -> bool {
        self.heard_at.elapsed() >= LATE_AFTER
    }

    fn is_lost(&self) -> bool {
        self.heard_at.elapsed() >= LOST_AFTER
    }

    /// Returns true if a ping is due, and then sets the time of the next one.
    fn is_ping_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.ping_at <= now;
        if is_due {
            self.ping_at = now + PING_INTERVAL;
        }
        is_due
    }

    /// When something is due next.
    fn next(&self) -> Instant {
        self.ping_at.min(self.heard_at + if self.is_late() { LOST_AFTER } else { LATE_AFTER })
    }
}

/// Limits the frames of one kind per second.
struct Budget {
    limit: u32,
    left: u32,
    refilled_at: Instant,
}

impl Budget {
    fn new(limit: u32) -> Self {
        Self { limit, left: limit, refilled_at: Instant::now() }
    }

    /// Takes one frame from the budget.
    fn take(&mut self) -> Result<(), End> {
        if self.refilled_at.elapsed() >= Duration::from_secs(1) {
            *self = Self::new(self.limit);
        }
        self.left = self.left.checked_sub(1).ok_or(End::violation(1008, "too many frames per second"))?;
        Ok(())
    }
}
