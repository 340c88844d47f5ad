//! Forwards triggers to the node that holds a runtime, in one hop.
//!
//! The node that a caller has reached sends the request over HTTP to the `--node-url` of another node, and authenticates
//! with its secret. The other node verifies the caller's key or session itself, and responds with a stream of events. Each event is
//! its kind, the length of its data in four bytes, and its data.

use crate::ids::{Id, hex, parse_digest, parse_id};
use crate::key_cache::cluster::identity::NodeIdentity;
use crate::runtimes::callers::{Caller, Credential, Interruption};
use crate::runtimes::frames::ResponseEvent;
use crate::runtimes::requests::NewRequest;
use crate::secret::SecretDigest;
use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The path of forwarded requests.
pub(crate) const PATH: &str = "/triggers";
/// The header with the id of the node that forwards.
pub(crate) const NODE: &str = "x-node-id";
/// Timeout for connecting to another node and for the head of its response, which it sends before the runtime responds.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Length limit of an event, in bytes: that of a frame of a runtime.
const EVENT_LIMIT: usize = 2 * 1024 * 1024;
/// Bytes of an event before its data.
const EVENT_HEADER_LEN: usize = 5;

/// A request to another node: who requests what. The body of the HTTP request is this as a line of JSON, and then the
/// body of the caller's request.
#[derive(Serialize, Deserialize)]
struct Head {
    account: String,
    /// The key of the caller; `None` if it is the owner, with a session of the console.
    key: Option<String>,
    /// The SHA-256 of the secret, or of the id of the session, in hexadecimal.
    secret: String,
    mecha: Option<String>,
    action: String,
    content_type: String,
    stream: bool,
}

/// A request that another node has forwarded.
pub(crate) struct Forwarded {
    pub(crate) mecha: Option<String>,
    pub(crate) request: NewRequest,
}

/// Encodes a request for another node.
fn encode(mecha: Option<&str>, request: &NewRequest) -> Bytes {
    let digest = |digest: &[u8; 32]| {
        let (high, low) = digest.split_at(16);
        [high, low].iter().filter_map(|half| Some(hex(&<Id>::try_from(*half).ok()?))).collect::<String>()
    };
    let head = Head {
        account: hex(&request.caller.account),
        key: request.caller.key().map(hex),
        secret: match &request.caller.credential {
            Credential::Key { secret, .. } => digest(secret.as_bytes()),
            Credential::Session(session) => digest(session),
        },
        mecha: mecha.map(ToOwned::to_owned),
        action: request.action.clone(),
        content_type: request.content_type.clone(),
        stream: request.is_stream,
    };
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend_from_slice(&request.body);
    bytes.into()
}

/// Decodes a request of another node; `None` if it is malformed.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Forwarded> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes.split_to(end)).ok()?;
    let body = bytes.split_off(1);
    let digest = parse_digest(&head.secret)?;
    let credential = match head.key {
        Some(key) => Credential::Key { id: parse_id(&key)?, secret: SecretDigest::from_bytes(digest) },
        None => Credential::Session(digest),
    };
    let caller = Caller { account: parse_id(&head.account)?, credential };
    Some(Forwarded {
        mecha: head.mecha,
        request: NewRequest {
            action: head.action,
            content_type: head.content_type,
            is_stream: head.stream,
            caller,
            body,
        },
    })
}

/// The response of another node. Dropping it closes the connection, which cancels the request.
#[derive(Debug)]
pub(crate) struct RemoteResponse {
    body: Incoming,
    /// What has arrived of the next event.
    received: Vec<u8>,
    connection: AbortHandle,
}

/// Why another node does not accept a request. No runtime has got it.
pub(crate) enum NotAccepted {
    /// The node cannot be reached, or has no runtime that offers the action now.
    NoRuntime,
    /// Its runtimes have too many requests in flight, or the node itself.
    Busy,
    /// The key of the caller is no longer valid.
    KeyEnded,
    /// The node may have sent the request to a runtime: no other node gets it.
    Lost,
}

/// Sends a request to the node at `url`.
///
/// # Errors
/// The node does not accept the request.
pub(crate) async fn forward(
    own: &NodeIdentity,
    url: &str,
    mecha: Option<&str>,
    request: &NewRequest,
) -> Result<RemoteResponse, NotAccepted> {
    let connecting = connect(url);
    let Ok(Some((mut sender, connection, authority))) = timeout(HEAD_TIMEOUT, connecting).await else {
        return Err(NotAccepted::NoRuntime);
    };
    let abort = tokio::spawn(async move { connection.await.is_ok() }).abort_handle();
    let forwarded = Request::post(PATH)
        .header(HOST, authority)
        .header(NODE, &own.id)
        .header(AUTHORIZATION, format!("Bearer {}", own.reveal_secret()))
        .body(Full::new(encode(mecha, request)));
    let sent = match forwarded {
        Ok(forwarded) => timeout(HEAD_TIMEOUT, sender.send_request(forwarded)).await,
        Err(_) => return Err(NotAccepted::NoRuntime),
    };
    let refused = |problem| {
        abort.abort();
        Err(problem)
    };
    match sent {
        Ok(Ok(response)) => match response.status() {
            StatusCode::OK => {
                Ok(RemoteResponse { body: response.into_body(), received: Vec::new(), connection: abort })
            }
            StatusCode::CONFLICT => refused(NotAccepted::Busy),
            StatusCode::GONE => refused(NotAccepted::KeyEnded),
            StatusCode::NOT_FOUND => refused(NotAccepted::NoRuntime),
            status => {
                tracing::warn!(url, %status, "another node rejects a request that was forwarded to it");
                refused(NotAccepted::NoRuntime)
            }
        },
        Ok(Err(_)) | Err(_) => refused(NotAccepted::Lost),
    }
}

type Connection =
    (http1::SendRequest<Full<Bytes>>, http1::Connection<TokioIo<TcpStream>, Full<Bytes>>, String);

/// Connects to the node at a URL; `None` if it cannot be reached.
async fn connect(url: &str) -> Option<Connection> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await;
    let stream =
        stream.inspect_err(|error| tracing::warn!(url, %error, "another node cannot be reached")).ok()?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    Some((sender, connection, uri.authority()?.to_string()))
}

/// The end of a response, as nodes exchange it.
#[derive(Serialize, Deserialize)]
struct Ending {
    status: u16,
    /// The media type of a complete response, or what the runtime states about a failure.
    text: String,
}

/// Encodes an event, or why there is none.
pub(crate) fn encode_event(event: &Result<ResponseEvent, Interruption>) -> Bytes {
    let ending = |status: u16, text: &str| {
        serde_json::to_vec(&Ending { status, text: text.to_owned() }).unwrap_or_default()
    };
    let (kind, data) = match event {
        Ok(ResponseEvent::Chunk(data)) => (b'c', data.to_vec()),
        Ok(ResponseEvent::End { status, content_type }) => (b'e', ending(*status, content_type)),
        Ok(ResponseEvent::Error { status, detail }) => (b'f', ending(*status, detail)),
        Ok(ResponseEvent::Overrun) => (b'o', Vec::new()),
        Ok(ResponseEvent::Lost) => (b'l', Vec::new()),
        Err(Interruption::KeyEnded) => (b'k', Vec::new()),
        Err(Interruption::Unverified) => (b'u', Vec::new()),
        Err(Interruption::TimedOut) => (b't', Vec::new()),
        Err(Interruption::OutOfMemory) => (b'm', Vec::new()),
    };
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), &data].concat().into()
}

/// Decodes the first event of `received`, and removes it; `None` if it is incomplete.
fn decode_event(received: &mut Vec<u8>) -> Option<Result<ResponseEvent, Interruption>> {
    let (&[kind, a, b, c, d], rest) = received.split_first_chunk::<EVENT_HEADER_LEN>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    if length > EVENT_LIMIT {
        return Some(Ok(ResponseEvent::Lost));
    }
    let data = Bytes::copy_from_slice(rest.get(..length)?);
    received.drain(..EVENT_HEADER_LEN + length);
    Some(Ok(match kind {
        b'k' => return Some(Err(Interruption::KeyEnded)),
        b'u' => return Some(Err(Interruption::Unverified)),
        b't' => return Some(Err(Interruption::TimedOut)),
        b'm' => return Some(Err(Interruption::OutOfMemory)),
        b'c' => ResponseEvent::Chunk(data),
        b'o' => ResponseEvent::Overrun,
        b'e' | b'f' => match serde_json::from_slice(&data) {
            Ok(Ending { status, text }) if kind == b'e' => ResponseEvent::End { status, content_type: text },
            Ok(Ending { status, text }) => ResponseEvent::Error { status, detail: text },
            Err(_) => ResponseEvent::Lost,
        },
        _ => ResponseEvent::Lost,
    }))
}

impl RemoteResponse {
    /// Waits for the next part of the response. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The other node ended the response.
    pub(crate) async fn next(&mut self) -> Result<ResponseEvent, Interruption> {
        loop {
            if let Some(event) = decode_event(&mut self.received) {
                return event;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) | None => return Ok(ResponseEvent::Lost),
            }
        }
    }
}

impl Drop for RemoteResponse {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_decoded_as_they_were_encoded_in_whatever_pieces_they_arrive() {
        let events = || {
            [
                Ok(ResponseEvent::Chunk(Bytes::from_static(b"one\n\xff"))),
                Ok(ResponseEvent::End { status: 201, content_type: "text/plain".to_owned() }),
                Ok(ResponseEvent::Error { status: 422, detail: "No \"message\"".to_owned() }),
                Ok(ResponseEvent::Overrun),
                Ok(ResponseEvent::Lost),
                Err(Interruption::KeyEnded),
                Err(Interruption::Unverified),
                Err(Interruption::TimedOut),
                Err(Interruption::OutOfMemory),
            ]
        };
        let bytes: Vec<u8> = events().iter().flat_map(|event| encode_event(event).to_vec()).collect();
        let (mut received, mut decoded) = (Vec::new(), Vec::new());
        for byte in bytes {
            received.push(byte);
            decoded.extend(decode_event(&mut received));
        }
        assert_eq!(decoded, events());
        assert!(received.is_empty());
        assert_eq!(decode_event(&mut vec![b'c', 0xff, 0xff, 0xff, 0xff]), Some(Ok(ResponseEvent::Lost)));
    }

    #[test]
    fn a_request_is_decoded_as_it_was_encoded() {
        let key = Credential::Key { id: [2; 16], secret: SecretDigest::from_bytes([3; 32]) };
        for credential in [key, Credential::Session([4; 32])] {
            let request = NewRequest {
                action: "chat".to_owned(),
                content_type: "text/plain".to_owned(),
                is_stream: true,
                caller: Caller { account: [1; 16], credential },
                body: Bytes::from_static(b"a\nb\xff"),
            };
            let forwarded = decode(encode(Some("Porter"), &request)).unwrap();
            let caller = &forwarded.request.caller;
            assert_eq!((caller.account, caller.key()), ([1; 16], request.caller.key()));
            let digest = match &caller.credential {
                Credential::Key { secret, .. } => *secret.as_bytes(),
                Credential::Session(session) => *session,
            };
            assert_eq!(digest, if caller.key().is_some() { [3; 32] } else { [4; 32] });
            assert_eq!(forwarded.mecha.as_deref(), Some("Porter"));
            assert_eq!((forwarded.request.body, forwarded.request.is_stream), (request.body, true));
        }
        for malformed in [&b""[..], b"\n", b"{}\n", b"no line break"] {
            assert!(decode(Bytes::from_static(malformed)).is_none());
        }
    }
}
