//! Establishes the connection of a runtime.

use crate::failure::{Failure, Kind};
use crate::http_client::{AGENT, redirect, rejection, retry_after};
use crate::runtime::frames::{FRAME_LIMIT, Hello, RuntimeFrame, SUBPROTOCOL, ServerFrame};
use crate::secret::Secret;
use crate::server_url::ServerUrl;
use crate::transport::{self, Transport};
use futures::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::{HeaderValue, StatusCode};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Timeout of the handshake, and of the welcome.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The WebSocket of a runtime.
pub(crate) type Socket = WebSocketStream<Box<dyn Transport>>;

/// How a connection ended, or why it was not established, and what to do about it.
#[derive(Debug)]
pub(crate) enum End {
    /// This runtime has sent its bye.
    Stopped,
    /// Another connection of this process has replaced it.
    Replaced,
    /// The key is no longer valid.
    KeyEnded(Failure),
    /// The owner has disconnected this runtime.
    Disconnected(Failure),
    /// Do not try again.
    Final(Failure),
    /// Try again, at the earliest after this time.
    Retry(Failure, Option<Duration>),
    /// The key or the Mecha is switched off: try again once a minute.
    SwitchedOff(Failure),
    /// The key is not valid. After [`End::SwitchedOff`], it may be switched on again.
    Unauthorized(Failure),
}

impl End {
    /// What a close frame of the server means: see `docs/runtime.md`.
    pub(crate) fn of_close(frame: Option<CloseFrame>) -> Self {
        let Some(frame) = frame else { return Self::lost("the connection was lost") };
        let (code, reason) = (u16::from(frame.code), frame.reason.to_string());
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        match code {
            1000 => Self::Stopped,
            4401 => Self::KeyEnded(
                Failure::denied(
                    "the key is no longer valid: it was deleted, it expired, or its secret was replaced",
                )
                .hint("Issue a new key on the page of the Mecha."),
            ),
            4403 => Self::SwitchedOff(Failure::denied("the key or the Mecha is switched off")),
            4409 => Self::Replaced,
            4410 => Self::Disconnected(
                Failure::denied("the owner has disconnected this runtime")
                    .hint("It may connect again when you start it."),
            ),
            1002 | 1003 | 1007..=1009 => Self::Final(
                Failure::error(format!("the server closed the connection with code {code}{reason}"))
                    .hint("This is a defect, or the versions of mecha and the console do not fit together."),
            ),
            _ => Self::lost(&format!("the server closed the connection with code {code}{reason}")),
        }
    }

    /// Why the runtime is not connected; `None` if it has stopped or was replaced.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Stopped | Self::Replaced => None,
            Self::KeyEnded(failure)
            | Self::Disconnected(failure)
            | Self::Final(failure)
            | Self::Retry(failure, _)
            | Self::SwitchedOff(failure)
            | Self::Unauthorized(failure) => Some(failure),
        }
    }

    /// The connection ended without a close frame.
    pub(crate) fn lost(message: &str) -> Self {
        Self::Retry(Failure::unreachable(message), None)
    }
}

/// A connection whose hello was accepted.
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    /// The name of the Mecha.
    pub(crate) mecha: String,
    pub(crate) key_id: String,
    pub(crate) expires_at: Option<String>,
}

/// Connects and sends the hello.
///
/// # Errors
/// The connection is not established.
pub(crate) async fn connect(url: &ServerUrl, secret: &Secret, hello: &Hello) -> Result<Connected, End> {
    let stream = transport::connect(url).await.map_err(|failure| {
        if failure.kind == Kind::Unreachable { End::Retry(failure, None) } else { End::Final(failure) }
    })?;
    let welcomed = timeout(HANDSHAKE_TIMEOUT, async {
        let config =
            WebSocketConfig::default().max_message_size(Some(FRAME_LIMIT)).max_frame_size(Some(FRAME_LIMIT));
        let request = request(url, secret).map_err(|error| End::Final(Failure::usage(error.to_string())))?;
        let (socket, _) = client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|error| rejected(url, error))?;
        greet(socket, hello).await
    });
    welcomed.await.unwrap_or_else(|_| Err(End::lost("the server does not complete the handshake")))
}

fn request(url: &ServerUrl, secret: &Secret) -> Result<Request, Error> {
    let scheme = if url.is_https { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}/api/v1/runtime", url.authority()).into_client_request()?;
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))?;
    authorization.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(request)
}

/// Why the server did not upgrade the connection.
fn rejected(url: &ServerUrl, error: Error) -> End {
    let response = match error {
        Error::Http(response) => response,
        Error::ConnectionClosed | Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            return End::lost(&format!("{url} closed the connection during the handshake"));
        }
        Error::Io(error) => return End::lost(&format!("the handshake with {url} failed: {error}")),
        error => return End::Final(Failure::error(format!("the handshake with {url} failed: {error}"))),
    };
    let (head, body) = response.into_parts();
    let body = body.unwrap_or_default();
    if let Some(failure) = redirect(url, head.status, &head.headers) {
        return End::Final(failure);
    }
    let failure = rejection(url, head.status, &head.headers, &body);
    match head.status {
        StatusCode::UNAUTHORIZED => End::Unauthorized(failure),
        StatusCode::FORBIDDEN => End::Final(
            Failure::denied(format!("{url} rejects the key: it belongs to no Mecha"))
                .hint("Issue a key on the page of the Mecha, and connect with that one."),
        ),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            End::Retry(Failure::unreachable(failure.message), retry_after(&head.headers))
        }
        _ => End::Final(failure),
    }
}

/// Sends the hello and waits for the welcome.
async fn greet(mut socket: Socket, hello: &Hello) -> Result<Connected, End> {
    let text = serde_json::to_string(&RuntimeFrame::Hello(hello.clone())).unwrap_or_default();
    let lost = |error: Error| End::lost(&format!("the connection was lost: {error}"));
    socket.send(Message::text(text)).await.map_err(lost)?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let Ok(ServerFrame::Welcome { mecha, key_id, expires_at }) = serde_json::from_str(&text)
                else {
                    return Err(End::Final(Failure::error("the server did not welcome this runtime")));
                };
                return Ok(Connected { socket, mecha: mecha.name, key_id, expires_at });
            }
            Some(Ok(Message::Close(frame))) => {
                return Err(match End::of_close(frame) {
                    End::Stopped => End::lost("the server closed the connection"),
                    end => end,
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(lost(error)),
            None => return Err(End::of_close(None)),
        }
    }
}
