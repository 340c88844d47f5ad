//! `/verify`.

use crate::test_app::{TestApp, call, program};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

#[tokio::test]
async fn a_gateway_is_told_who_it_is_by_any_method_and_without_a_body() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Ключ 1").await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = Request::builder()
            .method(&method)
            .uri("/verify?x=1")
            .header("authorization", format!("Bearer {secret}"))
            .body(Body::from("ignored"))
            .unwrap();
        let answer = call(&app.router, request).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""), "{method}");
        assert_eq!(answer.header("x-key-id"), id);
        assert_eq!(answer.header("x-key-name"), "%D0%9A%D0%BB%D1%8E%D1%87%201");
        assert_eq!(answer.header("x-account-id").len(), 32);
        assert_eq!(answer.header("x-key-expires-at"), "2027-02-19T12:00:00Z");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_refusal_has_a_challenge_and_no_body() {
    let app = TestApp::new().await;
    for (headers, challenge) in [
        (&[][..], r#"Bearer realm="mecha-console""#),
        (&[("authorization", "Bearer junk")][..], r#"Bearer realm="mecha-console", error="invalid_token""#),
    ] {
        let answer = program(&app.router, "/verify", headers).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_no_yes_and_no_no() {
    let app = TestApp::with(&[]).await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    app.console.keys.store.close().await;
    let headers = [("authorization", &*format!("Bearer {secret}"))];
    for path in ["/verify", "/api/v1/key", "/readyz"] {
        let answer = program(&app.router, path, &headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(program(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(app.stranger().get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
    assert_eq!(app.stranger().get("/sign-in").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
