//! Security headers of every response, and rejection of cross-site and malformed requests.

use crate::test_app::{PASSWORD, TestApp, call, form, verify};
use app::App;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;

#[tokio::test]
async fn actions_are_rejected_unless_they_come_from_the_origin_of_the_console() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let own = "http://127.0.0.1:3000";
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[("sec-fetch-site", "same-origin"), ("origin", own)], true),
        (&[("origin", own)], true),
        (&[("sec-fetch-site", "same-site"), ("origin", own)], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("origin", "null")], false),
        (&[("origin", "http://127.0.0.1:3001")], false),
        (&[("origin", "https://127.0.0.1:3000")], false),
        (&[], false),
    ];
    let _ = generate_route_list(App);
    for (path, _) in server_fn_paths() {
        for (headers, is_own) in cases {
            let mut request = form(path);
            request.headers_mut().unwrap().remove("origin");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            // Actions that end the session are sent without one, so that the other cases keep theirs.
            let response = if path.contains("sign-out") && is_own {
                app.anonymous().send(request, &[]).await
            } else {
                ada.clone().send(request, &[]).await
            };
            assert_eq!(response.status != StatusCode::FORBIDDEN, is_own, "{path} {headers:?}");
        }
    }
    assert!(ada.list().await.is_empty());
}

#[tokio::test]
async fn get_and_head_requests_change_nothing() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let fields = [
        ("key_id", id.as_str()),
        ("name", "Other"),
        ("expire_in", "7"),
        ("active", "false"),
        ("grace", "0"),
        ("confirm_name", "Deploy"),
        ("email", "eve@example.com"),
        ("password", PASSWORD),
        ("current_password", PASSWORD),
        ("new_password", "velvet anchor nineteen moss"),
        ("confirm_password", PASSWORD),
    ];
    let query = serde_urlencoded::to_string(fields).unwrap();
    let before = ada.list().await;
    let _ = generate_route_list(App);
    for (path, _) in server_fn_paths() {
        for method in [Method::GET, Method::HEAD] {
            let request = Request::builder().method(method).uri(format!("{path}?{query}"));
            let status = ada.send(request, &fields).await.status;
            assert!(!status.is_success() && !status.is_server_error(), "{path}: {status}");
        }
    }
    assert_eq!(ada.list().await, before, "and the session is still there");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    assert_eq!(app.console.accounts.list().await.unwrap().len(), 1);
    app.anonymous().sign_in("ada@example.com").await;
}

#[tokio::test]
async fn responses_of_every_status_have_the_same_security_headers() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let large = "x".repeat(70_000);
    let mut responses = vec![
        (200, ada.get("/settings/account").await),
        (303, app.anonymous().get("/settings/account").await),
        (401, app.anonymous().get("/api/v1/account").await),
        (404, ada.get("/nope").await),
        (413, ada.post("/rpc/keys/create", &[("name", &large)]).await),
        (422, ada.submit("/rpc/keys/create", &[("name", ""), ("expire_in", "7")]).await),
    ];
    // An invalid address in the database causes an internal error.
    let mut database = app.database().await;
    sqlx::query("UPDATE accounts SET email = 'no address'").execute(&mut database).await.unwrap();
    responses.push((500, ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await));
    for (status, response) in responses {
        assert_eq!(response.status.as_u16(), status, "{}", response.body);
        let headers: Vec<_> = PROTECTION.iter().map(|(name, _)| (*name, response.header(name))).collect();
        assert_eq!(headers, PROTECTION, "{status}");
        let policy = response.header("content-security-policy");
        let fixed = policy.split("'nonce-").next().unwrap();
        let is_page = response.header("content-type").starts_with("text/html");
        let expected = if is_page {
            "default-src 'none'; script-src 'self' "
        } else {
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        };
        assert_eq!(fixed, expected, "{status}");
    }
}

/// Security headers of every response except static files.
const PROTECTION: [(&str, &str); 8] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), clipboard-write=(self)",
    ),
    ("x-powered-by", ""),
];

#[tokio::test]
async fn trailing_slashes_redirect_to_the_canonical_path_and_never_to_another_site() {
    let app = TestApp::new().await;
    for (path, location) in [("/settings/api-keys/", "/settings/api-keys"), ("/sign-in//", "/sign-in")] {
        assert_eq!(app.anonymous().get(path).await.header("location"), location);
    }
    for path in ["//evil.example/", "//evil.example/%2e%2e/"] {
        assert_eq!(app.anonymous().get(path).await.header("location"), "", "{path}");
    }
}

#[tokio::test]
async fn every_route_returns_the_security_headers_with_and_without_a_session() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for path in [
        "/",
        "/sign-in",
        "/settings/api-keys",
        "/nope",
        "/api/v1/key",
        "/api/v1/account",
        "/healthz",
        "/rpc/x",
    ] {
        for browser in [&mut ada, &mut app.anonymous()] {
            let response = browser.get(path).await;
            let policy = response.header("content-security-policy");
            for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.contains(directive), "{path}: {policy}");
            }
            assert!(
                !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"),
                "{path}: {policy}"
            );
            assert_eq!(response.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(response.header("cache-control"), "no-store", "{path}");
            assert_eq!(response.header("referrer-policy"), "same-origin", "{path}");
        }
    }
}

#[tokio::test]
async fn a_request_in_authority_form_is_rejected_without_a_panic() {
    let app = TestApp::new().await;
    let request = Request::get("example.com").body(Body::empty()).unwrap();
    assert_eq!(call(&app.router, request).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_page_response_has_a_new_nonce_that_is_set_on_all_its_scripts() {
    let app = TestApp::new().await;
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let page = app.anonymous().get("/sign-in").await;
        let nonce = page.header("content-security-policy").split_once("'nonce-").unwrap().1;
        let nonce = nonce.split_once('\'').unwrap().0.to_owned();
        let scripts = page.body.matches("<script").count();
        assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), scripts);
        nonces.push(nonce);
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn oversized_and_malformed_forms_are_rejected() {
    let app = TestApp::new().await;
    let ada = app.owner("ada@example.com").await;
    let send = async |kind: &str, body: Vec<u8>| {
        let mut request = form("/rpc/keys/create").header("host", "127.0.0.1:3000");
        request.headers_mut().unwrap().insert("content-type", kind.parse().unwrap());
        let request = request.header("cookie", ada.cookie.clone().unwrap());
        call(&app.router, request.body(Body::from(body)).unwrap()).await.status
    };
    let plain = "application/x-www-form-urlencoded";
    assert_eq!(send(plain, vec![b'a'; 65 * 1024]).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send("application/json", b"{}".to_vec()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for junk in [
        &b"name=%ff%fe&expire_in=7"[..],
        b"%",
        b"name[a]=b&expire_in=7",
        b"name=a&name=b&expire_in=7",
        b"\0\xff",
    ] {
        let status = send(plain, junk.to_vec()).await;
        assert!(status.is_client_error(), "{junk:?}: {status}");
    }
}

#[tokio::test]
async fn unknown_paths_return_404() {
    let app = TestApp::new().await;
    // For a name that is too long, the file system returns another error than for a missing file.
    let endless = format!("/{}", "a".repeat(300));
    for path in ["/nope", "/pkg/nope.js", "/..%2fCargo.toml", "/rpcs", "/a%00b", &endless] {
        assert_eq!(app.anonymous().get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let unknown = Request::post("/rpc/keys/steal")
        .header("host", "127.0.0.1:3000")
        .header("origin", "http://127.0.0.1:3000")
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(call(&app.router, unknown.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_session_a_settings_page_redirects_to_sign_in_with_its_own_url_as_next() {
    let app = TestApp::new().await;
    let redirect = app.anonymous().get("/settings/api-keys?dialog=rename&key_id=0").await;
    assert_eq!(redirect.status, StatusCode::SEE_OTHER);
    assert_eq!(
        redirect.header("location"),
        "/sign-in?next=/settings/api-keys%3Fdialog%3Drename%26key_id%3D0"
    );
}
