//! `/settings/api-keys/events`.

use crate::rotation::rotate;
use crate::test_app::{Browser, TestApp, program};
use app::domain::timestamp::SECOND;
use axum::body::{Body, BodyDataStream};
use axum::http::header::{COOKIE, HOST};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

/// A stream that has told how things are.
pub(crate) async fn listen(owner: &Browser) -> BodyDataStream {
    let mut stream = listen_to(owner, "").await;
    assert_eq!(event(&mut stream).await["first_request"], "");
    stream
}

async fn listen_to(owner: &Browser, on_show: &str) -> BodyDataStream {
    let request = Request::get(format!("/settings/api-keys/events{on_show}"))
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

pub(crate) async fn event(stream: &mut BodyDataStream) -> Value {
    let piece = stream.next().await.unwrap().unwrap();
    let text = String::from_utf8(piece.to_vec()).unwrap();
    serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn the_owner_sees_the_first_request_and_what_was_wrong_with_one() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut stream = listen(&ada).await;
    let wrong = "0".repeat(32);
    let headers = [("x-api-key-id", &*wrong), ("x-api-key-secret", &*secret), ("user-agent", "curl/8.5")];
    program(&app.router, "/verify", &headers).await;
    let refused = event(&mut stream).await;
    assert_eq!(refused["key_id"], id.as_str());
    assert_eq!(
        refused["first_request"],
        "A request was refused: the Key ID does not match (0.0.0.0, curl/8.5)"
    );
    assert!(refused["list"]["keys"][0]["html"].as_str().unwrap().contains("Never used"));
    let headers = [("x-api-key", &*secret), ("user-agent", "curl/8.5")];
    program(&app.router, "/verify", &headers).await;
    let used = event(&mut stream).await;
    assert_eq!(used["first_request"], "First request received: 0.0.0.0, curl/8.5");
    assert!(used["list"]["keys"][0]["html"].as_str().unwrap().contains("less than a minute ago"));
}

#[tokio::test]
async fn what_came_before_anybody_listened_is_told_to_whom_the_new_secret_is_shown() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    let told = async || event(&mut listen_to(&ada, &on_show).await).await;
    assert_eq!(told().await["first_request"], "");
    app.advance(SECOND);
    let headers = [("x-api-key-id", &*id), ("x-api-key-secret", "wrong"), ("user-agent", "curl/8.5")];
    program(&app.router, "/verify", &headers).await;
    let refused = told().await;
    assert_eq!(refused["key_id"], id.as_str());
    assert_eq!(
        refused["first_request"],
        "A request was refused: the secret does not match the Key ID (0.0.0.0, curl/8.5)"
    );
    program(&app.router, "/verify", &[("x-api-key", &secret), ("user-agent", "curl/8.5")]).await;
    for written_down in [false, true] {
        if written_down {
            app.console.keys.flush_usage().await.unwrap();
        }
        let used = told().await;
        assert_eq!(used["first_request"], "First request received: 0.0.0.0, curl/8.5");
        assert!(used["list"]["keys"][0]["html"].as_str().unwrap().contains("less than a minute ago"));
    }
    for on_show in ["?key=", "?key=zz&since=1", &format!("?key={}&since=0", "0".repeat(32))] {
        assert_eq!(event(&mut listen_to(&ada, on_show).await).await["first_request"], "", "{on_show}");
    }
    let odd = ada.get("/settings/api-keys/events?since=now").await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_use_of_the_old_secret_is_no_first_request_with_the_new_one() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, old) = ada.create("Deploy").await;
    app.advance(SECOND);
    let new = rotate(&mut ada, &id, "first-use").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    let mut stream = listen(&ada).await;
    app.advance(SECOND);
    for (secret, said) in [(&old, ""), (&new, "First request received: 0.0.0.0")] {
        program(&app.router, "/verify", &[("x-api-key", secret)]).await;
        let told = event(&mut stream).await;
        assert_eq!(told["first_request"], said);
        assert!(told["list"]["keys"][0]["html"].as_str().unwrap().contains("less than a minute ago"));
        assert_eq!(event(&mut listen_to(&ada, &on_show).await).await["first_request"], said);
    }
}

#[tokio::test]
async fn what_was_told_of_a_use_is_not_taken_back_for_a_refusal_before_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "24h").await;
    let on_show = format!("?key={id}&since={}", app.console.accounts.clock.now().0);
    for (secret, said) in [("wrong", "A request was refused"), (&*new, "")] {
        app.advance(SECOND);
        program(&app.router, "/verify", &[("x-api-key-id", &id), ("x-api-key-secret", secret)]).await;
        let told = event(&mut listen_to(&ada, &on_show).await).await;
        let first = told["first_request"].as_str().unwrap();
        assert!(first.starts_with(said) && first.is_empty() == said.is_empty(), "{first}");
    }
}

#[tokio::test]
async fn nobody_hears_of_the_keys_of_others_and_a_stranger_hears_nothing() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let mut eve = app.owner("eve@example.com").await;
    let (id, other) = eve.create("Own").await;
    let mut stream = listen(&eve).await;
    for secret in [&secret, &other] {
        program(&app.router, "/verify", &[("x-api-key", secret)]).await;
    }
    assert_eq!(event(&mut stream).await["key_id"], id.as_str());
    let stranger = app.stranger().get("/settings/api-keys/events").await;
    assert_eq!((stranger.status, stranger.body.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_server_and_leaves_nothing_behind() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let live = &app.console.usage.live;
    let mut stream = listen(&ada).await;
    assert_eq!(live.watching(), 1);
    let cookie = ada.cookie.clone();
    ada.post("/rpc/account/sign-out", &[]).await;
    program(&app.router, "/verify", &[("x-api-key", &secret)]).await;
    assert!(stream.next().await.is_none());
    drop(stream);
    assert_eq!(live.watching(), 0);
    assert_ne!(cookie, ada.cookie);

    let bob = app.owner("bob@example.com").await;
    let mut stream = listen(&bob).await;
    app.console.shutdown.cancel();
    assert!(stream.next().await.is_none());
}
