//! `/api/v1/account`, `/api/v1/users/me` and `/api/v1/authentication/sessions`: they require the session of an owner and
//! reject API keys.

use crate::test_app::{TestApp, client_request};
use axum::http::{Request, StatusCode};
use serde_json::Value;

const MODULES: [&str; 3] = ["/api/v1/account", "/api/v1/users/me", "/api/v1/authentication/sessions"];

#[tokio::test]
async fn a_session_can_read_its_account_and_its_sessions() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for path in &MODULES[..2] {
        let response = ada.get(path).await;
        assert_eq!((response.status, response.header("cache-control")), (StatusCode::OK, "no-store"));
        let body: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["email"], "ada@example.com");
        assert_eq!(body["id"].as_str().unwrap().len(), 32);
    }
    let mut other_session = app.anonymous();
    let fields = [("email", "ada@example.com"), ("password", crate::test_app::PASSWORD)];
    other_session.post("/rpc/account/sign-in", &fields).await;
    let response = ada.get(MODULES[2]).await;
    let sessions: Vec<Value> = serde_json::from_str(&response.body).unwrap();
    let current = sessions.iter().filter(|session| session["is_current"] == true).count();
    assert_eq!((sessions.len(), current), (2, 1));
    assert_eq!(sessions[0]["created_at"], "2026-11-21T12:00:00Z");
}

#[tokio::test]
async fn a_key_gets_403_with_or_without_a_session_and_a_request_without_credentials_gets_401() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    for path in MODULES {
        let response = client_request(&app.router, path, &[("x-api-key", &secret)]).await;
        assert_eq!(response.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(response.header("content-type"), "application/problem+json");
        let challenge = r#"Bearer realm="mecha-console", error="insufficient_scope""#;
        assert_eq!(response.header("www-authenticate"), challenge);
        let both = ada.send(Request::get(path).header("x-api-key", &secret), &[]).await;
        assert_eq!(both.status, StatusCode::FORBIDDEN, "{path}");
        let junk = ada.send(Request::get(path).header("x-api-key", "junk"), &[]).await;
        assert_eq!(junk.status, StatusCode::UNAUTHORIZED, "{path}");
        let anonymous = client_request(&app.router, path, &[]).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(anonymous.header("www-authenticate"), r#"Bearer realm="mecha-console""#);
    }
    assert_eq!(app.denials(&id).await, [("closed-module".to_owned(), 6)]);
}
