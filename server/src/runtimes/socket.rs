//! The WebSocket of a runtime, with limits on memory, and a measure of how much of an incomplete frame has arrived.

use crate::runtimes::frames::{End, FRAME_LIMIT, HELLO_LIMIT};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// Size of the read buffer in bytes. The library allocates it at once for each connection; its default is 128 KiB.
const READ_BUFFER: usize = 4 * 1024;
/// Limit of unsent bytes. Longer messages are sent in fragments, so that the buffer of a connection stays small.
const WRITE_BUFFER_LIMIT: usize = 256 * 1024;
/// Length of a fragment, in bytes.
const FRAGMENT_LEN: usize = 64 * 1024;
/// Timeout of the close handshake. After it, the connection is aborted.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(700);
/// Timeout of a message, from its first byte to its last.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a control frame from a client besides its payload: two for the header, four for the mask (RFC 6455, 5.2).
const CONTROL_FRAME_HEADER: usize = 6;

/// The connection of a runtime.
pub(crate) struct Socket {
    stream: WebSocketStream<FrameTimeout>,
    /// Whether an error ended the stream of messages. The rest of an invalid frame may still arrive.
    is_broken: bool,
}

impl Socket {
    /// Uses an upgraded connection as the server's end of a WebSocket.
    pub(crate) async fn new(upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_LIMIT)
            .max_message_size(Some(FRAME_LIMIT))
            .max_frame_size(Some(FRAME_LIMIT));
        let io = FrameTimeout {
            inner: TokioIo::new(upgraded),
            received: 0,
            limit: HELLO_LIMIT + READ_BUFFER,
            deadline: None,
        };
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { stream, is_broken: false }
    }

    /// Lifts the limit of frames before the hello.
    pub(crate) fn allow_large_frames(&mut self) {
        self.stream.get_mut().limit = usize::MAX;
    }

    /// Receives the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// How the connection ends: the runtime closed it or violated the protocol, or the connection broke.
    pub(crate) async fn receive(&mut self) -> Result<Message, End> {
        let message = match self.stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                self.is_broken = true;
                return Err(end_of(&error));
            }
            None => return Err(End::STOPPED),
        };
        let io = self.stream.get_mut();
        io.received = match &message {
            // It may have arrived between the fragments of a larger message.
            Message::Ping(payload) | Message::Pong(payload) => {
                io.received.saturating_sub(CONTROL_FRAME_HEADER + payload.len())
            }
            _ => 0,
        };
        if io.received == 0 {
            io.deadline = None;
        }
        if matches!(message, Message::Close(_)) { Err(End::STOPPED) } else { Ok(message) }
    }

    /// Sends a message. If the future is dropped, the connection can only be closed.
    ///
    /// # Errors
    /// The connection is broken, or the runtime reads too slowly.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), End> {
        self.stream.send(message).await.map_err(|error| end_of(&error))
    }

    /// Sends a text message, in several frames if it is long (RFC 6455, section 5.4). Each must be sent `within` this time.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn send_text(&mut self, text: String, within: Duration) -> Result<(), End> {
        if text.len() <= FRAGMENT_LEN {
            return timeout(within, self.send(Message::text(text))).await.map_err(|_| End::LOST)?;
        }
        let mut rest = Bytes::from(text);
        let mut kind = OpCode::Data(Data::Text);
        while !rest.is_empty() {
            let fragment = rest.split_to(rest.len().min(FRAGMENT_LEN));
            let frame = Message::Frame(Frame::message(fragment, kind, rest.is_empty()));
            timeout(within, self.send(frame)).await.map_err(|_| End::LOST)??;
            kind = OpCode::Data(Data::Continue);
        }
        Ok(())
    }

    /// Sends a close frame, and waits until the runtime has received it. Aborts the connection after 0.7 s.
    pub(crate) async fn close(mut self, end: End) {
        let frame = CloseFrame { code: CloseCode::from(end.code), reason: end.text.into() };
        let closing = async {
            self.stream.close(Some(frame)).await?;
            self.allow_large_frames();
            self.stream.get_mut().deadline = None;
            // With unread bytes, the kernel would reset the connection, and the runtime might not receive the close frame.
            if self.is_broken {
                let mut buffer = [0; 1024];
                while self.stream.get_mut().read(&mut buffer).await? > 0 {}
            }
            while self.stream.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, Error>(())
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// How a connection ends after an error of the library.
fn end_of(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            End::violation(1009, "a frame must have at most 2 MiB")
        }
        Error::Utf8(_) => End::violation(1007, "a text frame is not valid UTF-8"),
        Error::Protocol(error) if is_violation(error) => End::violation(1002, "not a valid WebSocket frame"),
        Error::Io(error) if error.kind() == ErrorKind::TimedOut => {
            End::violation(1008, "a frame must be complete within 10 s")
        }
        Error::Io(error) if error.kind() == ErrorKind::FileTooLarge => {
            End::violation(1009, "the hello must have at most 16 KiB")
        }
        Error::ConnectionClosed | Error::AlreadyClosed => End::STOPPED,
        _ => End::LOST,
    }
}

/// Whether the runtime sent something invalid. Otherwise the connection broke.
fn is_violation(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    !matches!(error, ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing)
}

/// Fails with [`ErrorKind::TimedOut`] if a message is not complete within [`FRAME_TIMEOUT`] after its first byte.
struct FrameTimeout {
    inner: TokioIo<Upgraded>,
    /// Bytes that have arrived since the last complete message.
    received: usize,
    /// The reads fail with [`ErrorKind::FileTooLarge`] beyond this many of them.
    limit: usize,
    /// A timer for the message that is incomplete, if one is.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for FrameTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(read) => read?,
            // Only now: the rest of the message may have arrived while the session did not read.
            Poll::Pending => {
                let deadline = self.deadline.as_mut();
                return match deadline.map(|deadline| deadline.as_mut().poll(context)) {
                    Some(Poll::Ready(())) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
                    _ => Poll::Pending,
                };
            }
        }
        self.received += buffer.filled().len() - before;
        if self.received > self.limit {
            return Poll::Ready(Err(ErrorKind::FileTooLarge.into()));
        }
        if self.received > 0 && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(FRAME_TIMEOUT)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FrameTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
