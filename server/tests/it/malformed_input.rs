//! Property tests with malformed input: a few hundred cases each. `make fuzz` tests the parsers with many more.

use crate::test_app::{TestApp, call, form};
use app::App;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const CASES: usize = 300;

fn cases<S: Strategy>(strategy: &S) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::default();
    (0..CASES).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[tokio::test]
async fn random_headers_are_rejected_and_never_cause_a_server_error() {
    let app = TestApp::with(&["--trusted-proxies", "0.0.0.0/0"]).await;
    let names = [
        "authorization",
        "x-api-key",
        "x-api-key-id",
        "x-api-key-secret",
        "x-forwarded-for",
        "x-forwarded-proto",
        "host",
        "user-agent",
    ];
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "(Bearer|basic|Digest)? {0,2}[ -~]{0,60}".prop_map(String::into_bytes),
        "Basic [A-Za-z0-9+/]{0,60}={0,2}".prop_map(String::into_bytes),
        "mm_tok_[0-9A-Za-z]{30,40}".prop_map(String::into_bytes),
        "[0-9a-f.:, ]{0,60}".prop_map(String::into_bytes),
    ];
    let headers = proptest::collection::vec((0..names.len(), value), 0..6);
    for (headers, query) in cases(&(headers, "[?&=%a-z0-9]{0,30}")) {
        let mut request = Request::get(format!("/verify?{query}")).body(Body::empty()).unwrap();
        for (name, value) in &headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(HeaderName::from_static(names[*name]), value);
            }
        }
        let response = call(&app.router, request).await;
        assert!(matches!(response.status.as_u16(), 400 | 401 | 429), "{headers:?}: {}", response.status);
        assert!(response.body.is_empty());
    }
}

#[tokio::test]
async fn random_form_bodies_never_cause_a_server_error() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let field = prop_oneof![
        "[a-z_]{0,12}=[ -~]{0,40}",
        Just(format!("key_id={id}")),
        "(name|description|expire_in|grace|active|confirm_name|next)(\\[\\])?=\\PC{0,80}",
        "[%0-9a-f&=+]{0,60}",
    ];
    let body = proptest::collection::vec(field, 0..5).prop_map(|fields| fields.join("&"));
    let _ = generate_route_list(App);
    // Excludes actions that end the session, and actions that hash a password for each request.
    let excluded = ["sign-out", "sign-in", "sign-up", "change-password", "/account/delete"];
    let paths: Vec<_> = server_fn_paths()
        .map(|(path, _)| path)
        .filter(|path| !excluded.iter().any(|it| path.contains(it)))
        .collect();
    for (n, body) in cases(&body).enumerate() {
        let accept = if n % 2 == 0 { "application/json" } else { "text/html" };
        let request = form(paths[n % paths.len()]).header("accept", accept).header("host", "127.0.0.1:3000");
        let request = request.header("cookie", ada.cookie.clone().unwrap());
        let status = call(&app.router, request.body(Body::from(body.clone())).unwrap()).await.status;
        assert!(!status.is_server_error(), "{body:?}: {status}");
    }
    assert_eq!(ada.get("/settings/api-keys").await.status, StatusCode::OK);
}

#[tokio::test]
async fn random_urls_never_cause_a_server_error_or_a_redirect_to_another_site() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let path = "(/settings/api-keys|/settings/activity|/settings/account|/sign-in|/sign-up|/nope)/{0,2}";
    let query = "\\?(dialog|key_id|done|before|next)=[!-~]{0,40}(&(key_id|next)=[!-~]{0,40})?";
    for (path, query) in cases(&(path, query)) {
        let Ok(uri) = format!("{path}{query}").parse::<axum::http::Uri>() else { continue };
        for browser in [&mut ada, &mut app.anonymous()] {
            let response = browser.get(&uri.to_string()).await;
            assert!(!response.status.is_server_error(), "{uri}: {}", response.status);
            let location = response.header("location");
            assert!(
                location.is_empty() || location.starts_with('/') && !location.starts_with("//"),
                "{uri}: {location}"
            );
        }
    }
}
