//! Who may create the first account.

use crate::test_app::{PASSWORD, TestApp, client_request, form};
use app::domain::account::{Email, Password};
use app::domain::usage::ClientName;
use axum::http::{Request, StatusCode};

const NEW: [(&str, &str); 2] = [("email", "eve@example.com"), ("password", PASSWORD)];

#[tokio::test]
async fn by_default_pages_and_actions_reject_foreign_hosts_to_prevent_dns_rebinding() {
    let app = TestApp::with(&[]).await;
    for host in ["evil.example", "evil.example:3000", "localhost.evil.example:3000"] {
        for path in ["/", "/sign-up", "/settings/api-keys", "/settings/api-keys/events", "/pkg/x.js", "/nope"]
        {
            let response = app.anonymous().send(Request::get(path).header("host", host), &[]).await;
            assert_eq!(response.status, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
            assert!(response.body.contains("--public-url"), "{}", response.body);
            assert!(!response.body.contains("evil.example"));
        }
        let mut request = form("/rpc/account/sign-up").header("accept", "text/html").header("host", host);
        request.headers_mut().unwrap().insert("origin", format!("http://{host}").parse().unwrap());
        let response = app.anonymous().send(request, &NEW).await;
        assert_eq!((response.status, response.header("set-cookie")), (StatusCode::MISDIRECTED_REQUEST, ""));
        // Gateways forward the host that their client requested, so the API accepts every host.
        let named = [("host", host), ("x-api-key", "junk")];
        for (path, status) in
            [("/verify", 401), ("/verify/v1", 401), ("/api/v1/key", 401), ("/api/v1/account", 401)]
        {
            let request = named.iter().fold(Request::get(path), |it, (name, value)| it.header(*name, *value));
            let response = app.anonymous().send(request, &[]).await;
            assert_eq!(response.status.as_u16(), status, "{path}");
        }
    }
    assert!(app.console.accounts.list().await.unwrap().is_empty());
    for host in ["localhost:3000", "127.0.0.1:8080", "[::1]", "LOCALHOST"] {
        let response = app.anonymous().send(Request::get("/sign-up").header("host", host), &[]).await;
        assert_eq!(response.status, StatusCode::OK, "{host}");
    }
    assert_eq!(client_request(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_console_with_a_public_url_or_a_non_loopback_listener_accepts_other_hosts() {
    for flags in [["--public-url", "https://keys.example.com"], ["--listen", "0.0.0.0:3000"]] {
        let app = TestApp::with(&flags).await;
        let request = Request::get("/sign-up").header("host", "keys.example.com");
        assert_eq!(app.anonymous().send(request, &[]).await.status, StatusCode::OK, "{flags:?}");
    }
}

#[tokio::test]
async fn sign_up_stays_closed_after_the_only_account_is_deleted() {
    let app = TestApp::with(&[]).await;
    let mut ada = app.owner("ada@example.com").await;
    let deleted = ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(deleted.status, StatusCode::OK);
    for app in [&app, &app.restart_with(&[]).await] {
        let page = app.anonymous().get("/sign-up").await;
        assert!(page.body.contains("does not accept new accounts"), "{}", page.body);
        assert_eq!(app.anonymous().post("/rpc/account/sign-up", &NEW).await.status, StatusCode::FORBIDDEN);
    }
    // The operator can still create an account on the command line.
    let (email, password) =
        (Email::parse("ada@example.com").unwrap(), Password::parse_new(PASSWORD).unwrap());
    let rng = &mut server::random::system_rng();
    app.console.accounts.add(email, password, true, ClientName::default(), rng).await.unwrap();
    app.anonymous().sign_in("ada@example.com").await;
}
