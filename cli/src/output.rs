//! Standard output and standard error.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

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

/// Writes a line to standard error. Without standard error, the line is lost and the command goes on.
pub(crate) fn log(text: impl Display) {
    let _ = stderr().lock().write_all(format!("{}\n", printable(&text.to_string())).as_bytes());
}

/// A text without characters that control a terminal. Texts of the server and of handlers are not trusted with it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}
