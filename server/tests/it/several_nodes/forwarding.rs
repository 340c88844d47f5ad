//! Triggers of callers on one node for runtimes on another.

use crate::runtimes::{Peer, Place, serve};
use crate::test_app::{Browser, TestApp};
use crate::triggers::{Call, EVENTS, chunk, end, request_of};
use axum::serve::Listener;
use serde_json::json;
use server::http::{listeners, node_listener};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A node with a listener for other nodes. They reach it there, or at `url`.
async fn node(first: &TestApp, url: Option<&str>) -> (TestApp, SocketAddr, JoinHandle<()>) {
    let listener = listeners::bind_tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let own = format!("http://{address}");
    let listen = address.to_string();
    let flags = ["--sign-ups", "open", "--node-listen", &listen, "--node-url", url.unwrap_or(&own)];
    let app = first.restart_with(&flags).await;
    let router = node_listener::router(Arc::new(app.console.clone()));
    let shutdown = app.console.shutdown.clone();
    let serving = tokio::spawn(listeners::serve(listener, move |_| router.clone(), shutdown));
    (app, address, serving)
}

/// A caller's node, and a runtime on another node.
struct Scene {
    place: Place,
    caller: SocketAddr,
    secret: String,
    key: String,
    peer: Peer,
    callers_node: TestApp,
    runtimes_node: TestApp,
    serving: JoinHandle<()>,
    listener: SocketAddr,
}

impl Scene {
    /// The caller's node reaches the other one at its listener, or at `url`.
    async fn new(url: Option<&str>) -> Self {
        let mut place = Place::of(TestApp::new().await).await;
        assert!(
            crate::test_app::postgres().is_some(),
            "these tests need PostgreSQL: run them with tools/postgres.sh"
        );
        let (key, secret) = place.ada.create("Caller").await;
        let (callers_node, _, _) = node(&place.app, None).await;
        let (runtimes_node, listener, serving) = node(&place.app, url).await;
        let peer = Peer::welcomed(serve(&runtimes_node).await, &place.key.secret, "a").await;
        let caller = serve(&callers_node).await;
        Self { place, caller, secret, key, peer, callers_node, runtimes_node, serving, listener }
    }

    async fn call(&self, headers: &[&str], body: &[u8]) -> Call {
        Call::begin(self.caller, &self.secret, "/v1/trigger/chat", headers, body).await
    }

    async fn is_idle(&self) {
        self.runtimes_node.wait_until_no_trigger_is_in_flight().await;
    }
}

#[tokio::test]
async fn a_request_is_forwarded_to_the_node_of_the_runtime_and_its_response_is_returned_as_it_comes() {
    let mut scene = Scene::new(None).await;
    let call = scene.call(&["Content-Type: text/plain"], "Grüße\n\n".as_bytes()).await;
    let (frame, id) = request_of(&mut scene.peer).await;
    assert_eq!(
        (&frame["body"], &frame["content_type"], &frame["key_id"]),
        (&json!("Grüße\n\n"), &json!("text/plain"), &json!(scene.key))
    );
    chunk(&mut scene.peer, &id, "hello").await;
    end(&mut scene.peer, &id, 201, "text/plain").await;
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "hello"));

    let mut stream = scene.call(EVENTS, b"{}").await;
    let (_, id) = request_of(&mut scene.peer).await;
    chunk(&mut scene.peer, &id, "one").await;
    stream.read_until("data: one\n\n").await;
    chunk(&mut scene.peer, &id, "two").await;
    stream.read_until("data: two\n\n").await;
    end(&mut scene.peer, &id, 200, "text/plain").await;
    let answer = stream.end().await;
    assert!(answer.is_complete && answer.body.ends_with("event: end\ndata: {\"status\":200}\n\n"));

    let failed = scene.call(&[], b"{}").await;
    let (_, id) = request_of(&mut scene.peer).await;
    scene.peer.send(json!({"type": "error", "id": id, "status": 422, "detail": "no"})).await;
    let answer = failed.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "action-failed"));

    // The window is extended as the caller reads, through both nodes.
    let large = scene.call(&[], b"{}").await;
    let (_, id) = request_of(&mut scene.peer).await;
    let (mut window, mut sent) = (262_144_i64, 0);
    while sent < 1_048_576 {
        while window < 65_536 {
            window += scene.peer.frame().await["bytes"].as_i64().unwrap();
        }
        chunk(&mut scene.peer, &id, &"x".repeat(65_536)).await;
        (window, sent) = (window - 65_536, sent + 65_536);
    }
    end(&mut scene.peer, &id, 200, "text/plain").await;
    assert_eq!(large.end().await.body.len(), 1_048_576);
    scene.is_idle().await;
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_its_request_on_the_other_node() {
    let mut scene = Scene::new(None).await;
    for headers in [&[] as &[&str], EVENTS] {
        let call = scene.call(headers, b"{}").await;
        let (_, id) = request_of(&mut scene.peer).await;
        drop(call);
        assert_eq!(scene.peer.frame().await, json!({"type": "cancel", "id": id}));
    }
    scene.is_idle().await;
}

#[tokio::test]
async fn a_revocation_on_a_third_node_ends_a_forwarded_stream() {
    let mut scene = Scene::new(None).await;
    let mut stream = scene.call(EVENTS, b"{}").await;
    let (_, id) = request_of(&mut scene.peer).await;
    chunk(&mut scene.peer, &id, "one").await;
    stream.read_until("data: one").await;
    let mut owner: Browser = scene.place.ada.clone();
    owner.post("/rpc/keys/set-active", &[("key_id", &scene.key), ("active", "false")]).await.list();
    let revoked_at = Instant::now();
    chunk(&mut scene.peer, &id, "too late").await;
    let answer = stream.end().await;
    assert!(revoked_at.elapsed() < Duration::from_secs(1));
    assert!(!answer.is_complete && !answer.body.contains("too late"), "{}", answer.body);
    assert_eq!(scene.peer.frame().await, json!({"type": "cancel", "id": id}));
    assert_eq!(scene.call(&[], b"{}").await.end().await.status, 401);
    scene.is_idle().await;
}

#[tokio::test]
async fn a_node_that_is_killed_breaks_the_streams_that_it_forwards() {
    let mut scene = Scene::new(None).await;
    let (mut stream, waiting) = (scene.call(EVENTS, b"1").await, scene.call(&[], b"2").await);
    let (frame, id) = request_of(&mut scene.peer).await;
    let (_, of_other) = request_of(&mut scene.peer).await;
    let of_stream = if frame["body"] == "1" { id } else { of_other };
    chunk(&mut scene.peer, &of_stream, "one").await;
    stream.read_until("data: one").await;
    // Aborts the connections of the listener, as the end of the process does.
    scene.serving.abort();
    let answer = stream.end().await;
    assert!(!answer.is_complete, "{}", answer.body);
    let answer = waiting.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (502, "runtime-lost"));
    // No other node has a runtime, and that one cannot be reached.
    let answer = scene.call(&[], b"{}").await.end().await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "no-runtime"));
}

/// The status of a request to the listener for nodes.
async fn status_of(listener: SocketAddr, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    let body = "{}\n";
    let request = format!(
        "POST /triggers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_node_accepts_requests_only_from_nodes_that_hold_a_lease() {
    // The other node names a URL at which its requests are recorded.
    let recorder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", recorder.local_addr().unwrap());
    let scene = Scene::new(Some(&url)).await;
    let call = scene.call(&[], b"{}").await;
    let (mut recorded, _) = recorder.accept().await.unwrap();
    let mut buffer = vec![0; 4096];
    let count = recorded.read(&mut buffer).await.unwrap();
    let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
    drop(recorded);
    assert_eq!(call.end().await.status, 502, "the request may have been sent to a runtime");
    assert!(!head.contains(&scene.secret), "the secret of the caller is not sent to other nodes");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
        format!("{line}\r\n")
    };
    let (id, secret) = (header("x-node-id"), header("authorization"));
    // Malformed, but authenticated.
    assert_eq!(status_of(scene.listener, &format!("{id}{secret}")).await, 400);
    assert_eq!(status_of(scene.listener, "").await, 401);
    assert_eq!(status_of(scene.listener, &id).await, 401);
    assert_eq!(
        status_of(scene.listener, &format!("{id}Authorization: Bearer {}\r\n", "0".repeat(64))).await,
        401
    );
    assert_eq!(
        status_of(scene.listener, &format!("{id}Authorization: Bearer {}\r\n", scene.secret)).await,
        401
    );
    // Once its lease has ended, the secret of a node is worth nothing.
    scene.callers_node.console.key_cache.shut_down().await;
    assert_eq!(status_of(scene.listener, &format!("{id}{secret}")).await, 401);
}

#[tokio::test]
async fn a_response_on_a_node_that_loses_its_lease_breaks_and_the_runtime_is_notified() {
    let mut scene = Scene::new(None).await;
    let mut stream = scene.call(EVENTS, b"{}").await;
    let (_, id) = request_of(&mut scene.peer).await;
    chunk(&mut scene.peer, &id, "with a lease").await;
    stream.read_until("data: with a lease\n\n").await;
    // The node no longer extends its lease, as if it had lost the database.
    scene.callers_node.console.key_cache.shut_down().await;
    let started = Instant::now();
    chunk(&mut scene.peer, &id, "without a lease").await;
    let answer = stream.end().await;
    assert!(!answer.is_complete && !answer.body.contains("without a lease"), "{}", answer.body);
    assert!(started.elapsed() < Duration::from_secs(16), "{:?}", started.elapsed());
    assert_eq!(scene.peer.frame().await["type"], "cancel");
    scene.is_idle().await;
}

#[tokio::test]
async fn the_owner_tries_an_action_of_a_runtime_on_another_node_while_signed_in() {
    let mut scene = Scene::new(None).await;
    let mut ada = scene.place.ada.clone();
    ada.router = scene.callers_node.router.clone();
    let path = format!("/mechas/{}/try", scene.place.mecha);
    let send = |mut ada: Browser| {
        let path = path.clone();
        tokio::spawn(async move { ada.submit(&path, &[("trigger", "chat"), ("body", "hi")]).await })
    };
    let response = send(ada.clone());
    let (frame, id) = request_of(&mut scene.peer).await;
    assert_eq!((&frame["key_id"], &frame["body"]), (&json!(null), &json!("hi")));
    chunk(&mut scene.peer, &id, "forwarded").await;
    end(&mut scene.peer, &id, 200, "text/plain").await;
    assert!(response.await.unwrap().body.contains("<pre>forwarded</pre><p>200 in "));
    let response = send(ada.clone());
    let (_, id) = request_of(&mut scene.peer).await;
    chunk(&mut scene.peer, &id, "part").await;
    scene.place.ada.post("/rpc/account/sign-out", &[]).await;
    assert!(response.await.unwrap().body.contains("Your session has ended"));
    assert_eq!(scene.peer.frame().await["type"], "cancel");
    scene.is_idle().await;
}
