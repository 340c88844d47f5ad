//! Metrics for the operator's monitoring.

use crate::test_app::{Browser, PASSWORD, TestApp, call, postgres, verify};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use std::sync::Arc;
use tower::ServiceExt;

async fn metrics(app: &TestApp) -> String {
    let router = server::http::metrics_endpoint::router(Arc::new(app.console.clone()));
    let response = router.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn value(metrics: &str, line: &str) -> u64 {
    let found = metrics.lines().find_map(|it| it.strip_prefix(line));
    found.ok_or_else(|| format!("no {line} in\n{metrics}")).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status_and_verifications_by_outcome() {
    let app = TestApp::new().await;
    let mut ada: Browser = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    for _ in 0..3 {
        assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    }
    verify(&app.router, "mm_tok_nonsense").await;
    ada.get("/settings/api-keys").await;
    for path in ["/a", "/b", "/settings/nope", "/rpc/secret-x"] {
        ada.get(path).await;
    }
    let metrics = metrics(&app).await;
    assert_eq!(value(&metrics, "mecha_verifications_total{outcome=\"allowed\"}"), 3);
    assert_eq!(value(&metrics, "mecha_verifications_total{outcome=\"malformed\"}"), 1);
    assert_eq!(value(&metrics, "mecha_verifications_total{outcome=\"expired\"}"), 0);
    let count = |route: &str, status: u16| {
        let name = "mecha_http_request_duration_seconds_count";
        value(&metrics, &format!("{name}{{route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(count("/settings/api-keys", 200), 1);
    assert_eq!(count("/rpc/keys/create", 200), 1);
    assert_eq!(count("other", 404), 4);
    assert_eq!(value(&metrics, "mecha_held_in_memory{what=\"secrets\"}"), 1);
    assert!(value(&metrics, "mecha_password_hashes{state=\"most\"}") >= 1);
    let writers = value(&metrics, "mecha_database_connections{pool=\"write\"}");
    assert!(writers == 1 || writers > 1 && postgres().is_some());
    assert_eq!(value(&metrics, "mecha_held_in_memory{what=\"lease\"}"), 1);
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_contain_no_key_account_or_address_and_are_not_served_by_the_main_router() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    verify(&app.router, &secret).await;
    let metrics = metrics(&app).await;
    for private in [id.as_str(), &secret, "ada@example.com", "Deploy", PASSWORD, "10.9."] {
        assert!(!metrics.contains(private), "{private}");
    }
    assert_eq!(app.anonymous().get("/metrics").await.status, StatusCode::NOT_FOUND);
    let probe = Request::get("/metrics").body(Body::empty()).unwrap();
    assert_eq!(call(&app.router, probe).await.status, StatusCode::NOT_FOUND);
}
