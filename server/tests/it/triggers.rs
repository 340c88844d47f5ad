//! Triggers: callers with a key of the account, and runtimes, through the listener of the server.

use crate::runtimes::{Peer, Place, serve};
use crate::test_app::{Browser, TestApp};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// A caller's connection. It shows how a response ends.
pub(crate) struct Call(TcpStream, Vec<u8>);

/// A response that has ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
    /// Whether the response is complete (RFC 9112, section 8).
    pub(crate) is_complete: bool,
}

impl Answer {
    pub(crate) fn problem(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        let name = problem["type"].as_str().unwrap().strip_prefix("urn:problem-type:mecha-console:");
        name.unwrap().to_owned()
    }
}

impl Call {
    /// Sends a request.
    pub(crate) async fn begin(
        address: SocketAddr,
        secret: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut head = format!("POST {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        head.push_str(&format!("Authorization: Bearer {secret}\r\nContent-Length: {}\r\n", body.len()));
        headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        // The server may respond before it has read a body that is too large.
        let _ = stream.write_all(body).await;
        Self(stream, Vec::new())
    }

    /// Reads until `text` has arrived.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let received = String::from_utf8_lossy(&self.1).into_owned();
                if received.contains(text) {
                    return received;
                }
                let mut buffer = [0; 4096];
                let count = self.0.read(&mut buffer).await.unwrap();
                assert!(count > 0, "{text:?} is not in {received}");
                self.1.extend_from_slice(&buffer[..count]);
            }
        };
        timeout(Duration::from_secs(10), reading).await.unwrap()
    }

    /// Reads to the end of the response.
    pub(crate) async fn end(mut self) -> Answer {
        let reading = timeout(Duration::from_secs(90), self.0.read_to_end(&mut self.1));
        let _ = reading.await.unwrap();
        let text = String::from_utf8_lossy(&self.1).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_lowercase();
        let (body, is_complete) = if head.contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            (body.to_owned(), length.is_none_or(|length| length == body.len().to_string()))
        };
        Answer { status, head, body, is_complete }
    }
}

/// The data of a chunked body, and whether it is complete.
fn unchunk(mut text: &str) -> (String, bool) {
    let mut data = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (data, true);
        }
        data.push_str(rest.get(..size).unwrap_or(rest));
        text = rest.get(size + 2..).unwrap_or_default();
    }
    (data, false)
}

/// A console with a connected runtime and a key of the account.
struct Scene {
    place: Place,
    secret: String,
    id: String,
}

pub(crate) const EVENTS: &[&str] = &["Accept: text/event-stream"];

impl Scene {
    async fn new() -> Self {
        Self::with(&["--sign-ups", "open"]).await
    }

    async fn with(flags: &[&str]) -> Self {
        let mut place = Place::of(TestApp::with(flags).await).await;
        let (id, secret) = place.ada.create("Caller").await;
        Self { place, secret, id }
    }

    async fn runtime(&self, instance: &str) -> Peer {
        Peer::welcomed(self.place.address, &self.place.key.secret, instance).await
    }

    async fn call(&self, headers: &[&str], body: &[u8]) -> Call {
        self.call_at("/v1/trigger/chat", headers, body).await
    }

    async fn call_at(&self, target: &str, headers: &[&str], body: &[u8]) -> Call {
        Call::begin(self.place.address, &self.secret, target, headers, body).await
    }

    /// The status of a request that no runtime needs to see.
    async fn status_at(&self, target: &str) -> u16 {
        self.call_at(target, &[], b"{}").await.end().await.status
    }

    /// Checks that nothing is left in flight.
    async fn is_idle(&self) {
        self.place.app.wait_until_no_trigger_is_in_flight().await;
    }
}

/// The next frame of a request, and its id.
pub(crate) async fn request_of(peer: &mut Peer) -> (Value, String) {
    let frame = peer.frame().await;
    assert_eq!(frame["type"], "request", "{frame}");
    let id = frame["id"].as_str().unwrap().to_owned();
    (frame, id)
}

pub(crate) async fn chunk(peer: &mut Peer, id: &str, data: &str) {
    peer.send(json!({"type": "chunk", "id": id, "data": data})).await;
}

pub(crate) async fn end(peer: &mut Peer, id: &str, status: u16, content_type: &str) {
    peer.send(json!({"type": "end", "id": id, "status": status, "content_type": content_type})).await;
}

#[tokio::test]
async fn a_request_reaches_a_runtime_and_its_response_the_caller() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let call = scene.call(&["Content-Type: application/json"], br#"{"message": "Hello"}"#).await;
    let (frame, id) = request_of(&mut peer).await;
    assert_eq!(
        frame,
        json!({"type": "request", "id": id, "action": "chat", "content_type": "application/json",
               "stream": false, "key_id": scene.id, "window": 262_144, "body": "{\"message\": \"Hello\"}"})
    );
    chunk(&mut peer, &id, "{\"reply\":").await;
    chunk(&mut peer, &id, "\"Grüße\"}").await;
    end(&mut peer, &id, 200, "application/json").await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"reply\":\"Grüße\"}"));
    for header in [
        "content-type: application/json",
        "content-security-policy: sandbox",
        "x-content-type-options: nosniff",
    ] {
        assert!(answer.head.contains(header), "{header} is not in {}", answer.head);
    }
    // Usage is recorded, activity is not.
    let uses = scene.place.app.usage(&scene.id).await.uses;
    assert_eq!(uses.iter().map(|used| used.times).sum::<u64>(), 1);
    scene.is_idle().await;
}

#[tokio::test]
async fn a_streamed_response_arrives_chunk_by_chunk_and_ends_with_an_event() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let mut call = scene.call(EVENTS, b"hi").await;
    let (frame, id) = request_of(&mut peer).await;
    assert_eq!(frame["stream"], true);
    chunk(&mut peer, &id, "one\ntwo").await;
    let received = call.read_until("data: two\n\n").await;
    assert!(received.contains("data: one\ndata: two\n\n"), "{received}");
    assert!(received.to_lowercase().contains("content-type: text/event-stream"));
    chunk(&mut peer, &id, "three").await;
    call.read_until("data: three\n\n").await;
    end(&mut peer, &id, 200, "text/plain").await;
    let answer = call.end().await;
    assert!(answer.body.ends_with("event: end\ndata: {\"status\":200}\n\n"), "{}", answer.body);
    assert!(answer.is_complete);
    scene.is_idle().await;
}

#[tokio::test]
async fn binary_bodies_are_sent_and_returned_in_base64() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let call = scene.call(&[], b"\xff\xfe").await;
    let (frame, id) = request_of(&mut peer).await;
    assert_eq!((&frame["body_base64"], &frame["body"]), (&json!("//4="), &Value::Null));
    peer.send(json!({"type": "chunk", "id": id, "data_base64": "Zm9v"})).await;
    end(&mut peer, &id, 201, "application/octet-stream").await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "foo"));
    // A large body arrives in one message of several frames.
    let large = "ü".repeat(500_000);
    let call = scene.call(&[], large.as_bytes()).await;
    let (frame, id) = request_of(&mut peer).await;
    assert_eq!(frame["body"], large);
    end(&mut peer, &id, 204, "text/plain").await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
}

#[tokio::test]
async fn a_caller_is_rejected_with_the_reason() {
    let mut scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let rejected = async |scene: &Scene, secret: &str| {
        Call::begin(scene.place.address, secret, "/v1/trigger/chat", &[], b"{}").await.end().await
    };
    let wrong = rejected(&scene, "mm_tok_wrong").await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (401, "invalid_token"));
    let of_mecha = rejected(&scene, &scene.place.key.secret).await;
    assert_eq!((of_mecha.status, of_mecha.problem().as_str()), (403, "insufficient_scope"));
    let fields = [("name", "Reads"), ("expire_in", "90"), ("access", "chosen"), ("scopes", "trigger")];
    let mut restricted = scene.place.ada.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    let call = Call::begin(scene.place.address, &restricted.secret, "/v1/trigger/chat", &[], b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    end(&mut peer, &id, 200, "application/json").await;
    assert_eq!(call.end().await.status, 200);
    let app = scene.place.app.restart_with(&["--sign-ups", "open", "--scopes", "read"]).await;
    let mut ada: Browser = scene.place.ada.clone();
    ada.router = app.router.clone();
    let narrow = [("name", "Other"), ("expire_in", "90"), ("access", "chosen"), ("scopes", "read")];
    restricted = ada.post("/rpc/keys/create", &narrow).await.list().new.unwrap();
    let answer = Call::begin(serve(&app).await, &restricted.secret, "/v1/trigger/chat", &[], b"{}").await;
    assert_eq!(answer.end().await.problem(), "insufficient_scope");
    for target in
        ["/v1/trigger/", "/v1/trigger/a/b", "/v1/trigger/chat/", "/v1/trigger/CHAT", "/v1/trigger/dance"]
    {
        assert_eq!(scene.status_at(target).await, 404, "{target}");
    }
    assert_eq!(scene.status_at(&format!("/v1/trigger/{}", "a".repeat(200))).await, 404);
    assert_eq!(scene.status_at("/v1/trigger/%ff").await, 404);
    assert_eq!(scene.status_at("/v1/trigger/chat?mecha=").await, 400);
    assert_eq!(scene.status_at("/v1/trigger/chat?mecha=%00").await, 400);
    let twice = scene.call_at("/v1/trigger/chat?mecha=a&mecha=b", &[], b"{}").await.end().await;
    assert_eq!((twice.status, twice.problem().as_str()), (400, "invalid_parameter"));
    let large = scene.call(&[], &vec![b'a'; 1_048_577]).await.end().await;
    assert_eq!((large.status, large.problem().as_str()), (413, "payload_too_large"));
    scene.is_idle().await;
}

#[tokio::test]
async fn a_body_that_exceeds_the_limit_in_chunks_is_rejected() {
    let scene = Scene::new().await;
    let _peer = scene.runtime("a").await;
    let mut stream = TcpStream::connect(scene.place.address).await.unwrap();
    let head = format!(
        "POST /v1/trigger/chat HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        scene.secret
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let part = [format!("{:x}\r\n", 65_536).into_bytes(), vec![b'a'; 65_536], b"\r\n".to_vec()].concat();
    for _ in 0..20 {
        if stream.write_all(&part).await.is_err() {
            break;
        }
    }
    let mut response = [0; 12];
    stream.read_exact(&mut response).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 413");
    scene.is_idle().await;
}

#[tokio::test]
async fn the_runtime_with_the_fewest_requests_of_the_named_mecha_is_selected() {
    let mut scene = Scene::new().await;
    let (mut first, mut second) = (scene.runtime("a").await, scene.runtime("b").await);
    // Each gets one of two requests.
    let calls = [scene.call(&[], b"1").await, scene.call(&[], b"2").await];
    for peer in [&mut first, &mut second] {
        let (_, id) = request_of(peer).await;
        end(peer, &id, 200, "text/plain").await;
    }
    for call in calls {
        assert_eq!(call.end().await.status, 200);
    }
    let named = scene.call_at("/v1/trigger/chat?mecha=PORTER", &[], b"{}").await;
    let peer = tokio::select! {
        frame = first.frame() => (frame, true),
        frame = second.frame() => (frame, false),
    };
    let id = peer.0["id"].as_str().unwrap().to_owned();
    end(if peer.1 { &mut first } else { &mut second }, &id, 202, "text/plain").await;
    assert_eq!(named.end().await.status, 202);
    let other = crate::mechas::create_mecha(&mut scene.place.ada, "Other").await;
    assert_eq!(scene.status_at(&format!("/v1/trigger/chat?mecha={other}")).await, 404);
    assert_eq!(scene.status_at("/v1/trigger/chat?mecha=nobody").await, 404);
    // A runtime that drains gets no more requests.
    for peer in [&mut first, &mut second] {
        peer.send(json!({"type": "status", "state": "draining"})).await;
    }
    scene.place.wait_for("Draining").await;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = timeout(Duration::from_secs(1), scene.call(&[], b"{}").await.end()).await;
        if let Ok(answer) = answer {
            assert_eq!((answer.status, answer.problem().as_str()), (503, "no-runtime"));
            assert!(answer.head.contains("retry-after: "));
            break;
        }
        assert!(Instant::now() < deadline);
    }
    drop((first, second));
    scene.place.wait_for("the connection was lost").await;
    assert_eq!(scene.status_at("/v1/trigger/chat").await, 503);
    // Another account sees none of this.
    let mut bob = scene.place.app.owner("bob@example.com").await;
    let (_, secret) = bob.create("Caller").await;
    let answer = Call::begin(scene.place.address, &secret, "/v1/trigger/chat", &[], b"{}").await.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "no-such-action"));
}

#[tokio::test]
async fn an_invalid_response_is_a_502_and_the_connection_stays() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let invalid = [
        json!({"type": "end", "status": 200, "content_type": "text/html"}),
        json!({"type": "end", "status": 302, "content_type": "text/plain"}),
        json!({"type": "end", "status": 401, "content_type": "text/plain"}),
        json!({"type": "end", "status": 429, "content_type": "text/plain"}),
        json!({"type": "error", "status": 200, "detail": "fine"}),
    ];
    for mut frame in invalid {
        let call = scene.call(&[], b"{}").await;
        let (_, id) = request_of(&mut peer).await;
        frame["id"] = id.into();
        peer.send(frame.clone()).await;
        let answer = call.end().await;
        assert_eq!((answer.status, answer.problem().as_str()), (502, "invalid-response"), "{frame}");
    }
    let call = scene.call(&[], b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    peer.send(json!({"type": "error", "id": id, "status": 422, "detail": "No <b>message"})).await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "action-failed"));
    assert!(answer.body.contains("\"detail\":\"No <b>message\""));
    assert!(answer.head.contains("application/problem+json"));
    scene.is_idle().await;
}

#[tokio::test]
async fn frames_after_the_end_are_ignored_and_those_of_a_request_that_was_never_sent_close_the_connection() {
    let scene = Scene::new().await;
    let (mut peer, mut other) = (scene.runtime("a").await, scene.runtime("b").await);
    let calls = [scene.call(&[], b"{}").await, scene.call(&[], b"{}").await];
    let (_, id) = request_of(&mut peer).await;
    let (_, of_other) = request_of(&mut other).await;
    end(&mut peer, &id, 200, "text/plain").await;
    end(&mut peer, &id, 500, "text/plain").await;
    chunk(&mut peer, &id, "late").await;
    peer.status("still here").await;
    end(&mut other, &of_other, 200, "text/plain").await;
    for call in calls {
        let answer = call.end().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    }
    end(&mut peer, &of_other, 200, "text/plain").await;
    assert_eq!(peer.close_code().await, 1008);
    end(&mut other, "made-up", 200, "text/plain").await;
    assert_eq!(other.close_code().await, 1008);
}

#[tokio::test]
async fn a_runtime_that_overruns_the_window_fails_that_request_alone() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let (call, other) = (scene.call(&[], b"1").await, scene.call(&[], b"2").await);
    let (first, id) = request_of(&mut peer).await;
    let (second, of_other) = request_of(&mut peer).await;
    assert_eq!((&first["body"], &second["body"]), (&json!("1"), &json!("2")));
    chunk(&mut peer, &id, &"x".repeat(262_145)).await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (502, "invalid-response"));
    assert_eq!(peer.frame().await, json!({"type": "cancel", "id": id}));
    chunk(&mut peer, &of_other, "fine").await;
    end(&mut peer, &of_other, 200, "text/plain").await;
    assert_eq!(other.end().await.body, "fine");
    // A frame of 2 MiB is larger than any frame may be.
    let call = scene.call(&[], b"3").await;
    let (_, id) = request_of(&mut peer).await;
    peer.0
        .send(Message::text(json!({"type": "chunk", "id": id, "data": "x".repeat(2 << 20)}).to_string()))
        .await
        .ok();
    assert_eq!(peer.close_code().await, 1009);
    assert_eq!(call.end().await.problem(), "runtime-lost");
    scene.is_idle().await;
}

#[tokio::test]
async fn the_window_is_extended_as_the_caller_reads_and_a_response_of_more_than_1_mib_is_rejected() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let call = scene.call(&[], b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    let mut window: i64 = 262_144;
    let mut sent = 0;
    while sent < 1_048_576 {
        while window < 65_536 {
            let frame = peer.frame().await;
            assert_eq!((&frame["type"], &frame["id"]), (&json!("window"), &json!(id)), "{frame}");
            window += frame["bytes"].as_i64().unwrap();
        }
        chunk(&mut peer, &id, &"x".repeat(65_536)).await;
        (window, sent) = (window - 65_536, sent + 65_536);
    }
    end(&mut peer, &id, 200, "text/plain").await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.len()), (200, 1_048_576));
    let call = scene.call(&[], b"{}").await;
    let id = loop {
        let frame = peer.frame().await;
        if frame["type"] == "request" {
            break frame["id"].as_str().unwrap().to_owned();
        }
    };
    for _ in 0..17 {
        chunk(&mut peer, &id, &"x".repeat(65_536)).await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(call.end().await.problem(), "invalid-response");
    scene.is_idle().await;
}

#[tokio::test]
async fn a_slow_caller_delays_only_its_own_request() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let slow = scene.call(EVENTS, b"slow").await;
    let (_, id) = request_of(&mut peer).await;
    // Until the window, and the buffers of the connection, are full.
    let (mut window, mut sent) = (262_144_i64, 0_i64);
    loop {
        while window >= 65_536 {
            chunk(&mut peer, &id, &"x".repeat(65_536)).await;
            (window, sent) = (window - 65_536, sent + 65_536);
        }
        match timeout(Duration::from_millis(500), peer.frame()).await {
            Ok(frame) => window += frame["bytes"].as_i64().unwrap(),
            Err(_) => break,
        }
        assert!(sent < 64 << 20, "the window never closes");
    }
    let fast = scene.call(&[], b"fast").await;
    let of_fast = loop {
        let frame = peer.frame().await;
        if frame["type"] == "request" {
            break frame["id"].as_str().unwrap().to_owned();
        }
    };
    chunk(&mut peer, &of_fast, "fast").await;
    end(&mut peer, &of_fast, 200, "text/plain").await;
    assert_eq!(fast.end().await.body, "fast");
    drop(slow);
    loop {
        let frame = peer.frame().await;
        if frame["type"] == "cancel" {
            assert_eq!(frame["id"], id);
            break;
        }
    }
    scene.is_idle().await;
}

#[tokio::test]
async fn a_request_whose_caller_is_revoked_before_it_is_sent_never_reaches_the_runtime() {
    let mut scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    // The runtime does not read, so that most of these requests wait in the server.
    let body = vec![b'a'; 1_000_000];
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(scene.call(&[], &body).await);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while scene.place.app.console.runtimes.triggers() < 20 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(10)).await;
    }
    scene.place.ada.post("/rpc/keys/set-active", &[("key_id", &scene.id), ("active", "false")]).await.list();
    let mut received = 0;
    while let Ok(frame) = timeout(Duration::from_secs(1), peer.frame()).await {
        received += usize::from(frame["type"] == "request");
    }
    assert!(received < 20, "{received} requests were sent");
    for call in calls {
        assert_eq!(call.end().await.status, 401);
    }
    scene.is_idle().await;
}

#[tokio::test]
async fn a_revoked_caller_that_does_not_read_cancels_its_request_at_once() {
    let mut scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let stream = scene.call(EVENTS, b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    let mut window = 262_144_i64;
    loop {
        while window >= 65_536 {
            chunk(&mut peer, &id, &"x".repeat(65_536)).await;
            window -= 65_536;
        }
        match timeout(Duration::from_millis(500), peer.frame()).await {
            Ok(frame) => window += frame["bytes"].as_i64().unwrap(),
            Err(_) => break,
        }
    }
    scene.place.ada.post("/rpc/keys/set-active", &[("key_id", &scene.id), ("active", "false")]).await.list();
    let cancel = timeout(Duration::from_secs(1), peer.frame()).await.unwrap();
    assert_eq!(cancel, json!({"type": "cancel", "id": id}));
    scene.is_idle().await;
    assert!(!stream.end().await.is_complete);
}

#[tokio::test]
async fn a_stream_over_http_1_0_is_rejected_because_its_failure_would_look_complete() {
    let scene = Scene::new().await;
    let mut stream = TcpStream::connect(scene.place.address).await.unwrap();
    let request = format!(
        "POST /v1/trigger/chat HTTP/1.0\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        scene.secret
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.0 505"), "{response}");
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_its_request_before_and_during_the_response() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    for headers in [&[] as &[&str], EVENTS] {
        let call = scene.call(headers, b"{}").await;
        let (_, id) = request_of(&mut peer).await;
        drop(call);
        assert_eq!(peer.frame().await, json!({"type": "cancel", "id": id}));
    }
    let mut call = scene.call(EVENTS, b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    chunk(&mut peer, &id, "one").await;
    call.read_until("data: one").await;
    drop(call);
    assert_eq!(peer.frame().await, json!({"type": "cancel", "id": id}));
    scene.is_idle().await;
}

#[tokio::test]
async fn a_lost_runtime_ends_its_requests() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let (whole, mut stream) = (scene.call(&[], b"1").await, scene.call(EVENTS, b"2").await);
    request_of(&mut peer).await;
    let (_, id) = request_of(&mut peer).await;
    chunk(&mut peer, &id, "one").await;
    stream.read_until("data: one").await;
    drop(peer);
    let answer = whole.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (502, "runtime-lost"));
    let answer = stream.end().await;
    assert!(answer.body.contains("event: error\ndata: {") && answer.body.contains("runtime-lost"));
    assert!(!answer.is_complete, "a failed stream must not look complete");
    scene.is_idle().await;
}

#[tokio::test]
async fn a_revoked_or_narrowed_key_ends_the_streams_of_its_callers() {
    let mut scene = Scene::with(&["--sign-ups", "open", "--scopes", "read"]).await;
    let mut peer = scene.runtime("a").await;
    for how in ["switch off", "narrow", "delete"] {
        let new = [("name", how), ("expire_in", "90")];
        let new = scene.place.ada.post("/rpc/keys/create", &new).await.list().new.unwrap();
        let call = async |headers: &[&str]| {
            Call::begin(scene.place.address, &new.secret, "/v1/trigger/chat", headers, b"{}").await
        };
        let mut stream = call(EVENTS).await;
        let (_, id) = request_of(&mut peer).await;
        chunk(&mut peer, &id, "one").await;
        stream.read_until("data: one").await;
        let waiting = call(&[]).await;
        request_of(&mut peer).await;
        let key = ("key_id", new.id.as_str());
        let response = match how {
            "switch off" => scene.place.ada.post("/rpc/keys/set-active", &[key, ("active", "false")]).await,
            "narrow" => {
                let fields = [key, ("name", how), ("access", "chosen"), ("scopes", "read")];
                scene.place.ada.post("/rpc/keys/edit", &fields).await
            }
            _ => scene.place.ada.post("/rpc/keys/delete", &[key, ("confirm_name", how)]).await,
        };
        assert_eq!(response.status, 200, "{}", response.body);
        let changed_at = Instant::now();
        chunk(&mut peer, &id, "too late").await;
        let answer = stream.end().await;
        assert!(changed_at.elapsed() < Duration::from_secs(1), "{how}");
        assert!(!answer.is_complete && !answer.body.contains("too late"), "{how}: {}", answer.body);
        let answer = waiting.end().await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "invalid_token"), "{how}");
        for _ in 0..2 {
            assert_eq!(peer.frame().await["type"], "cancel", "{how}");
        }
    }
    scene.is_idle().await;
}

#[tokio::test]
async fn the_key_of_the_runtime_ends_its_requests_too() {
    let mut scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let call = scene.call(&[], b"{}").await;
    request_of(&mut peer).await;
    let fields = [("key_id", scene.place.key.id.as_str()), ("active", "false")];
    scene.place.ada.post("/rpc/keys/set-active", &fields).await.list();
    assert_eq!(peer.close_code().await, 4403);
    assert_eq!(call.end().await.problem(), "runtime-lost");
    scene.is_idle().await;
}

#[tokio::test]
async fn a_runtime_has_at_most_32_requests_in_flight_and_memory_is_limited() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let mut calls = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..32 {
        calls.push(scene.call(&[], b"{}").await);
        ids.push(request_of(&mut peer).await.1);
    }
    let busy = scene.call(&[], b"{}").await.end().await;
    assert_eq!((busy.status, busy.problem().as_str()), (503, "busy"));
    assert!(busy.head.contains("retry-after: "));
    for id in &ids {
        end(&mut peer, id, 200, "text/plain").await;
    }
    for call in calls {
        assert_eq!(call.end().await.status, 200);
    }
    scene.is_idle().await;

    let small = Scene::with(&["--sign-ups", "open", "--trigger-memory", "2"]).await;
    let mut peer = small.runtime("a").await;
    let body = vec![b'a'; 1_000_000];
    let call = small.call(&[], &body).await;
    let (_, id) = request_of(&mut peer).await;
    assert_eq!(small.call(&[], &body).await.end().await.problem(), "busy");
    end(&mut peer, &id, 200, "text/plain").await;
    assert_eq!(call.end().await.status, 200);
    small.is_idle().await;
    let call = small.call(&[], &body).await;
    let (_, id) = request_of(&mut peer).await;
    end(&mut peer, &id, 200, "text/plain").await;
    assert_eq!(call.end().await.status, 200);
}

#[tokio::test]
async fn a_replaced_connection_and_one_at_shutdown_finish_their_requests() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let call = scene.call(&[], b"{}").await;
    let (_, id) = request_of(&mut peer).await;
    let mut newer = scene.runtime("a").await;
    // A new request goes to the newer connection.
    let second = scene.call(&[], b"{}").await;
    let (_, of_newer) = request_of(&mut newer).await;
    sleep(Duration::from_millis(1_500)).await;
    chunk(&mut peer, &id, "finished").await;
    end(&mut peer, &id, 200, "text/plain").await;
    assert_eq!(call.end().await.body, "finished");
    assert_eq!(peer.close_code().await, 4409);
    let console = scene.place.app.console.clone();
    console.shutdown.cancel();
    let stopping = tokio::spawn(async move { console.runtimes.shut_down().await });
    sleep(Duration::from_millis(200)).await;
    chunk(&mut newer, &of_newer, "finished, too").await;
    end(&mut newer, &of_newer, 200, "text/plain").await;
    assert_eq!(second.end().await.body, "finished, too");
    assert_eq!(newer.close_code().await, 1012);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_sends_nothing_for_a_minute_times_out() {
    let scene = Scene::new().await;
    let mut peer = scene.runtime("a").await;
    let started = Instant::now();
    let (whole, stream) = (scene.call(&[], b"{}").await, scene.call(EVENTS, b"{}").await);
    let (_, of_whole) = request_of(&mut peer).await;
    let (_, of_stream) = request_of(&mut peer).await;
    let responding = async {
        // The runtime responds to pings meanwhile.
        let mut cancelled = Vec::new();
        while cancelled.len() < 2 {
            if let Message::Text(text) = peer.0.next().await.unwrap().unwrap() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(frame["type"], "cancel");
                cancelled.push(frame["id"].as_str().unwrap().to_owned());
            }
        }
        cancelled
    };
    let (whole, stream, mut cancelled) = tokio::join!(whole.end(), stream.end(), responding);
    for answer in [whole, stream] {
        assert_eq!((answer.status, answer.problem().as_str()), (504, "runtime-timeout"));
    }
    assert!((59..70).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    cancelled.sort();
    assert_eq!(cancelled, [of_whole, of_stream]);
    scene.is_idle().await;
}
