//! The requests to a runtime that are in flight.
//!
//! A caller begins a request and reads its response. The session of the connection sends the frames of the request, and
//! passes on what the runtime responds. Each request has a window (flow control): a caller that reads slowly delays only its
//! own request.

use crate::ids::{Id, hex};
use crate::runtimes::callers::Caller;
use crate::runtimes::frames::{RequestBody, ResponseEvent, ServerFrame};
use axum::body::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Maximum number of requests in flight to one runtime.
pub(crate) const REQUESTS_PER_RUNTIME: usize = 32;
/// How much of a response a runtime may send before the caller has read it, in bytes.
pub(crate) const WINDOW: u32 = 256 * 1024;
/// Maximum number of chunks that the caller has not read: each takes memory, however small it is.
const CHUNKS_LIMIT: u32 = 16_384;
/// The window is extended once this much of it was read, in bytes: fewer frames than one for each chunk.
const EXTENSION: u32 = WINDOW / 4;
/// It is also extended once this many chunks were read: a runtime counts them too.
const EXTENSION_CHUNKS: u32 = CHUNKS_LIMIT / 4;

/// A request to a runtime.
#[derive(Clone, Debug)]
pub(crate) struct NewRequest {
    pub(crate) action: String,
    pub(crate) content_type: String,
    /// Whether the caller reads chunks as they come.
    pub(crate) is_stream: bool,
    pub(crate) caller: Caller,
    pub(crate) body: Bytes,
}

/// What became of a frame of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It is passed on to the caller.
    Passed,
    /// The request has ended.
    Ignored,
    /// There never was such a request.
    NeverIssued,
}

/// The requests in flight of one connection.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
    /// Notified when there are frames to send, or when a request has ended.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of requests that were issued. They are numbered from 1.
    issued: u64,
    open: BTreeMap<u64, OpenRequest>,
    /// Requests whose caller has gone, until the runtime is notified.
    cancelled: Vec<u64>,
    /// Whether no further requests are accepted.
    is_closed: bool,
    /// Whether the runtime states that it is draining: it accepts no requests for now.
    is_draining: bool,
}

#[derive(Debug)]
struct OpenRequest {
    /// The request, until it is sent.
    unsent: Option<NewRequest>,
    /// How much the runtime may still send, in bytes.
    window: u32,
    /// How much was read since the window was last extended, in bytes.
    read: u32,
    /// Chunks that were read since then.
    read_chunks: u32,
    /// Chunks that the caller has not read.
    unread_chunks: u32,
    events: UnboundedSender<ResponseEvent>,
}

impl OpenRequest {
    /// Whether the runtime should learn how much was read.
    fn is_extension_due(&self) -> bool {
        self.read >= EXTENSION || self.read_chunks >= EXTENSION_CHUNKS
    }
}

impl Requests {
    /// The number of requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Accepts no further requests.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// Accepts no requests while the runtime states that it is draining.
    pub(crate) fn set_draining(&self, is_draining: bool) {
        self.state.lock().is_draining = is_draining;
    }

    /// Ends all requests, because the connection has ended.
    pub(crate) fn fail(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        for (_, request) in std::mem::take(&mut state.open) {
            let _ = request.events.send(ResponseEvent::Lost);
        }
    }

    /// The next frame that is to be sent to the runtime `runtime`, and for a request its caller, who is to be verified first.
    pub(crate) fn next_frame(&self, runtime: &Id) -> Option<(ServerFrame, Option<Caller>)> {
        let mut state = self.state.lock();
        if let Some(number) = state.cancelled.pop() {
            return Some((ServerFrame::Cancel { id: id_of(runtime, number) }, None));
        }
        state.open.iter_mut().find_map(|(number, request)| {
            let id = id_of(runtime, *number);
            if let Some(NewRequest { action, content_type, is_stream, caller, body }) = request.unsent.take()
            {
                let frame = ServerFrame::Request {
                    id,
                    action,
                    content_type,
                    stream: is_stream,
                    key_id: caller.key().map(hex),
                    window: WINDOW,
                    body: RequestBody::of(&body),
                };
                return Some((frame, Some(caller)));
            }
            request.is_extension_due().then(|| {
                let bytes = std::mem::take(&mut request.read);
                request.read_chunks = 0;
                request.window = request.window.saturating_add(bytes);
                (ServerFrame::Window { id, bytes }, None)
            })
        })
    }

    /// Passes a part of a response on to its caller. A request whose window is overrun ends, and the runtime is notified.
    pub(crate) fn receive(&self, runtime: &Id, id: &str, event: ResponseEvent) -> Received {
        let number = id.strip_prefix(hex(runtime).as_str()).and_then(|rest| rest.strip_prefix('-'));
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
            return Received::NeverIssued;
        };
        let mut state = self.state.lock();
        if !(1..=state.issued).contains(&number) {
            return Received::NeverIssued;
        }
        // Before it is sent, the runtime cannot know it.
        if state.open.get(&number).is_some_and(|request| request.unsent.is_some()) {
            return Received::NeverIssued;
        }
        let Some(request) = state.open.get_mut(&number) else { return Received::Ignored };
        let is_last = match &event {
            ResponseEvent::Chunk(data) => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                request.unread_chunks += 1;
                match request.window.checked_sub(length) {
                    Some(left) if request.unread_chunks <= CHUNKS_LIMIT => {
                        request.window = left;
                        let _ = request.events.send(event);
                        false
                    }
                    _ => {
                        let _ = request.events.send(ResponseEvent::Overrun);
                        state.cancelled.push(number);
                        true
                    }
                }
            }
            _ => {
                let _ = request.events.send(event);
                true
            }
        };
        if is_last {
            state.open.remove(&number);
            drop(state);
            self.changed.notify_one();
        }
        Received::Passed
    }

    fn extend(&self, number: u64, bytes: usize) {
        let mut state = self.state.lock();
        let Some(request) = state.open.get_mut(&number) else { return };
        request.unread_chunks = request.unread_chunks.saturating_sub(1);
        request.read = request.read.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        request.read_chunks += 1;
        if request.is_extension_due() {
            drop(state);
            self.changed.notify_one();
        }
    }

    fn cancel(&self, number: u64) {
        let mut state = self.state.lock();
        let Some(request) = state.open.remove(&number) else { return };
        if request.unsent.is_none() {
            state.cancelled.push(number);
        }
        drop(state);
        self.changed.notify_one();
    }
}

/// The id of a request. It begins with the id of the connection: a frame for a request of another connection is recognised.
fn id_of(runtime: &Id, number: u64) -> String {
    format!("{}-{number}", hex(runtime))
}

/// The response to a request, as its caller reads it. Dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct PendingResponse {
    requests: Arc<Requests>,
    number: u64,
    events: UnboundedReceiver<ResponseEvent>,
}

impl PendingResponse {
    /// Begins a request; `None` if too many are in flight, or no more are accepted.
    pub(crate) fn begin(requests: &Arc<Requests>, request: NewRequest) -> Option<Self> {
        let mut state = requests.state.lock();
        if state.is_closed || state.is_draining || state.open.len() >= REQUESTS_PER_RUNTIME {
            return None;
        }
        state.issued += 1;
        let number = state.issued;
        let (sender, events) = unbounded_channel();
        let open = OpenRequest {
            unsent: Some(request),
            window: WINDOW,
            read: 0,
            read_chunks: 0,
            unread_chunks: 0,
            events: sender,
        };
        state.open.insert(number, open);
        drop(state);
        requests.changed.notify_one();
        Some(Self { requests: Arc::clone(requests), number, events })
    }

    /// Waits for the next part of the response.
    pub(crate) async fn next(&mut self) -> ResponseEvent {
        self.events.recv().await.unwrap_or(ResponseEvent::Lost)
    }

    /// Lets the runtime send this many bytes more: the caller has read a chunk of that length.
    pub(crate) fn extend_window(&self, bytes: usize) {
        self.requests.extend(self.number, bytes);
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.requests.cancel(self.number);
    }
}
