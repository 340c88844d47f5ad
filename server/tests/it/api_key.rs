//! `GET /api/v1/key`.

use crate::test_app::{TestApp, client_request};
use app::domain::timestamp::DAY;
use axum::http::StatusCode;
use serde_json::{Value, json};

const CHALLENGE: &str = r#"Bearer realm="mecha-console""#;
const INVALID: &str = r#"Bearer realm="mecha-console", error="invalid_token""#;

#[tokio::test]
async fn every_supported_credential_format_returns_the_details_of_the_key() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("name", "Déploy"), ("expire_in", "7"), ("description", "CI")];
    let new = ada.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    let (id, secret) = (new.id.as_str(), new.secret.as_str());
    let upper = id.to_uppercase();
    let formats: [&[(&str, &str)]; 4] = [
        &[("authorization", &format!("Bearer {secret}"))],
        &[("authorization", &format!("bearer {secret}"))],
        &[("x-api-key-id", id), ("x-api-key-secret", secret)],
        &[("x-api-key-id", &upper), ("x-api-key-secret", secret)],
    ];
    for headers in formats {
        let response = client_request(&app.router, "/api/v1/key", headers).await;
        assert_eq!(response.status, StatusCode::OK, "{headers:?}");
        assert_eq!(
            (response.header("content-type"), response.header("cache-control")),
            ("application/json", "no-store")
        );
        let body: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["name"], "Déploy");
        assert_eq!(body["id"], json!(id));
        assert_eq!(body["description"], "CI");
        assert_eq!(body["created_at"], "2026-11-21T12:00:00Z");
        assert_eq!(body["expires_at"], "2026-11-28T12:00:00Z");
        assert!(!response.body.contains("mm_tok_"));
    }
}

#[tokio::test]
async fn without_a_credential_the_challenge_has_no_error_code() {
    let app = TestApp::new().await;
    let response = client_request(&app.router, "/api/v1/key", &[]).await;
    assert_eq!((response.status, response.header("www-authenticate")), (StatusCode::UNAUTHORIZED, CHALLENGE));
    assert_eq!(response.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn every_invalid_credential_gets_the_identical_response() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, _) = ada.create("Other").await;
    let (off, off_secret) = ada.create("Off").await;
    let (gone, gone_secret) = ada.create("Gone").await;
    ada.post("/rpc/keys/delete", &[("key_id", &gone), ("confirm_name", "Gone")]).await.list();
    let brief =
        ada.post("/rpc/keys/create", &[("name", "Brief"), ("expire_in", "7")]).await.list().new.unwrap();
    ada.post("/rpc/keys/set-active", &[("key_id", &off), ("active", "false")]).await.list();
    app.advance(7 * DAY);
    let mut mistyped = secret.clone();
    mistyped.replace_range(10..11, if &secret[10..11] == "a" { "b" } else { "a" });
    let bearer = |secret: &str| format!("Bearer {secret}");
    let unknown = "mm_tok_00000000000000000000000000000000000000";
    let cases: [&[(&str, &str)]; 11] = [
        &[("authorization", &bearer(&gone_secret))],
        &[("authorization", &bearer(&brief.secret))],
        &[("authorization", &bearer(&mistyped))],
        &[("authorization", &bearer(unknown))],
        &[("authorization", &bearer("junk"))],
        &[("authorization", &bearer(&off_secret))],
        &[("authorization", "Digest x")],
        &[("authorization", "Bearer \u{e9}")],
        &[("x-api-key-id", &other), ("x-api-key-secret", &secret)],
        &[("x-api-key-id", &id)],
        &[("x-api-key-secret", &secret)],
    ];
    let mut bodies = Vec::new();
    for headers in cases {
        let response = client_request(&app.router, "/api/v1/key", headers).await;
        assert_eq!(
            (response.status.as_u16(), response.header("www-authenticate")),
            (401, INVALID),
            "{headers:?}"
        );
        bodies.push(response.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_request_with_two_credentials_is_a_bad_request() {
    let app = TestApp::new().await;
    let (id, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    let bearer = format!("Bearer {secret}");
    let cases: [&[(&str, &str)]; 3] = [
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", &bearer), ("x-api-key-id", &id), ("x-api-key-secret", &secret)],
        &[("x-api-key-id", &id), ("x-api-key-secret", &secret), ("x-api-key-secret", &secret)],
    ];
    for headers in cases {
        let response = client_request(&app.router, "/api/v1/key", headers).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(!response.body.contains(&secret));
    }
}

#[tokio::test]
async fn a_key_in_the_query_string_and_a_session_cookie_are_ignored() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    assert_eq!(ada.get("/api/v1/key").await.status, StatusCode::UNAUTHORIZED);
    for name in ["key", "api_key", "access_token"] {
        let path = format!("/api/v1/key?{name}={secret}");
        assert_eq!(client_request(&app.router, &path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_unknown_api_path_returns_a_problem_document_and_an_unsupported_method_returns_405() {
    let app = TestApp::new().await;
    let response = client_request(&app.router, "/api/v2/nothing", &[]).await;
    assert_eq!(
        (response.status, response.header("content-type")),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    let mut wrong = app.anonymous();
    let response = wrong.post("/api/v1/key", &[]).await;
    assert_eq!((response.status, response.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"));
}
