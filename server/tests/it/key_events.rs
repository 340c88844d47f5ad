//! `/settings/api-keys/events`: the stream of events for the keys of an account.

use crate::rotation::rotate;
use crate::test_app::{Browser, TestApp, client_request};
use app::domain::timestamp::SECOND;
use axum::body::{Body, BodyDataStream};
use axum::http::header::{COOKIE, HOST};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use tower::ServiceExt;

/// What a stream sends at once: the first request with a new secret, which may be empty, and the list.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) first_request: String,
    pub(crate) list: String,
}

/// Opens a stream and consumes its first events, which report the current state.
pub(crate) async fn listen(owner: &Browser, query: &str) -> BodyDataStream {
    let mut stream = listen_to(owner, query).await;
    assert_eq!(event(&mut stream).await.first_request, "");
    stream
}

/// Opens a stream; `query` names the key whose new secret the page shows, if any.
pub(crate) async fn listen_to(owner: &Browser, query: &str) -> BodyDataStream {
    let request = Request::get(format!("/settings/api-keys/events{query}"))
        .header(HOST, "127.0.0.1:3000")
        .header("accept-encoding", "gzip, br")
        .header(COOKIE, owner.cookie.as_ref().unwrap())
        .body(Body::empty())
        .unwrap();
    let response = owner.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(!response.headers().contains_key("content-encoding"));
    response.into_body().into_data_stream()
}

/// The next events, up to the list, or up to a denied request, for which no list is sent.
pub(crate) async fn event(stream: &mut BodyDataStream) -> Received {
    let mut received = Received::default();
    loop {
        let chunk = stream.next().await.unwrap().unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        let mut lines = text.lines();
        let name = lines.next().unwrap().strip_prefix("event: ").unwrap().to_owned();
        let data: String = lines.filter_map(|line| line.strip_prefix("data: ")).collect();
        match name.as_str() {
            "first-request" => received.first_request = data,
            other => {
                assert_eq!(other, "list");
                return Received { list: data, ..received };
            }
        }
        if received.first_request.contains("refused") {
            return received;
        }
    }
}

/// Whether a fragment contains this text; nothing is contained only in an empty fragment.
fn says(fragment: &str, text: &str) -> bool {
    if text.is_empty() { fragment.is_empty() } else { fragment.contains(text) }
}

#[tokio::test]
async fn the_owner_is_notified_of_a_denied_request_and_of_the_first_allowed_one() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut stream = listen(&ada, &format!("?key={id}")).await;
    let wrong = "0".repeat(32);
    let headers = [("x-api-key-id", &*wrong), ("x-api-key-secret", &*secret), ("user-agent", "curl/8.5")];
    client_request(&app.router, "/verify", &headers).await;
    let denied = event(&mut stream).await;
    assert!(says(
        &denied.first_request,
        "A request was refused: the Key ID does not match (0.0.0.0, curl/8.5)"
    ));
    let headers = [("x-api-key", &*secret), ("user-agent", "curl/8.5")];
    client_request(&app.router, "/verify", &headers).await;
    let used = event(&mut stream).await;
    assert!(says(&used.first_request, "First request received: 0.0.0.0, curl/8.5"));
    assert!(used.list.contains("just now"));
}

#[tokio::test]
async fn the_page_that_shows_a_new_secret_is_notified_of_requests_before_its_stream_opened() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    let first_event = async || event(&mut listen_to(&ada, &on_show).await).await;
    assert_eq!(first_event().await.first_request, "");
    app.advance(SECOND);
    let headers = [("x-api-key-id", &*id), ("x-api-key-secret", "wrong"), ("user-agent", "curl/8.5")];
    client_request(&app.router, "/verify", &headers).await;
    let denied = first_event().await;
    let expected = "A request was refused: the secret does not match the Key ID (0.0.0.0, curl/8.5)";
    assert!(says(&denied.first_request, expected));
    client_request(&app.router, "/verify", &[("x-api-key", &secret), ("user-agent", "curl/8.5")]).await;
    for is_flushed in [false, true] {
        if is_flushed {
            app.console.keys.flush_usage().await.unwrap();
        }
        let used = first_event().await;
        assert!(says(&used.first_request, "First request received: 0.0.0.0, curl/8.5"));
        assert!(used.list.contains("just now"));
    }
    for on_show in ["?key=", "?key=zz&since=1", &format!("?key={}&since=0", "0".repeat(32))] {
        assert_eq!(event(&mut listen_to(&ada, on_show).await).await.first_request, "", "{on_show}");
    }
    let invalid = ada.get("/settings/api-keys/events?since=now").await;
    assert_eq!(invalid.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_use_of_the_previous_secret_is_not_reported_as_first_request_of_the_new_secret() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    app.advance(SECOND);
    let new = rotate(&mut ada, &id, "first-use").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    let mut stream = listen(&ada, &on_show).await;
    app.advance(SECOND);
    for (secret, expected) in [(&previous, ""), (&new, "First request received: 0.0.0.0")] {
        client_request(&app.router, "/verify", &[("x-api-key", secret)]).await;
        let received = event(&mut stream).await;
        assert!(says(&received.first_request, expected), "{received:?}");
        assert!(received.list.contains("just now"));
        let missed = event(&mut listen_to(&ada, &on_show).await).await;
        assert!(says(&missed.first_request, expected), "{missed:?}");
    }
}

#[tokio::test]
async fn a_new_stream_does_not_report_a_denial_that_is_older_than_the_last_use() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "24h").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    for (secret, expected) in [("wrong", "A request was refused"), (&*new, "First request received")] {
        app.advance(SECOND);
        client_request(&app.router, "/verify", &[("x-api-key-id", &id), ("x-api-key-secret", secret)]).await;
        let received = event(&mut listen_to(&ada, &on_show).await).await;
        assert!(says(&received.first_request, expected), "{received:?}");
    }
}

#[tokio::test]
async fn a_stream_carries_only_events_of_its_own_account_and_requires_a_session() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let mut eve = app.owner("eve@example.com").await;
    let (id, own) = eve.create("Own").await;
    let mut stream = listen(&eve, &format!("?key={id}")).await;
    for secret in [&secret, &own] {
        client_request(&app.router, "/verify", &[("x-api-key", secret)]).await;
    }
    let received = event(&mut stream).await;
    assert!(says(&received.first_request, "First request received"));
    assert!(received.list.contains("Own") && !received.list.contains("Deploy"));
    let anonymous = app.anonymous().get("/settings/api-keys/events").await;
    assert_eq!((anonymous.status, anonymous.body.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test]
async fn a_stream_ends_at_sign_out_and_at_shutdown_and_is_then_deregistered() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let live = &app.console.usage.live;
    let mut stream = listen(&ada, "").await;
    assert_eq!(live.watcher_count(), 1);
    let cookie = ada.cookie.clone();
    ada.post("/rpc/account/sign-out", &[]).await;
    client_request(&app.router, "/verify", &[("x-api-key", &secret)]).await;
    assert!(stream.next().await.is_none());
    drop(stream);
    assert_eq!(live.watcher_count(), 0);
    assert_ne!(cookie, ada.cookie);

    let bob = app.owner("bob@example.com").await;
    let mut stream = listen(&bob, "").await;
    app.console.shutdown.cancel();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn changes_in_another_window_arrive_also_for_keys_that_are_new() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut stream = listen(&ada, "").await;
    let (id, secret) = ada.create("Deploy").await;
    assert!(event(&mut stream).await.list.contains("Deploy"));
    client_request(&app.router, "/verify", &[("x-api-key", &secret)]).await;
    assert!(event(&mut stream).await.list.contains("just now"));
    ada.post("/rpc/keys/rename", &[("key_id", &id), ("name", "Renamed")]).await;
    assert!(event(&mut stream).await.list.contains("Renamed"));
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Renamed")]).await;
    assert!(event(&mut stream).await.list.contains("No API keys yet"));
}
