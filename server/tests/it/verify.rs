//! `/verify`, the endpoint for gateways.

use crate::test_app::{TestApp, call, client_request, verify};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::FutureExt;
use server::http::middleware::client_ip::{Peer, TrustedProxies};
use server::http::verify::service::VerifyService;
use tokio::runtime::Builder;
use tower::ServiceExt;

#[tokio::test]
async fn an_allowed_request_of_any_method_gets_the_key_and_account_in_headers_and_no_body() {
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
        let response = call(&app.router, request).await;
        assert_eq!((response.status, response.body.as_str()), (StatusCode::NO_CONTENT, ""), "{method}");
        assert_eq!(response.header("x-key-id"), id);
        assert_eq!(response.header("x-key-name"), "%D0%9A%D0%BB%D1%8E%D1%87%201");
        assert_eq!(response.header("x-account-id").len(), 32);
        assert_eq!(response.header("x-key-expires-at"), "2027-02-19T12:00:00Z");
        assert_eq!(response.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn with_a_path_appended_to_verify_as_by_envoy_an_allowed_request_gets_200_and_no_body() {
    let app = TestApp::new().await;
    let (id, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    let bearer = [("authorization", &*format!("Bearer {secret}"))];
    for path in ["/verify/", "/verify/v1/chat", "/verify/v1/chat?x=1&module=chat", "/verify/verify"] {
        let response = client_request(&app.router, path, &bearer).await;
        assert_eq!((response.status, response.body.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(response.header("x-key-id"), id);
        assert_eq!(client_request(&app.router, path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(client_request(&app.router, "/verify?x=/v1", &bearer).await.status, StatusCode::NO_CONTENT);
    // With the path prefix "/verify?module=accounts".
    for path in
        ["/verify?module=accounts/v1/chat", "/verify?module=users/v1?module=chat", "/verify/?module=accounts"]
    {
        assert_eq!(client_request(&app.router, path, &bearer).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(client_request(&app.router, "/verifyx", &bearer).await.status, StatusCode::NOT_FOUND);
    // A client's own query closes nothing: the API behind the gateway may have a parameter of that name.
    let own = client_request(&app.router, "/verify/v1/items?module=users", &bearer).await;
    assert_eq!(own.status, StatusCode::OK);
}

#[tokio::test]
async fn the_listeners_for_gateways_verify_as_the_main_listener_does_and_serve_nothing_else() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    let proxies = TrustedProxies(vec!["192.0.2.7/32".parse().unwrap()]);
    let service = VerifyService::new(app.console.clone(), proxies).of(Peer::Tcp([192, 0, 2, 7].into()));
    let mut paths = vec!["/verify", "/verify/", "/verify/v1/chat", "/verify?module=accounts"];
    for credential in [format!("Bearer {secret}"), "Bearer mm_tok_wrong".to_owned(), String::new()] {
        for path in &paths {
            let request = || {
                let request = Request::post(*path).header("x-forwarded-for", "198.51.100.7");
                request.header("authorization", &credential).body(Body::empty()).unwrap()
            };
            let (mut main, gateway) =
                (call(&app.router, request()).await, service.clone().oneshot(request()).await.unwrap());
            // The router adds it; the HTTP library adds it to the other response where it is allowed.
            main.headers.remove("content-length");
            assert_eq!(main.status, gateway.status(), "{path} {credential}");
            assert_eq!(&main.headers, gateway.headers(), "{path} {credential}");
        }
    }
    paths = vec!["/", "/verifyx", "/sign-in", "/healthz", "/api/v1/key", "/rpc/keys/create"];
    for path in paths {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_denied_request_gets_a_challenge_and_no_body() {
    let app = TestApp::new().await;
    for (headers, challenge) in [
        (&[][..], r#"Bearer realm="mecha-console""#),
        (&[("authorization", "Bearer junk")][..], r#"Bearer realm="mecha-console", error="invalid_token""#),
    ] {
        let response = client_request(&app.router, "/verify", headers).await;
        assert_eq!((response.status, response.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
        assert_eq!(response.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn a_module_closed_to_keys_denies_every_key_and_the_denial_is_recorded_for_the_owner() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let bearer = [("authorization", &*format!("Bearer {secret}"))];
    for module in ["accounts", "Users", "%61uthentication", "chat&module=users"] {
        let response = client_request(&app.router, &format!("/verify?module={module}"), &bearer).await;
        assert_eq!((response.status, response.body.as_str()), (StatusCode::FORBIDDEN, ""), "{module}");
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, r#"Bearer realm="mecha-console", error="insufficient_scope""#);
        assert_eq!(response.header("x-key-id"), "");
    }
    let open = client_request(&app.router, "/verify?module=chat", &bearer).await;
    assert_eq!(open.status, StatusCode::NO_CONTENT);
    let anonymous = client_request(&app.router, "/verify?module=accounts", &[]).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.denials(&id).await, [("closed-module".to_owned(), 4)]);
}

#[tokio::test]
async fn without_the_database_cached_keys_are_allowed_and_other_requests_get_503() {
    let app = TestApp::with(&[]).await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    app.console.store.close().await;
    let headers = [("authorization", &*format!("Bearer {secret}"))];
    // The key cache holds the committed state, which cannot change without the database.
    assert_eq!(client_request(&app.router, "/verify", &headers).await.status, StatusCode::NO_CONTENT);
    for path in ["/api/v1/key", "/readyz"] {
        let response = client_request(&app.router, path, &headers).await;
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(!response.header("retry-after").is_empty());
    }
    assert_eq!(client_request(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(app.anonymous().get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
    assert_eq!(app.anonymous().get("/sign-in").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn during_shutdown_the_server_reports_not_ready_and_still_serves_requests() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    assert_eq!(client_request(&app.router, "/readyz", &[]).await.status, StatusCode::OK);
    app.console.draining.cancel();
    assert_eq!(client_request(&app.router, "/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client_request(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    assert_eq!(app.anonymous().get("/sign-in").await.status, StatusCode::OK);
}

#[tokio::test]
async fn invalid_keys_are_rate_limited_per_network_and_valid_keys_from_that_network_are_allowed() {
    let app = TestApp::with(&["--denials-per-minute", "3"]).await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    for path in ["/verify", "/api/v1/key"] {
        let app = TestApp::with(&["--denials-per-minute", "3"]).await;
        let guess = async || client_request(&app.router, path, &[("x-api-key", "junk")]).await;
        for _ in 0..3 {
            assert_eq!(guess().await.status, StatusCode::UNAUTHORIZED);
        }
        let limited = guess().await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
        assert!((1..=20).contains(&limited.header("retry-after").parse().unwrap()));
        assert_eq!(client_request(&app.router, path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
    for _ in 0..10 {
        client_request(&app.router, "/verify", &[("x-api-key", "junk")]).await;
        assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn at_a_listener_for_gateways_a_verification_completes_while_the_main_runtime_is_blocked() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    // A runtime that is never polled.
    let stuck = Builder::new_current_thread().build().unwrap();
    let on_stuck = stuck.enter();
    let service = VerifyService::new(app.console.clone(), TrustedProxies::default());
    drop(on_stuck);
    let request = Request::get("/verify").header("authorization", format!("Bearer {secret}"));
    let response = service.oneshot(request.body(Body::empty()).unwrap()).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    stuck.shutdown_background();
}
