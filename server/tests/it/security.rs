//! What every answer says, and which requests are let through.

use crate::test_app::{PASSWORD, TestApp, call, form, verify};
use app::App;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;

#[tokio::test]
async fn only_the_consoles_own_pages_change_anything() {
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
            // What would end the session is done to nobody's.
            let answer = if path.contains("sign-out") && is_own {
                app.stranger().send(request, &[]).await
            } else {
                ada.clone().send(request, &[]).await
            };
            assert_eq!(answer.status != StatusCode::FORBIDDEN, is_own, "{path} {headers:?}");
        }
    }
    assert!(ada.list().await.is_empty());
}

#[tokio::test]
async fn no_get_changes_anything() {
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
    app.stranger().sign_in("ada@example.com").await;
}

#[tokio::test]
async fn the_headers_that_protect_an_answer_are_the_same_whatever_its_status() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let large = "x".repeat(70_000);
    let mut answers = vec![
        (200, ada.get("/settings/account").await),
        (303, app.stranger().get("/settings/account").await),
        (401, app.stranger().get("/api/v1/account").await),
        (404, ada.get("/nope").await),
        (413, ada.post("/rpc/keys/create", &[("name", &large)]).await),
        (422, ada.submit("/rpc/keys/create", &[("name", ""), ("expire_in", "7")]).await),
    ];
    // What no version has written is a defect that nobody foresaw.
    let mut database = app.database().await;
    sqlx::query("UPDATE accounts SET email = 'no address'").execute(&mut database).await.unwrap();
    answers.push((500, ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await));
    for (status, answer) in answers {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        let said: Vec<_> = PROTECTION.iter().map(|(name, _)| (*name, answer.header(name))).collect();
        assert_eq!(said, PROTECTION, "{status}");
        let policy = answer.header("content-security-policy");
        let fixed = policy.split("'nonce-").next().unwrap();
        let is_page = answer.header("content-type").starts_with("text/html");
        let expected = if is_page {
            "default-src 'none'; script-src 'self' "
        } else {
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        };
        assert_eq!(fixed, expected, "{status}");
    }
}

/// On every answer that a script has not asked for as a file.
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
async fn a_page_has_one_address_and_none_elsewhere() {
    let app = TestApp::new().await;
    for (path, leads_to) in [("/settings/api-keys/", "/settings/api-keys"), ("/sign-in//", "/sign-in")] {
        assert_eq!(app.stranger().get(path).await.header("location"), leads_to);
    }
    for path in ["//evil.example/", "//evil.example/%2e%2e/"] {
        assert_eq!(app.stranger().get(path).await.header("location"), "", "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
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
        for browser in [&mut ada, &mut app.stranger()] {
            let answer = browser.get(path).await;
            let policy = answer.header("content-security-policy");
            for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.contains(directive), "{path}: {policy}");
            }
            assert!(
                !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"),
                "{path}: {policy}"
            );
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        }
    }
}

#[tokio::test]
async fn every_page_has_a_nonce_of_its_own_and_it_is_that_of_its_scripts() {
    let app = TestApp::new().await;
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let page = app.stranger().get("/sign-in").await;
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
async fn what_is_too_large_or_no_form_is_refused() {
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
async fn what_is_not_there_is_a_real_404() {
    let app = TestApp::new().await;
    // No file can have a name so long, which a file system says in another way.
    let endless = format!("/{}", "a".repeat(300));
    for path in ["/nope", "/pkg/nope.js", "/..%2fCargo.toml", "/rpcs", "/a%00b", &endless] {
        assert_eq!(app.stranger().get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let unknown = Request::post("/rpc/keys/steal")
        .header("host", "127.0.0.1:3000")
        .header("origin", "http://127.0.0.1:3000")
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(call(&app.router, unknown.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_for_owners_lead_strangers_to_sign_in_and_back() {
    let app = TestApp::new().await;
    let lead = app.stranger().get("/settings/api-keys?dialog=rename&key_id=0").await;
    assert_eq!(lead.status, StatusCode::SEE_OTHER);
    assert_eq!(lead.header("location"), "/sign-in?next=/settings/api-keys%3Fdialog%3Drename%26key_id%3D0");
}
