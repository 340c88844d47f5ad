//! Every route, and who may call it. A route that nobody has decided about fails here.

use crate::test_app::{Browser, TestApp, call, form};
use app::App;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use serde_json::Value;
use server::http::api::{KEY_SCHEMES, SESSION_SCHEME, description};
use server::http::dispatch::Dispatch;

/// Pages for whom: a stranger, or an owner, to whom strangers are led.
const PAGES: [(&str, Who); 7] = [
    ("/sign-in", Who::Anyone),
    ("/sign-up", Who::Anyone),
    ("/settings/api-keys", Who::Session),
    ("/settings/use-it", Who::Session),
    ("/settings/account", Who::Session),
    ("/settings/activity", Who::Session),
    ("/docs/api", Who::Anyone),
];

/// Actions of pages for whom.
const ACTIONS: [(&str, Who); 13] = [
    ("/rpc/account/sign-up", Who::Anyone),
    ("/rpc/account/sign-in", Who::Anyone),
    ("/rpc/account/sign-out", Who::Anyone),
    ("/rpc/account/change-password", Who::Session),
    ("/rpc/account/sign-out-everywhere", Who::Session),
    ("/rpc/account/delete", Who::Session),
    ("/rpc/keys/create", Who::Session),
    ("/rpc/keys/rename", Who::Session),
    ("/rpc/keys/refresh", Who::Session),
    ("/rpc/keys/set-active", Who::Session),
    ("/rpc/keys/rotate", Who::Session),
    ("/rpc/keys/retire", Who::Session),
    ("/rpc/keys/delete", Who::Session),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anyone,
    Session,
    Key,
}

/// The decision stands in the description of each operation.
fn decision(operation: &Value) -> Option<Who> {
    let ways = operation.get("security")?.as_array()?;
    let is = |name: &str| ways.iter().any(|way| way.get(name).is_some());
    if KEY_SCHEMES.iter().any(|scheme| is(scheme)) && !is(SESSION_SCHEME) {
        Some(Who::Key)
    } else if is(SESSION_SCHEME) && ways.len() == 1 {
        Some(Who::Session)
    } else {
        None
    }
}

async fn status(router: &Dispatch, request: Request<Body>) -> StatusCode {
    call(router, request).await.status
}

#[tokio::test]
async fn each_operation_is_for_keys_or_for_sessions_and_says_which() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let document = serde_json::to_value(description()).unwrap();
    let mut walked = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let who = decision(operation).unwrap_or_else(|| panic!("{method} {path}: who may call it?"));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = || Request::builder().method(&method).uri(path.as_str());
            let with_key = request().header("x-api-key", &secret).body(Body::empty()).unwrap();
            let answers = (
                status(&app.router, request().body(Body::empty()).unwrap()).await.as_u16(),
                status(&app.router, with_key).await.as_u16() / 100,
                ada.send(request(), &[]).await.status.as_u16(),
            );
            let expected = match who {
                Who::Key => (401, 2, 401),
                Who::Session => (401, 4, 200),
                Who::Anyone => (200, 2, 200),
            };
            assert_eq!(answers, expected, "{method} {path}: stranger, key, session");
            walked.push(path.clone());
        }
    }
    walked.dedup();
    assert_eq!(
        walked,
        ["/api/v1/account", "/api/v1/authentication/sessions", "/api/v1/key", "/api/v1/users/me", "/verify"]
    );
}

#[tokio::test]
async fn each_page_is_for_everybody_or_for_sessions_and_a_key_is_nobody_there() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let mut pages: Vec<_> = generate_route_list(App).iter().map(|route| route.path().to_owned()).collect();
    pages.sort();
    let mut decided: Vec<_> = PAGES.iter().map(|(path, _)| (*path).to_owned()).collect();
    decided.sort();
    assert_eq!(pages, decided, "decide in PAGES who may see a new page");
    for (path, who) in PAGES {
        let stranger = app.stranger().get(path).await.status;
        let with_key = Request::get(path).header("x-api-key", &secret);
        let key = app.stranger().send(with_key, &[]).await.status;
        let expected = if who == Who::Anyone { StatusCode::OK } else { StatusCode::SEE_OTHER };
        assert_eq!((stranger, key), (expected, expected), "{path}");
        if who == Who::Session {
            assert_eq!(ada.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn each_action_asks_for_a_session_and_no_key_stands_in_for_one() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    // Whatever the router has must be registered, and whatever is registered must be decided.
    let _ = generate_route_list(App);
    let mut actions: Vec<_> = server_fn_paths().map(|(path, _)| path.to_owned()).collect();
    actions.sort();
    let mut decided: Vec<_> = ACTIONS.iter().map(|(path, _)| (*path).to_owned()).collect();
    decided.sort();
    assert_eq!(actions, decided, "decide in ACTIONS who may call a new action");
    let zero = "0".repeat(32);
    let fields = [
        ("key_id", &*zero),
        ("name", "a"),
        ("expire_in", "7"),
        ("active", "true"),
        ("grace", "0"),
        ("confirm_name", "a"),
        ("email", "x@example.com"),
        ("password", "short"),
        ("current_password", "short"),
        ("new_password", "short"),
        ("confirm_password", "short"),
        ("next", ""),
    ];
    for (path, who) in ACTIONS {
        let mut stranger: Browser = app.stranger();
        let request = form(path).header("accept", "application/json").header("x-api-key", &secret);
        let answer = stranger.send(request, &fields).await;
        let is_refused =
            answer.status == StatusCode::UNAUTHORIZED && answer.refusal().detail.contains("signed out");
        assert_eq!(is_refused, who == Who::Session, "{path}: {} {}", answer.status, answer.body);
    }
    for path in ["/settings/api-keys/events", "/settings/api-keys/traffic"] {
        let request = Request::get(path).header("x-api-key", &secret);
        let answer = app.stranger().send(request, &[]).await;
        assert!(matches!(answer.status.as_u16(), 204 | 401), "{path}: {}", answer.status);
    }
}
