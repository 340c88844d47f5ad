//! A bare runtime for `make bench`: it responds to each request with its body, without a handler.
//!
//!     bare_runtime HOST:PORT CONNECTIONS SECRET…
//!
//! It opens that many connections with each secret, prints a line when all are connected, and responds until it is ended. A
//! request for the action `hold` gets one chunk and no end.

#![expect(clippy::print_stdout, reason = "the output of the program")]

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::error::Error;
use tokio::task::JoinSet;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(connections)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare_runtime HOST:PORT CONNECTIONS SECRET…".into());
    };
    let mut serving = JoinSet::new();
    for secret in arguments {
        for number in 0..connections.parse::<usize>()? {
            let mut request = format!("ws://{address}/api/v1/runtime").into_client_request()?;
            request.headers_mut().insert("authorization", format!("Bearer {secret}").parse()?);
            request.headers_mut().insert("sec-websocket-protocol", "mecha.runtime.v1".parse()?);
            let (mut socket, _) = connect_async_with_config(request, None, true).await?;
            let instance = format!("{} {number}", std::process::id());
            let hello = json!({"type": "hello", "instance": instance, "actions": ["chat", "hold"]});
            socket.send(Message::text(hello.to_string())).await?;
            socket.next().await.ok_or("no welcome")??;
            serving.spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let Ok(frame) = serde_json::from_str::<Value>(&text) else { return };
                    if frame.get("type").is_none_or(|kind| kind != "request") {
                        continue;
                    }
                    let (id, body) = (frame.get("id"), frame.get("body"));
                    let chunk = json!({"type": "chunk", "id": id, "data": body});
                    let end =
                        json!({"type": "end", "id": id, "status": 200, "content_type": "application/json"});
                    if socket.feed(Message::text(chunk.to_string())).await.is_err() {
                        return;
                    }
                    let holds = frame.get("action").is_some_and(|action| action == "hold");
                    if !holds && socket.feed(Message::text(end.to_string())).await.is_err() {
                        return;
                    }
                    if socket.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    }
    println!("connected");
    while serving.join_next().await.is_some() {}
    Ok(())
}
