//! Runtimes: connections over WebSocket, through the listener of the server.

use crate::key_events::{event, listen};
use crate::mechas::{create_mecha, issue};
use crate::test_app::{Browser, PASSWORD, TestApp, client_request, verify};
use app::domain::api_key::NewSecret;
use app::domain::timestamp::DAY;
use axum::Extension;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::serve::Listener;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use server::http::listeners;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::Layer;

/// A console with a listener, an owner and a Mecha with a key.
pub(crate) struct Place {
    pub(crate) app: TestApp,
    pub(crate) address: SocketAddr,
    pub(crate) ada: Browser,
    pub(crate) mecha: String,
    pub(crate) key: NewSecret,
}

/// Serves the router of a console with the listener of the server.
pub(crate) async fn serve(app: &TestApp) -> SocketAddr {
    serve_at(app, ([127, 0, 0, 1], 0).into()).await
}

/// Like [`serve`], at this address.
pub(crate) async fn serve_at(app: &TestApp, address: SocketAddr) -> SocketAddr {
    let listener = listeners::bind_tcp(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, shutdown) = (app.router.clone(), app.console.shutdown.clone());
    let service_of = move |peer: SocketAddr| Extension(ConnectInfo(peer)).layer(router.clone());
    tokio::spawn(listeners::serve(listener, service_of, shutdown));
    address
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::of(TestApp::new().await).await
    }

    pub(crate) async fn of(app: TestApp) -> Self {
        let address = serve(&app).await;
        let mut ada = app.owner("ada@example.com").await;
        let mecha = create_mecha(&mut ada, "Porter").await;
        let key = issue(&mut ada, &mecha, "Runtime").await.new.unwrap();
        Self { app, address, ada, mecha, key }
    }

    async fn connect(&self, instance: &str) -> Peer {
        Peer::welcomed(self.address, &self.key.secret, instance).await
    }

    pub(crate) async fn page(&mut self) -> String {
        self.ada.get(&format!("/mechas/{}", self.mecha)).await.body
    }

    /// Waits until the page contains a text.
    pub(crate) async fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            let page = self.page().await;
            if page.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{text:?} is not in {page}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The id of the only runtime that is connected.
    pub(crate) async fn runtime(&mut self) -> String {
        let page = self.page().await;
        let (_, rest) = page.split_once("name=\"runtime_id\" value=\"").unwrap();
        rest[..32].to_owned()
    }

    /// Waits until this node holds no connection.
    async fn wait_until_empty(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.app.console.runtimes.count() > 0 {
            assert!(Instant::now() < deadline, "{} connections are left", self.app.console.runtimes.count());
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The client's end of a WebSocket.
pub(crate) struct Peer(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

fn request(address: SocketAddr, secret: &str) -> Request {
    let mut request = format!("ws://{address}/api/v1/runtime").into_client_request().unwrap();
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {secret}").parse().unwrap());
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, "mecha.runtime.v1".parse().unwrap());
    request
}

pub(crate) fn hello(instance: &str) -> Value {
    json!({"type": "hello", "instance": instance, "name": "porter", "version": "1.2", "os": "linux",
           "arch": "x86_64", "host": "dock-7", "actions": ["chat"], "unknown": {"members": "are ignored"}})
}

impl Peer {
    pub(crate) async fn new(address: SocketAddr, secret: &str) -> Self {
        let deadline = Instant::now() + Duration::from_secs(5);
        let (socket, response) = loop {
            match connect_async(request(address, secret)).await {
                // The server may not have noticed yet that earlier connections are gone.
                Err(Error::Http(response)) if response.status() == 503 && Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                connected => break connected.unwrap(),
            }
        };
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "mecha.runtime.v1");
        Self(socket)
    }

    /// Connects and sends the hello.
    pub(crate) async fn after_hello(address: SocketAddr, secret: &str, instance: &str) -> Self {
        let mut peer = Self::new(address, secret).await;
        peer.send(hello(instance)).await;
        peer
    }

    pub(crate) async fn welcomed(address: SocketAddr, secret: &str, instance: &str) -> Self {
        let mut peer = Self::after_hello(address, secret, instance).await;
        let welcome = peer.frame().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        peer
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn status(&mut self, note: &str) {
        self.send(json!({"type": "status", "state": "busy", "note": note})).await;
    }

    /// The next JSON frame.
    pub(crate) async fn frame(&mut self) -> Value {
        loop {
            match timeout(Duration::from_secs(20), self.0.next()).await.unwrap().unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                message => assert!(!message.is_close(), "{message:?}"),
            }
        }
    }

    /// The code of the close frame with which the server ends the connection; 0 without one.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let closing = async {
            while let Some(Ok(message)) = self.0.next().await {
                if let Message::Close(close) = message {
                    return close.map_or(1005, |close| close.code.into());
                }
            }
            0
        };
        timeout(Duration::from_secs(20), closing).await.unwrap()
    }

    /// Lets one connection fail after these bytes.
    async fn raw(&mut self, bytes: &[u8]) {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else { unreachable!() };
        stream.write_all(bytes).await.unwrap();
    }
}

#[tokio::test]
async fn a_runtime_connects_appears_on_the_page_and_says_goodbye() {
    let mut place = Place::new().await;
    assert!(place.page().await.contains("Waiting for a runtime"));
    let mut peer = Peer::after_hello(place.address, &place.key.secret, "a").await;
    let welcome = peer.frame().await;
    let runtime = place.runtime().await;
    assert_eq!(
        welcome,
        json!({"type": "welcome", "runtime": runtime, "mecha": {"id": place.mecha, "name": "Porter"},
               "key_id": place.key.id.as_str(), "expires_at": "2027-02-19T12:00:00Z", "ping_interval_ms": 15_000})
    );
    let page = place.page().await;
    for text in ["dock-7", "linux/x86_64, porter 1.2, from 127.0.0.1", "Idle", "current secret of “Runtime”"]
    {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert!(page.contains("Try it: chat") && place.ada.get("/mechas").await.body.contains("Connected, idle"));
    peer.status("lifting <b>").await;
    place.wait_for("lifting &lt;b").await;
    assert!(place.page().await.contains("Busy"));
    let other = place.connect("b").await;
    assert!(place.ada.get("/mechas").await.body.contains("Connected: 2 runtimes, 1 busy"));
    drop(other);
    place.wait_for("the connection was lost").await;
    place.app.advance(1);
    peer.send(json!({"type": "bye"})).await;
    assert_eq!(peer.close_code().await, 1000);
    place.wait_for("No runtime is connected").await;
    assert!(place.page().await.contains("Offline since just now, because it stopped by itself"));
    place.wait_until_empty().await;
}

#[tokio::test]
async fn a_request_that_may_not_connect_is_rejected_before_the_upgrade() {
    let mut place = Place::new().await;
    let (_, of_account) = place.ada.create("Deploy").await;
    let (secret, address) = (place.key.secret.clone(), place.address);
    let rejection = async |change: &dyn Fn(&mut Request)| {
        let mut request = request(address, &secret);
        change(&mut request);
        match connect_async(request).await {
            Ok(_) => panic!("connected"),
            Err(Error::Http(response)) => response,
            Err(other) => panic!("{other}"),
        }
    };
    let status = async |change: &dyn Fn(&mut Request)| rejection(change).await.status().as_u16();
    let none = rejection(&|request| drop(request.headers_mut().remove(AUTHORIZATION))).await;
    assert_eq!(none.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(none.headers()["www-authenticate"], "Bearer realm=\"mecha-console\"");
    assert_eq!(none.headers()["content-type"], "application/problem+json");
    let set = |name: &'static str, value: &str| {
        let value = value.to_owned();
        move |request: &mut Request| drop(request.headers_mut().insert(name, value.parse().unwrap()))
    };
    assert_eq!(status(&set("authorization", "Bearer mm_tok_wrong")).await, 401);
    assert_eq!(status(&set("authorization", &format!("Bearer {of_account}"))).await, 403);
    assert_eq!(status(&set("x-api-key", &secret)).await, 400, "two credentials");
    assert_eq!(status(&set("origin", "https://evil.example")).await, 400);
    assert_eq!(status(&set("origin", "null")).await, 400);
    assert_eq!(status(&set("sec-websocket-protocol", "chat, mecha.runtime.v2")).await, 400);
    assert_eq!(
        status(&|request| drop(request.headers_mut().remove(SEC_WEBSOCKET_PROTOCOL))).await,
        400,
        "no subprotocol"
    );
    assert_eq!(status(&set("sec-websocket-version", "8")).await, 426);
    // The key is never read from the query or from the subprotocol.
    let in_query = |request: &mut Request| {
        request.headers_mut().remove(AUTHORIZATION);
        *request.uri_mut() = format!("ws://{address}/api/v1/runtime?key={secret}").parse().unwrap();
    };
    assert_eq!(status(&in_query).await, 401);
    let in_protocol = |request: &mut Request| {
        request.headers_mut().remove(AUTHORIZATION);
        let offered = format!("mecha.runtime.v1, {secret}");
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
    };
    assert_eq!(status(&in_protocol).await, 401);
    let bearer = format!("Bearer {secret}");
    let plain = client_request(&place.app.router, "/api/v1/runtime", &[("authorization", &bearer)]).await;
    assert_eq!((plain.status.as_u16(), plain.header("upgrade")), (426, "websocket"));
    // HTTP/1.0 has no upgrade (RFC 9110, section 7.8).
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/v1/runtime HTTP/1.0\r\nHost: {address}\r\nAuthorization: {bearer}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mecha.runtime.v1\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.0 426") || response.starts_with("HTTP/1.1 426"), "{response}");
    assert_eq!(place.app.console.runtimes.count(), 0);
    // A switched-off Mecha gets the same response as an unknown key.
    place.ada.post("/rpc/mechas/set-active", &[("mecha_id", &place.mecha), ("active", "false")]).await;
    assert_eq!(status(&|_| {}).await, 401);
}

#[tokio::test]
async fn the_number_of_runtimes_of_a_server_and_of_a_mecha_is_limited() {
    let place = Place::of(TestApp::with(&["--sign-ups", "open", "--runtimes", "18"]).await).await;
    let mut peers = Vec::new();
    for n in 0..16 {
        peers.push(place.connect(&format!("i{n}")).await);
    }
    let mut seventeenth = Peer::after_hello(place.address, &place.key.secret, "17").await;
    assert_eq!(seventeenth.close_code().await, 1013);
    // The 17th of another instance takes the place of one that left.
    peers.pop().unwrap().0.close(None).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut again = loop {
        let mut peer = Peer::after_hello(place.address, &place.key.secret, "17").await;
        if let Some(Ok(Message::Text(_))) = peer.0.next().await {
            break peer;
        }
        assert!(Instant::now() < deadline, "its place is not free");
        sleep(Duration::from_millis(20)).await;
    };
    again.status("here").await;
    let _two = [
        Peer::new(place.address, &place.key.secret).await,
        Peer::new(place.address, &place.key.secret).await,
    ];
    let Err(Error::Http(full)) = connect_async(request(place.address, &place.key.secret)).await else {
        panic!("not rejected");
    };
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (503, "5"));
}

#[tokio::test]
async fn a_revocation_disconnects_the_runtime_within_a_second_and_its_frames_have_no_effect() {
    let mut place = Place::new().await;
    let (key, mecha) = (place.key.id.as_str().to_owned(), place.mecha.clone());
    let key_field = ("key_id", key.as_str());
    let mecha_field = ("mecha_id", mecha.as_str());
    type Step<'s> = (&'s str, Vec<(&'s str, &'s str)>, u16);
    let steps: [Step<'_>; 5] = [
        ("/rpc/keys/set-active", vec![key_field, ("active", "false")], 4403),
        ("/rpc/mechas/set-active", vec![mecha_field, ("active", "false")], 4403),
        ("/rpc/keys/rotate", vec![key_field, ("grace", "0")], 4401),
        ("/rpc/keys/delete", vec![key_field, ("confirm_name", "Runtime")], 4401),
        ("/rpc/mechas/delete", vec![mecha_field, ("confirm_name", "Porter")], 4401),
    ];
    for (n, (path, fields, code)) in steps.into_iter().enumerate() {
        let mut peer = place.connect("a").await;
        let response = place.ada.post(path, &fields).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.body);
        let acknowledged = Instant::now();
        // The connection may be closed already.
        let late = json!({"type": "status", "state": "busy", "note": format!("after response {n}")});
        let _ = peer.0.send(Message::text(late.to_string())).await;
        assert_eq!(peer.close_code().await, code, "{path}");
        assert!(acknowledged.elapsed() < Duration::from_secs(1), "{path}");
        place.wait_until_empty().await;
        assert!(!place.page().await.contains("after response"), "{path}");
        match path {
            "/rpc/keys/set-active" | "/rpc/mechas/set-active" => {
                let on: Vec<_> =
                    fields.iter().map(|(name, value)| (*name, value.replace("false", "true"))).collect();
                let on: Vec<_> = on.iter().map(|(name, value)| (*name, value.as_str())).collect();
                place.ada.post(path, &on).await;
            }
            "/rpc/keys/rotate" => place.key = response.list().new.unwrap(),
            "/rpc/keys/delete" => {
                place.key = issue(&mut place.ada, &mecha, "Runtime").await.new.unwrap();
            }
            _ => {}
        }
    }
    place.mecha = create_mecha(&mut place.ada, "Carrier").await;
    place.key = issue(&mut place.ada, &place.mecha, "Runtime").await.new.unwrap();
    let mut peer = place.connect("a").await;
    place.ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(peer.close_code().await, 4401, "the account was deleted");
}

#[tokio::test]
async fn a_rotation_leaves_the_runtime_connected_until_the_previous_secret_is_retired() {
    let mut place = Place::new().await;
    let mut old = place.connect("a").await;
    let key = place.key.id.as_str().to_owned();
    let rotate = [("key_id", key.as_str()), ("grace", "24h")];
    let new = place.ada.post("/rpc/keys/rotate", &rotate).await.list().new.unwrap();
    assert_eq!(old.frame().await, json!({"type": "notice", "what": "rotated", "at": "2026-11-22T12:00:00Z"}));
    let dialog = format!("/mechas/{}?dialog=retire&key_id={key}", place.mecha);
    let dialog = place.ada.get(&dialog).await.body;
    assert!(dialog.contains("dock-7, old secret of “Runtime”"), "{dialog}");
    // The same instance takes over with the new secret.
    let mut taken_over = Peer::welcomed(place.address, &new.secret, "a").await;
    assert_eq!(old.close_code().await, 4409);
    // A connection with the previous secret does not replace it.
    let mut outdated = Peer::after_hello(place.address, &place.key.secret, "a").await;
    assert_eq!(outdated.close_code().await, 1008);
    // Another instance may still use the previous secret.
    let mut sibling = place.connect("b").await;
    assert_eq!(sibling.frame().await["what"], "rotated");
    assert!(place.page().await.contains("current secret of “Runtime”"));
    assert!(place.page().await.contains("old secret of “Runtime”"));
    place.ada.post("/rpc/keys/retire", &[("key_id", &key)]).await.list();
    assert_eq!(sibling.close_code().await, 4401);
    taken_over.status("still here").await;
    place.wait_for("still here").await;
}

#[tokio::test]
async fn a_runtime_is_disconnected_when_its_secret_expires() {
    let place = Place::new().await;
    let mut peer = place.connect("a").await;
    place.app.advance(89 * DAY + 1);
    assert_eq!(
        peer.frame().await,
        json!({"type": "notice", "what": "expiring", "at": "2027-02-19T12:00:00Z"})
    );
    place.app.advance(DAY - 2);
    sleep(Duration::from_millis(600)).await;
    peer.status("one millisecond left").await;
    place.app.advance(1);
    assert_eq!(peer.close_code().await, 4401);
    place.wait_until_empty().await;
}

#[tokio::test]
async fn of_two_connections_of_one_instance_one_survives() {
    let mut place = Place::new().await;
    let mut first = place.connect("a").await;
    let mut second = place.connect("a").await;
    assert_eq!(first.close_code().await, 4409);
    second.status("the second").await;
    place.wait_for("the second").await;
    // Another key of the Mecha that claims the instance is another instance.
    let other = issue(&mut place.ada, &place.mecha.clone(), "Other").await.new.unwrap();
    let mut third = Peer::welcomed(place.address, &other.secret, "a").await;
    // Many at once: one survives, and the others are replaced.
    let (address, secret) = (place.address, place.key.secret.clone());
    let many = (0..12).map(|_| Peer::after_hello(address, &secret, "a"));
    let many = futures::future::join_all(many).await;
    let codes = many.into_iter().map(|mut peer| async move {
        let welcome = timeout(Duration::from_secs(10), peer.0.next()).await.unwrap();
        let is_welcome = matches!(&welcome, Some(Ok(Message::Text(_))));
        match timeout(Duration::from_secs(3), peer.close_code()).await {
            Ok(code) => code,
            Err(_) if is_welcome => {
                peer.status("survivor").await;
                1
            }
            Err(_) => 2,
        }
    });
    let mut codes = futures::future::join_all(codes).await;
    codes.sort_unstable();
    assert_eq!(codes, [vec![1], vec![4409; 11]].concat());
    assert_eq!(second.close_code().await, 4409);
    third.status("the third").await;
    place.wait_for("the third").await;
}

#[tokio::test]
async fn frames_that_violate_the_protocol_close_the_connection_with_their_code() {
    let mut place = Place::new().await;
    let text = |text: &str| Message::text(text.to_owned());
    let frame = |opcode, payload: Vec<u8>| {
        Message::Frame(Frame::from_payload(
            FrameHeader { opcode, is_final: true, ..FrameHeader::default() },
            payload.into(),
        ))
    };
    let long =
        |length: usize| format!(r#"{{"type":"hello","instance":"a","name":"{}"}}"#, "x".repeat(length));
    let before = [
        (text(""), 1008),
        (text(r#"{"type":"status","state":"idle"}"#), 1008),
        (text(r#"{"type":"hello","instance":["a"]}"#), 1008),
        (text(r#"{"type":"hello"}"#), 1008),
        (text(&format!(r#"{{"type":"hello","instance":"{}"}}"#, "i".repeat(10_000))), 1008),
        (text(&long(17 * 1024)), 1009),
        (Message::binary(vec![1, 2]), 1003),
        (frame(OpCode::Data(Data::Text), vec![0xff, 0xfe]), 1007),
        (frame(OpCode::Data(Data::Continue), vec![b'a']), 1002),
    ];
    for (message, code) in before {
        let mut peer = Peer::new(place.address, &place.key.secret).await;
        peer.0.send(message.clone()).await.unwrap();
        assert_eq!(peer.close_code().await, code, "{:.100}", format!("{message:?}"));
    }
    assert!(place.page().await.contains("it sent no valid hello"));
    let after = [
        (text("no JSON"), 1008),
        (text(r#"{"type":"dance"}"#), 1008),
        (text(r#"{"type":"status","state":"late"}"#), 1008),
        (text(r#"{"type":"status","state":"idle","note":7}"#), 1008),
        (text(&hello("a").to_string()), 1008),
        (text(&long(2 * 1024 * 1024)), 1009),
        (Message::binary(vec![]), 1003),
    ];
    for (message, code) in after {
        let mut peer = place.connect("a").await;
        peer.0.send(message.clone()).await.unwrap();
        assert_eq!(peer.close_code().await, code, "{:.100}", format!("{message:?}"));
    }
    let mut peer = place.connect("a").await;
    for n in 0..30 {
        peer.0
            .feed(Message::text(
                json!({"type": "status", "state": "idle", "note": n.to_string()}).to_string(),
            ))
            .await
            .unwrap();
    }
    peer.0.flush().await.unwrap();
    assert_eq!(peer.close_code().await, 1008, "more than 20 per second");
    let mut peer = place.connect("a").await;
    for _ in 0..30 {
        peer.0.feed(Message::Ping(vec![0; 100].into())).await.unwrap();
    }
    peer.0.flush().await.unwrap();
    assert_eq!(peer.close_code().await, 1008, "a flood of pings");
    let mut peer = place.connect("a").await;
    peer.raw(&[0x81, 0x02, b'{', b'}']).await;
    assert_eq!(peer.close_code().await, 1002, "a frame without a mask");
    let mut peer = place.connect("a").await;
    let just_below = format!(r#"{{"type":"status","state":"idle","more":"{}"}}"#, "x".repeat(2_000_000));
    peer.0.send(text(&just_below)).await.unwrap();
    peer.status("after a large frame").await;
    place.wait_for("after a large frame").await;
    drop(peer);
    place.wait_until_empty().await;
}

#[tokio::test]
async fn a_runtime_that_is_silent_or_slow_is_disconnected() {
    let mut place = Place::new().await;
    let (address, secret) = (place.address, place.key.secret.clone());
    let silent = async {
        let mut peer = Peer::new(address, &secret).await;
        let started = Instant::now();
        (peer.close_code().await, started.elapsed())
    };
    let half_a_hello = async {
        let mut peer = Peer::new(address, &secret).await;
        let started = Instant::now();
        peer.raw(&[0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, b'{']).await;
        (peer.close_code().await, started.elapsed())
    };
    let half_a_frame = async {
        let mut peer = Peer::welcomed(address, &secret, "a").await;
        let started = Instant::now();
        // Two fragments of a message, and pongs between them.
        peer.raw(&[0x01, 0x81, 0, 0, 0, 0, b'{']).await;
        for _ in 0..4 {
            peer.raw(&[0x8a, 0x80, 0, 0, 0, 0]).await;
            sleep(Duration::from_secs(1)).await;
        }
        peer.raw(&[0x00, 0x81, 0, 0, 0, 0, b'"']).await;
        (peer.close_code().await, started.elapsed())
    };
    let slow = tokio::join!(silent, half_a_hello, half_a_frame);
    for (code, after) in [slow.0, slow.1, slow.2] {
        assert_eq!(code, 1008);
        assert!((9..13).contains(&after.as_secs()), "{after:?}");
    }
    assert!(place.page().await.contains("it sent no valid hello"));
    place.wait_until_empty().await;
}

#[tokio::test]
async fn a_peer_that_disappears_at_any_step_leaves_nothing_behind() {
    let place = Place::of(TestApp::with(&["--sign-ups", "open", "--runtimes", "2"]).await).await;
    let (address, secret) = (place.address, &place.key.secret);
    for _ in 0..3 {
        drop(Peer::new(address, secret).await);
        drop(Peer::after_hello(address, secret, "a").await);
        drop(place.connect("b").await);
        let mut half = Peer::new(address, secret).await;
        half.raw(&[0x81, 0xfe, 0x01]).await;
        drop(half);
        place.wait_until_empty().await;
    }
    // All permits are free again.
    let _both = (place.connect("a").await, place.connect("b").await);
    assert_eq!(place.app.console.runtimes.count(), 2);
}

#[tokio::test]
async fn the_owner_tests_drains_and_disconnects_a_runtime() {
    let mut place = Place::new().await;
    let mut peer = place.connect("a").await;
    let runtime = place.runtime().await;
    let mecha = place.mecha.clone();
    let of = |command| [("mecha_id", mecha.clone()), ("runtime_id", runtime.clone()), ("command", command)];
    fn fields<'f>(of: &'f [(&'static str, String); 3]) -> Vec<(&'static str, &'f str)> {
        of.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
    // The library answers pings while it reads.
    let responds = tokio::spawn(async move {
        let drain = peer.frame().await;
        (peer, drain)
    });
    let test = place.ada.submit("/rpc/mechas/command", &fields(&of("test".to_owned()))).await;
    assert_eq!(test.header("location"), format!("/mechas/{mecha}?done=runtime-tested"), "{}", test.body);
    assert!(place.page().await.contains("round trip "));
    // Another account, and unknown commands.
    let mut eve = place.app.owner("eve@example.com").await;
    let other = eve.post("/rpc/mechas/command", &fields(&of("test".to_owned()))).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    let unknown = place.ada.post("/rpc/mechas/command", &fields(&of("explode".to_owned()))).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let drain = place.ada.post("/rpc/mechas/command", &fields(&of("drain".to_owned()))).await;
    assert_eq!(drain.status, StatusCode::OK, "{}", drain.body);
    let (mut peer, frame) = responds.await.unwrap();
    assert_eq!(frame, json!({"type": "drain", "deadline_ms": 30_000}));
    place.wait_for("Draining").await;
    let dialog =
        place.ada.get(&format!("/mechas/{mecha}?dialog=disconnect-runtime&runtime_id={runtime}")).await.body;
    assert!(dialog.contains("It may connect again") && dialog.contains("dialog=switch-off"), "{dialog}");
    let disconnect = place.ada.submit("/rpc/mechas/disconnect", &fields(&of(String::new()))).await;
    assert_eq!(disconnect.header("location"), format!("/mechas/{mecha}?done=runtime-disconnected"));
    assert_eq!(peer.close_code().await, 4410);
    assert!(place.page().await.contains("because you disconnected it"));
    let again = place.ada.post("/rpc/mechas/disconnect", &fields(&of(String::new()))).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(
        place
            .ada
            .get(&format!("/mechas/{mecha}?dialog=disconnect-runtime&runtime_id={runtime}"))
            .await
            .body
            .contains("is not connected")
    );
    let activity = place.ada.get("/settings/activity").await.body;
    for text in
        ["Runtime on dock-7 of Mecha “Porter” drained", "Runtime on dock-7 of Mecha “Porter” disconnected"]
    {
        assert!(activity.contains(text), "{text}");
    }
    // A runtime that does not respond.
    let peer = place.connect("b").await;
    let runtime = place.runtime().await;
    let silent = [("mecha_id", mecha.as_str()), ("runtime_id", &runtime), ("command", "test")];
    let response = place.ada.submit("/rpc/mechas/command", &silent).await;
    assert_eq!(response.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(response.body.contains("did not respond within 5 seconds"));
    drop(peer);
}

#[tokio::test]
async fn dialogs_that_cut_off_runtimes_list_them_by_host() {
    let mut place = Place::new().await;
    let _peer = place.connect("a").await;
    let (mecha, key) = (place.mecha.clone(), place.key.id.as_str().to_owned());
    for dialog in ["switch-off-mecha", "delete-mecha"] {
        let body = place.ada.get(&format!("/mechas/{mecha}?dialog={dialog}")).await.body;
        let (_, dialog) = body.split_once("<dialog").unwrap();
        assert!(dialog.contains("dock-7, current secret of “Runtime”"), "{dialog}");
    }
    for dialog in ["switch-off", "rotate", "delete"] {
        let body = place.ada.get(&format!("/mechas/{mecha}?dialog={dialog}&key_id={key}")).await.body;
        let (_, dialog) = body.split_once("<dialog").unwrap();
        assert!(dialog.contains("dock-7, current secret of “Runtime”"), "{dialog}");
    }
}

#[tokio::test]
async fn the_page_that_shows_a_new_secret_shows_that_its_runtime_has_connected() {
    let mut place = Place::new().await;
    let (mecha, id) = (place.mecha.clone(), place.key.id.as_str().to_owned());
    let query = format!("?mecha={mecha}&key={id}&since=0");
    let mut stream = listen(&place.ada, &query).await;
    let wait_for = async |stream: &mut axum::body::BodyDataStream, text: &str| loop {
        let received = timeout(Duration::from_secs(15), event(stream)).await.unwrap();
        if received.first_request.contains(text) {
            break received.list;
        }
    };
    // A verification is no connection.
    assert_eq!(verify(&place.app.router, &place.key.secret).await, StatusCode::NO_CONTENT);
    place.ada.post("/rpc/mechas/set-active", &[("mecha_id", &mecha), ("active", "false")]).await;
    assert!(connect_async(request(place.address, &place.key.secret)).await.is_err());
    wait_for(&mut stream, "its Mecha was switched off").await;
    place.ada.post("/rpc/mechas/set-active", &[("mecha_id", &mecha), ("active", "true")]).await;
    let mut peer = Peer::new(place.address, &place.key.secret).await;
    peer.0.send(Message::text("{}")).await.unwrap();
    wait_for(&mut stream, "sent no valid hello").await;
    let _peer = place.connect("a").await;
    let list = wait_for(&mut stream, "Connected: dock-7, linux/x86_64, porter 1.2, from 127.0.0.1").await;
    assert!(list.contains("Connected, idle"), "{list}");
    // So does the page of all Mechas.
    let mut all = listen(&place.ada, "?page=mechas").await;
    place.ada.post("/rpc/mechas/describe", &[("mecha_id", &mecha), ("mecha_name", "Carrier")]).await;
    let list = event(&mut all).await.list;
    assert!(list.contains("Carrier") && list.contains("Connected, idle"), "{list}");
    // A page that is opened later shows it, too.
    let mut other = place.ada.clone();
    other.cookie.clone_from(&place.ada.cookie);
    let later = crate::key_events::listen_to(&other, &query).await;
    let mut later = later;
    assert!(event(&mut later).await.first_request.contains("Connected: dock-7"));
}

#[tokio::test]
async fn the_connections_of_a_process_that_has_ended_are_lost_and_the_history_is_bounded() {
    let mut place = Place::new().await;
    let peer = place.connect("a").await;
    let second = place.app.restart().await;
    // On SQLite no other process serves the database. On PostgreSQL the first node is still alive.
    if crate::test_app::postgres().is_none() {
        place.ada.router = second.router.clone();
        let page = place.page().await;
        assert!(page.contains("No runtime is connected"), "{page}");
        place.wait_for("because the connection was lost").await;
        place.ada.router = place.app.router.clone();
    }
    drop(peer);
    for n in 0..110 {
        let mut peer = place.connect(&format!("i{n}")).await;
        peer.send(json!({"type": "bye"})).await;
        assert_eq!(peer.close_code().await, 1000);
    }
    place.wait_until_empty().await;
    place.wait_for("No runtime is connected").await;
    let count = async |app: &TestApp| -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM runtimes")
            .fetch_one(&mut app.database().await)
            .await
            .unwrap()
    };
    assert!((100..=102).contains(&count(&place.app).await));
    place.app.advance(31 * DAY);
    place.app.console.retention.sweep().await.unwrap();
    // The clock of a test may not be trusted by the retention.
    place.app.console.runtimes.sweep().await.unwrap();
    assert_eq!(count(&place.app).await, 1, "the last connection stays");
}

#[tokio::test]
async fn a_mecha_and_all_mechas_are_returned_to_their_keys_with_their_states() {
    let mut place = Place::new().await;
    let (_, of_account) = place.ada.create("Deploy").await;
    let get = async |path: &str, secret: &str| {
        let response = client_request(&place.app.router, path, &[("x-api-key", secret)]).await;
        (response.status.as_u16(), serde_json::from_str::<Value>(&response.body).unwrap())
    };
    let (status, mecha) = get("/api/v1/mecha", &place.key.secret).await;
    assert_eq!(
        (status, mecha),
        (
            200,
            json!({"id": place.mecha, "name": "Porter", "description": "", "active": true, "keys": 1,
                     "created_at": "2026-11-21T12:00:00Z", "state": "waiting", "runtimes": 0})
        )
    );
    let mut peer = place.connect("a").await;
    let (_, mecha) = get("/api/v1/mecha", &place.key.secret).await;
    assert_eq!((&mecha["state"], &mecha["runtimes"]), (&json!("connected"), &json!(1)));
    peer.send(json!({"type": "bye"})).await;
    peer.close_code().await;
    place.wait_until_empty().await;
    sleep(Duration::from_millis(300)).await;
    let (status, list) = get("/api/v1/mechas", &of_account).await;
    let offline = &list["mechas"][0];
    assert_eq!(
        (status, &offline["state"], &offline["offline_because"]),
        (200, &json!("offline"), &json!("stopped"))
    );
    for wanted in [place.mecha.as_str(), "Porter", "PORTER"] {
        let (status, mecha) = get(&format!("/api/v1/mechas/{wanted}"), &of_account).await;
        assert_eq!((status, mecha["id"].as_str()), (200, Some(place.mecha.as_str())), "{wanted}");
    }
    assert_eq!(get("/api/v1/mechas/Nobody", &of_account).await.0, 404);
    assert_eq!(get("/api/v1/mechas/%ff", &of_account).await.0, 404);
    assert_eq!(get("/api/v1/mechas/%ff", "mm_tok_wrong").await.0, 401);
    assert_eq!(get("/api/v1/mechas", &place.key.secret).await.0, 403);
    assert_eq!(get("/api/v1/mechas/Porter", &place.key.secret).await.0, 403);
    assert_eq!(get("/api/v1/mecha", &of_account).await.0, 403);
    let mut eve = place.app.owner("eve@example.com").await;
    let (_, of_eve) = eve.create("Eve").await;
    assert_eq!(get("/api/v1/mechas", &of_eve).await.1, json!({"mechas": []}));
    assert_eq!(get(&format!("/api/v1/mechas/{}", place.mecha), &of_eve).await.0, 404);
}

#[tokio::test]
async fn a_shutdown_closes_all_connections_and_records_it() {
    let mut place = Place::new().await;
    let mut peers = [place.connect("a").await, Peer::new(place.address, &place.key.secret).await];
    let ends = async {
        let [first, second] = &mut peers;
        tokio::join!(first.close_code(), second.close_code())
    };
    let (ends, ()) = tokio::join!(ends, place.app.console.runtimes.shut_down());
    assert_eq!(ends, (1012, 1012));
    assert!(place.page().await.contains("because the server restarted"));
}

#[tokio::test]
async fn a_mecha_that_is_deleted_during_the_hello_of_its_runtime_has_no_runtime() {
    let mut place = Place::new().await;
    for round in 0..20 {
        let mecha = create_mecha(&mut place.ada, "Raced").await;
        let key = issue(&mut place.ada, &mecha, "Runtime").await.new.unwrap();
        let mut peer = Peer::new(place.address, &key.secret).await;
        let mut ada = place.ada.clone();
        let delete = async {
            sleep(Duration::from_micros(300 * round)).await;
            ada.post("/rpc/mechas/delete", &[("mecha_id", &mecha), ("confirm_name", "Raced")]).await.status
        };
        let hello = async {
            let _ = peer.0.send(Message::text(hello("a").to_string())).await;
            peer.close_code().await
        };
        let (status, code) = tokio::join!(delete, hello);
        assert_eq!((status, code), (StatusCode::OK, 4401), "round {round}");
        place.wait_until_empty().await;
    }
}

#[tokio::test]
async fn a_key_that_is_switched_off_during_the_hello_of_its_runtime_leaves_no_runtime_on_the_page() {
    let mut place = Place::new().await;
    let id = place.key.id.as_str().to_owned();
    for round in 0..20 {
        let mut peer = Peer::new(place.address, &place.key.secret).await;
        let mut ada = place.ada.clone();
        let switch = async {
            sleep(Duration::from_micros(400 * round)).await;
            ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await.list();
        };
        let hello = async {
            let _ = peer.0.send(Message::text(hello("a").to_string())).await;
            peer.close_code().await
        };
        let ((), code) = tokio::join!(switch, hello);
        assert_eq!(code, 4403, "round {round}");
        place.wait_until_empty().await;
        place.wait_for("No runtime is connected").await;
        place.ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "true")]).await.list();
    }
}

#[tokio::test]
async fn a_row_without_a_connection_is_recorded_as_lost_and_a_connection_without_a_row_reconnects() {
    let mut place = Place::new().await;
    let mut peer = place.connect("a").await;
    // As if the outcome of the transaction had been unknown, or another node had recorded it as lost.
    for (change, text) in [
        ("UPDATE runtimes SET id = REPLACE(id, SUBSTR(id, 30, 3), 'fff')", "the connection was lost"),
        (
            "UPDATE runtimes SET ended_at = 1, end_reason = 'lost' WHERE ended_at IS NULL",
            "No runtime is connected",
        ),
    ] {
        sqlx::query(change).execute(&mut place.app.database().await).await.unwrap();
        place.wait_for(text).await;
        assert_eq!(peer.close_code().await, 1013);
        peer = place.connect("b").await;
    }
}

#[tokio::test]
async fn repeated_tests_do_not_disconnect_the_runtime() {
    let mut place = Place::new().await;
    let mut peer = place.connect("a").await;
    let (mecha, runtime) = (place.mecha.clone(), place.runtime().await);
    let tests = (0..60).map(|_| {
        let (mut ada, mecha, runtime) = (place.ada.clone(), mecha.clone(), runtime.clone());
        async move {
            let fields = [("mecha_id", mecha.as_str()), ("runtime_id", &runtime), ("command", "test")];
            ada.post("/rpc/mechas/command", &fields).await.status
        }
    });
    let statuses = tokio::select! {
        statuses = futures::future::join_all(tests) => statuses,
        frame = peer.frame() => unreachable!("{frame}"),
    };
    assert_eq!(statuses, [StatusCode::OK; 60]);
    peer.status("still connected").await;
    place.wait_for("still connected").await;
}
