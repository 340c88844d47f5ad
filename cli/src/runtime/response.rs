//! Responds to one request: runs the command of its handler, and sends its output within the window.

use crate::output::log;
use crate::runtime::frames::{Request, RuntimeFrame};
use crate::runtime::handler::{Handle, Running};
use crate::secret::Secret;
use serde::de::IgnoredAny;
use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Size of a read, in bytes. A chunk has at most three times as many.
const CHUNK_LEN: usize = 32 * 1024;
/// Size limit of a response that is not streamed, in bytes.
const WHOLE_LIMIT: usize = 1024 * 1024;
/// Maximum number of chunks that nobody has read. The server accepts twice as many.
const CHUNKS_LIMIT: usize = 8192;

/// How much the server accepts for a request: bytes, and chunks that nobody has read.
#[derive(Clone, Debug)]
pub(crate) struct Window(Arc<WindowState>);

#[derive(Debug)]
struct WindowState {
    /// The size at the beginning. A chunk never waits for more.
    size: u32,
    bytes: Semaphore,
    chunks: Semaphore,
    /// The lengths of the chunks that were sent and not read, first those that were sent first.
    unread: Mutex<VecDeque<u32>>,
}

impl Window {
    pub(crate) fn new(bytes: u32) -> Self {
        let (size, chunks) = (bytes, Semaphore::new(CHUNKS_LIMIT));
        let bytes = Semaphore::new(bytes as usize);
        Self(Arc::new(WindowState { size, bytes, chunks, unread: Mutex::default() }))
    }

    /// Extends the window: this many bytes were read.
    pub(crate) fn extend(&self, bytes: u32) {
        let state = &self.0;
        let room = Semaphore::MAX_PERMITS - state.bytes.available_permits();
        state.bytes.add_permits((bytes as usize).min(room));
        let Ok(mut unread) = state.unread.lock() else { return };
        let mut left = bytes;
        while let Some(rest) = unread.front().and_then(|length| left.checked_sub(*length)) {
            left = rest;
            unread.pop_front();
            state.chunks.add_permits(1);
        }
    }

    /// Waits until a chunk of this length may be sent.
    async fn take(&self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX).min(self.0.size);
        let (chunk, bytes) = tokio::join!(self.0.chunks.acquire(), self.0.bytes.acquire_many(length));
        if let (Ok(chunk), Ok(bytes), Ok(mut unread)) = (chunk, bytes, self.0.unread.lock()) {
            chunk.forget();
            bytes.forget();
            unread.push_back(length);
        }
    }
}

/// A request that is being responded to.
pub(crate) struct Response {
    pub(crate) request: Request,
    pub(crate) handle: Handle,
    pub(crate) window: Window,
    /// The frames of the connection.
    pub(crate) frames: Sender<RuntimeFrame>,
    /// Cancelled when the response is no longer needed, or when this runtime stops.
    pub(crate) cancelled: CancellationToken,
    pub(crate) timeout: Duration,
}

/// Why a response fails: the status for the client, and what happened.
struct Failed(u16, String);

impl Failed {
    fn new(status: u16, detail: impl Into<String>) -> Self {
        Self(status, detail.into())
    }
}

impl Response {
    /// Runs the command, and sends its output and how it ended. Returns when the processes of the command have ended.
    pub(crate) async fn run(mut self, permits: Arc<Semaphore>, secret: Secret) {
        let label = format!("{} {}", self.request.action, self.request.id);
        let Some(permit) = self.cancelled.run_until_cancelled(permits.acquire()).await else { return };
        let started = Instant::now();
        match self.start(&secret, &label) {
            Ok(mut running) => {
                let responding = timeout(self.timeout, self.respond(&mut running));
                let result = self.cancelled.run_until_cancelled(responding).await;
                let result = result.map(|result| result.unwrap_or_else(|_| Err(self.timed_out())));
                self.end(result, started, &label).await;
                running.terminate().await;
            }
            Err(failed) => self.end(Some(Err(failed)), started, &label).await,
        }
        drop(permit);
    }

    /// Sends how the response ended; `None` if it was cancelled.
    async fn end(&self, result: Option<Result<&'static str, Failed>>, started: Instant, label: &str) {
        let (id, elapsed) = (self.request.id.clone(), started.elapsed().as_millis());
        let frame = match result {
            None => {
                log(format_args!("{label}: cancelled after {elapsed} ms"));
                return;
            }
            Some(Ok(content_type)) => {
                log(format_args!("{label}: 200 in {elapsed} ms"));
                RuntimeFrame::End { id, status: 200, content_type }
            }
            Some(Err(Failed(status, detail))) => {
                log(format_args!("{label}: {status} in {elapsed} ms: {detail}"));
                RuntimeFrame::Error { id, status, detail }
            }
        };
        self.cancelled.run_until_cancelled(self.frames.send(frame)).await;
    }

    fn start(&mut self, secret: &Secret, label: &str) -> Result<Running, Failed> {
        let body = self.request.take_body();
        let body = body.ok_or_else(|| Failed::new(500, "The frame of the request is not valid."))?;
        let request = &self.request;
        let variables = [
            ("MECHA_ACTION", request.action.as_str()),
            ("MECHA_REQUEST_ID", &request.id),
            ("MECHA_CONTENT_TYPE", request.content_type.as_str()),
            ("MECHA_STREAM", if request.stream { "true" } else { "false" }),
            ("MECHA_CLIENT_KEY_ID", request.key_id.as_deref().unwrap_or_default()),
        ];
        Running::start(&self.handle, &variables, secret, body, label.to_owned()).map_err(|error| {
            // The client need not know the paths of this machine.
            log(format_args!("{label}: the command {:?} cannot be started: {error}", self.handle.program));
            Failed::new(500, "The handler cannot be started.")
        })
    }

    fn timed_out(&self) -> Failed {
        Failed(504, format!("The handler did not end within {} s.", self.timeout.as_secs()))
    }

    /// Sends the output of the command until both have ended. Returns the media type of the response.
    async fn respond(&self, running: &mut Running) -> Result<&'static str, Failed> {
        let unreadable = |error| Failed(500, format!("The output of the handler cannot be read: {error}"));
        let mut output = Output::new(self.request.stream);
        let mut buffer = vec![0; CHUNK_LEN.min(self.request.window.max(1) as usize)];
        loop {
            let count = running.read(&mut buffer).await.map_err(unreadable)?;
            let read = buffer.get(..count).unwrap_or_default();
            let chunks = if count == 0 { output.end() } else { output.receive(read) };
            if output.length > WHOLE_LIMIT && !output.is_stream {
                return Err(Failed::new(
                    502,
                    "The response exceeds 1 MiB. Request it as a stream of events.",
                ));
            }
            for chunk in chunks {
                self.send(&chunk, output.is_stream).await?;
            }
            if count == 0 {
                break;
            }
        }
        match failure(running.wait().await.map_err(unreadable)?) {
            Some(failed) => Err(failed),
            None => Ok(output.content_type()),
        }
    }

    async fn send(&self, chunk: &[u8], is_stream: bool) -> Result<(), Failed> {
        if is_stream && std::str::from_utf8(chunk).is_err() {
            return Err(Failed::new(
                502,
                "The output of the handler is not UTF-8, as a stream of events must be.",
            ));
        }
        self.window.take(chunk.len()).await;
        // Without a connection, the response is cancelled.
        let _ = self.frames.send(RuntimeFrame::chunk(&self.request.id, chunk)).await;
        Ok(())
    }
}

/// Why a command that ended so has failed; `None` if it has not. The codes are those of sysexits.h.
fn failure(status: ExitStatus) -> Option<Failed> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(65), _) => Some(Failed::new(422, "The handler does not accept the request (exit status 65).")),
        (Some(75), _) => Some(Failed::new(503, "The handler cannot respond now (exit status 75).")),
        (Some(code), _) => Some(Failed(500, format!("The handler failed (exit status {code})."))),
        (None, signal) => {
            Some(Failed(500, format!("The handler was killed (signal {}).", signal.unwrap_or_default())))
        }
    }
}

/// The output of a command, divided into chunks.
struct Output {
    is_stream: bool,
    /// The number of bytes so far.
    length: usize,
    /// Of a stream, a line that is not complete. Otherwise a copy of the whole output, to find its media type.
    kept: Vec<u8>,
    /// Whether the beginning of the line was sent: its line break ends it.
    is_continued: bool,
    /// Empty lines of a stream, which are sent with the next line: a chunk is not empty.
    empty_lines: usize,
}

impl Output {
    fn new(is_stream: bool) -> Self {
        Self { is_stream, length: 0, kept: Vec::new(), is_continued: false, empty_lines: 0 }
    }

    /// The chunks to send after these bytes: each line of a stream, without its line break.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.length += bytes.len();
        self.kept.extend_from_slice(bytes);
        if !self.is_stream {
            return vec![bytes.to_vec()];
        }
        let mut chunks = Vec::new();
        let mut rest = self.kept.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let is_continued = std::mem::take(&mut self.is_continued);
            if line.is_empty() && !is_continued {
                self.empty_lines += 1;
                // As many empty lines are a chunk of their own.
                if self.empty_lines == CHUNK_LEN {
                    chunks.push(with_empty_lines(&mut self.empty_lines, &[]).split_off(1));
                }
            } else if !line.is_empty() {
                chunks.push(with_empty_lines(&mut self.empty_lines, line));
            }
        }
        self.kept = rest.to_vec();
        // A line may be longer than a chunk.
        if self.kept.len() >= CHUNK_LEN {
            let end = complete_characters(&self.kept);
            self.is_continued = true;
            chunks.push(with_empty_lines(&mut self.empty_lines, &self.kept.drain(..end).collect::<Vec<_>>()));
        }
        chunks
    }

    /// The chunks to send at the end of the output.
    fn end(&mut self) -> Vec<Vec<u8>> {
        if !self.is_stream || self.kept.is_empty() {
            return Vec::new();
        }
        vec![with_empty_lines(&mut self.empty_lines, &std::mem::take(&mut self.kept))]
    }

    /// The media type of the whole output.
    fn content_type(&self) -> &'static str {
        let is_json = || serde_json::from_slice::<IgnoredAny>(&self.kept).is_ok();
        match self.kept.trim_ascii_start().first() {
            Some(b'{' | b'[') if is_json() => "application/json",
            _ if std::str::from_utf8(&self.kept).is_ok() => "text/plain",
            _ => "application/octet-stream",
        }
    }
}

fn with_empty_lines(empty_lines: &mut usize, line: &[u8]) -> Vec<u8> {
    let mut chunk = vec![b'\n'; std::mem::take(empty_lines)];
    chunk.extend_from_slice(line);
    chunk
}

/// How many bytes end with a complete character of UTF-8.
fn complete_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&str]) -> Vec<String> {
        let mut output = Output::new(true);
        let mut chunks: Vec<_> = parts.iter().flat_map(|part| output.receive(part.as_bytes())).collect();
        chunks.extend(output.end());
        chunks.into_iter().map(|chunk| String::from_utf8(chunk).unwrap()).collect()
    }

    #[test]
    fn each_line_of_a_stream_is_a_chunk() {
        assert_eq!(lines(&["one\ntwo\nth", "ree\n"]), ["one", "two", "three"]);
        assert_eq!(lines(&["one\r\ntwo"]), ["one", "two"]);
        assert_eq!(lines(&["one\n\n\ntwo\n\n"]), ["one", "\n\ntwo"]);
        assert_eq!(lines(&["", ""]), [""; 0]);
        // However many empty lines there are, a chunk stays short.
        let many = "\n".repeat(3 * CHUNK_LEN + 2) + "end";
        let chunks = lines(&[&many]);
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_LEN), "{chunks:?}");
        assert_eq!(chunks.join("\n"), many);
    }

    #[test]
    fn a_long_line_is_divided_between_characters() {
        let long = "\u{20ac}".repeat(CHUNK_LEN);
        let chunks = lines(&[&long]);
        assert_eq!(chunks.concat(), long);
        let parts = ["a".repeat(CHUNK_LEN), "a".repeat(CHUNK_LEN), "\nb\n".to_owned()];
        assert_eq!(lines(&parts.each_ref().map(String::as_str)).last().unwrap(), "b");
    }

    #[test]
    fn the_media_type_follows_from_the_output() {
        for (text, media_type) in [
            (&b"{\"reply\": \"Hello\"}\n"[..], "application/json"),
            (b" [1]", "application/json"),
            (b"{ not JSON", "text/plain"),
            (b"42", "text/plain"),
            (b"<html>", "text/plain"),
            (b"", "text/plain"),
            (b"\xff", "application/octet-stream"),
        ] {
            let mut output = Output::new(false);
            let _ = output.receive(text);
            assert_eq!(output.content_type(), media_type, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_window_limits_bytes_and_chunks_until_they_are_read() {
        let window = Window::new(10);
        window.take(6).await;
        let more = timeout(Duration::from_millis(20), window.take(6)).await;
        assert!(more.is_err(), "6 of 4 bytes");
        window.extend(6);
        window.take(6).await;

        let window = Window::new(u32::MAX);
        for _ in 0..CHUNKS_LIMIT {
            window.take(1).await;
        }
        assert!(timeout(Duration::from_millis(20), window.take(1)).await.is_err());
        window.extend(2);
        window.take(1).await;
        window.take(1).await;
        assert!(timeout(Duration::from_millis(20), window.take(1)).await.is_err());
    }
}
