//! Standard output and standard error.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines of the log that wait to be written.
const LOG_CAPACITY: usize = 16_384;

/// Writes bytes to standard output at once.
///
/// # Errors
/// Nobody reads standard output any more, or it cannot be written.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::error("standard output was closed"),
        _ => Failure::error(format!("standard output: {error}")),
    })
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`write()`].
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    write(format!("{}\n", printable(&text.to_string())).as_bytes())
}

/// Writes a value to standard output, as JSON.
///
/// # Errors
/// As [`write()`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::error(error.to_string()))?;
    write(format!("{text}\n").as_bytes())
}

/// Writes the response of a runtime to standard output: as it is, but for a terminal without characters that control it.
///
/// # Errors
/// As [`write()`].
pub(crate) fn response(bytes: &[u8]) -> Result<(), Failure> {
    if stdout().is_terminal() {
        return write(printable(&String::from_utf8_lossy(bytes)).as_bytes());
    }
    write(bytes)
}

/// What the thread that writes the log receives.
enum Entry {
    Line(String),
    /// All lines before this one are written: respond.
    Flush(SyncSender<()>),
}

/// The number of lines that were dropped since the last one was written.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// The thread that writes the log. A standard error that nobody reads must not stop the program.
static LOG: LazyLock<SyncSender<Entry>> = LazyLock::new(|| {
    let (sender, entries) = sync_channel(LOG_CAPACITY);
    thread::spawn(move || {
        for entry in entries {
            match entry {
                Entry::Line(line) => {
                    let dropped = match DROPPED.swap(0, Ordering::Relaxed) {
                        0 => String::new(),
                        dropped => format!("{dropped} lines of the log were dropped\n"),
                    };
                    let _ = stderr().lock().write_all((dropped + &line).as_bytes());
                }
                Entry::Flush(done) => drop(done.try_send(())),
            }
        }
    });
    sender
});

/// Writes a line to standard error. If that is not read fast enough, lines are dropped, and their number is logged.
pub(crate) fn log(text: impl Display) {
    if LOG.try_send(line_of(text)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes the last lines, and waits until the log is written: at most two seconds.
pub(crate) fn end_log(last: Option<String>) {
    let (done, is_done) = sync_channel(1);
    let last = last.map(line_of);
    for mut entry in last.into_iter().chain([Entry::Flush(done)]) {
        for _ in 0..100 {
            match LOG.try_send(entry) {
                Err(TrySendError::Full(unsent)) => entry = unsent,
                _ => break,
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    let _ = is_done.recv_timeout(Duration::from_secs(1));
}

fn line_of(text: impl Display) -> Entry {
    Entry::Line(format!("{}\n", printable(&text.to_string())))
}

/// A text without characters that control a terminal. Texts of the server and of handlers are not trusted with it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}
