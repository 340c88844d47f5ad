//! The frames of the subprotocol `mecha.runtime.v1`: JSON texts over WebSocket (RFC 6455). See `docs/runtime.md`.

use app::domain::runtime::{EndReason, Program};
use app::domain::unicode::is_invisible;
use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The subprotocol (RFC 6455, section 1.9).
pub(crate) const SUBPROTOCOL: &str = "mecha.runtime.v1";
/// Size limit of the first frame, in bytes.
pub(crate) const HELLO_LIMIT: usize = 16 * 1024;
/// Size limit of later frames, in bytes.
pub(crate) const FRAME_LIMIT: usize = 2 * 1024 * 1024;
/// Length limit of a text that a runtime states about itself, in characters.
const TEXT_LIMIT: usize = 100;
/// Length limit of an instance, in bytes.
const INSTANCE_LIMIT: usize = 128;
/// Maximum number of actions.
const ACTIONS_LIMIT: usize = 32;
/// Length limit of the name of an action, in bytes.
const ACTION_LIMIT: usize = 64;

/// A frame from a runtime, after the hello.
#[derive(Debug)]
pub(crate) enum ClientFrame {
    /// The runtime states what it is doing.
    Status {
        /// What it is doing.
        state: StatedState,
        /// Its own words about it.
        note: String,
    },
    /// A part of the response to a request.
    Response {
        /// The id of the request.
        id: String,
        /// The part.
        event: ResponseEvent,
    },
    /// The runtime stops.
    Bye,
}

/// A part of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResponseEvent {
    /// A part of its body; not empty.
    Chunk(Bytes),
    /// The response is complete.
    End {
        /// The HTTP status.
        status: u16,
        /// The media type of the body.
        content_type: String,
    },
    /// The action failed.
    Error {
        /// The HTTP status.
        status: u16,
        /// What the runtime states about it.
        detail: String,
    },
    /// The runtime sent more than its window.
    Overrun,
    /// The connection ended.
    Lost,
}

/// The kind of a frame. The other members are skipped, without a copy of them.
#[derive(Deserialize)]
struct Kind<'f> {
    #[serde(borrow)]
    r#type: Cow<'f, str>,
}

#[derive(Deserialize)]
struct Status {
    state: StatedState,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
struct Chunk {
    id: String,
    data: Option<String>,
    data_base64: Option<String>,
}

#[derive(Deserialize)]
struct ResponseEnd {
    id: String,
    status: u16,
    #[serde(default = "json_type")]
    content_type: String,
}

fn json_type() -> String {
    "application/json".to_owned()
}

#[derive(Deserialize)]
struct ResponseError {
    id: String,
    status: u16,
    #[serde(default)]
    detail: String,
}

impl Chunk {
    fn into_data(self) -> Option<Bytes> {
        match (self.data, self.data_base64) {
            (Some(data), None) => Some(data.into()),
            (None, Some(data)) => STANDARD.decode(data).ok().map(Bytes::from),
            _ => None,
        }
    }
}

/// The type of a frame; `None` if it has none.
fn kind(text: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Kind<'_>>(text).ok().map(|kind| kind.r#type)
}

impl ClientFrame {
    /// Parses a frame.
    ///
    /// # Errors
    /// What is wrong with it, as the reason of the close frame.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match kind(text).as_deref() {
            Some("bye") => Ok(Self::Bye),
            Some("status") => {
                let Status { state, note } =
                    serde_json::from_str(text).map_err(|_| "the status is not valid")?;
                Ok(Self::Status { state, note })
            }
            Some("chunk") => {
                let chunk: Chunk = serde_json::from_str(text).map_err(|_| "the chunk is not valid")?;
                let id = chunk.id.clone();
                let data = chunk.into_data().ok_or("a chunk has either data or data_base64")?;
                Ok(Self::Response { id, event: ResponseEvent::Chunk(data) })
            }
            Some("end") => {
                let ResponseEnd { id, status, content_type } =
                    serde_json::from_str(text).map_err(|_| "the end is not valid")?;
                // No media type that is allowed is longer.
                let content_type = content_type.chars().take(TEXT_LIMIT).collect();
                Ok(Self::Response { id, event: ResponseEvent::End { status, content_type } })
            }
            Some("error") => {
                let ResponseError { id, status, detail } =
                    serde_json::from_str(text).map_err(|_| "the error is not valid")?;
                Ok(Self::Response { id, event: ResponseEvent::Error { status, detail: shown(&detail) } })
            }
            Some("hello") => Err("a second hello"),
            _ => Err("not a frame of mecha.runtime.v1"),
        }
    }
}

/// The states that a runtime can state.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatedState {
    Idle,
    Busy,
    Draining,
}

/// What a runtime states about itself when it connects.
#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    /// Random for each process. Never shown to anyone.
    pub(crate) instance: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    pub(crate) actions: Vec<String>,
}

impl Hello {
    /// Parses the first frame.
    ///
    /// # Errors
    /// What is wrong with it, as the reason of the close frame.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let hello = kind(text).filter(|kind| kind == "hello").and_then(|_| serde_json::from_str(text).ok());
        let hello: Self = hello.ok_or("the first frame is not a valid hello")?;
        if hello.instance.is_empty() || hello.instance.len() > INSTANCE_LIMIT {
            return Err("instance must have 1 to 128 bytes");
        }
        if hello.actions.len() > ACTIONS_LIMIT || !hello.actions.iter().all(|action| is_action(action)) {
            return Err("actions must be at most 32 names of 1 to 64 of the characters A-Z a-z 0-9 . _ -");
        }
        Ok(hello)
    }

    /// What it states about the program, as it is shown.
    pub(crate) fn program(&self) -> Program {
        let [name, version, os, arch, host] =
            [&self.name, &self.version, &self.os, &self.arch, &self.host].map(|text| shown(text));
        Program { name, version, os, arch, host }
    }
}

/// Whether a text is the name of an action.
pub(crate) fn is_action(text: &str) -> bool {
    (1..=ACTION_LIMIT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A text of a runtime as it is shown: shortened, and without characters that are invisible or change the text around them.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).take(TEXT_LIMIT).collect::<String>().trim().to_owned()
}

/// A frame to a runtime.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ServerFrame {
    /// The response to the hello.
    Welcome {
        runtime: String,
        mecha: FrameMecha,
        key_id: String,
        expires_at: Option<String>,
        ping_interval_ms: u64,
    },
    /// The runtime should finish its work and disconnect.
    Drain { deadline_ms: u64 },
    /// The secret of this connection stops being valid at this time.
    Notice { what: Notice, at: String },
    /// A caller requests an action.
    Request {
        id: String,
        action: String,
        content_type: String,
        /// Whether the caller reads chunks as they come.
        stream: bool,
        /// The key of the caller; null if it is the owner, in the console.
        key_id: Option<String>,
        /// How much the runtime may send before the window is extended, in bytes.
        window: u32,
        #[serde(flatten)]
        body: RequestBody,
    },
    /// The runtime may send this many bytes more.
    Window { id: String, bytes: u32 },
    /// The caller no longer reads the response.
    Cancel { id: String },
}

/// The body of a request: as text, or in base64 if it is not UTF-8 or if that is shorter.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum RequestBody {
    Text { body: String },
    Base64 { body_base64: String },
}

impl RequestBody {
    /// Encodes a body.
    pub(crate) fn of(body: &[u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) if escaped_length(text) <= body.len().div_ceil(3) * 4 => {
                Self::Text { body: text.to_owned() }
            }
            _ => Self::Base64 { body_base64: STANDARD.encode(body) },
        }
    }
}

/// The length of a text in a JSON string, in bytes.
fn escaped_length(text: &str) -> usize {
    let length = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

/// The Mecha of a runtime.
#[derive(Debug, Serialize)]
pub(crate) struct FrameMecha {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// Why a secret stops being valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Notice {
    /// The key was rotated, and the connection uses the previous secret.
    Rotated,
    /// The key expires.
    Expiring,
}

/// The end of a connection: what is recorded, and the close frame (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Why the connection ended.
    pub(crate) reason: EndReason,
    /// The status code of the close frame.
    pub(crate) code: u16,
    /// The reason of the close frame: at most 123 bytes.
    pub(crate) text: &'static str,
}

impl End {
    pub(crate) const STOPPED: Self = Self::new(EndReason::Stopped, 1000, "goodbye");
    pub(crate) const LOST: Self = Self::new(EndReason::Lost, 1001, "no frame for 45 s");
    pub(crate) const KEY_ENDED: Self = Self::new(EndReason::KeyEnded, 4401, "the key is no longer valid");
    pub(crate) const SWITCHED_OFF: Self =
        Self::new(EndReason::SwitchedOff, 4403, "the key or its Mecha is switched off");
    pub(crate) const REPLACED: Self =
        Self::new(EndReason::Replaced, 4409, "replaced by a newer connection of this instance");
    pub(crate) const DISCONNECTED: Self =
        Self::new(EndReason::Disconnected, 4410, "disconnected by the owner of the Mecha");
    pub(crate) const NO_HELLO: Self = Self::new(EndReason::NoHello, 1008, "no hello within 10 s");
    pub(crate) const SERVER_STOPPED: Self =
        Self::new(EndReason::ServerStopped, 1012, "the server shuts down: reconnect");
    pub(crate) const UNVERIFIED: Self =
        Self::new(EndReason::Unverified, 1013, "the key cannot be verified at the moment: reconnect");
    pub(crate) const TOO_MANY: Self =
        Self::new(EndReason::TooMany, 1013, "this Mecha has 16 runtimes: try again later");
    pub(crate) const OUTDATED: Self = Self::violation(
        1008,
        "this instance is connected with the current secret, and this is the previous one",
    );

    const fn new(reason: EndReason, code: u16, text: &'static str) -> Self {
        Self { reason, code, text }
    }

    /// The runtime violated the protocol.
    pub(crate) const fn violation(code: u16, text: &'static str) -> Self {
        Self { reason: EndReason::Violation, code, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_parsed_and_its_texts_are_shortened() {
        let hello = Hello::parse(
            r#"{"type":"hello","instance":"a","name":"porter\u0000\u202e","host":" h ","actions":["chat"],"more":1}"#,
        )
        .unwrap();
        let program = hello.program();
        assert_eq!((program.name.as_str(), program.host.as_str(), program.os.as_str()), ("porter", "h", ""));
        let long = format!(r#"{{"type":"hello","instance":"a","name":"{}"}}"#, "ä".repeat(1_000));
        assert_eq!(Hello::parse(&long).unwrap().program().name.chars().count(), 100);
    }

    #[test]
    fn an_invalid_hello_is_rejected() {
        let instance = "i".repeat(129);
        for text in [
            "",
            "null",
            "{}",
            r#"{"type":"bye"}"#,
            r#"{"type":"hello"}"#,
            r#"{"type":"hello","instance":""}"#,
            r#"{"type":"hello","instance":5}"#,
            r#"{"type":"hello","instance":"a","host":null}"#,
            r#"{"type":"hello","instance":"a","actions":"chat"}"#,
            r#"{"type":"hello","instance":"a","actions":["a/b"]}"#,
            r#"{"type":"hello","instance":"a","actions":[""]}"#,
            &format!(r#"{{"type":"hello","instance":"{instance}"}}"#),
        ] {
            assert!(Hello::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_reason_of_every_close_frame_fits() {
        for end in [End::KEY_ENDED, End::OUTDATED, End::UNVERIFIED, End::TOO_MANY] {
            assert!(end.text.len() <= 123, "{end:?}");
        }
    }
}
