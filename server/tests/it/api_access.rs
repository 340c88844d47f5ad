//! Access control of every route. A route without a declared access rule fails these tests.

use crate::mechas::{create_mecha, issue};
use crate::test_app::{Browser, TestApp, call, form};
use app::App;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use serde_json::Value;
use server::http::api::{KEY_SCHEMES, SESSION_SCHEME, description};

/// Pages and who may see them. A page that requires a session redirects anonymous visitors to the sign-in page.
const PAGES: [(&str, Access); 9] = [
    ("/sign-in", Access::Public),
    ("/sign-up", Access::Public),
    ("/settings/api-keys", Access::Session),
    ("/settings/use-it", Access::Session),
    ("/settings/account", Access::Session),
    ("/settings/activity", Access::Session),
    ("/docs/api", Access::Public),
    ("/mechas", Access::Session),
    ("/mechas/{id}", Access::Session),
];

/// Form actions and who may call them.
const ACTIONS: [(&str, Access); 21] = [
    ("/rpc/account/sign-up", Access::Public),
    ("/rpc/account/sign-in", Access::Public),
    ("/rpc/account/sign-out", Access::Public),
    ("/rpc/account/change-password", Access::Session),
    ("/rpc/account/end-session", Access::Session),
    ("/rpc/account/sign-out-everywhere", Access::Session),
    ("/rpc/account/delete", Access::Session),
    ("/rpc/keys/create", Access::Session),
    ("/rpc/keys/rename", Access::Session),
    ("/rpc/keys/edit", Access::Session),
    ("/rpc/keys/refresh", Access::Session),
    ("/rpc/keys/set-active", Access::Session),
    ("/rpc/keys/rotate", Access::Session),
    ("/rpc/keys/retire", Access::Session),
    ("/rpc/keys/delete", Access::Session),
    ("/rpc/mechas/create", Access::Session),
    ("/rpc/mechas/describe", Access::Session),
    ("/rpc/mechas/set-active", Access::Session),
    ("/rpc/mechas/delete", Access::Session),
    ("/rpc/mechas/command", Access::Session),
    ("/rpc/mechas/disconnect", Access::Session),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Public,
    Session,
    Key,
}

/// The access rule that the OpenAPI description of an operation declares.
fn declared_access(operation: &Value) -> Option<Access> {
    let schemes = operation.get("security")?.as_array()?;
    let accepts = |name: &str| schemes.iter().any(|scheme| scheme.get(name).is_some());
    if KEY_SCHEMES.iter().any(|scheme| accepts(scheme)) && !accepts(SESSION_SCHEME) {
        Some(Access::Key)
    } else if accepts(SESSION_SCHEME) && schemes.len() == 1 {
        Some(Access::Session)
    } else {
        None
    }
}

async fn status(router: &Router, request: Request<Body>) -> StatusCode {
    call(router, request).await.status
}

#[tokio::test]
async fn every_api_operation_accepts_only_the_credential_that_its_description_declares() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, of_account) = ada.create("Deploy").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    let of_mecha = issue(&mut ada, &mecha, "Runtime").await.new.unwrap().secret;
    let document = serde_json::to_value(description()).unwrap();
    let mut checked = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let access =
                declared_access(operation).unwrap_or_else(|| panic!("{method} {path}: no access rule"));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let uri = path.replace("{mecha}", "Porter");
            let request = || Request::builder().method(&method).uri(&uri);
            let with_key = |secret: &str| request().header("x-api-key", secret).body(Body::empty()).unwrap();
            // Some operations are for the keys of Mechas only.
            let is_of_mecha = matches!(path.as_str(), "/api/v1/mecha" | "/api/v1/runtime");
            let secret = if is_of_mecha { &of_mecha } else { &of_account };
            if is_of_mecha {
                assert_eq!(status(&app.router, with_key(&of_account)).await, StatusCode::FORBIDDEN, "{path}");
            }
            let statuses = (
                status(&app.router, request().body(Body::empty()).unwrap()).await.as_u16(),
                status(&app.router, with_key(secret)).await.as_u16() / 100,
                ada.send(request(), &[]).await.status.as_u16(),
            );
            let expected = match access {
                // It responds with 426 to a request without an upgrade.
                Access::Key if path == "/api/v1/runtime" => (401, 4, 401),
                // No runtime offers the action.
                Access::Key if path == "/v1/trigger/{action}" => (401, 4, 401),
                Access::Key => (401, 2, 401),
                Access::Session => (401, 4, 200),
                Access::Public => (200, 2, 200),
            };
            assert_eq!(statuses, expected, "{method} {path}: anonymous, key, session");
            checked.push(path.clone());
        }
    }
    checked.dedup();
    assert_eq!(
        checked,
        [
            "/api/v1/account",
            "/api/v1/authentication/sessions",
            "/api/v1/key",
            "/api/v1/mecha",
            "/api/v1/mechas",
            "/api/v1/mechas/{mecha}",
            "/api/v1/runtime",
            "/api/v1/users/me",
            "/v1/trigger/{action}",
            "/verify"
        ]
    );
}

#[tokio::test]
async fn every_page_is_public_or_requires_a_session_and_an_api_key_does_not_replace_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let mut pages: Vec<_> = generate_route_list(App).iter().map(|route| route.path().to_owned()).collect();
    pages.sort();
    let mut declared: Vec<_> = PAGES.iter().map(|(path, _)| (*path).to_owned()).collect();
    declared.sort();
    assert_eq!(pages, declared, "declare the access rule of a new page in PAGES");
    let mecha = create_mecha(&mut ada, "Porter").await;
    for (path, access) in PAGES {
        let path = &path.replace("{id}", &mecha);
        let anonymous = app.anonymous().get(path).await.status;
        let with_key = Request::get(path).header("x-api-key", &secret);
        let key = app.anonymous().send(with_key, &[]).await.status;
        let expected = if access == Access::Public { StatusCode::OK } else { StatusCode::SEE_OTHER };
        assert_eq!((anonymous, key), (expected, expected), "{path}");
        if access == Access::Session {
            assert_eq!(ada.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn every_action_is_public_or_requires_a_session_and_an_api_key_does_not_replace_it() {
    let app = TestApp::new().await;
    let (_, secret) = app.owner("ada@example.com").await.create("Deploy").await;
    // Generating the route list ensures that every action is registered. Each registered action needs an access rule.
    let _ = generate_route_list(App);
    let mut actions: Vec<_> = server_fn_paths().map(|(path, _)| path.to_owned()).collect();
    actions.sort();
    let mut declared: Vec<_> = ACTIONS.iter().map(|(path, _)| (*path).to_owned()).collect();
    declared.sort();
    assert_eq!(actions, declared, "declare the access rule of a new action in ACTIONS");
    let zero = "0".repeat(32);
    let fields = [
        ("key_id", &*zero),
        ("name", "a"),
        ("mecha_id", &*zero),
        ("mecha_name", "a"),
        ("expire_in", "7"),
        ("access", "everything"),
        ("active", "true"),
        ("grace", "0"),
        ("confirm_name", "a"),
        ("email", "x@example.com"),
        ("password", "short"),
        ("current_password", "short"),
        ("new_password", "short"),
        ("confirm_password", "short"),
        ("next", ""),
        ("session", "00"),
        ("runtime_id", &*zero),
        ("command", "test"),
    ];
    for (path, access) in ACTIONS {
        let mut anonymous: Browser = app.anonymous();
        let request = form(path).header("accept", "application/json").header("x-api-key", &secret);
        let response = anonymous.send(request, &fields).await;
        let is_rejected = response.status == StatusCode::UNAUTHORIZED
            && response.refusal().detail.contains("session has ended");
        assert_eq!(is_rejected, access == Access::Session, "{path}: {} {}", response.status, response.body);
    }
    let request = Request::get("/settings/api-keys/events").header("x-api-key", &secret);
    let response = app.anonymous().send(request, &[]).await;
    assert_eq!(response.status, StatusCode::NO_CONTENT);
}
