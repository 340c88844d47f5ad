//! `/mechas/{mecha}/try`: the owner calls an action from the console.

use crate::runtimes::{Peer, Place};
use crate::test_app::{TestResponse, form};
use crate::triggers::{chunk, end, request_of};
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A console with an owner and a connected runtime.
struct Scene {
    place: Place,
    peer: Peer,
}

impl Scene {
    async fn new() -> Self {
        let place = Place::new().await;
        let peer = Peer::welcomed(place.address, &place.key.secret, "a").await;
        Self { place, peer }
    }

    /// Submits the form.
    fn submit(&self, fields: &[(&'static str, &'static str)]) -> JoinHandle<TestResponse> {
        let (mut ada, path) = (self.place.ada.clone(), format!("/mechas/{}/try", self.place.mecha));
        let fields = fields.to_vec();
        tokio::spawn(async move { ada.submit(&path, &fields).await })
    }

    async fn is_idle(&self) {
        self.place.app.wait_until_no_trigger_is_in_flight().await;
    }
}

#[tokio::test]
async fn the_owner_gets_the_response_as_a_page_of_text() {
    let mut scene = Scene::new().await;
    let page = scene.place.page().await;
    assert!(page.contains("Try it: chat") && page.contains("/v1/trigger/chat?mecha="), "{page}");
    let dialog = format!("/mechas/{}?dialog=try-action&trigger=chat", scene.place.mecha);
    let dialog = scene.place.ada.get(&dialog).await;
    assert!(dialog.body.contains("target=\"response\""), "{}", dialog.body);
    assert!(dialog.header("content-security-policy").contains("frame-src 'self'"));
    let response = scene.submit(&[("trigger", "chat"), ("body", "{\"message\": \"Grüße\"}")]);
    let (frame, id) = request_of(&mut scene.peer).await;
    assert_eq!((&frame["key_id"], &frame["stream"]), (&Value::Null, &false.into()));
    assert_eq!(frame["body"], "{\"message\": \"Grüße\"}");
    assert_eq!(frame["content_type"], "application/json");
    end(&mut scene.peer, &id, 204, "application/json").await;
    assert!(response.await.unwrap().body.contains("<pre></pre><p>204 in "));
    let response = scene.submit(&[("trigger", "chat"), ("body", "hi"), ("stream", "true")]);
    let (frame, id) = request_of(&mut scene.peer).await;
    assert_eq!((&frame["stream"], &frame["content_type"]), (&true.into(), &"text/plain".into()));
    chunk(&mut scene.peer, &id, "<script>&").await;
    chunk(&mut scene.peer, &id, "ü").await;
    end(&mut scene.peer, &id, 200, "application/json").await;
    let response = response.await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.body.contains("<pre>&lt;script>&amp;\nü\n</pre><p>200 in "), "{}", response.body);
    let policy = response.header("content-security-policy");
    assert!(policy.contains("sandbox") && policy.contains("frame-ancestors 'self'"), "{policy}");
    assert_eq!(response.header("x-frame-options"), "SAMEORIGIN");
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    scene.is_idle().await;
}

#[tokio::test]
async fn a_character_may_arrive_in_two_chunks() {
    let mut scene = Scene::new().await;
    let response = scene.submit(&[("trigger", "chat")]);
    let (_, id) = request_of(&mut scene.peer).await;
    for data_base64 in ["ww==", "vA=="] {
        scene.peer.send(serde_json::json!({"type": "chunk", "id": id, "data_base64": data_base64})).await;
    }
    end(&mut scene.peer, &id, 200, "text/plain").await;
    let response = response.await.unwrap();
    assert!(response.body.contains("<pre>ü</pre>"), "{}", response.body);
}

#[tokio::test]
async fn failures_are_shown_and_nothing_is_left_in_flight() {
    let mut scene = Scene::new().await;
    let response = scene.submit(&[("trigger", "chat")]);
    let (_, id) = request_of(&mut scene.peer).await;
    scene
        .peer
        .send(serde_json::json!({"type": "error", "id": id, "status": 422, "detail": "No <message>"}))
        .await;
    let response = response.await.unwrap();
    assert!(response.body.contains("<p>422: No &lt;message></p>"), "{}", response.body);
    for fields in [&[("trigger", "dance")][..], &[("trigger", "a/b")], &[("trigger", "")], &[("body", "x")]] {
        let response = scene.submit(fields).await.unwrap();
        assert!(response.body.contains("<p>40"), "{fields:?}: {}", response.body);
    }
    // A response that never ends is cancelled.
    let response = scene.submit(&[("trigger", "chat")]);
    let (_, id) = request_of(&mut scene.peer).await;
    let part = "a".repeat(100_000);
    for _ in 0..11 {
        chunk(&mut scene.peer, &id, &part).await;
    }
    assert!(response.await.unwrap().body.contains("Only the first 1 MiB is shown"));
    loop {
        let frame = scene.peer.frame().await;
        if frame["type"] == "cancel" {
            break;
        }
        assert_eq!(frame["type"], "window");
    }
    scene.is_idle().await;
}

#[tokio::test]
async fn only_the_owner_can_try_an_action_and_only_while_signed_in() {
    let mut scene = Scene::new().await;
    let path = format!("/mechas/{}/try", scene.place.mecha);
    let fields = [("trigger", "chat")];
    let anonymous = scene.place.app.anonymous().submit(&path, &fields).await;
    assert!(anonymous.body.contains("Your session has ended"), "{}", anonymous.body);
    let other = scene.place.app.owner("eve@example.com").await.submit(&path, &fields).await;
    assert!(other.body.contains("<p>404"), "{}", other.body);
    let foreign = form(&path).header("sec-fetch-site", "cross-site");
    assert_eq!(scene.place.ada.send(foreign, &fields).await.status, StatusCode::FORBIDDEN);
    let mut no_origin = form(&path);
    no_origin.headers_mut().unwrap().remove(ORIGIN);
    assert_eq!(scene.place.ada.send(no_origin, &fields).await.status, StatusCode::FORBIDDEN);
    // A response ends when its owner signs out.
    let response = scene.submit(&fields);
    let (_, id) = request_of(&mut scene.peer).await;
    chunk(&mut scene.peer, &id, "part").await;
    let mut ada = scene.place.ada.clone();
    ada.post("/rpc/account/sign-out", &[]).await;
    // However often the runtime sends parts.
    let sending = async {
        loop {
            chunk(&mut scene.peer, &id, "part").await;
            if let Ok(frame) = timeout(Duration::from_millis(200), scene.peer.frame()).await {
                return frame;
            }
        }
    };
    let (response, frame) = tokio::join!(timeout(Duration::from_secs(5), response), sending);
    let response = response.unwrap().unwrap();
    assert!(response.body.contains("part</pre><p>Your session has ended"), "{}", response.body);
    assert_eq!(frame["type"], "cancel");
    scene.is_idle().await;
}
