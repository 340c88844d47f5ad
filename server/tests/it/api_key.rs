//! `GET /api/v1/key`.

use crate::test_app::{TestApp, program};
use app::domain::timestamp::DAY;
use axum::http::StatusCode;
use serde_json::{Value, json};

const CHALLENGE: &str = r#"Bearer realm="mecha-console""#;
const INVALID: &str = r#"Bearer realm="mecha-console", error="invalid_token""#;

#[tokio::test]
async fn a_key_is_told_about_itself_however_it_is_presented() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("name", "Déploy"), ("expire_in", "7"), ("description", "CI")];
    let new = ada.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    let (id, secret) = (new.id.as_str(), new.secret.as_str());
    let upper = id.to_uppercase();
    let ways: [&[(&str, &str)]; 4] = [
        &[("authorization", &format!("Bearer {secret}"))],
        &[("authorization", &format!("bearer {secret}"))],
        &[("x-api-key-id", id), ("x-api-key-secret", secret)],
        &[("x-api-key-id", &upper), ("x-api-key-secret", secret)],
    ];
    for headers in ways {
        let answer = program(&app.router, "/api/v1/key", headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{headers:?}");
        assert_eq!(
            (answer.header("content-type"), answer.header("cache-control")),
            ("application/json", "no-store")
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["name"], "Déploy");
        assert_eq!(body["id"], json!(id));
        assert_eq!(body["description"], "CI");
        assert_eq!(body["created_at"], "2026-11-21T12:00:00Z");
        assert_eq!(body["expires_at"], "2026-11-28T12:00:00Z");
        assert!(!answer.body.contains("mm_tok_"));
    }
}

#[tokio::test]
async fn without_a_credential_the_challenge_is_bare() {
    let app = TestApp::new().await;
    let answer = program(&app.router, "/api/v1/key", &[]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, CHALLENGE));
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn every_invalid_key_gets_one_identical_answer() {
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
        let answer = program(&app.router, "/api/v1/key", headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (401, INVALID),
            "{headers:?}"
        );
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn two_credentials_at_once_are_no_request() {
    let app = TestApp::new().await;
    let (id, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    let bearer = format!("Bearer {secret}");
    let cases: [&[(&str, &str)]; 3] = [
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", &bearer), ("x-api-key-id", &id), ("x-api-key-secret", &secret)],
        &[("x-api-key-id", &id), ("x-api-key-secret", &secret), ("x-api-key-secret", &secret)],
    ];
    for headers in cases {
        let answer = program(&app.router, "/api/v1/key", headers).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(!answer.body.contains(&secret));
    }
}

#[tokio::test]
async fn a_key_in_the_address_and_a_session_are_not_read() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    assert_eq!(ada.get("/api/v1/key").await.status, StatusCode::UNAUTHORIZED);
    for name in ["key", "api_key", "access_token"] {
        let path = format!("/api/v1/key?{name}={secret}");
        assert_eq!(program(&app.router, &path, &[]).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_unknown_operation_is_a_problem_and_no_page() {
    let app = TestApp::new().await;
    let answer = program(&app.router, "/api/v2/nothing", &[]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    let mut wrong = app.stranger();
    let answer = wrong.post("/api/v1/key", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"));
}
