//! `/verify`.

use crate::test_app::{TestApp, bearer, call, program, router_of, verify};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::FutureExt;
use server::http::middleware::client_ip::TrustedProxies;
use tokio::runtime::Builder;

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
async fn below_verify_where_envoy_appends_a_path_an_allowed_request_is_200_without_a_body() {
    let app = TestApp::new().await;
    let (id, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    let bearer = [("authorization", &*format!("Bearer {secret}"))];
    for path in ["/verify/", "/verify/v1/chat", "/verify/v1/chat?x=1&module=chat", "/verify/verify"] {
        let answer = program(&app.router, path, &bearer).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(answer.header("x-key-id"), id);
        assert_eq!(program(&app.router, path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(program(&app.router, "/verify?x=/v1", &bearer).await.status, StatusCode::NO_CONTENT);
    // With the path prefix "/verify?module=accounts".
    for path in [
        "/verify?module=accounts/v1/chat",
        "/verify?module=users/v1?module=chat",
        "/verify/a?module=accounts",
    ] {
        assert_eq!(program(&app.router, path, &bearer).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(program(&app.router, "/verifyx", &bearer).await.status, StatusCode::NOT_FOUND);
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
async fn a_module_that_is_closed_to_keys_is_closed_and_the_owner_learns_of_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let bearer = [("authorization", &*format!("Bearer {secret}"))];
    for module in ["accounts", "Users", "%61uthentication", "chat&module=users"] {
        let answer = program(&app.router, &format!("/verify?module={module}"), &bearer).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, ""), "{module}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, r#"Bearer realm="mecha-console", error="insufficient_scope""#);
        assert_eq!(answer.header("x-key-id"), "");
    }
    let open = program(&app.router, "/verify?module=chat", &bearer).await;
    assert_eq!(open.status, StatusCode::NO_CONTENT);
    let stranger = program(&app.router, "/verify?module=accounts", &[]).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.refused(&id).await, [("closed-module".to_owned(), 4)]);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_no_no() {
    let app = TestApp::with(&[]).await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    app.console.store.close().await;
    let headers = [("authorization", &*format!("Bearer {secret}"))];
    // What was committed is in memory, and nobody can have changed it since.
    assert_eq!(program(&app.router, "/verify", &headers).await.status, StatusCode::NO_CONTENT);
    for path in ["/api/v1/key", "/readyz"] {
        let answer = program(&app.router, path, &headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(program(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(app.stranger().get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
    assert_eq!(app.stranger().get("/sign-in").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_server_that_was_told_to_stop_says_so_to_load_balancers_and_still_verifies() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    assert_eq!(program(&app.router, "/readyz", &[]).await.status, StatusCode::OK);
    app.console.draining.cancel();
    assert_eq!(program(&app.router, "/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(program(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    assert_eq!(app.stranger().get("/sign-in").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_network_that_guesses_is_told_to_wait_and_a_good_key_behind_it_is_not() {
    let app = TestApp::with(&["--denials-per-minute", "3"]).await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    for path in ["/verify", "/api/v1/key"] {
        let app = TestApp::with(&["--denials-per-minute", "3"]).await;
        let guess = async || program(&app.router, path, &[("x-api-key", "junk")]).await;
        for _ in 0..3 {
            assert_eq!(guess().await.status, StatusCode::UNAUTHORIZED);
        }
        let refused = guess().await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!((1..=20).contains(&refused.header("retry-after").parse().unwrap()));
        assert_eq!(program(&app.router, path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
    for _ in 0..10 {
        program(&app.router, "/verify", &[("x-api-key", "junk")]).await;
        assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_verification_is_answered_while_the_threads_for_all_else_are_stuck() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    // One that nobody drives.
    let stuck = Builder::new_current_thread().build().unwrap();
    let on_stuck = stuck.enter();
    let router = router_of(&app.console, TrustedProxies::default());
    drop(on_stuck);
    assert_eq!(verify(&router, &secret).await, StatusCode::NO_CONTENT);
    assert!(bearer(&router, &secret).now_or_never().is_none());
    stuck.shutdown_background();
}
