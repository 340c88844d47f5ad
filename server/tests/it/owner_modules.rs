//! `/api/v1/account`, `/api/v1/users/me`, `/api/v1/authentication/sessions`: for the session of an owner, and
//! for no key.

use crate::test_app::{TestApp, program};
use axum::http::{Request, StatusCode};
use serde_json::Value;

const MODULES: [&str; 3] = ["/api/v1/account", "/api/v1/users/me", "/api/v1/authentication/sessions"];

#[tokio::test]
async fn a_session_is_told_about_itself() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for path in &MODULES[..2] {
        let answer = ada.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["email"], "ada@example.com");
        assert_eq!(body["id"].as_str().unwrap().len(), 32);
    }
    let mut on_other_nodes = app.stranger();
    let fields = [("email", "ada@example.com"), ("password", crate::test_app::PASSWORD)];
    on_other_nodes.post("/rpc/account/sign-in", &fields).await;
    let answer = ada.get(MODULES[2]).await;
    let sessions: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    let current = sessions.iter().filter(|session| session["is_current"] == true).count();
    assert_eq!((sessions.len(), current), (2, 1));
    assert_eq!(sessions[0]["created_at"], "2026-11-21T12:00:00Z");
}

#[tokio::test]
async fn a_key_gets_403_with_or_without_a_session_and_a_stranger_gets_401() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    for path in MODULES {
        let answer = program(&app.router, path, &[("x-api-key", &secret)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let challenge = r#"Bearer realm="mecha-console", error="insufficient_scope""#;
        assert_eq!(answer.header("www-authenticate"), challenge);
        let both = ada.send(Request::get(path).header("x-api-key", &secret), &[]).await;
        assert_eq!(both.status, StatusCode::FORBIDDEN, "{path}");
        let junk = ada.send(Request::get(path).header("x-api-key", "junk"), &[]).await;
        assert_eq!(junk.status, StatusCode::UNAUTHORIZED, "{path}");
        let stranger = program(&app.router, path, &[]).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(stranger.header("www-authenticate"), r#"Bearer realm="mecha-console""#);
    }
    assert_eq!(app.refused(&id).await, [("closed-module".to_owned(), 6)]);
}
