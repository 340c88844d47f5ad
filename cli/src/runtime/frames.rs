//! The frames of the subprotocol `mecha.runtime.v1`, as `docs/runtime.md` describes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The subprotocol (RFC 6455, section 1.9).
pub(crate) const SUBPROTOCOL: &str = "mecha.runtime.v1";
/// Size limit of a frame, in bytes.
pub(crate) const FRAME_LIMIT: usize = 2 * 1024 * 1024;

/// A frame from the server. Unknown members are ignored.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ServerFrame {
    /// The response to the hello.
    Welcome { mecha: Mecha, key_id: String, expires_at: Option<String> },
    /// A client requests an action.
    Request(Request),
    /// This many bytes more may be sent for a request.
    Window { id: String, bytes: u32 },
    /// The request has ended, and its response is no longer needed.
    Cancel { id: String },
    /// Finish the work in hand and disconnect.
    Drain { deadline_ms: u64 },
    /// The secret stops being valid at this time.
    Notice { what: String, at: String },
    /// A frame of a later version of the server.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Mecha {
    pub(crate) name: String,
}

/// A request of a client.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) content_type: String,
    /// Whether the client reads the response as it comes.
    #[serde(default)]
    pub(crate) stream: bool,
    /// The key of the client; `None` if the owner calls from the console.
    pub(crate) key_id: Option<String>,
    /// How many bytes may be sent before the window is extended.
    pub(crate) window: u32,
    body: Option<String>,
    body_base64: Option<String>,
}

impl Request {
    /// Takes the body out of the frame; `None` if it is not valid.
    pub(crate) fn take_body(&mut self) -> Option<Vec<u8>> {
        match (self.body.take(), self.body_base64.take()) {
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(text)) => STANDARD.decode(text).ok(),
            (None, None) => Some(Vec::new()),
            (Some(_), Some(_)) => None,
        }
    }
}

/// A frame to the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum RuntimeFrame {
    /// The first frame.
    Hello(Hello),
    /// What the runtime does.
    Status { state: State },
    /// A part of a response: either `data` or `data_base64`.
    Chunk {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
    },
    /// A response is complete.
    End { id: String, status: u16, content_type: &'static str },
    /// The action failed.
    Error { id: String, status: u16, detail: String },
    /// The runtime stops.
    Bye,
}

impl RuntimeFrame {
    /// A part of a response.
    pub(crate) fn chunk(id: &str, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        let data_base64 = text.is_none().then(|| STANDARD.encode(bytes));
        Self::Chunk { id: id.to_owned(), data: text, data_base64 }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hello {
    /// Random for each process.
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) host: String,
    pub(crate) actions: Vec<String>,
}

/// What a runtime states about what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Idle,
    Busy,
    Draining,
}
