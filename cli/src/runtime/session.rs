//! Serves an established connection: requests in, responses out.

use crate::failure::Failure;
use crate::output::log;
use crate::runtime::Runtime;
use crate::runtime::connection::{Connected, End, Socket};
use crate::runtime::frames::{Request, RuntimeFrame, ServerFrame, State};
use crate::runtime::response::{Response, Window};
use crate::secret::Secret;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_util::sync::CancellationToken;

/// The server pings every 15 s. Without a frame for this long, the connection is lost.
const LOST_AFTER: Duration = Duration::from_secs(45);
/// How long requests in flight may take when this runtime drains.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How much earlier than the server's deadline the requests are cancelled: their commands have to end, and the server has to
/// be notified.
const DRAIN_MARGIN: Duration = Duration::from_secs(7);
/// How long the server may take to confirm that no more requests follow, and later to close the connection.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of status frames: the server accepts 20 per second.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// Frames that wait to be sent.
const FRAMES_CAPACITY: usize = 16;
/// The payload of the ping that follows the status `draining`.
const LAST_REQUEST: Bytes = Bytes::from_static(b"last request");

/// Serves a connection until it ends. Once `draining` is cancelled, it finishes its requests.
pub(crate) async fn serve(
    runtime: Arc<Runtime>,
    connected: Connected,
    secret: Secret,
    draining: CancellationToken,
) -> End {
    let (sink, stream) = connected.socket.split();
    let (frames, receiver) = channel(FRAMES_CAPACITY);
    let (pings, ping_receiver) = channel(1);
    let closed = CancellationToken::new();
    // It ends when all senders are dropped. A server that reads slowly must not keep this one from reading.
    let writer = tokio::spawn(write(sink, receiver, ping_receiver, closed.clone()));
    let session = Session {
        runtime,
        secret,
        draining,
        frames,
        pings,
        closed: closed.clone(),
        responses: JoinSet::new(),
        open: HashMap::new(),
        status: Status { sent: State::Idle, next_at: Instant::now() },
        drain: None,
        is_aborted: false,
    };
    let end = session.run(stream).await;
    closed.cancel();
    let _ = writer.await;
    end
}

/// Sends frames, and pings.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut frames: Receiver<RuntimeFrame>,
    mut pings: Receiver<Bytes>,
    closed: CancellationToken,
) {
    loop {
        let message = tokio::select! {
            biased;
            () = closed.cancelled() => break,
            Some(frame) = frames.recv() => Message::text(serde_json::to_string(&frame).unwrap_or_default()),
            Some(payload) = pings.recv() => Message::Ping(payload),
            else => break,
        };
        if !matches!(closed.run_until_cancelled(sink.send(message)).await, Some(Ok(()))) {
            break;
        }
    }
    let _ = timeout(Duration::from_secs(1), sink.close()).await;
}

/// How far this runtime has drained.
enum Drain {
    /// The server may still send requests. Those in flight are finished until this time.
    Finishing { by: Instant, confirmed_by: Instant, is_confirmed: bool },
    /// The bye was sent. The server closes the connection until this time.
    Closing { by: Instant },
}

/// The state that was last reported, and when the next one may be.
struct Status {
    sent: State,
    next_at: Instant,
}

/// A connection that is served.
struct Session {
    runtime: Arc<Runtime>,
    secret: Secret,
    /// Cancelled when this connection is to finish its requests.
    draining: CancellationToken,
    frames: Sender<RuntimeFrame>,
    pings: Sender<Bytes>,
    /// Ends the responses: nobody receives them.
    closed: CancellationToken,
    responses: JoinSet<String>,
    /// The requests in flight, by id.
    open: HashMap<String, (Window, CancellationToken)>,
    status: Status,
    drain: Option<Drain>,
    /// Whether the requests in flight were cancelled, because this process was asked to stop for the second time.
    is_aborted: bool,
}

impl Session {
    async fn run(mut self, mut stream: SplitStream<Socket>) -> End {
        let end = match self.serve_frames(&mut stream).await {
            // A runtime that was asked to drain does not connect again.
            End::Retry(..) if self.drain.is_some() => End::Stopped,
            end => end,
        };
        // The commands end before the process does.
        self.closed.cancel();
        while self.responses.join_next().await.is_some() {}
        end
    }

    async fn serve_frames(&mut self, stream: &mut SplitStream<Socket>) -> End {
        let mut heard_at = Instant::now();
        loop {
            if let Some(end) = self.advance_drain().await {
                return end;
            }
            self.report_state();
            let (draining, aborting) = (self.draining.clone(), self.runtime.aborting.clone());
            let wake_at = self.next_timer(heard_at + LOST_AFTER);
            tokio::select! {
                message = stream.next() => {
                    heard_at = Instant::now();
                    let received = match message {
                        Some(Ok(Message::Text(text))) => self.receive(&text),
                        Some(Ok(Message::Close(frame))) => Err(self.closed_with(frame)),
                        Some(Ok(Message::Pong(payload))) => {
                            self.confirm(&payload);
                            Ok(())
                        }
                        Some(Ok(_)) => Ok(()),
                        Some(Err(Error::Capacity(error))) => {
                            Err(End::Final(Failure::error(format!("a frame of the server: {error}"))))
                        }
                        Some(Err(error)) => Err(End::lost(&format!("the connection was lost: {error}"))),
                        None => Err(End::of_close(None)),
                    };
                    if let Err(end) = received {
                        return end;
                    }
                }
                Some(ended) = self.responses.join_next() => {
                    // A response whose task panicked stays in flight until the server ends it.
                    if let Ok(id) = ended {
                        self.open.remove(&id);
                    }
                }
                () = draining.cancelled(), if self.drain.is_none() => self.begin_drain(DRAIN_TIMEOUT),
                () = aborting.cancelled(), if !self.is_aborted => {
                    self.is_aborted = true;
                    self.cancel_all();
                }
                () = sleep_until(wake_at) => {
                    if heard_at.elapsed() >= LOST_AFTER {
                        return End::lost("the server has sent nothing for 45 s");
                    }
                }
            }
        }
    }

    /// Applies a frame of the server.
    fn receive(&mut self, text: &str) -> Result<(), End> {
        let frame = serde_json::from_str(text).map_err(|error| {
            End::Final(Failure::error(format!("the server sent a frame that is not valid: {error}")))
        })?;
        match frame {
            ServerFrame::Request(request) => self.begin(request),
            ServerFrame::Window { id, bytes } => {
                if let Some((window, _)) = self.open.get(&id) {
                    window.extend(bytes);
                }
            }
            ServerFrame::Cancel { id } => {
                if let Some((_, cancelled)) = self.open.get(&id) {
                    cancelled.cancel();
                }
            }
            ServerFrame::Drain { deadline_ms } => {
                log("the owner asks this runtime to drain");
                let within = Duration::from_millis(deadline_ms).min(DRAIN_TIMEOUT);
                self.begin_drain(within.saturating_sub(DRAIN_MARGIN));
            }
            ServerFrame::Notice { what, at } => log(self.runtime.notice(&what, &at)),
            ServerFrame::Welcome { .. } | ServerFrame::Unknown => {}
        }
        Ok(())
    }

    fn begin(&mut self, request: Request) {
        let handle = self.runtime.handles.iter().find(|handle| handle.action == request.action);
        let Some(handle) = handle.filter(|_| !self.is_aborted) else {
            // The server sends only actions of the hello.
            let detail = if self.is_aborted { "The runtime stops." } else { "There is no handler." };
            log(format_args!("{} {}: {detail}", request.action, request.id));
            let frame = RuntimeFrame::Error { id: request.id, status: 503, detail: detail.to_owned() };
            let _ = self.frames.try_send(frame);
            return;
        };
        let (id, window) = (request.id.clone(), Window::new(request.window));
        let cancelled = self.closed.child_token();
        self.open.insert(id.clone(), (window.clone(), cancelled.clone()));
        let response = Response {
            request,
            handle: handle.clone(),
            window,
            frames: self.frames.clone(),
            cancelled,
            timeout: self.runtime.timeout,
        };
        let (permits, secret) = (Arc::clone(&self.runtime.permits), self.secret.clone());
        self.responses.spawn(async move {
            response.run(permits, secret).await;
            id
        });
    }

    fn begin_drain(&mut self, within: Duration) {
        let now = Instant::now();
        let confirmed_by = now + CONFIRMATION_TIMEOUT;
        if self.drain.is_none() {
            self.drain = Some(Drain::Finishing { by: now + within, confirmed_by, is_confirmed: false });
            self.status.next_at = now;
            log(format_args!("draining: {} requests in flight", self.open.len()));
        }
    }

    /// What a close frame means here.
    fn closed_with(&self, frame: Option<CloseFrame>) -> End {
        match (End::of_close(frame), &self.drain) {
            // The server has waited long enough, and reports it as a disconnection by the owner.
            (End::Disconnected(_), Some(_)) => End::Stopped,
            (End::Stopped, None | Some(Drain::Finishing { .. })) => {
                End::lost("the server closed the connection")
            }
            (end, _) => end,
        }
    }

    /// The server has received the status `draining`, so no more requests follow.
    fn confirm(&mut self, payload: &Bytes) {
        if let Some(Drain::Finishing { is_confirmed, .. }) = &mut self.drain {
            *is_confirmed |= *payload == LAST_REQUEST;
        }
    }

    fn cancel_all(&self) {
        self.open.values().for_each(|(_, cancelled)| cancelled.cancel());
    }

    /// Goes on draining. Returns the end if the server does not close the connection.
    async fn advance_drain(&mut self) -> Option<End> {
        let now = Instant::now();
        match self.drain {
            Some(Drain::Finishing { by, confirmed_by, is_confirmed }) => {
                if by <= now {
                    self.cancel_all();
                }
                let is_idle = self.open.is_empty() && (is_confirmed || confirmed_by <= now);
                if is_idle || by + CONFIRMATION_TIMEOUT <= now {
                    let _ = timeout(CONFIRMATION_TIMEOUT, self.frames.send(RuntimeFrame::Bye)).await;
                    self.drain = Some(Drain::Closing { by: Instant::now() + CONFIRMATION_TIMEOUT });
                }
                None
            }
            Some(Drain::Closing { by }) if by <= now => Some(End::Stopped),
            _ => None,
        }
    }

    /// Reports what this runtime does, if that has changed and the last report is old enough.
    fn report_state(&mut self) {
        let state = match self.drain {
            Some(_) => State::Draining,
            None if self.open.is_empty() => State::Idle,
            None => State::Busy,
        };
        if state == self.status.sent || self.status.next_at > Instant::now() {
            return;
        }
        // If the queue is full, the next round tries again.
        self.status.next_at = Instant::now() + STATUS_INTERVAL;
        if self.frames.try_send(RuntimeFrame::Status { state }).is_ok() {
            self.status.sent = state;
            if state == State::Draining {
                let _ = self.pings.try_send(LAST_REQUEST);
            }
        }
    }

    /// When something is due next, at the latest at `last`.
    fn next_timer(&self, last: Instant) -> Instant {
        let now = Instant::now();
        let drain = match self.drain {
            Some(Drain::Finishing { by, confirmed_by, .. }) => {
                [confirmed_by, by, by + CONFIRMATION_TIMEOUT].into_iter().find(|due| *due > now)
            }
            Some(Drain::Closing { by }) => Some(by),
            None => None,
        };
        let status = Some(self.status.next_at).filter(|due| *due > now);
        [drain, status].into_iter().flatten().fold(last, Instant::min)
    }
}
